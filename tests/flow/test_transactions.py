"""Transactions: tried when queued, done as one, under one id, or not at all (reference §1.12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pachybox.client import Client
from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, PachyboxError, Refused
from tests.boxes import RealBox, free_port
from tests.flow.shell import Run, refused, succeeded


def spec(name: str, *repos: str, script: str = "true") -> str:
    inputs = [{"pfs": {"repo": repo, "glob": "/*"}} for repo in repos]
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": inputs[0],
            "transform": {"cmd": ["sh"], "stdin": [script]},
        }
    )


@contextmanager
def transaction(box: RealBox) -> Iterator[tuple[Client, str]]:
    """A client that queues into a new transaction."""
    id_ = box.client.start_transaction()
    client = Client(str(box.socket), transaction_id=id_)
    try:
        yield client, id_
    finally:
        client.close()


def test_repos_commits_branches_and_pipelines_are_made_together_under_one_id(
    shared_box: RealBox,
) -> None:
    c = shared_box.client
    with transaction(shared_box) as (tx, id_):
        tx.create_repo("t-in")
        assert tx.start_commit("t-in@master") == id_
        made, _ = tx.create_pipelines(spec("t-first", "t-in"))
        assert (made[0].name, made[0].version, made[0].created) == ("t-first", 1, True)
        tx.create_pipelines(spec("t-second", "t-first"))
        tx.create_branch("t-in@other", head="master")
        tx.finish_commit("t-in@master")
        with pytest.raises(NotFound):
            c.inspect_pipeline("t-first")
    c.finish_transaction(id_)
    assert c.inspect_branch("t-in@other").head == id_
    commits = {str(commit) for commit in c.inspect_commit_set(id_, wait=True)}
    assert {f"{n}@{id_}" for n in ("t-in", "t-first", "t-second")} <= commits
    assert {job.state for job in c.inspect_job_set(id_, wait=True)} == {"JOB_SUCCESS"}
    with pytest.raises(NotFound, match="not found"):
        c.inspect_transaction(id_)


def test_what_cannot_be_done_is_said_when_it_is_queued(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("q-in")
    c.create_pipelines(spec("q-there", "q-in"))
    with transaction(shared_box) as (tx, id_):
        with pytest.raises(AlreadyExists):
            tx.create_pipelines(spec("q-there", "q-in"))
        with pytest.raises(NotFound, match="q-missing"):
            tx.create_pipelines(spec("q-new", "q-missing"))
        with pytest.raises(InvalidArgument, match="tranform"):
            tx.create_pipelines('{"pipeline": {"name": "q"}, "tranform": {}}')
        with pytest.raises(NotFound):
            tx.stop_job("q-there@" + "0" * 32)
        tx.create_repo("q-missing")
        tx.create_pipelines(spec("q-new", "q-missing"))
    assert len(c.inspect_transaction(id_)["requests"]) == 2
    c.delete_transaction(id_)
    with pytest.raises(NotFound):
        c.inspect_repo("q-missing")


def test_a_pipeline_is_checked_as_it_is_outside(shared_box: RealBox) -> None:
    """Its secrets, its egress, its machine, its port; and a dry run makes nothing."""
    c = shared_box.client
    c.create_repo("k-in")

    def asking(name: str, **more: object) -> str:
        whole = json.loads(spec(name, "k-in"))
        whole["transform"] |= more.pop("transform", {})
        return json.dumps({**whole, **more})

    port: dict[str, object] = {"service": {"internal_port": free_port()}}
    c.create_pipelines(asking("k-web", **port))
    secrets = [{"name": "k-none", "mount_path": "/secrets/k"}]
    cards = {"gpu": {"type": "nvidia.com/gpu", "number": 99}}
    wrong: list[tuple[str, dict[str, object]]] = [
        ("k-none", {"transform": {"secrets": secrets}}),
        ("graphics card", {"resource_limits": cards}),
        ("that of service k-web", port),
        ("dry run", {"dry_run": True}),
    ]
    with transaction(shared_box) as (tx, id_):
        for why, more in wrong:
            with pytest.raises(PachyboxError, match=why):
                tx.create_pipelines(asking("k-new", **more))
    assert not c.inspect_transaction(id_).get("requests")
    for why, more in wrong[:-1]:
        with pytest.raises(PachyboxError, match=why):
            c.create_pipelines(asking("k-new", **more))
    c.create_pipelines(asking("k-new", dry_run=True))
    with pytest.raises(NotFound):
        c.inspect_pipeline("k-new")
    c.delete_pipeline("k-web")


def test_all_or_none_when_the_world_changed_before_the_finish(shared_box: RealBox) -> None:
    c = shared_box.client
    with transaction(shared_box) as (tx, id_):
        tx.create_repo("w-a")
        tx.create_pipelines(spec("w-p", "w-a"))
        tx.create_repo("w-b")
    c.create_repo("w-b")
    with pytest.raises(AlreadyExists):
        c.finish_transaction(id_)
    for look in (lambda: c.inspect_repo("w-a"), lambda: c.inspect_pipeline("w-p")):
        with pytest.raises(NotFound):
            look()
    c.delete_repo("w-b")
    c.finish_transaction(id_)
    assert c.inspect_pipeline("w-p").version == 1


def test_an_update_in_a_transaction_is_the_next_version_and_runs_with_new_data(
    shared_box: RealBox,
) -> None:
    """Two inputs moved and a pipeline changed: one job, on all of it."""
    c = shared_box.client
    c.create_repo("u-in")
    c.put_file("u-in@master:/a", b"1")
    c.create_pipelines(spec("u-p", "u-in"))
    c.wait_commit("u-p@master")
    with transaction(shared_box) as (tx, id_):
        tx.start_commit("u-in@master")
        tx.finish_commit("u-in@master")
        made, _ = tx.create_pipelines(
            spec("u-p", "u-in", script="cp /pfs/u-in/* /pfs/out/"),
            update=True,
            reprocess=True,
        )
        assert (made[0].version, made[0].created) == (2, False)
    before = len(list(c.list_job("u-p", history=-1)))
    c.finish_transaction(id_)
    c.wait_commit("u-p@master")
    jobs = list(c.list_job("u-p", history=-1))
    assert len(jobs) == before + 1
    assert (jobs[0].id, jobs[0].version, jobs[0].processed) == (id_, 2, 1)
    assert c.get_file("u-p@master:/a") == b"1"


def test_commits_are_deleted_and_squashed_and_jobs_stopped_in_one(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("d-a")
    for i in range(4):
        c.put_file("d-a@master:/f", str(i).encode())
    ids = [i.id for i in c.list_commit("d-a")]
    c.create_repo("d-in")
    c.put_file("d-in@master:/a", b"1")
    c.create_pipelines(spec("d-p", "d-in", script="exec sleep 100"))
    job = next(iter(c.list_job("d-p")))
    with transaction(shared_box) as (tx, id_):
        tx.drop_commit(f"d-a@{ids[0]}")
        tx.squash_commit(f"d-a@{ids[2]}")
        tx.delete_commit(f"d-a@{ids[3]}")
        tx.stop_job(str(job))
        with pytest.raises((Refused, NotFound)):
            tx.drop_commit(f"d-a@{ids[0]}")
    assert len(list(c.list_commit("d-a"))) == 4
    assert len(c.inspect_transaction(id_)["requests"]) == 4
    c.finish_transaction(id_)
    assert [i.id for i in c.list_commit("d-a")] == [ids[1]]
    assert c.inspect_job(str(job)).state == "JOB_KILLED"


def test_pachyderms_own_batch_takes_pipelines(shared_box: RealBox) -> None:
    """As its clients send them: the spec's text, or the fields of the message."""
    c = shared_box.client
    c.create_repo("b-in")
    text = json.loads(spec("b-text", "b-in"))
    fields = {
        "pipeline": {"name": "b-fields"},
        "input": {"pfs": {"repo": "b-in", "glob": "/"}},
        "transform": {"cmd": ["true"]},
    }
    image = json.loads(spec("b-image", "b-in"))
    image["transform"]["image"] = "Not A Name"
    c.call(
        "transaction_v2.API",
        "BatchTransaction",
        requests=[
            {"createPipelineV2": {"userJson": json.dumps(text)}},
            {"createPipelineV2": {"createPipelineRequest": fields}},
        ],
    )
    assert {c.inspect_pipeline(n).version for n in ("b-text", "b-fields")} == {1}
    with pytest.raises(PachyboxError, match="Not A Name"):
        c.call(
            "transaction_v2.API",
            "BatchTransaction",
            requests=[{"createPipelineV2": {"userJson": json.dumps(image)}}],
        )


def test_the_command_line_queues_pipelines_shows_them_and_finishes(run: Run) -> None:
    id_ = succeeded(run("start transaction")).strip()
    succeeded(run("create repo c-in"))
    assert succeeded(run("create pipeline", stdin=spec("c-p", "c-in").encode())) == ""
    assert "already exists" in refused(run("create pipeline", stdin=spec("c-p", "c-in").encode()))
    assert "c-p" not in succeeded(run("list pipeline"))
    shown = succeeded(run("inspect transaction"))
    assert "createRepo c-in" in shown
    assert "createPipeline c-p" in shown
    succeeded(run("stop transaction"))
    succeeded(run(f"resume transaction {id_}"))
    assert "with 2 requests" in succeeded(run("finish transaction"))
    assert "c-p" in succeeded(run("list pipeline"))
