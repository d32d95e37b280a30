"""Workers kept between jobs: starting one costs a hundred times what a datum does."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from weakref import WeakKeyDictionary

from pachybox.containers.images import Image
from pachybox.errors import Refused
from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord
from pachybox.pps import client_config, placement, pod
from pachybox.pps.limits import limits
from pachybox.pps.placement import Containers, Pods
from pachybox.pps.runners.base import AsksNext, Limits, Runner, Transform, Worker, WorkerSpec
from pachybox.pps.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Fence:
    """What a worker is started with, and cannot change afterwards: pipelines that agree in it
    share workers. ``owner`` is set where one shows files of its own or keeps code alive,
    ``container`` where one runs in an image: pipelines share none, since code can write there."""

    user: str
    limits: Limits
    owner: tuple[Pipeline, CommitId, str] | None = None
    container: tuple[Pipeline, str] | None = None


_ENDS = 8  # workers ended at once
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass
class _Idle:
    worker: Worker
    since: float


class Door(Protocol):
    """Where the code of one worker reaches the worker API: ``port`` on loopback."""

    port: int

    def attach(self, worker: AsksNext) -> None:
        """Speak for this worker from now on."""

    def close(self) -> None:
        """Hang up. The worker has ended before."""


class Doors(Protocol):
    """Makes the doors of workers whose code asks for its datums."""

    def open(self, pipeline: Pipeline) -> Door:
        """A door that listens. Raises Refused when it cannot."""


class WorkerPool:
    """Idle workers by their fence."""

    def __init__(
        self,
        runner: Runner,
        work: Path,
        secrets: Secrets,
        containers: Containers | None = None,
        pods: Pods | None = None,
    ) -> None:
        """``runner`` is for pipelines without an image, ``containers`` and ``pods`` for the
        others."""
        self.runner = runner
        self.containers = containers
        self.pods = pods
        self.reach: Mapping[str, str] = {}  # variables that tell programs how to reach the box
        self.doors: Doors | None = None  # of batching workers; None: they have none
        self.mounts: Mapping[str, str] = {}  # what all its workers show beside (WorkerSpec)
        self._secrets = secrets
        self._work = work
        self._lock = threading.Lock()
        self._idle: dict[Fence, list[_Idle]] = {}
        # what each was started with: a secret may have been made anew before it is given back
        self._fences: WeakKeyDictionary[Worker, Fence] = WeakKeyDictionary()
        self._folders: WeakKeyDictionary[Worker, Path] = WeakKeyDictionary()
        self._open: WeakKeyDictionary[Worker, Door] = WeakKeyDictionary()
        self._made = 0

    def take(self, pipeline: PipelineRecord) -> Worker:
        """A worker that serves this version: an idle one, or a new one. Raises Refused when none
        can start, and what reading its secrets raises."""
        image = self.image_of(pipeline)
        fence = self._fence(pipeline, image)
        worker = self._take_idle(fence)
        with self._lock:
            self._made += 1
            folder = self._work / f"worker-{self._made}"
        if worker is not None:
            port = self._open[worker].port if worker in self._open else 0
            spec = self._spec(pipeline, self.folder(worker), port, image)
            worker.serve(spec)
            return worker
        folder.mkdir(exist_ok=True)
        batching = bool(pipeline.spec["transform"].get("datum_batching"))
        door: Door | None = None
        try:
            door = self.doors.open(pipeline.pipeline) if batching and self.doors else None
            spec = self._spec(pipeline, folder, door.port if door else 0, image)
            worker = self.runner_of(pipeline).start(spec)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if door:
                door.close()
            raise
        with self._lock:
            if door:
                self._open[worker] = door
                if isinstance(worker, AsksNext):
                    door.attach(worker)
            self._fences[worker] = fence
            self._folders[worker] = folder
        return worker

    def _take_idle(self, fence: Fence) -> Worker | None:
        """One that is kept, and lives: what was killed while it was idle is no datum's loss."""
        dead = []
        with self._lock:
            waiting = self._idle.get(fence) or []
            while waiting and not waiting[-1].worker.alive:
                dead.append(waiting.pop().worker)
            found = waiting.pop().worker if waiting else None
        self._end_all(dead)
        return found

    def runner_of(self, pipeline: PipelineRecord) -> Runner:
        """What starts the workers of a pipeline version."""
        boxed = self._boxed(pipeline)
        return boxed.runner if boxed is not None else self.runner

    def _boxed(self, pipeline: PipelineRecord) -> Containers | Pods | None:
        """What has the image of a pipeline version; None when it runs as a process, or this box
        has no such thing."""
        if placement.in_container(pipeline):
            return self.containers
        return self.pods if placement.in_pod(pipeline) else None

    def image_of(self, pipeline: PipelineRecord) -> Image | None:
        """The image that a pipeline version runs in; None when it runs as a process. Raises Refused
        or ImageMissing when it cannot be had."""
        if not pipeline.runner or pipeline.runner == placement.PROCESS:
            return None
        boxed = self._boxed(pipeline)
        if boxed is None:
            raise Refused(
                f"pipeline {pipeline.pipeline} was made for the runner {pipeline.runner}, which "
                "this box does not have",
                "update it with --runner process, or give the box that runner again",
            )
        return boxed.image(pipeline, lambda: self._secrets.logins(pipeline.spec))

    def _spec(
        self, pipeline: PipelineRecord, folder: Path, port: int, image: Image | None
    ) -> WorkerSpec:
        made = worker_spec(pipeline, folder, self._secrets, self.reach, port, image)
        if "spout" in pipeline.spec and self.runner_of(pipeline).presents.links:
            made = client_config.shown(made, pipeline.pipeline, self.reach)
        if placement.in_pod(pipeline):
            made = replace(made, pod=pod.told(pipeline, self._secrets))
        return replace(made, mounts=dict(self.mounts)) if self.mounts else made

    def apart(self, work: Path) -> WorkerPool:
        """A pool of the same kind that shares no worker with this one; theirs have their folders
        in ``work``."""
        made = WorkerPool(self.runner, work, self._secrets, self.containers, self.pods)
        made.reach, made.doors = self.reach, self.doors
        return made

    def _fence(self, pipeline: PipelineRecord, image: Image | None) -> Fence:
        transform = pipeline.spec["transform"]
        own = (
            "spout" in pipeline.spec
            or placement.in_pod(pipeline)  # its Pods are made by its spec, and carry its name
            or transform.get("datum_batching")
            or any(secret.get("mount_path") for secret in transform.get("secrets") or ())
        )
        owner = (pipeline.pipeline, pipeline.spec_commit, self._secrets.version(pipeline.spec))
        return Fence(
            transform.get("user") or "",
            limits(pipeline.spec.get("resource_limits") or {}),
            owner if own else None,
            (pipeline.pipeline, image.id) if image is not None else None,
        )

    def folder(self, worker: Worker) -> Path:
        """The directory that belongs to one worker."""
        with self._lock:
            return self._folders[worker]

    def end(self, worker: Worker) -> None:
        """Stop a worker that was taken and shall not be used again."""
        worker.close()
        if door := self._open.pop(worker, None):
            door.close()
        shutil.rmtree(self.folder(worker), ignore_errors=True)

    def _end_all(self, workers: Sequence[Worker]) -> None:
        """Side by side: the end of a container takes a while."""
        if len(workers) < 2:
            for worker in workers:
                self.end(worker)
            return
        with ThreadPoolExecutor(_ENDS, "end-worker") as threads:
            list(threads.map(self.end, workers))

    def give_back(self, worker: Worker) -> None:
        """Keep a healthy worker for the next datum, of whatever pipeline."""
        with self._lock:
            idle = self._idle.setdefault(self._fences[worker], [])
            idle.append(_Idle(worker, time.monotonic()))

    def rest(self, pipeline: PipelineRecord) -> None:
        """Stop the idle workers that a pipeline could use."""
        fence, boxed = self._fence(pipeline, None), self._boxed(pipeline)
        mine = pipeline.pipeline if boxed is not None else None
        with self._lock:
            fit = [
                f
                for f in self._idle
                if replace(f, container=None) == fence and (f.container or (None,))[0] == mine
            ]
            idle = [one for f in fit for one in self._idle.pop(f)]
        self._end_all([one.worker for one in idle])

    def drop(self, pipeline: Pipeline, keep: PipelineRecord | None = None) -> None:
        """Stop the idle workers that are a pipeline's alone, but those of the version ``keep``;
        unless that runs in Pods, it has nothing in the cluster any more."""
        version = keep.spec_commit if keep is not None else None
        with self._lock:
            old = [
                f
                for f in self._idle
                if (f.owner and f.owner[0] == pipeline and f.owner[1] != version)
                or (f.container and f.container[0] == pipeline and keep is None)
            ]
            idle = [one for fence in old for one in self._idle.pop(fence)]
        self._end_all([one.worker for one in idle])
        if self.pods is not None and (keep is None or not placement.in_pod(keep)):
            self.pods.runner.forget(str(pipeline))

    def keep(self, pipeline: PipelineRecord) -> None:
        """Stop the idle workers that this version could not use."""
        fence = self._fence(pipeline, self.image_of(pipeline))
        with self._lock:
            old = [one for f, idle in self._idle.items() if f != fence for one in idle]
            self._idle = {fence: self._idle[fence]} if fence in self._idle else {}
        self._end_all([one.worker for one in old])

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
        self._end_all(gone)

    def close(self) -> None:
        """Stop every idle worker."""
        self.reap(-1.0)


def worker_spec(
    pipeline: PipelineRecord,
    work: Path,
    secrets: Secrets,
    reach: Mapping[str, str] = _NONE,
    port: int = 0,
    image: Image | None = None,
) -> WorkerSpec:
    """What a worker needs to serve this pipeline version in its folder ``work``. ``reach`` are
    the variables that tell its programs how to reach the box, ``port`` is that of their worker
    API (0: they have none), ``image`` what they run in.

    Raises what Secrets.resolve raises.
    """
    t = placement.with_image(pipeline.spec["transform"], image)
    name = pipeline.pipeline
    secret = secrets.resolve(t)
    return WorkerSpec(
        pipeline=str(name),
        transform=Transform(
            cmd=tuple(t.get("cmd") or ()),
            stdin=tuple(t.get("stdin") or ()),
            err_cmd=tuple(t.get("err_cmd") or ()),
            err_stdin=tuple(t.get("err_stdin") or ()),
            env={**(t.get("env") or {}), **secret.env},
            accept_return_code=tuple(t.get("accept_return_code") or ()),
            user=t.get("user") or "",
            working_dir=t.get("working_dir") or "",
        ),
        work_dir=work,
        env={
            "PPS_PIPELINE_NAME": name.name,
            "PPS_PROJECT_NAME": name.project,
            "PPS_SPEC_COMMIT": pipeline.spec_commit,
            "PPS_WORKER_IP": "127.0.0.1",
            "PACH_IN_WORKER": "true",
            **reach,
            "PACH_NAMESPACE": "default",
            **({"PPS_WORKER_GRPC_PORT": str(port)} if port else {}),
        },
        limits=limits(pipeline.spec.get("resource_limits") or {}),
        files=secret.files,
        datum_batching=bool(t.get("datum_batching")),
        image=image.id if image else "",
    )
