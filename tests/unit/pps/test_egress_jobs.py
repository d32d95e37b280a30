"""Egress of jobs: states, retries, order, and what ends it. A whole box without doors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pachybox.box import Box
from pachybox.config import Config
from pachybox.errors import InvalidArgument, NotReady, PachyboxError
from pachybox.meta.tables import COMMITS, EGRESSES, JOBS
from pachybox.model.ids import Commit, Job, Pipeline, Repo
from pachybox.model.pps import JobRecord, JobState
from pachybox.pps.egress import service
from pachybox.pps.egress.output import Stopped
from pachybox.pps.egress.service import Egresser, Pushed, Pusher
from pachybox.pps.egress.target import Target
from tests.boxes import eventually

IN = Repo("default", "in")
P = Pipeline("default", "p")


class Scripted(Pusher):
    """A real Pusher whose pushes a test may hold up, fail and count."""

    def __init__(self, box: Box) -> None:
        super().__init__(box.pfs, box.secrets, box.config.home / "work" / "e", box.config.home)
        self.errors: list[Exception] = []
        self.pushed: list[tuple[bytes, str]] = []  # (root, after)
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def push(
        self, root: Any, target: Target, wanted: Any, after: str = "", mark: Any = None
    ) -> Pushed:
        self.pushed.append((root, after))
        self.began.release()
        while not self.go.wait(0.01):
            if not wanted():
                raise Stopped
        if self.errors:
            raise self.errors.pop(0)
        return super().push(root, target, wanted, after, mark)


class Boxes:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.box, self.pusher = self._open()

    def _open(self) -> tuple[Box, Scripted]:
        box = Box(Config(self.home))
        pusher = Scripted(box)
        box.egresser = Egresser(pusher, pauses=(0.01, 0.01, 0.01))
        return box, pusher

    def again(self) -> None:
        """Stop the box, and open the next on the same directory; it is not started."""
        self.box.close()
        self.box, self.pusher = self._open()


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    made = Boxes(tmp_path / "home")
    made.box.start()
    yield made
    made.pusher.go.set()
    made.box.close()


def create(box: Box, egress: Mapping[str, Any], name: str = "p", repo: str = "in") -> None:
    spec = {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh"], "stdin": [f"cp /pfs/{repo}/* /pfs/out/"]},
        "input": {"pfs": {"repo": repo, "glob": "/*"}},
        **({"egress": egress} if egress else {}),
    }
    box.pps.create(json.dumps(spec), "the test", project="default")


def put(box: Box, path: str, data: bytes) -> Job:
    """Commit one file to the input; the job that follows."""
    from pachybox.model.files import Entry, Kind, Put

    with box.blobs.session() as session:
        entry = Entry(path[1:], Kind.FILE, session.put(data), len(data))
        made = box.pfs.write(session, IN, "master", [Put(path, entry)])
    return Job(P, made.commit.id)


def ended(box: Box, job: Job) -> JobRecord:
    return box.pps.wait_job(job, lambda: False)


def in_state(box: Box, job: Job, state: JobState) -> JobRecord:
    def look() -> JobRecord | None:
        found = box.meta.get(JOBS, job)
        return found if found is not None and found.state is state else None

    found = eventually(look, f"{job} is {state}")
    assert found is not None
    return found


@pytest.fixture
def out(tmp_path: Path, boxes: Boxes) -> Path:
    """A pipeline that egresses to the directory returned."""
    boxes.box.pfs.create_repo(IN)
    create(boxes.box, {"url": f"file://{tmp_path}/out"})
    return tmp_path / "out"


def test_a_job_egresses_after_its_commit_is_finished_and_then_succeeds(
    boxes: Boxes, out: Path
) -> None:
    boxes.pusher.go.clear()
    create(boxes.box, {}, "down", "p")
    job = put(boxes.box, "/a", b"1")
    record = in_state(boxes.box, job, JobState.EGRESSING)
    assert record.finished is None
    commit = boxes.box.meta.get(COMMITS, Commit(P.repo, job.id))
    assert commit is not None
    assert commit.finished is not None
    assert commit.error == ""
    # who reads the output does not wait for it to be elsewhere
    down = ended(boxes.box, Job(Pipeline("default", "down"), job.id))
    assert down.state is JobState.SUCCESS
    assert not out.exists()
    boxes.pusher.go.set()
    assert ended(boxes.box, job).state is JobState.SUCCESS
    assert (out / "a").read_bytes() == b"1"
    assert boxes.box.meta.all(EGRESSES) == []


def test_a_pipeline_s_next_job_runs_meanwhile_and_its_output_goes_out_after(
    boxes: Boxes, out: Path
) -> None:
    boxes.pusher.go.clear()
    first, second = put(boxes.box, "/a", b"1"), put(boxes.box, "/a", b"2")
    for job in (first, second):
        in_state(boxes.box, job, JobState.EGRESSING)
    boxes.pusher.go.set()
    assert ended(boxes.box, second).state is JobState.SUCCESS
    assert ended(boxes.box, first).state is JobState.SUCCESS
    assert len(boxes.pusher.pushed) == 2
    assert (out / "a").read_bytes() == b"2"


def test_a_target_that_hangs_holds_up_no_other_pipeline(boxes: Boxes, out: Path) -> None:
    boxes.pusher.go.clear()
    job = put(boxes.box, "/a", b"1")
    in_state(boxes.box, job, JobState.EGRESSING)
    assert boxes.pusher.began.acquire(timeout=30)
    create(boxes.box, {"url": f"file://{out}/other"}, "q")
    assert boxes.pusher.began.acquire(timeout=30), "the other pipeline's egress began too"


def test_what_fails_is_tried_again_and_says_so(boxes: Boxes, out: Path) -> None:
    boxes.pusher.errors = [NotReady(f"no {n}", "wait") for n in range(3)]
    job = put(boxes.box, "/a", b"1")
    assert ended(boxes.box, job).state is JobState.SUCCESS
    assert len(boxes.pusher.pushed) == 4
    told = [e.data["reason"] for e in boxes.box.meta.events(0) if e.kind == "job.egress"]
    assert told == [f"egress failed {n + 1} of 4 times: no {n}; wait" for n in range(3)]
    assert ended(boxes.box, job).reason == ""


def test_after_all_retries_the_job_fails_and_its_data_stands(boxes: Boxes, out: Path) -> None:
    boxes.pusher.errors = [NotReady("the store is down", "mend it")] * 4
    job = put(boxes.box, "/a", b"1")
    record = ended(boxes.box, job)
    assert (record.state, record.reason) == (
        JobState.FAILURE,
        "egress error: the store is down; mend it",
    )
    assert len(boxes.pusher.pushed) == 4
    commit = boxes.box.meta.get(COMMITS, Commit(P.repo, job.id))
    assert commit is not None
    assert (commit.error, commit.files) == ("", 1)
    assert boxes.box.meta.all(EGRESSES) == []
    # nothing is computed again, and all is brought out
    again = boxes.box.pps.rerun(P)
    record = ended(boxes.box, again)
    assert (record.state, record.skipped, record.processed) == (JobState.SUCCESS, 1, 0)
    assert (out / "a").read_bytes() == b"1"


@pytest.mark.parametrize("error", [InvalidArgument("a row is bad", "mend it"), OSError("x")])
def test_what_cannot_get_better_is_not_tried_again(
    boxes: Boxes, out: Path, error: Exception
) -> None:
    boxes.pusher.errors = [error] * 4
    record = ended(boxes.box, put(boxes.box, "/a", b"1"))
    assert record.state is JobState.FAILURE
    assert len(boxes.pusher.pushed) == (1 if isinstance(error, PachyboxError) else 4)


def test_a_defect_ends_the_job_and_not_the_egresses(boxes: Boxes, out: Path) -> None:
    boxes.pusher.errors = [ZeroDivisionError("oops")]
    record = ended(boxes.box, put(boxes.box, "/a", b"1"))
    assert record.reason == "egress error: internal error: ZeroDivisionError"
    assert ended(boxes.box, put(boxes.box, "/a", b"2")).state is JobState.SUCCESS


@pytest.mark.parametrize("how", ["stop job", "delete job", "stop pipeline", "delete pipeline"])
def test_an_egress_ends_with_its_job(boxes: Boxes, out: Path, how: str) -> None:
    boxes.pusher.go.clear()
    job = put(boxes.box, "/a", b"1")
    in_state(boxes.box, job, JobState.EGRESSING)
    assert boxes.pusher.began.acquire(timeout=30)
    pps = boxes.box.pps
    match how:
        case "stop job":
            pps.stop_job(job)
        case "delete job":
            pps.delete_job(job)
        case "stop pipeline":
            pps.stop(P)
        case _:
            pps.delete(P)
    eventually(lambda: not boxes.box.egresser._threads, "the egress ended")
    boxes.pusher.go.set()
    assert not out.exists()
    record = boxes.box.meta.get(JOBS, job)
    assert record is None or record.state is JobState.KILLED
    if how.startswith("stop"):
        commit = boxes.box.meta.get(COMMITS, Commit(P.repo, job.id))
        assert commit is not None
        assert (commit.error, commit.files) == ("", 1)
    assert boxes.box.meta.all(EGRESSES) == []


def test_a_box_that_starts_takes_up_what_was_left(boxes: Boxes, out: Path) -> None:
    boxes.pusher.go.clear()
    first, second = put(boxes.box, "/a", b"1"), put(boxes.box, "/a", b"2")
    for job in (first, second):
        in_state(boxes.box, job, JobState.EGRESSING)
    boxes.again()
    assert not out.exists()
    boxes.box.start()
    for job in (first, second):
        record = ended(boxes.box, job)
        assert record.state is JobState.SUCCESS
        assert record.restarts == 0  # nothing was computed again
    assert (out / "a").read_bytes() == b"2"


def test_failures_count_on_after_a_start_and_progress_begins_them_anew(
    boxes: Boxes, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SAVE_S", 0.0)
    boxes.box.egresser._pauses = (60.0, 60.0, 60.0)
    boxes.pusher.errors = [NotReady("no", "wait")]
    job = put(boxes.box, "/a", b"1")
    eventually(lambda: boxes.box.meta.all(EGRESSES), "the failure is recorded")
    boxes.again()
    [left] = boxes.box.meta.all(EGRESSES)
    assert (left.job, left.failures, left.pushed) == (job, 1, "")
    boxes.pusher.errors = [NotReady("no", "wait")] * 3
    boxes.box.start()
    record = ended(boxes.box, job)
    assert record.state is JobState.FAILURE
    assert len(boxes.pusher.pushed) == 3

    (out / "b" / "x").mkdir(parents=True)  # in the way of the second file
    job = put(boxes.box, "/b", b"2")
    record = ended(boxes.box, job)
    assert record.state is JobState.FAILURE
    assert "/b cannot be written" in record.reason
    saved = [e.data for e in boxes.box.meta.events(0) if e.kind == "job.egress"][-1]
    assert (saved["files"], saved["bytes"]) == (1, 1)


def test_a_wrong_egress_is_refused_with_the_spec(boxes: Boxes) -> None:
    boxes.box.pfs.create_repo(IN)
    with pytest.raises(PachyboxError, match="Azure"):
        create(boxes.box, {"URL": "wasb://c/a"})
    assert boxes.box.pps.list_pipelines() == []
