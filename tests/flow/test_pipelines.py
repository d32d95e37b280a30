"""Pipelines end to end: data in, user code run, output committed, only changes run again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, PachyboxError, Refused
from tests.boxes import RealBox, eventually

pytestmark = pytest.mark.box("shared")


def spec(name: str, repo: str, script: str, **more: Any) -> str:
    """A pipeline that runs a shell script."""
    transform = {"cmd": ["sh"], "stdin": script.splitlines(), **more.pop("transform", {})}
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo, "glob": "/*", **more.pop("pfs", {})}},
            "transform": transform,
            **more,
        }
    )


def last_job(box: RealBox, pipeline: str) -> Any:
    """The newest job of a pipeline, waited for."""
    job = next(iter(box.client.list_job(pipeline)))
    return box.client.wait_job(f"{pipeline}@{job.id}")


def contents(box: RealBox, commit: str) -> dict[str, bytes]:
    """Every file of a commit."""
    return {
        f.path: box.client.get_file(f"{commit}:{f.path}")
        for f in box.client.walk_file(f"{commit}:/")
        if not f.is_dir
    }


UPPER = 'for f in /pfs/{repo}/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done'


def test_a_pipeline_runs_over_what_is_there_and_then_only_what_changed(box: RealBox) -> None:
    """Output is committed with provenance; a second commit re-runs one datum."""
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        put.data("/a", b"one")
        put.data("/b", b"two")
    c.create_pipelines(spec("up", "in", UPPER.format(repo="in")))
    job = last_job(box, "up")
    assert (job.state, job.processed, job.skipped, job.total) == ("JOB_SUCCESS", 2, 0, 2)
    assert contents(box, "up@master") == {"/a": b"ONE", "/b": b"TWO"}

    c.put_file("in@master:/c", b"three")
    job = last_job(box, "up")
    assert (job.state, job.processed, job.skipped, job.total) == ("JOB_SUCCESS", 1, 2, 3)
    assert contents(box, "up@master") == {"/a": b"ONE", "/b": b"TWO", "/c": b"THREE"}
    head = c.inspect_commit("in@master")
    assert c.inspect_commit("up@master").id == head.id


def test_what_leaves_the_input_leaves_the_output(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        put.data("/a", b"one")
        put.data("/b", b"two")
    c.create_pipelines(spec("up", "in", UPPER.format(repo="in")))
    last_job(box, "up")
    c.delete_file("in@master:/a")
    job = last_job(box, "up")
    assert (job.processed, job.skipped, job.total) == (0, 1, 1)
    assert contents(box, "up@master") == {"/b": b"TWO"}
    c.put_file("in@master:/b", b"changed")
    last_job(box, "up")
    assert contents(box, "up@master") == {"/b": b"CHANGED"}


def test_chained_pipelines_share_one_id(box: RealBox) -> None:
    """One put runs the whole chain under the id of its commit."""
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("one", "in", UPPER.format(repo="in")))
    c.create_pipelines(spec("two", "one", "cat /pfs/one/* > /pfs/out/all", pfs={"glob": "/"}))
    c.put_file("in@master:/a", b"x")
    id_ = c.inspect_commit("in@master").id
    done = list(c.flush_commit([f"in@{id_}"]))
    assert {d.repo for d in done} == {"one", "two"}
    assert {d.id for d in done} == {id_}
    assert c.get_file(f"two@{id_}:/all") == b"X"


def test_a_failed_datum_fails_the_job_and_leaves_its_output_empty(box: RealBox) -> None:
    """Later data that heals the input runs only what is new; downstream was unrunnable."""
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        put.data("/good", b"good")
        put.data("/bad", b"bad")
    script = "! grep -q bad /pfs/in/* || { echo broken >&2; exit 3; }\ncp /pfs/in/* /pfs/out/"
    c.create_pipelines(spec("p", "in", script, datum_tries=2))
    c.create_pipelines(spec("down", "p", UPPER.format(repo="p")))
    job = last_job(box, "p")
    assert job.state == "JOB_FAILURE"
    assert "exit status 3" in job.reason
    assert (job.processed, job.failed) == (1, 1)
    assert contents(box, "p@master") == {}
    assert last_job(box, "down").state == "JOB_UNRUNNABLE"
    failed = [d for d in c.list_datum(f"p@{job.id}") if d.state == "FAILED"]
    assert len(failed) == 1
    lines = [line.message for line in c.logs(job=f"p@{job.id}", datum=failed[0].id)]
    assert lines == ["broken", "broken"]

    c.put_file("in@master:/bad", b"healed")
    job = last_job(box, "p")
    assert (job.state, job.processed, job.skipped) == ("JOB_SUCCESS", 1, 1)
    assert last_job(box, "down").state == "JOB_SUCCESS"


def test_an_update_keeps_results_and_reprocess_does_not(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("p", "in", "echo one > /pfs/out/x"))
    last_job(box, "p")
    c.create_pipelines(spec("p", "in", "echo two > /pfs/out/x"), update=True)
    job = last_job(box, "p")
    assert (job.skipped, job.processed) == (1, 0)
    assert c.get_file("p@master:/x") == b"one\n"
    c.create_pipelines(spec("p", "in", "echo two > /pfs/out/x"), update=True, reprocess=True)
    job = last_job(box, "p")
    assert (job.skipped, job.processed) == (0, 1)
    assert c.get_file("p@master:/x") == b"two\n"
    assert c.inspect_pipeline("p").version == 3


def test_a_stopped_pipeline_waits_and_a_started_one_catches_up(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", "in", UPPER.format(repo="in")))
    c.stop_pipeline("p")
    c.put_file("in@master:/a", b"a")
    assert list(c.list_job("p")) == []
    with pytest.raises(Refused, match="output branch"):
        c.put_file("p@master:/x", b"x")
    c.start_pipeline("p")
    assert last_job(box, "p").state == "JOB_SUCCESS"
    assert contents(box, "p@master") == {"/a": b"A"}


def test_stopping_a_job_kills_its_code_and_leaves_nothing(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("p", "in", "sleep 1000 & sleep 1000"))
    job = next(iter(c.list_job("p")))
    eventually(
        lambda: any(d.state == "STARTING" for d in c.list_datum(f"p@{job.id}")), "the datum runs"
    )
    c.stop_job(f"p@{job.id}")
    done = c.wait_job(f"p@{job.id}")
    assert done.state == "JOB_KILLED"
    assert contents(box, "p@master") == {}


def test_two_datums_that_write_one_path_fail_the_job(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        put.data("/a", b"a")
        put.data("/b", b"b")
    c.create_pipelines(spec("p", "in", "echo $PACH_DATUM_ID > /pfs/out/same"))
    job = last_job(box, "p")
    assert job.state == "JOB_FAILURE"
    assert "duplicate path output by different datums (/same" in job.reason


def test_no_datums_is_success_with_nothing(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a/b", b"a")
    c.create_pipelines(spec("p", "in", "true", pfs={"glob": "/*.csv"}))
    job = last_job(box, "p")
    assert (job.state, job.total) == ("JOB_SUCCESS", 0)


def test_time_outs_tries_and_recovery(box: RealBox) -> None:
    """datum_timeout fails an attempt, err_cmd recovers the datum, job_timeout kills the job."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("slow", "in", "sleep 1000", datum_timeout="0.3s", datum_tries=1))
    job = last_job(box, "slow")
    assert job.state == "JOB_FAILURE"
    assert "timed out" in job.reason
    c.create_pipelines(
        spec("saved", "in", "exit 1", datum_tries=1, transform={"err_cmd": ["true"]})
    )
    job = last_job(box, "saved")
    assert (job.state, job.recovered) == ("JOB_SUCCESS", 1)
    c.create_pipelines(spec("late", "in", "sleep 1000", job_timeout="0.5s"))
    job = last_job(box, "late")
    assert (job.state, job.reason) == ("JOB_KILLED", "job timed out")


def test_the_environment_of_user_code(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/dir/a", b"a")
    script = 'echo "$in $in_COMMIT $PACH_JOB_ID $PPS_PIPELINE_NAME $OWN" > /pfs/out/env'
    c.create_pipelines(
        spec("p", "in", script, pfs={"glob": "/dir/*"}, transform={"env": {"OWN": "mine"}})
    )
    job = last_job(box, "p")
    commit = c.inspect_commit("in@master").id
    expected = f"/pfs/in/dir/a {commit} {job.id} p mine\n"
    assert c.get_file("p@master:/env").decode() == expected


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mkfifo /pfs/out/pipe", "cannot upload special file /pfs/out/pipe"),
        ("ln -s /etc/passwd /pfs/out/link", "cannot upload symlink /pfs/out/link"),
        ("echo x > /pfs/in/a", "exit status"),
        ("kill -9 $$", "SIGKILL"),
        (
            "cd /pfs/out; i=0; while [ $i -lt 700 ]; do mkdir d && cd d; i=$((i+1)); done",
            "deeper than 500 directories",
        ),
    ],
)
def test_bad_user_code_fails_its_datum_only(box: RealBox, script: str, reason: str) -> None:
    """One clear reason; the input is as it was."""
    c = box.client
    name = f"bad{abs(hash(script)) % 10**8}"
    c.create_repo("in", update=True)
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec(name, "in", f"{script}\nexit $?", datum_tries=1))
    job = last_job(box, name)
    assert job.state == "JOB_FAILURE"
    assert reason in job.reason
    assert c.get_file("in@master:/a") == b"a"
    c.delete_pipeline(name)


def test_a_symlink_to_an_input_is_kept_by_reference(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    big = b"0123456789abcdef" * 50_000
    c.put_file("in@master:/big", big)
    c.create_pipelines(spec("p", "in", "ln -s /pfs/in/big /pfs/out/same\nln -s same /pfs/out/two"))
    assert last_job(box, "p").state == "JOB_SUCCESS"
    assert contents(box, "p@master") == {"/same": big, "/two": big}


def test_refusals_name_the_thing(box: RealBox) -> None:
    c = box.client
    c.create_repo("src", update=True)
    with pytest.raises(NotFound, match="repo default/nowhere not found"):
        c.create_pipelines(spec("p1", "nowhere", "true"))
    with pytest.raises(InvalidArgument, match="own output"):
        c.create_pipelines(spec("src", "src", "true"))
    c.create_pipelines(spec("dup", "src", "true"))
    with pytest.raises(AlreadyExists, match="already exists"):
        c.create_pipelines(spec("dup", "src", "true"))
    with pytest.raises(NotFound, match='pipeline "ghost" not found'):
        c.inspect_pipeline("ghost")
    with pytest.raises(PachyboxError, match="Not A Name"):
        c.create_pipelines(spec("img", "src", "true", transform={"image": "Not A Name"}))
    c.create_pipelines(spec("down", "dup", "true"))
    with pytest.raises(Refused, match="down"):
        c.delete_pipeline("dup")
    c.delete_pipeline("down")
    c.delete_pipeline("dup")
    names = {r.name for r in c.list_repo()}
    assert "dup" not in names


def test_running_on_chosen_commits(box: RealBox) -> None:
    """run pipeline on an older commit makes a job over its data."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"first")
    first = c.inspect_commit("in@master").id
    c.create_pipelines(spec("p", "in", UPPER.format(repo="in")))
    last_job(box, "p")
    c.put_file("in@master:/a", b"second")
    last_job(box, "p")
    assert contents(box, "p@master") == {"/a": b"SECOND"}
    c.run_pipeline("p", [f"in@{first}"])
    job = last_job(box, "p")
    assert job.skipped == 1
    assert contents(box, "p@master") == {"/a": b"FIRST"}


def test_following_logs_shows_lines_while_the_datum_runs(box: RealBox) -> None:
    """Lines come as they are printed, and the stream ends with the job."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    go = box.home.parent / "go"
    script = f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo last"
    c.create_pipelines(spec("p", "in", script))
    job = next(iter(c.list_job("p")))
    seen = []
    for line in c.logs(job=f"p@{job.id}", follow=True):
        seen.append(line.message)
        go.touch()
    assert seen == ["first", "last"]
