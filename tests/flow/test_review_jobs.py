"""Jobs that break off, are planned from odd bases, or meet what they should not: no result is
lost, none is wrong, and nothing is held for ever."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.boxes import RealBox, eventually
from tests.flow.invariants import fsck_is_clean
from tests.flow.test_pipelines import contents, last_job, spec


def test_what_a_stop_of_the_box_finds_done_is_whole(tmp_path: Path) -> None:
    """Large outputs of datums that ended just before the box was stopped are there when their
    results are."""
    box = RealBox(tmp_path / "home", settings="workers = 2\n").start()
    try:
        c = box.client
        c.create_repo("in")
        with c.put("in@master") as put:
            for i in range(600):
                put.data(f"/{i:04}", b"")
        text = 'for f in /pfs/in/*; do head -c 200000 /dev/urandom > "/pfs/out/${f##*/}"; done'
        c.create_pipelines(spec("p", "in", text))
        job = next(iter(c.list_job("p")))
        eventually(lambda: c.inspect_job(f"p@{job.id}").processed > 20, "some are done")
        box.stop()
        box.start()
        c = box.client
        assert c.wait_job(f"p@{job.id}").state == "JOB_SUCCESS"
        fsck_is_clean(c)
    finally:
        box.kill()


def test_err_cmd_does_not_run_over_inputs_that_cannot_be_shown(box: RealBox) -> None:
    """The datum fails by the reason it could not be laid out, and no other takes its place."""
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        put.data("/a", b"a")
        put.data("/lost", bytes(200_000))
        put.data("/z", b"z")
    for object_ in (box.home / "store" / "objects").glob("*/*"):
        object_.unlink()
    more = {"transform": {"err_cmd": ["true"]}, "datum_tries": 2}
    c.create_pipelines(spec("p", "in", "true", **more))
    job = last_job(box, "p")
    assert (job.total, job.processed, job.failed, job.recovered) == (3, 2, 1, 0)
    assert "missing" in job.reason


def test_what_err_cmd_saved_is_forgotten_with_its_input(box: RealBox) -> None:
    """A datum to be tried again is gone, since its branch has no commit any more."""
    c = box.client
    for repo in ("a", "b"):
        c.create_repo(repo)
        c.put_file(f"{repo}@master:/{repo}", b"1")
    c.create_branch("a@read", head="master")
    sides = [
        {"pfs": {"repo": "a", "branch": "read", "glob": "/*"}},
        {"pfs": {"repo": "b", "glob": "/*"}},
    ]
    script = "ls /pfs | grep -q '^b$' || exit 1; cp -r /pfs/b/. /pfs/out"
    pipeline = {
        "pipeline": {"name": "p"},
        "input": {"union": sides},
        "transform": {"cmd": ["sh", "-c", script], "err_cmd": ["true"]},
        "datum_tries": 1,
    }
    c.create_pipelines(json.dumps(pipeline))
    job = last_job(box, "p")
    assert (job.processed, job.recovered) == (1, 1)
    c.delete_branch("a@read", force=True)
    c.create_branch("a@read")
    c.put_file("b@master:/c", b"2")
    job = last_job(box, "p")
    assert (job.state, job.total, job.reason) == ("JOB_SUCCESS", 2, "")
    assert contents(box, "p@master") == {"/b": b"1", "/c": b"2"}


def test_a_pipeline_that_concatenates_no_more_is_merged_anew(box: RealBox) -> None:
    """What several datums wrote to one path is a collision then, whichever job ran them."""
    c = box.client
    c.create_repo("in")
    for name in "ab":
        c.put_file(f"in@master:/{name}", name.encode())
    script = "cat /pfs/in/* > /pfs/out/all"
    c.create_pipelines(spec("p", "in", script, output_merge="concatenate"))
    assert last_job(box, "p").state == "JOB_SUCCESS"
    assert sorted(contents(box, "p@master")["/all"]) == [ord("a"), ord("b")]
    c.create_pipelines(spec("p", "in", script), update=True)
    job = last_job(box, "p")
    assert job.state == "JOB_FAILURE"
    assert "duplicate path" in job.reason
    c.delete_file("in@master:/a")
    assert last_job(box, "p").state == "JOB_SUCCESS"
    assert contents(box, "p@master") == {"/all": b"b"}


def test_inputs_shown_to_a_datum_that_was_killed_are_let_go(box: RealBox) -> None:
    """What an image pointed into is collected once nobody names it."""
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        for i in range(200):
            put.data(f"/d/{i}", os.urandom(20_000))
    flag = box.home.parent / "runs"
    c.create_pipelines(spec("p", "in", f"touch {flag}; sleep 1000", pfs={"glob": "/"}))
    job = next(iter(c.list_job("p")))
    eventually(flag.exists, "the datum runs")
    c.stop_job(f"p@{job.id}")
    eventually(lambda: c.status().jobs_running == 0, "the job is gone")
    c.delete_pipeline("p")
    c.delete_repo("in")
    freed = c.collect_garbage()
    assert int(freed["freedBytes"]) > 4_000_000
