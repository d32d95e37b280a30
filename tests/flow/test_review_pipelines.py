"""Pipelines when things happen at the wrong moment: ended, deleted or made anew at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.errors import NotFound, Refused
from tests.boxes import RealBox, eventually
from tests.flow.test_pipelines import contents, last_job, spec

pytestmark = pytest.mark.box("shared")


def test_a_pipeline_made_anew_runs_its_own_code(box: RealBox) -> None:
    """No worker of the deleted pipeline of the same name serves the new one."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("p", "in", "echo old > /pfs/out/x"))
    last_job(box, "p")
    c.delete_pipeline("p")
    c.create_pipelines(spec("p", "in", "echo new > /pfs/out/x"))
    last_job(box, "p")
    assert contents(box, "p@master") == {"/x": b"new\n"}


def test_a_job_stopped_while_its_worker_starts_runs_no_code(box: RealBox) -> None:
    """The next job of the pipeline is not held up by code that nobody waits for."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"forever")
    c.create_pipelines(spec("p", "in", "grep -q forever /pfs/in/* && sleep 1000; true"))
    job = next(iter(c.list_job("p")))
    eventually(
        lambda: any(d.state == "STARTING" for d in c.list_datum(f"p@{job.id}")), "the datum starts"
    )
    c.stop_job(f"p@{job.id}")
    c.put_file("in@master:/a", b"short")
    done = eventually(
        lambda: [j for j in c.list_job("p") if j.state == "JOB_SUCCESS"],
        "the next job is done",
        20.0,
    )
    assert done[0].processed == 1


def test_a_job_deleted_while_it_is_planned_does_not_hold_up_the_next(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        for i in range(20_000):
            put.data(f"/{i:05}", b"")
    c.create_pipelines(spec("p", "in", "true", datum_tries=1))
    job = next(iter(c.list_job("p")))
    c.delete_job(f"p@{job.id}")
    with c.put("in@master") as put:
        put.delete("/")
        put.data("/a", b"a")
    job = next(iter(c.list_job("p")))
    eventually(lambda: c.inspect_job(f"p@{job.id}").state == "JOB_SUCCESS", "it is done", 20.0)


def test_a_stopped_pipeline_stays_paused_whatever_its_last_job_does(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    with c.put("in@master") as put:
        for i in range(20_000):
            put.data(f"/{i:05}", b"")
    c.create_pipelines(spec("p", "in", "true"))
    c.stop_pipeline("p")
    eventually(lambda: c.status().jobs_running == 0, "the job is gone")
    assert c.inspect_pipeline("p").state == "PIPELINE_PAUSED"


def test_only_its_job_writes_an_output_commit(box: RealBox) -> None:
    """An open output commit takes no files, named by id or by branch."""
    c = box.client
    c.create_repo("in")
    c.create_pipelines(spec("p", "in", "true"))
    id_ = c.start_commit("in@master")
    for ref in ("master", id_):
        with pytest.raises(Refused, match="output"):
            c.put_file(f"p@{ref}:/x", b"x")
    with pytest.raises(Refused, match="use 'stop job' instead"):
        c.finish_commit(f"p@{id_}")
    c.finish_commit(f"in@{id_}")
    assert c.wait_job(f"p@{id_}").state == "JOB_SUCCESS"


@pytest.mark.box("own")
def test_results_go_with_their_pipeline(box: RealBox) -> None:
    """What a deleted pipeline made is collected."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("p", "in", "head -c 3000000 /dev/urandom > /pfs/out/x"))
    last_job(box, "p")
    c.delete_pipeline("p")
    before = c.status().store_bytes
    c.collect_garbage()
    assert before - c.status().store_bytes > 2_900_000


def test_a_project_goes_with_its_pipelines(box: RealBox) -> None:
    c = box.client
    c.create_project("other")
    c.create_repo("other/in")
    text = spec("p", "in", "true").replace(
        '"name": "p"', '"name": "p", "project": {"name": "other"}'
    )
    c.create_pipelines(text)
    with pytest.raises(Refused):
        c.delete_project("other")
    c.delete_project("other", force=True)
    assert list(c.stream("pps_v2.API", "ListPipeline")) == []
    with pytest.raises(NotFound):
        c.inspect_project("other")


def test_a_job_builds_on_results_whose_commit_goes_meanwhile(box: RealBox) -> None:
    """The commit a job starts from is deleted, and garbage collected, before the job ends."""
    c = box.client
    flag = box.home.parent / "go"
    c.create_repo("in")
    wait = f"while grep -q wait /pfs/in/* && [ ! -e {flag} ]; do sleep 0.02; done\n"
    c.create_pipelines(spec("p", "in", wait + "cp /pfs/in/* /pfs/out/"))
    with c.put("in@master") as put:
        put.data("/a", b"a")
        put.data("/b", b"b")
    first = last_job(box, "p")
    c.put_file("in@master:/c", b"wait")
    job = next(iter(c.list_job("p")))
    eventually(
        lambda: any(d.state == "STARTING" for d in c.list_datum(f"p@{job.id}")), "the datum runs"
    )
    c.squash_commit_set(c.inspect_commit("in@master^").id)
    with pytest.raises(NotFound):
        c.inspect_commit(f"p@{first.id}")
    c.collect_garbage()
    flag.touch()
    assert c.wait_job(f"p@{job.id}").state == "JOB_SUCCESS"
    assert contents(box, "p@master") == {"/a": b"a", "/b": b"b", "/c": b"wait"}


def test_more_parallelism_than_the_box_has_starts_no_more_workers(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings="workers = 1\n").start()
    try:
        c = box.client
        c.create_repo("in")
        with c.put("in@master") as put:
            for i in range(12):
                put.data(f"/{i}", b"")
        script = "readlink /proc/self/ns/mnt > /pfs/out/$PACH_DATUM_ID; echo $PPS_POD_NAME"
        c.create_pipelines(spec("p", "in", script, parallelism_spec={"constant": 10**9}))
        job = last_job(box, "p")
        assert (job.state, job.processed) == ("JOB_SUCCESS", 12)
        assert {line.message for line in c.logs(job=f"p@{job.id}")} == {"p-0"}
    finally:
        box.stop()


def test_what_is_deleted_by_force_is_in_no_provenance(box: RealBox, tmp_path: Path) -> None:
    """Neither of the branches nor of the commits that are left; a job that waits for it is
    killed; fsck has nothing to say, also when the name is used again."""
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    flag = tmp_path / "flag"
    c.create_pipelines(spec("up", "in", f"while [ ! -e {flag} ]; do sleep 0.02; done"))
    c.create_pipelines(spec("down", "up", "true"))
    job = next(iter(c.list_job("down")))
    c.delete_pipeline("up", force=True)
    done = c.wait_job(f"down@{job.id}")
    assert (done.state, done.reason) == ("JOB_KILLED", "its input repo up was deleted")
    assert c.inspect_branch("down@master").direct_provenance == ("down.spec@master",)
    assert c.inspect_commit(f"down@{job.id}").direct_provenance[0].startswith("down.spec@")
    flag.touch()
    c.create_pipelines(spec("up", "in", "true"))
    c.create_pipelines(spec("down", "up", "true"), update=True)
    assert last_job(box, "down").state == "JOB_SUCCESS"
    c.delete_pipeline("down", keep_repo=True)
    c.create_pipelines(spec("down", "up", "true"))
    assert last_job(box, "down").state == "JOB_SUCCESS"
    assert [f for f in c.fsck() if f.get("level") != "info"] == []
    c.delete_pipeline("up", force=True)
    c.create_pipelines(spec("up", "in", "true"))
    c.rerun_pipeline("down")
    assert last_job(box, "down").state == "JOB_SUCCESS"
    c.put_file("in@master:/b", b"b")
    id_ = c.inspect_commit("in@master").id
    assert c.wait_job(f"down@{id_}").state == "JOB_SUCCESS"
