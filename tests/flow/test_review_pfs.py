"""Versioned files on odd input and at odd moments."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, NotFound, PachyboxError, Refused, Unimplemented
from pachybox.meta.tables import COMMITS, JOBS
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Commit, Job, Pipeline, Repo, new_commit_id
from pachybox.model.pps import JobRecord, JobState
from pachybox.pfs import branches, commits
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps.pipelines import Chosen
from pachybox.pps.runners.process import ProcessRunner
from pachybox.pps.secrets import Secrets
from pachybox.pps.service import Pps
from pachybox.store.blobs import BlobStore
from tests.boxes import RealBox, eventually
from tests.flow.test_pipelines import last_job, spec


@pytest.fixture
def pfs(tmp_path: Path) -> Iterator[Pfs]:
    """Pfs without a process around it, where threads can be held."""
    blobs = BlobStore.open(tmp_path / "store")
    meta = Meta(tmp_path / "meta.duckdb", barrier=blobs.flush)
    yield Pfs(meta, blobs)
    meta.close()
    blobs.close()


def _queued(pfs: Pfs, length: int) -> bool:
    return pfs.meta._queue.qsize() == length


def in_one_group(pfs: Pfs, calls: Sequence[Callable[[], object]]) -> None:
    """Make calls that each ask for one change; all are written together, in this order."""
    begun, go = threading.Event(), threading.Event()

    def hold(tx: object) -> None:
        begun.set()
        go.wait(30)

    threads = [threading.Thread(target=pfs.meta.write, args=(hold,))]
    threads[0].start()
    begun.wait(30)
    for length, call in enumerate(calls, 1):
        threads.append(threading.Thread(target=call))
        threads[-1].start()
        eventually(partial(_queued, pfs, length), f"{length} changes wait")
    go.set()
    for thread in threads:
        thread.join(30)


def test_a_change_that_fails_leaves_no_mark_on_the_next(pfs: Pfs) -> None:
    """What it made of the provenance is forgotten before another change looks at it."""
    source, out = Branch(Repo("default", "in"), "master"), Branch(Repo("default", "out"), "b")
    pfs.create_repo(source.repo)
    pfs.create_repo(out.repo)
    pfs.create_branch(out, provenance=[source])
    first = pfs.start_commit(source)
    pfs.finish_commit(source.repo, first.id)

    def breaks(ch: Change) -> None:
        branches.create_branch(ch, out, None, ())
        ch.graph.downstream(ch.tx)
        raise NotFound("this change comes to nothing")

    def attempt() -> None:
        with pytest.raises(NotFound):
            pfs.change(breaks)

    in_one_group(pfs, [attempt, lambda: pfs.start_commit(source)])
    head = pfs.inspect_branch(source).head
    assert head != first.id
    assert pfs.inspect_branch(out).head == head


def test_a_reader_remembers_no_record_older_than_the_newest(
    pfs: Pfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that tells no event is as good as another."""
    repo = Repo("default", "r")
    pfs.create_repo(repo)
    commit = pfs.start_commit(Branch(repo, "master"))
    pfs.meta._lru[COMMITS].clear()
    read = pfs.meta.db.read

    def meanwhile(sql: str, params: Any = ()) -> Any:
        rows = read(sql, params)
        monkeypatch.setattr(pfs.meta.db, "read", read)

        def grow(ch: Change) -> None:
            found = ch.commit(repo, commit.id)
            ch.tx.put(COMMITS, replace(found, size=7))

        pfs.change(grow)
        return rows

    monkeypatch.setattr(pfs.meta.db, "read", meanwhile)
    pfs.resolve(repo, commit.id)
    assert pfs.resolve(repo, commit.id).size == 7


def test_the_writer_outlives_a_listener_that_fails(pfs: Pfs) -> None:
    def fails(staged: object) -> None:
        raise OSError("gone")

    pfs.meta.on_publish = fails
    pfs.create_repo(Repo("default", "a"))
    pfs.create_repo(Repo("default", "b"))
    assert {i.record.repo.name for i in pfs.list_repos()} == {"a", "b"}


def test_branches_of_one_repo_never_need_one_id_twice(shared_box: RealBox) -> None:
    """A commit in a source would be two commits of one id in the repo that follows it."""
    c = shared_box.client
    c.create_repo("twice-in")
    c.create_repo("twice")
    c.create_branch("twice@one", provenance=["twice-in@master"])
    with pytest.raises(Refused, match="twice@one"):
        c.create_branch("twice@two", provenance=["twice-in@master"])
    with pytest.raises(Refused, match="twice@one"):
        c.create_branch("twice@two", provenance=["twice@one"])
    c.put_file("twice-in@master:/a", b"a")
    head = c.inspect_commit("twice-in@master")
    assert c.inspect_commit("twice@one").id == head.id


def test_an_open_commit_takes_files_by_its_short_id(shared_box: RealBox) -> None:
    """It is not mistaken for a branch to be made."""
    c = shared_box.client
    c.create_repo("short")
    id_ = c.start_commit("short@master")
    c.put_file(f"short@{id_[:10]}:/a", b"a")
    c.finish_commit(f"short@{id_}")
    assert c.get_file(f"short@{id_}:/a") == b"a"
    assert [b.name for b in c.list_branch("short")] == ["master"]
    with pytest.raises(Refused, match="has already finished"):
        c.put_file(f"short@{id_[:10]}:/b", b"b")


def test_the_commits_that_made_a_pipeline_are_not_dropped(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/a", b"a")
    c.create_pipelines(spec("p", "in", "true"))
    job = last_job(box, "p")
    with pytest.raises(Refused, match="pipeline version"):
        c.drop_commit_set(job.id)
    assert last_job(box, "p").id == job.id


def test_a_transaction_may_delete_what_it_made(shared_box: RealBox) -> None:
    c = shared_box.client
    c.create_repo("brief")
    id_ = c.start_transaction()
    c.transaction_id = id_
    try:
        c.start_commit("brief@master")
        c.delete_repo("brief")
    finally:
        c.transaction_id = ""
    c.finish_transaction(id_)
    with pytest.raises(NotFound):
        list(c.inspect_commit_set(id_))


def _filled(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, known) for k, v in value.items()}
    return known.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("pfs_v2.API/ListFile", {"file": {"commit": "COMMIT", "path": "/"}, "number": "-1"}),
        ("pfs_v2.API/ListCommit", {"number": "-3"}),
        ("pfs_v2.API/ListCommit", {"originKind": 77}),
        ("pfs_v2.API/InspectCommit", {"commit": "COMMIT", "wait": 77}),
        ("pfs_v2.API/SubscribeCommit", {"repo": {"name": "odd"}, "state": 77}),
        ("pfs_v2.API/ListRepo", {"page": {"pageSize": "-5", "pageIndex": "-2"}}),
        ("pfs_v2.API/DiffFile", {"newFile": {"commit": "COMMIT", "path": ""}}),
        ("pfs_v2.API/GlobFile", {"commit": "COMMIT", "pattern": ""}),
        ("pfs_v2.API/FindCommits", {"start": "COMMIT", "filePath": "", "limit": -1}),
        ("pfs_v2.API/CreateBranch", {}),
        ("pfs_v2.API/CreateProject", {}),
        ("pfs_v2.API/DeleteProject", {}),
        ("pfs_v2.API/InspectCommitSet", {}),
        ("pfs_v2.API/WalkCommitProvenance", {"start": [{}]}),
        ("pfs_v2.API/WalkBranchProvenance", {"start": [{}]}),
        ("pps_v2.API/ListJob", {"number": "-1"}),
        ("pps_v2.API/ListDatum", {"job": "JOB", "number": "-1"}),
        ("pps_v2.API/ListDatum", {"job": "JOB", "filter": {"state": [99]}}),
        ("pps_v2.API/ListDatum", {"input": {}}),
        ("pps_v2.API/GetLogs", {"job": "JOB", "tail": "-4"}),
        ("pps_v2.API/GetLogs", {"pipeline": {"name": "odd-p"}, "since": "315576000000s"}),
        ("pps_v2.API/CreatePipeline", {}),
        ("pps_v2.API/RunCron", {}),
        ("pps_v2.API/InspectDatum", {"datum": {"job": "JOB", "id": ""}}),
        ("pps_v2.API/RestartDatum", {"job": "JOB"}),
        ("transaction_v2.API/BatchTransaction", {"requests": [{}]}),
        ("transaction_v2.API/FinishTransaction", {}),
        ("metadata.API/EditMetadata", {"edits": [{"repo": {}}]}),
        ("pachybox.v1.API/CreatePipelines", {}),
        ("pachybox.v1.API/CreatePipelines", {"text": "{\"pipeline\": {\"name\": \"\\ud800\"}}"}),
        ("pachybox.v1.API/SubscribeEvents", {"from": "-9"}),
        ("pachybox.v1.API/SubscribeEvents", {"from": str(2**63 - 1)}),
        ("pachybox.v1.API/ListHistory", {"repo": "odd", "ref": "master", "depth": "-7"}),
        ("pachybox.v1.API/FlushCommit", {"commits": ["", "@", "@@", ":"]}),
        ("pachybox.v1.API/RunPipeline", {"pipeline": {"name": "odd-p"}, "provenance": ["="]}),
    ],
)  # fmt: skip
def test_odd_requests_are_answered_with_what_is_wrong(
    shared_box: RealBox, method: str, fields: dict[str, Any]
) -> None:
    """Whatever is asked, the box says what is wrong with it and never that it broke."""
    service, name = method.split("/")
    c = shared_box.client
    commit = {"repo": {"name": "odd"}, "branch": {"repo": {"name": "odd"}, "name": "master"}}
    if not any(r.name == "odd" for r in c.list_repo()):
        c.create_repo("odd")
        c.put_file("odd@master:/a", b"a")
        c.create_pipelines(spec("odd-p", "odd", "true"))
    filled = _filled(fields, {"COMMIT": commit, "JOB": {"id": last_job(shared_box, "odd-p").id}})
    with contextlib.suppress(InvalidArgument, NotFound, Refused, Unimplemented):  # not Internal
        for _ in c.stream(service, name, **filled):
            pass


def test_text_that_is_no_text_is_refused(shared_box: RealBox) -> None:
    """Half a surrogate pair in a spec is named, and harms nobody else's change."""
    c = shared_box.client
    c.create_repo("texts")
    text = json.loads(spec("texts-p", "texts", "true"))
    text["description"] = "X"
    with pytest.raises(InvalidArgument):
        c.create_pipelines(json.dumps(text).replace('"X"', '"\\ud800"'))
    with pytest.raises(PachyboxError) as caught:
        c.put_file("texts@master:/\ud800", b"x")
    assert caught.value.code != "internal"


def test_changes_of_one_group_have_times_in_their_order(pfs: Pfs) -> None:
    """What is newest is told by time, also among changes written together."""
    in_one_group(pfs, [partial(pfs.create_repo, Repo("default", f"r{i}")) for i in range(3)])
    assert [i.record.repo.name for i in pfs.list_repos()] == ["r2", "r1", "r0"]
    assert len({i.record.created for i in pfs.list_repos()}) == 3


def pps_of(pfs: Pfs, where: Path) -> Pps:
    secrets = Secrets(pfs.meta, where / "secret.key")
    return Pps(pfs, ProcessRunner(), where / "work", where / "logs", 1, secrets)


def test_a_page_of_jobs_does_not_shift_when_a_job_is_made(pfs: Pfs, tmp_path: Path) -> None:
    """Each job is listed once, although newer ones come while the list is read."""
    pps = pps_of(pfs, tmp_path)

    def make(count: int) -> None:
        def change(ch: Change) -> None:
            for _ in range(count):
                job = Job(Pipeline("default", "p"), new_commit_id())
                ch.tx.add(JOBS, JobRecord(job, 1, JobState.SUCCESS, "", ch.now, None, ch.now))

        pfs.change(change)

    make(600)
    make(5)
    for reverse in (False, True):
        shown = []
        for record in pps.list_jobs(reverse=reverse):
            shown.append(record.job)
            if len(shown) == 500:
                make(3)
        assert len(set(shown)) == len(shown)
        assert len(shown) >= 605


def test_a_file_put_by_the_raw_api_takes_no_directory_away(shared_box: RealBox) -> None:
    """Clients of Pachyderm delete a file's name before they put it: a directory of that name
    stays, and goes only when it is named with a slash."""
    c = shared_box.client
    c.create_repo("raw")
    c.put_file("raw@master:/d/x", b"x")

    def modify(*requests: dict[str, Any]) -> None:
        head = {"setCommit": {"branch": {"repo": {"name": "raw"}, "name": "master"}}}
        body = "".join(json.dumps(r) + "\n" for r in (head, *requests)).encode()
        path = "/api/pfs_v2.API/ModifyFile"
        with c.transport.request("POST", path, body, {}) as response:
            response.checked().body()

    data = {"addFile": {"path": "/d", "raw": "eA=="}}
    with pytest.raises(InvalidArgument, match="collision"):
        modify({"deleteFile": {"path": "/d"}}, data)
    with pytest.raises(InvalidArgument, match="names no path"):
        modify({"deleteFile": {}})
    assert c.get_file("raw@master:/d/x") == b"x"
    modify({"deleteFile": {"path": "/d/"}}, data)
    assert c.get_file("raw@master:/d") == b"x"


def test_a_cron_trigger_moves_its_branch_when_it_is_time(shared_box: RealBox) -> None:
    """By its timer, not by commits."""
    c = shared_box.client
    c.create_repo("timed")
    c.put_file("timed@staging:/a", b"a")
    c.create_branch("timed@master", trigger={"branch": "staging", "cron_spec": "@every 1s"})
    first = c.inspect_commit("timed@staging").id
    eventually(lambda: c.inspect_branch("timed@master").head == first, "the branch moved")


def test_a_run_on_a_commit_deleted_meanwhile_is_refused(pfs: Pfs, tmp_path: Path) -> None:
    """No job is made whose input does not exist."""
    pps = pps_of(pfs, tmp_path)
    repo = Repo("default", "in")
    pfs.create_repo(repo)
    gone = pfs.resolve(repo, pfs.start_commit(Branch(repo, "master")).id)
    pfs.finish_commit(repo, gone.commit.id)
    pps.create(spec("p", "in", "true"), "a test", project="default")
    pfs.delete_commit(repo, gone.commit.id)
    with pytest.raises(NotFound, match=gone.commit.id):
        pps.run(Pipeline("default", "p"), [Chosen(gone)])


def test_a_repo_with_a_long_history_is_deleted_at_once(pfs: Pfs) -> None:
    """More commits than are remembered: no look-up and no statement for each (was 10 s)."""
    repo = Repo("default", "long")
    pfs.create_repo(repo)

    def make(ch: Change) -> None:
        first = commits.start_commit(ch, Branch(repo, "master"))
        for _ in range(6000):
            ch.tx.add(COMMITS, replace(first, commit=Commit(repo, new_commit_id())))

    pfs.change(make)
    began = time.monotonic()
    pfs.delete_repo(repo)
    assert time.monotonic() - began < 30
    assert list(pfs.list_commits()) == []
