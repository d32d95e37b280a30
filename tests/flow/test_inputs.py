"""Inputs of every kind end to end: what starts a job, on which commits, and what is made for it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, PachyboxError, Refused
from tests.boxes import RealBox, eventually

# Those that kill the box have one of their own.
pytestmark = pytest.mark.box("shared")

LIST = "find /pfs -path /pfs/out -prune -o -type f -print | sort | tr '\\n' ' ' >> /pfs/out/seen"


def spec(name: str, given: dict[str, Any], script: str = LIST, **more: Any) -> dict[str, Any]:
    """A pipeline that runs a shell script on any input."""
    transform = {"cmd": ["sh"], "stdin": [script]}
    return {"pipeline": {"name": name}, "input": given, "transform": transform, **more}


def pfs(repo: str, **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": "/", **more}}


def jobs(box: RealBox, pipeline: str) -> list[str]:
    """The ids of a pipeline's jobs, oldest first."""
    return [job.id for job in box.client.list_job(pipeline, history=-1)][::-1]


def settled(box: RealBox, pipeline: str, count: int) -> Any:
    """The newest job of a pipeline that has had ``count``, waited for."""
    found = jobs(box, pipeline)
    assert len(found) == count
    return box.client.wait_job(f"{pipeline}@{found[-1]}")


def seen(box: RealBox, commit: str) -> list[str]:
    """Which files user code saw."""
    return box.client.get_file(f"{commit}:/seen").decode().split()


def branches(box: RealBox, repo: str) -> set[str]:
    return {branch.name for branch in box.client.list_branch(repo)}


# ---- several inputs


def test_a_cross_of_two_branches_of_one_repo_reads_both(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"1")
    c.put_file("in@staging:/b", b"1")
    given = {"cross": [pfs("in"), pfs("in", name="next", branch="staging")]}
    c.create_pipelines(spec("both", given))
    settled(box, "both", 1)
    assert seen(box, "both@master") == ["/pfs/in/a", "/pfs/next/b"]
    c.put_file("in@staging:/c", b"1")
    settled(box, "both", 2)
    assert seen(box, "both@master") == ["/pfs/in/a", "/pfs/next/b", "/pfs/next/c"]


def test_one_branch_read_twice_is_one_of_the_provenance(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    given = {"cross": [pfs("in", glob="/a"), pfs("in", name="other", glob="/b")]}
    c.create_pipelines(spec("twice", given))
    with c.put("in@master") as put:
        put.data("/a", b"1")
        put.data("/b", b"1")
    settled(box, "twice", 1)
    assert seen(box, "twice@master") == ["/pfs/in/a", "/pfs/other/b"]
    branch = c.inspect_branch("twice@master")
    assert len([p for p in branch.direct_provenance if p.startswith("in@")]) == 1


def test_commits_are_chosen_by_branch(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"1")
    c.put_file("in@staging:/b", b"1")
    old = c.inspect_commit("in@staging").id
    given = {"cross": [pfs("in"), pfs("in", name="next", branch="staging")]}
    c.create_pipelines(spec("both", given))
    settled(box, "both", 1)
    c.put_file("in@staging:/c", b"1")
    settled(box, "both", 2)
    c.run_pipeline("both", [f"in@{old}"])  # by the branch that the commit was made on
    settled(box, "both", 3)
    assert seen(box, "both@master") == ["/pfs/in/a", "/pfs/next/b"]
    c.run_pipeline("both", ["in@master=staging"])
    settled(box, "both", 4)
    assert seen(box, "both@master") == [f"/pfs/{n}/{f}" for n in ("in", "next") for f in "bc"]
    with pytest.raises(InvalidArgument, match="two commits of one input branch"):
        c.run_pipeline("both", ["in@staging", "in@staging=staging^"])
    with pytest.raises(InvalidArgument, match="in@nope is not an input of pipeline both"):
        c.run_pipeline("both", ["in@nope=master"])


def test_an_input_repo_that_is_missing_is_named_and_nothing_is_made(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    given = {
        "cross": [pfs("in"), {"union": [pfs("nope"), {"cron": {"name": "t", "spec": "@never"}}]}]
    }
    with pytest.raises(NotFound, match="repo default/nope not found"):
        c.create_pipelines(spec("p", given))
    assert {r.name for r in c.list_repo()} == {"in"}


# ---- deferred processing, triggers, propagation


def test_moving_a_branch_releases_what_was_committed_to_another(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", pfs("in")))
    for name in "abc":
        c.put_file(f"in@staging:/{name}", b"1")
    assert jobs(box, "p") == []
    c.create_branch("in@master", head="staging")
    settled(box, "p", 1)
    assert seen(box, "p@master") == ["/pfs/in/a", "/pfs/in/b", "/pfs/in/c"]


def test_a_trigger_makes_a_branch_that_moves_when_it_is_time(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(
        spec("p", {"cross": [pfs("in", trigger={"commits": 3}), pfs("in", name="all")]})
    )
    assert branches(box, "in") == {"p-trigger-1", "master"}
    c.create_pipelines(spec("few", pfs("in", trigger={"commits": 2, "branch": "master"})))
    for name in "ab":
        c.put_file(f"in@master:/{name}", b"1")
    settled(box, "few", 1)
    assert seen(box, "few@master") == ["/pfs/in/a", "/pfs/in/b"]
    c.put_file("in@master:/c", b"1")
    settled(box, "p", 3)  # one a commit of master; that with the third is of both branches
    assert seen(box, "p@master") == [f"/pfs/{n}/{f}" for n in ("all", "in") for f in "abc"]

    c.create_pipelines(spec("p", pfs("in")), update=True)
    assert branches(box, "in") == {"few-trigger-1", "master"}
    c.delete_pipeline("few")
    assert branches(box, "in") == {"master"}


def test_a_trigger_branch_that_something_else_reads_stays(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", pfs("in", trigger={"size": "1MB"})))
    c.create_pipelines(spec("other", pfs("in", branch="p-trigger-1")))
    c.delete_pipeline("p")
    assert "p-trigger-1" in branches(box, "in")


def test_a_trigger_cannot_move_the_output_of_a_pipeline(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", pfs("in"), output_branch="out"))
    with pytest.raises(Refused, match="branch p@out follows other branches") as caught:
        c.create_pipelines(spec("q", pfs("p", branch="out", trigger={"commits": 1})))
    assert "name another branch" in caught.value.hint


@pytest.mark.box("own")
def test_changes_of_a_quiet_input_wait_for_the_next_job(box: RealBox) -> None:
    c = box.client
    for repo in ("in", "model"):
        c.create_repo(repo)
    never = {"never": True}
    given = {"cross": [pfs("in"), pfs("model", propagation_spec=never)]}
    c.put_file("model@master:/v1", b"1")
    c.put_file("in@master:/a", b"1")
    c.create_pipelines(spec("p", given))
    c.create_pipelines(spec("after", pfs("p")))
    settled(box, "p", 1)
    c.put_file("model@master:/v2", b"1")
    settled(box, "p", 1)
    settled(box, "after", 1)
    c.put_file("in@master:/b", b"1")
    settled(box, "p", 2)
    settled(box, "after", 2)
    assert seen(box, "p@master") == ["/pfs/in/a", "/pfs/in/b", "/pfs/model/v1", "/pfs/model/v2"]

    box.kill()
    box.start()
    c = box.client
    c.put_file("model@master:/v3", b"1")
    assert len(jobs(box, "p")) == 2
    given["cross"][1] = pfs("model")
    c.create_pipelines(spec("p", given), update=True)
    settled(box, "p", 3)
    c.put_file("model@master:/v4", b"1")
    settled(box, "p", 4)


def test_a_quiet_input_read_loudly_too_starts_jobs(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    quiet = pfs("in", name="quiet", propagation_spec={"never": True})
    c.create_pipelines(spec("p", {"union": [quiet, pfs("in")]}))
    c.put_file("in@master:/a", b"1")
    settled(box, "p", 1)


def test_what_was_made_for_a_pipeline_is_made_again_when_it_starts(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    ticks_too = {"cron": {"name": "t", "spec": "@never"}}
    c.create_pipelines(spec("p", {"cross": [pfs("in", trigger={"commits": 1}), ticks_too]}))
    c.stop_pipeline("p")
    c.delete_branch("in@p-trigger-1")
    c.delete_repo("p_t")
    c.start_pipeline("p")
    c.put_file("in@master:/a", b"1")
    c.run_cron("p")
    settled(box, "p", 2)
    assert [path.split("/")[2] for path in seen(box, "p@master")] == ["in", "t"]


def test_a_job_by_hand_needs_one_input_with_data(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_repo("other")
    c.create_pipelines(spec("p", {"union": [pfs("in"), pfs("other")]}))
    with pytest.raises(Refused, match="no input branch of pipeline p has a head yet: in@master, o"):
        c.rerun_pipeline("p")
    c.put_file("other@master:/a", b"1")
    settled(box, "p", 1)
    c.rerun_pipeline("p", reprocess=True)
    assert settled(box, "p", 2).processed == 1
    c.create_pipelines(spec("q", {"cron": {"name": "t", "spec": "@never"}}))
    with pytest.raises(Refused) as caught:
        c.run_pipeline("q")
    assert caught.value.hint == "run cron q"


# ---- loops


def test_an_update_that_makes_a_loop_is_refused_and_changes_nothing(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("a", pfs("in")))
    c.create_pipelines(spec("b", pfs("a")))
    c.create_pipelines(spec("c", pfs("b")))
    loop = spec("a", {"union": [pfs("in"), pfs("c")]})
    told = "cannot read c@master, which is made from its own output: c@master <- b@master <- a@mas"
    with pytest.raises(InvalidArgument, match=told):
        c.create_pipelines(loop, update=True)
    c.stop_pipeline("b")  # the way is still there when it is started again
    with pytest.raises(InvalidArgument, match=told):
        c.create_pipelines(loop, update=True)
    assert c.inspect_pipeline("a").version == 1


def test_an_update_may_move_the_output_to_another_branch(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"1")
    c.create_pipelines(spec("p", pfs("in")))
    settled(box, "p", 1)
    c.create_pipelines(spec("p", pfs("in"), output_branch="next"), update=True)
    settled(box, "p", 2)
    c.put_file("in@master:/b", b"1")
    settled(box, "p", 3)
    assert seen(box, "p@next") == ["/pfs/in/a", "/pfs/in/b"]
    assert seen(box, "p@master") == ["/pfs/in/a"]


def test_several_specs_are_made_all_or_none(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    cron = {"cron": {"name": "tick", "spec": "@never"}}
    good = spec("one", {"cross": [pfs("in", trigger={"commits": 2}), cron]})
    with pytest.raises(PachyboxError, match="nope"):
        c.create_pipelines("".join(map(json.dumps, (good, spec("two", pfs("nope"))))))
    assert list(c.list_pipeline()) == []
    assert branches(box, "in") == set()
    assert {r.name for r in c.list_repo()} == {"in"}
    c.create_pipelines("".join(map(json.dumps, (good, spec("two", pfs("one"))))))
    assert {r.name for r in c.list_repo()} == {"in", "one", "two", "one_tick"}


def test_code_that_changes_reprocesses_when_asked(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"1")
    c.create_pipelines(spec("p", pfs("in"), "echo 1 > /pfs/out/x", reprocess_on_code_change=True))
    settled(box, "p", 1)
    same = spec("p", pfs("in"), "echo 1 > /pfs/out/x", reprocess_on_code_change=True, datum_tries=2)
    c.create_pipelines(same, update=True)
    assert settled(box, "p", 2).skipped == 1
    new = spec("p", pfs("in"), "echo 2 > /pfs/out/x", reprocess_on_code_change=True)
    c.create_pipelines(new, update=True)
    assert settled(box, "p", 3).processed == 1
    assert c.get_file("p@master:/x") == b"2\n"


# ---- validate


def test_validate_tells_every_problem_of_every_spec(box: RealBox) -> None:
    box.client.create_repo("in")
    wrong = spec("p", {"cross": [pfs("in"), {"pfs": {"repo": "in"}}]}, datum_tries=-1)
    text = "\n".join(map(json.dumps, (spec("ok", pfs("in"), hashtree_spec={"constant": 3}), wrong)))
    done = box.run("validate", "pipeline", stdin=text.encode())
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "pachybox: warning: stdin:1:210: hashtree_spec: has no meaning on one machine; it is kept "
        "and has no effect",
        'pachybox: stdin:2:88: input.cross[1].pfs.glob: missing; use "/" for one datum, "/*" for '
        "one per file",
        "pachybox: stdin:2:262: datum_tries: may not be negative; use 1 or more",
    ]
    nowhere = json.dumps(spec("p", pfs("nope")))
    done = box.run("validate", "pipeline", stdin=nowhere.encode())
    assert (done.returncode, "repo default/nope not found" in done.stderr) == (1, True)
    good = json.dumps(spec("p", pfs("in")))
    assert box.cli("validate", "pipeline", stdin=good.encode()) == "p: valid\n"
    assert list(box.client.list_pipeline()) == []


# ---- cron


def ticks(box: RealBox, repo: str) -> list[str]:
    """The tick files at the head of a cron repo."""
    try:
        return [f.path for f in box.client.list_file(f"{repo}@master:/")]
    except NotFound:
        return []  # no tick yet


def cron(**more: Any) -> dict[str, Any]:
    return {"cron": {"name": "tick", **more}}


def test_a_cron_ticks_and_its_pipeline_runs(box: RealBox) -> None:
    c = box.client
    c.create_pipelines(spec("p", cron(spec="@every 1s")))
    assert c.inspect_repo("p_tick").description == "Cron tick repo for pipeline p."
    found = eventually(lambda: ticks(box, "p_tick")[2:] and ticks(box, "p_tick"), "three ticks")
    assert found == sorted(found)
    assert c.get_file(f"p_tick@master:{found[0]}") == b""
    eventually(lambda: len(jobs(box, "p")) >= 3, "a job a tick")
    c.stop_pipeline("p")
    c.start_pipeline("p")
    eventually(lambda: len(ticks(box, "p_tick")) > len(found), "ticks again")
    c.delete_pipeline("p")
    assert list(c.list_repo()) == []


@pytest.mark.box("own")
def test_missed_ticks_are_made_one_by_one_and_none_twice_after_kills(box: RealBox) -> None:
    """Killed again and again while it makes up for ticks: each is a commit, none is doubled."""
    box.client.create_pipelines(spec("p", cron(spec="@yearly", start="1990-01-01T00:00:00Z")))
    for count in (3, 10, 20):
        eventually(lambda n=count: len(ticks(box, "p_tick")) >= n, "ticks")  # type: ignore[misc]
        box.kill()
        box.start()
    years = range(1991, datetime.now().astimezone().year + 1)
    eventually(lambda: len(ticks(box, "p_tick")) >= len(years), "a tick of each year")
    assert ticks(box, "p_tick") == [f"/{year}-01-01T00:00:00Z" for year in years]
    assert len(list(box.client.list_commit("p_tick"))) == len(years)


def test_overwrite_keeps_the_last_tick_and_coalesce_makes_no_other(box: RealBox) -> None:
    c = box.client
    more = {"spec": "0 0 1 1 *", "start": "2001-06-01T00:00:00Z", "overwrite": True}
    c.create_pipelines(spec("each", cron(**more)))
    c.create_pipelines(spec("last", cron(**more, coalesce=True)))
    (only,) = eventually(lambda: ticks(box, "last_tick"), "a tick")
    assert len(list(c.list_commit("last_tick"))) == 1
    eventually(lambda: ticks(box, "each_tick") == [only], "the newest tick")
    assert len(list(c.list_commit("each_tick"))) == int(only[1:5]) - 2001


def test_ticks_by_hand(box: RealBox) -> None:
    c = box.client
    given = {"cross": [cron(spec="@never"), {"cron": {"name": "b", "spec": "@never"}}]}
    c.create_pipelines(spec("p", given))
    box.cli("run", "cron", "p")
    job = settled(box, "p", 1)  # both inputs in one change
    assert job.processed == 1
    (tick,) = ticks(box, "p_tick")
    assert ticks(box, "p_b") == [tick]
    c.create_repo("in")
    c.create_pipelines(spec("plain", pfs("in")))
    with pytest.raises(InvalidArgument, match="pipeline plain doesn't have a cron input"):
        c.run_cron("plain")
    with pytest.raises(NotFound, match='pipeline "nope" not found'):
        c.run_cron("nope")


def test_a_cron_may_use_a_repo_that_is_there_and_leaves_it(box: RealBox) -> None:
    c = box.client
    c.create_repo("clock")
    c.create_pipelines(spec("p", cron(spec="@never", repo="clock")))
    c.create_pipelines(spec("q", cron(spec="@never", repo="q_clock")))
    c.create_pipelines(spec("r", pfs("q_clock")))
    c.run_cron("p")
    c.run_cron("q")
    assert len(ticks(box, "clock")) == 1
    with pytest.raises(Refused, match="repo p cannot hold the ticks of pipeline x"):
        c.create_pipelines(spec("x", cron(spec="@never", repo="p")))
    c.delete_pipeline("p")
    c.delete_pipeline("q")
    assert {r.name for r in c.list_repo()} == {"clock", "q_clock", "r"}


def test_keeping_the_repo_keeps_the_ticks(box: RealBox) -> None:
    c = box.client
    c.create_pipelines(spec("p", cron(spec="@never")))
    c.run_cron("p")
    c.delete_pipeline("p", keep_repo=True)
    assert {r.name for r in c.list_repo()} == {"p", "p_tick"}
    c.create_pipelines(spec("p", cron(spec="@never")))
    settled(box, "p", 1)
    with pytest.raises(AlreadyExists):
        c.create_pipelines(spec("p", cron(spec="@never")))
