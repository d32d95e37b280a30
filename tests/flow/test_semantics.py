"""What Pachyderm's users rely on, rule by rule: which datums run, what fails, what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from tests.boxes import RealBox
from tests.flow.test_pipelines import contents, last_job, spec
from tests.flow.test_worked_examples import counts, put, texts

pytestmark = pytest.mark.box("shared")

Json = dict[str, Any]

NAMES = 'for f in /pfs/in/*; do cp "$f" "/pfs/out/${f##*/}"; done'


def pipeline(name: str, source: Json, script: str, **more: Any) -> str:
    """A pipeline on any tree of inputs."""
    transform = {"cmd": ["sh"], "stdin": script.splitlines(), **more.pop("transform", {})}
    return json.dumps({"pipeline": {"name": name}, "input": source, "transform": transform, **more})


def pfs(repo: str, glob: str = "/*", **more: Any) -> Json:
    """One pfs input."""
    return {"pfs": {"repo": repo, "glob": glob, **more}}


# ---- one run


def test_a_diamond_runs_once_for_a_commit_under_its_id(box: RealBox) -> None:
    """Whatever the two ways down, the lower end has one job, made from both sides of that run."""
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("left", "in", "tr a-z A-Z < $in > /pfs/out/l"))
    c.create_pipelines(spec("right", "in", "sleep 0.2; rev < $in > /pfs/out/r"))
    both = {"cross": [pfs("left", "/"), pfs("right", "/")]}
    c.create_pipelines(pipeline("end", both, "cat /pfs/left/l /pfs/right/r > /pfs/out/e"))
    ids = [put(box, "in@master", {"/a": f"{word}\n"}) for word in ("one", "two", "three")]
    for id_, text in zip(ids, ("ONE\neno", "TWO\nowt", "THREE\neerht"), strict=True):
        done = {job.pipeline: job for job in c.inspect_job_set(id_, wait=True)}
        assert {name: job.state for name, job in done.items()} == dict.fromkeys(
            ("left", "right", "end"), "JOB_SUCCESS"
        )
        assert texts(box, f"end@{id_}") == {"/e": text}
        made = c.inspect_commit(f"end@{id_}").direct_provenance
        assert {f"left@{id_}", f"right@{id_}"} < set(made)
    assert [job.id for job in c.list_job("end")] == ids[::-1]


def test_two_globs_of_one_repo_are_two_inputs(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/model": "m", "/rows/1": "r1", "/rows/2": "r2"})
    both = {"cross": [pfs("in", "/model", name="model"), pfs("in", "/rows/*", name="rows")]}
    script = 'cat $model $rows > "/pfs/out/${rows##*/}"; ls /pfs/model /pfs/rows > /dev/null'
    c.create_pipelines(pipeline("p", both, script))
    assert counts(last_job(box, "p")) == (2, 0)
    assert texts(box, "p@master") == {"/1": "mr1", "/2": "mr2"}
    put(box, "in@master", {"/rows/3": "r3"})
    assert counts(last_job(box, "p")) == (1, 2)
    put(box, "in@master", {"/model": "M"})
    assert counts(last_job(box, "p")) == (3, 0)


def test_an_output_branch_is_released_by_moving_master(box: RealBox) -> None:
    """What reads the pipeline's master does not see what waits on its output branch."""
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", "in", NAMES, output_branch="staging"))
    c.create_branch("p@master")
    c.create_pipelines(spec("down", "p", 'cp "$p" /pfs/out/'))
    put(box, "in@master", {"/a": "1"})
    put(box, "in@master", {"/a": "2"})
    assert last_job(box, "p").state == "JOB_SUCCESS"
    assert list(c.list_job("down")) == []
    c.create_branch("p@master", head="staging")
    last_job(box, "down")
    assert texts(box, "down@master") == {"/a": "2"}
    assert len(list(c.list_job("down"))) == 1


@pytest.mark.parametrize(("all_of_them", "fires"), [(False, [2, 4]), (True, [3])])
def test_a_trigger_with_two_conditions_wants_any_or_all(
    box: RealBox, all_of_them: bool, fires: list[int]
) -> None:
    """Two commits, or two commits and 30 bytes more, counted from where the branch is."""
    c = box.client
    c.create_repo("in")
    trigger = {"branch": "staging", "commits": 2, "size": "30", "all": all_of_them}
    c.create_branch("in@staging")
    c.create_branch("in@ready", trigger=trigger)
    fired = []
    for number in range(1, 6):
        id_ = put(box, "in@staging", {f"/{number}": "0123456789"})
        if c.inspect_branch("in@ready").head == id_:
            fired.append(number)
    assert fired == fires


# ---- skipping


def test_a_name_is_part_of_what_a_datum_is(box: RealBox) -> None:
    """A file under another name is another datum, as is the same file under another input name;
    content that was there before is not run again, however long ago."""
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "x"})
    c.create_pipelines(spec("p", "in", 'cp "$in" /pfs/out/'))
    first = last_job(box, "p")
    (before,) = c.list_datum(str(first))
    with c.put("in@master") as one:
        one.delete("/a")
        one.data("/b", b"x")
    job = last_job(box, "p")
    assert counts(job) == (1, 0)
    assert contents(box, "p@master") == {"/b": b"x"}
    put(box, "in@master", {"/b": "y"})
    changed = last_job(box, "p")
    assert counts(changed) == (1, 0)
    assert [d.id for d in c.list_datum(str(changed))] == [d.id for d in c.list_datum(str(job))]
    put(box, "in@master", {"/a": "x", "/b": "x"})
    job = last_job(box, "p")
    assert counts(job) == (0, 2), "both were there before"
    assert before.id in {d.id for d in c.list_datum(str(job))}
    renamed = spec("p", "in", 'cp "$data" /pfs/out/', pfs={"name": "data"})
    c.create_pipelines(renamed, update=True)
    assert counts(last_job(box, "p")) == (2, 0)


def test_every_job_may_have_to_run_everything(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "x"})
    c.create_pipelines(spec("p", "in", 'cp "$in" /pfs/out/', reprocess_spec="every_job"))
    last_job(box, "p")
    put(box, "in@master", {"/b": "y"})
    assert counts(last_job(box, "p")) == (2, 0)


def test_a_reference_input_changes_no_datum(box: RealBox) -> None:
    """Its content is not part of what is compared; new datums see the newest of it."""
    c = box.client
    for repo in ("in", "table"):
        c.create_repo(repo)
    put(box, "table@master", {"/t": "old"})
    put(box, "in@master", {"/a": ""})
    both = {"cross": [pfs("in"), pfs("table", "/t", reference=True)]}
    c.create_pipelines(pipeline("p", both, 'cat $table > "/pfs/out/${in##*/}"'))
    last_job(box, "p")
    put(box, "table@master", {"/t": "new"})
    assert counts(last_job(box, "p")) == (0, 1)
    put(box, "in@master", {"/b": ""})
    assert counts(last_job(box, "p")) == (1, 1)
    assert texts(box, "p@master") == {"/a": "old", "/b": "new"}


def test_what_a_spec_would_make_of_the_data_is_shown_without_making_it(box: RealBox) -> None:
    """The datums shown are those that the job then has."""
    c = box.client
    for repo in ("a", "b"):
        c.create_repo(repo)
        put(box, f"{repo}@master", {"/1": f"{repo}1", "/2": f"{repo}2"})
    source = {"join": [pfs("a", "/(*)", join_on="$1"), pfs("b", "/(1)", join_on="$1")]}
    shown = [tuple(f.path for f in d.inputs) for d in c.list_datum(input=source)]
    assert shown == [("/1", "/1")]
    assert list(c.list_pipeline()) == []
    c.create_pipelines(pipeline("p", source, "true"))
    datums = c.list_datum(str(last_job(box, "p")))
    assert [tuple(f.path for f in d.inputs) for d in datums] == shown


# ---- what fails


def datums_of(box: RealBox, job: JobInfo) -> dict[str, str]:
    """The id of each datum by the path of its input."""
    return {d.inputs[0].path: d.id for d in box.client.list_datum(str(job))}


def test_a_collision_names_the_path_and_both_datums(box: RealBox) -> None:
    """Also where one makes a directory of what is a file of the other; the datums' work stands."""
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "a", "/b": "b"})
    c.create_pipelines(spec("same", "in", "cat $in > /pfs/out/x"))
    job = last_job(box, "same")
    assert job.state == "JOB_FAILURE"
    ids = datums_of(box, job)
    assert "/x" in job.reason
    assert all(id_ in job.reason for id_ in ids.values()), job.reason
    script = "case $in in */a) echo > /pfs/out/x;; *) mkdir /pfs/out/x; echo > /pfs/out/x/y;; esac"
    c.create_pipelines(spec("mixed", "in", script))
    job = last_job(box, "mixed")
    assert job.state == "JOB_FAILURE"
    assert all(id_ in job.reason for id_ in datums_of(box, job).values()), job.reason
    c.delete_file("in@master:/b")
    assert counts(last_job(box, "same")) == (0, 1)
    assert texts(box, "same@master") == {"/x": "a"}


def test_paths_that_several_datums_write_may_be_strung_together(box: RealBox) -> None:
    """In the order of datum ids, so that every run gives the same."""
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {f"/{n}": f"{n};" for n in range(6)})
    c.create_pipelines(spec("p", "in", "cat $in > /pfs/out/all", output_merge="concatenate"))
    job = last_job(box, "p")
    assert job.state == "JOB_SUCCESS", job.reason
    ids = datums_of(box, job)
    ordered = "".join(f"{path[1:]};" for path in sorted(ids, key=lambda path: ids[path]))
    assert texts(box, "p@master") == {"/all": ordered}
    put(box, "in@master", {"/3": "three;"})
    assert counts(last_job(box, "p")) == (1, 5)
    assert texts(box, "p@master") == {"/all": ordered.replace("3;", "three;")}


def test_everything_below_a_failure_is_unrunnable_and_says_what_failed(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", "in", "! grep -q bad $in || exit 7; cp $in /pfs/out/"))
    c.create_pipelines(spec("q", "p", "cp $p /pfs/out/"))
    c.create_pipelines(spec("r", "q", "cp $q /pfs/out/"))
    good = put(box, "in@master", {"/a": "good"})
    bad = put(box, "in@master", {"/a": "bad"})
    states = {job.pipeline: job for job in c.inspect_job_set(bad, wait=True)}
    assert "exit status 7" in states["p"].reason
    assert (states["q"].state, states["r"].state) == ("JOB_UNRUNNABLE", "JOB_UNRUNNABLE")
    assert states["q"].reason == f"inputs failed: p@{bad}"
    assert states["r"].reason == f"inputs failed: q@{bad}"
    assert c.inspect_commit(f"r@{bad}").error == states["r"].reason
    assert contents(box, f"r@{bad}") == {}
    assert texts(box, f"r@{good}") == {"/a": "good"}
    healed = put(box, "in@master", {"/a": "good"})
    assert {j.state for j in c.inspect_job_set(healed, wait=True)} == {"JOB_SUCCESS"}
    assert {counts(j) for j in c.inspect_job_set(healed)} == {(0, 1)}


def test_every_try_begins_with_a_clean_table(box: RealBox) -> None:
    """What a failed try left in /pfs/out is gone; the datum succeeds with its last try."""
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "a"})
    seen = box.home.parent / "tries"
    script = f"""\
ls -A /pfs/out >> {seen}; echo try >> {seen}
touch /pfs/out/$(grep -c try {seen})
[ $(grep -c try {seen}) = 3 ]
"""
    c.create_pipelines(spec("p", "in", script, datum_tries=3))
    job = last_job(box, "p")
    assert (job.state, job.processed, job.failed) == ("JOB_SUCCESS", 1, 0)
    assert seen.read_text() == "try\n" * 3
    assert set(contents(box, "p@master")) == {"/3"}


def test_a_datum_that_takes_too_long_is_tried_again(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "a"})
    flag = box.home.parent / "flag"
    script = f"[ -e {flag} ] || {{ touch {flag}; sleep 1000; }}; cp $in /pfs/out/"
    c.create_pipelines(spec("p", "in", script, datum_timeout="1s", datum_tries=2))
    assert counts(last_job(box, "p")) == (1, 0)
    assert texts(box, "p@master") == {"/a": "a"}


def test_a_job_that_takes_too_long_is_killed_and_what_reads_it_does_not_run(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", "in", "cp $in /pfs/out/; sleep 1000", job_timeout="0.5s"))
    c.create_pipelines(spec("down", "p", "true"))
    put(box, "in@master", {"/a": "a"})
    job = last_job(box, "p")
    assert (job.state, job.reason) == ("JOB_KILLED", "job timed out")
    assert contents(box, "p@master") == {}
    assert last_job(box, "down").state == "JOB_UNRUNNABLE"


def test_exit_codes_that_are_accepted_are_success_for_err_cmd_too(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/a": "3", "/b": "4"})
    lenient = {"accept_return_code": [3], "err_cmd": ["sh"], "err_stdin": ["exit 3"]}
    script = "cp $in /pfs/out/; exit $(cat $in)"
    c.create_pipelines(spec("p", "in", script, transform=lenient, datum_tries=1))
    job = last_job(box, "p")
    assert (job.state, job.processed, job.recovered) == ("JOB_SUCCESS", 1, 1)
    assert texts(box, "p@master") == {"/a": "3"}


# ---- what user code sees and leaves


def test_the_variables_of_user_code_are_those_of_the_reference(box: RealBox) -> None:
    """And none of the box's own, but where it is."""
    c = box.client
    for repo in ("left", "right"):
        c.create_repo(repo)
    put(box, "left@master", {"/k1.l": "x"})
    put(box, "right@master", {"/k1.r": "x"})
    source = {
        "join": [
            pfs("left", "/(*).l", join_on="$1"),
            pfs("right", "/(*).r", name="other", join_on="$1", group_by="$1"),
        ]
    }
    c.create_pipelines(
        pipeline("p", source, "env > /pfs/out/env", transform={"env": {"OWN": "mine"}})
    )
    job = last_job(box, "p")
    assert job.state == "JOB_SUCCESS", job.reason
    lines = contents(box, "p@master")["/env"].decode().splitlines()
    env = dict(line.partition("=")[::2] for line in lines)
    (datum,) = c.list_datum(str(job))
    expected = {
        "left": "/pfs/left/k1.l",
        "other": "/pfs/other/k1.r",
        "left_COMMIT": c.inspect_commit("left@master").id,
        "other_COMMIT": c.inspect_commit("right@master").id,
        "PACH_DATUM_left_JOIN_ON": "k1",
        "PACH_DATUM_other_JOIN_ON": "k1",
        "PACH_JOB_ID": job.id,
        "PACH_OUTPUT_COMMIT_ID": job.id,
        "PACH_DATUM_ID": datum.id,
        "PPS_PIPELINE_NAME": "p",
        "PPS_PROJECT_NAME": "default",
        "PPS_SPEC_COMMIT": c.inspect_commit("p.spec@master").id,
        "PACH_IN_WORKER": "true",
        "OWN": "mine",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["PPS_POD_NAME"].startswith("p-")
    assert {name for name in env if name.startswith("PACHYBOX")} <= {
        "PACHYBOX_ADDRESS",
        "PACHYBOX_TOKEN",
    }


def test_empty_files_are_names_only_and_a_link_to_one_is_its_content(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    big = "0123456789" * 100_000
    put(box, "in@master", {"/big": big, "/small": "small"})
    script = 'ln -s $in /pfs/out/${in##*/}; wc -c < $in > "/pfs/out/${in##*/}.size"'
    c.create_pipelines(spec("p", "in", script, pfs={"empty_files": True}))
    assert counts(last_job(box, "p")) == (2, 0)
    assert texts(box, "p@master") == {
        "/big": big,
        "/small": "small",
        "/big.size": "0",
        "/small.size": "0",
    }


def test_lazy_inputs_read_as_others_do(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/d/a": "a", "/d/b": "b" * 200_000})
    c.create_pipelines(spec("p", "in", "cat $in/a $in/b > /pfs/out/all", pfs={"lazy": True}))
    assert counts(last_job(box, "p")) == (1, 0)
    assert texts(box, "p@master") == {"/all": "a" + "b" * 200_000}


@pytest.mark.box("own")
def test_links_into_inputs_cost_no_room(box: RealBox) -> None:
    """A file, a directory, and a link to a link are what they point to, and nothing is copied."""
    c = box.client
    c.create_repo("in")
    put(box, "in@master", {"/d/big": "x" * 3_000_000, "/d/e/small": "s"})
    before = c.status().store_bytes
    script = "ln -s $in /pfs/out/dir; ln -s $in/big /pfs/out/file; ln -s file /pfs/out/again"
    c.create_pipelines(spec("p", "in", script))
    job = last_job(box, "p")
    assert job.state == "JOB_SUCCESS", job.reason
    assert {path: len(text) for path, text in contents(box, "p@master").items()} == {
        "/dir/big": 3_000_000,
        "/dir/e/small": 1,
        "/file": 3_000_000,
        "/again": 3_000_000,
    }
    assert c.status().store_bytes - before < 1_000_000


def test_inputs_cannot_be_written_and_are_the_same_for_the_next(box: RealBox) -> None:
    """Neither a file nor a directory of an input, whatever its size."""
    c = box.client
    c.create_repo("in")
    files = {"/a/small": "small", "/a/big": "b" * 300_000, "/b/small": "small"}
    put(box, "in@master", files)
    script = """\
for f in $in/*; do (echo x >> $f) 2> /dev/null && echo wrote $f; done
(touch $in/new) 2> /dev/null && echo made; (rm -f $in/small) 2> /dev/null && echo removed
ls $in | tr '\\n' ' ' > /pfs/out/${in##*/}
"""
    c.create_pipelines(spec("p", "in", script, datum_tries=1))
    job = last_job(box, "p")
    assert job.state == "JOB_SUCCESS", job.reason
    assert [line.message for line in c.logs(job=str(job))] == []
    assert texts(box, "p@master") == {"/a": "big small", "/b": "small"}
    assert texts(box, "in@master") == files
