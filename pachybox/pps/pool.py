"""Workers kept between jobs: starting one costs a hundred times what a datum does."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord
from pachybox.model.units import parse_quantity
from pachybox.pps.runners.base import Limits, Runner, Transform, Worker, WorkerSpec


@dataclass
class _Idle:
    worker: Worker
    since: float


class WorkerPool:
    """Idle workers by pipeline version: named by its spec commit, since a pipeline made anew
    counts its versions from 1 again."""

    def __init__(self, runner: Runner, work: Path) -> None:
        self.runner = runner
        self._work = work
        self._lock = threading.Lock()
        self._idle: dict[tuple[Pipeline, CommitId], list[_Idle]] = {}

    def take(self, pipeline: PipelineRecord) -> Worker:
        """An idle worker of this version, or a new one. Raises Refused when none can start."""
        key = (pipeline.pipeline, pipeline.spec_commit)
        with self._lock:
            waiting = self._idle.get(key)
            if waiting:
                return waiting.pop().worker
        return self.runner.start(worker_spec(pipeline, self._work))

    def give_back(self, pipeline: PipelineRecord, worker: Worker) -> None:
        """Keep a healthy worker for the next datum."""
        with self._lock:
            idle = self._idle.setdefault((pipeline.pipeline, pipeline.spec_commit), [])
            idle.append(_Idle(worker, time.monotonic()))

    def idle(self) -> bool:
        """Whether any worker is kept."""
        with self._lock:
            return any(self._idle.values())

    def reap(self, older_than_s: float) -> None:
        """Stop workers that nobody has used for so long."""
        edge = time.monotonic() - older_than_s
        gone: list[Worker] = []
        with self._lock:
            for key in list(self._idle):
                old = [i for i in self._idle[key] if i.since <= edge]
                gone += [i.worker for i in old]
                self._idle[key] = [i for i in self._idle[key] if i.since > edge]
                if not self._idle[key]:
                    del self._idle[key]
        for worker in gone:
            worker.close()

    def close(self) -> None:
        """Stop every idle worker."""
        self.reap(-1.0)


def worker_spec(pipeline: PipelineRecord, work: Path) -> WorkerSpec:
    """What a runner needs to start a worker of this pipeline version."""
    t = pipeline.spec["transform"]
    caps = pipeline.spec.get("resource_limits") or {}
    memory = int(parse_quantity(caps["memory"])) if caps.get("memory") else None
    name = pipeline.pipeline
    return WorkerSpec(
        pipeline=str(name),
        transform=Transform(
            cmd=tuple(t.get("cmd") or ()),
            stdin=tuple(t.get("stdin") or ()),
            err_cmd=tuple(t.get("err_cmd") or ()),
            err_stdin=tuple(t.get("err_stdin") or ()),
            env=dict(t.get("env") or {}),
            accept_return_code=tuple(t.get("accept_return_code") or ()),
            user=t.get("user") or "",
            working_dir=t.get("working_dir") or "",
        ),
        work_dir=work,
        env={
            "PPS_PIPELINE_NAME": name.name,
            "PPS_PROJECT_NAME": name.project,
            "PPS_SPEC_COMMIT": pipeline.spec_commit,
            "PACH_IN_WORKER": "true",
        },
        limits=Limits(cpu=float(caps["cpu"]) if caps.get("cpu") else None, memory=memory or None),
        datum_batching=bool(t.get("datum_batching")),
    )
