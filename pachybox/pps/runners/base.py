"""The seam between the scheduler and what runs datums: runners start workers, workers run datums.

    scheduler --WorkerSpec--> Runner.start --> Worker --DatumTask--> run --> DatumResult

One long-lived worker per slot of a pipeline: a process here, a container under podman, a Pod
under Kubernetes. All talk the lines of pachybox.worker.wire to the other side, so a runner is
where the pipe leads and how directories get there. tests/contract/test_runner_contract.py
says what every runner keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pachybox.errors import NotReady
from pachybox.worker.wire import DatumResult, Transform, WorkerSpec
from pachybox.worker.wire import DatumTask as _DT


def DatumTask(**k):
    import types

    if "layout" in k:
        k.setdefault("err_cmd", False)
        k.setdefault("timeout_s", None)
        k.setdefault("grace_s", 0.0)
        return types.SimpleNamespace(**k)
    return _DT(**k)


__all__ = [
    "DatumResult",
    "DatumTask",
    "Finding",
    "Runner",
    "Transform",
    "Worker",
    "WorkerLost",
    "WorkerSpec",
]


class WorkerLost(NotReady):
    """The worker itself died (not the user's code): the datum may be run again by another."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``pachybox doctor``. ``remedy`` is empty when there is nothing to mend."""

    check: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


class Worker(Protocol):
    """Runs datums of one pipeline, one at a time."""

    def run(self, task: DatumTask, cancelled: Callable[[], bool] = lambda: False) -> DatumResult:
        """Run one datum to its end, blocking.

        ``cancelled`` is asked once the datum is under way: a caller that sets it before it calls
        ``cancel`` is heard however early it was.

        Before: ``task.inputs`` holds the datum's inputs, ``task.out`` is empty, both freshly
        laid out for this attempt. After: no process of the datum lives, ``task.out`` is what
        it wrote (not judged: special files are the caller's to refuse), ``task.log`` has its
        output. Every trouble of user code is a result with ``ok`` false and a ``reason`` for
        people. Raises WorkerLost when the worker died; it is then closed.
        """

    def cancel(self) -> None:
        """From any thread: kill the datum under way, whose ``run`` returns with ``cancelled``.

        Returns at once. Does nothing when none is under way; a later ``run`` is not affected.
        A datum that ended before the kill came keeps its true result.
        """

    def close(self) -> None:
        """Kill and release everything; idempotent.

        A ``run`` under way returns with ``cancelled``, or raises WorkerLost when the worker
        did not end in good order; a later one raises WorkerLost.
        """


class Runner(Protocol):
    """Starts workers on one kind of machinery."""

    name: str

    @property
    def links_allowed(self) -> bool:
        """Whether inputs may be hard links or mounts of stored content.

        False: user code can write to what it is given, so inputs must be copies.
        """

    def probe(self) -> list[Finding]:
        """What this machine can do for the runner, with remedies; never raises."""

    def start(self, spec: WorkerSpec) -> Worker:
        """A worker ready to run. Raises Refused, naming the cause and the remedy."""
