"""The scheduler when the machine does not do what it is asked: no job waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.box import Box
from pachybox.config import Config
from pachybox.model.ids import Pipeline
from pachybox.model.pps import JobState, PipelineRecord, PipelineState
from pachybox.pps import lane, scheduler
from pachybox.pps.pool import WorkerPool
from pachybox.pps.runners.base import Worker, WorkerWaits
from tests.boxes import eventually
from tests.flow.test_pipelines import spec
from tests.unit.pps.copying import CopyRunner
from tests.unit.pps.world import commit

P = Pipeline("default", "p")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A running box without doors, with data in a repo."""
    made = Box(Config(tmp_path))
    made.start()
    commit(made.pfs, "in", {"/a": b"a"})
    yield made
    made.close()


def succeeds(box: Box) -> bool:
    job = box.pps.last_job(P)
    return job is not None and job.state is JobState.SUCCESS


def test_a_job_whose_thread_cannot_be_started_is_tried_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, threading.Event()

    def once(self: threading.Thread) -> None:
        if self.name == "job-p" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", once)
    monkeypatch.setattr(scheduler, "_AGAIN_S", 0.05)
    box.pps.create(spec("p", "in", "true"), "test", project="default")
    eventually(lambda: succeeds(box), "the job is done", 20.0)
    assert refused.is_set()


def test_the_next_job_runs_whatever_ending_the_workers_meets(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline that rests between its jobs ends its workers, which may not work."""
    end, met = WorkerPool.end, threading.Event()

    def once(self: WorkerPool, worker: Any) -> None:
        end(self, worker)
        if not met.is_set():
            met.set()
            raise OSError("device or resource busy")

    monkeypatch.setattr(WorkerPool, "end", once)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)  # the job's thread ends by it
    box.pps.create(spec("p", "in", "true", standby=True), "test", project="default")
    eventually(met.is_set, "a worker was ended", 20.0)
    eventually(lambda: not box.pps.scheduler.running(), "its job is over", 20.0)
    first = box.pps.last_job(P)
    commit(box.pfs, "in", {"/b": b"b"})
    assert box.pps.last_job(P) != first
    eventually(lambda: succeeds(box), "the next job is done", 20.0)


def test_a_pipeline_crashes_for_what_took_its_time_until_it_was_in_the_way(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same words; and a worker that has not waited for as long takes nothing back."""
    take, goes_on, told = WorkerPool.take, threading.Event(), list[bool]()

    def waits(self: WorkerPool, pipeline: PipelineRecord) -> Worker:
        if goes_on.is_set():
            return take(self, pipeline)
        told.append(len(told) == 1)
        raise WorkerWaits("no image", trouble=told[-1])

    monkeypatch.setattr(WorkerPool, "take", waits)
    monkeypatch.setattr(lane, "_ASK_AGAIN_S", 0.05)
    box.pps.create(spec("p", "in", "true"), "test", project="default")
    eventually(lambda: len(told) > 3, "it was told several times", 20.0)
    box.pfs.change(lambda ch: None)  # and what was told before is written
    found = box.pps.pipeline(P)
    assert (found.state, found.reason) == (PipelineState.CRASHING, "no image")
    goes_on.set()
    eventually(lambda: succeeds(box), "the job is done", 20.0)
    assert box.pps.pipeline(P).state is PipelineState.RUNNING


def test_a_job_collects_nothing_that_a_crash_left(tmp_path: Path) -> None:
    """Code that outlived its box for a moment has written into the job's own directory."""
    box = Box(Config(tmp_path), CopyRunner())
    try:
        commit(box.pfs, "in", {"/a": b"a"})
        box.pps.create(spec("p", "in", "true"), "test", project="default")
        job = box.pps.last_job(P)
        assert job is not None
        left = tmp_path / "work" / f"{job.job.id}-default-p" / "0.1" / "out"
        left.mkdir(parents=True)
        (left / "junk").write_bytes(b"junk")
        box.start()
        eventually(lambda: succeeds(box), "the job is done", 20.0)
        output = box.pfs.resolve(P.repo, job.job.id)
        assert [e.name for e in box.pfs.trees.list(output.root)] == ["own"]
    finally:
        box.close()
