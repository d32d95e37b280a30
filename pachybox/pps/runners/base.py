"""The seam between the scheduler and what runs datums: runners start workers, workers run datums.

    scheduler --WorkerSpec--> Runner.start --> Worker --DatumTask--> start
                                                      <--DatumResult-- finish

One long-lived worker per slot of a pipeline: a process here, a container under podman, a Pod
under Kubernetes. All talk the frames of pachybox.worker.wire to the other side, so a runner is
where the pipe leads and how directories get there. tests/contract/test_runner_contract.py
says what every runner keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pachybox.errors import NotReady
from pachybox.worker.layout import Layout
from pachybox.worker.wire import DatumResult, DatumTask, Limits, Transform, WorkerSpec

__all__ = [
    "AsksNext",
    "DatumResult",
    "DatumTask",
    "Finding",
    "Layout",
    "Limits",
    "Presents",
    "Reached",
    "Runner",
    "Transform",
    "Worker",
    "WorkerLost",
    "WorkerSpec",
    "WorkerWaits",
    "is_news",
]


class WorkerLost(NotReady):
    """The worker itself died (not the user's code): the datum may be run again by another."""


class WorkerWaits(NotReady):
    """No worker yet: the machinery was asked for one and goes on. Who asks again is given it once
    it is there. With ``trouble`` something is in the way; else it only takes its time."""

    def __init__(self, message: str, hint: str = "", *, trouble: bool = True) -> None:
        super().__init__(message, hint)
        self.trouble = trouble


def is_news(why: WorkerWaits | None, told: WorkerWaits | None) -> bool:
    """Whether to tell why a worker is waited for (None: it came) after ``told`` was. What only took
    its time and is in the way by now is news in the same words too; not the other way round, since
    it may be about another worker, that has not waited for as long."""
    if why is None or told is None:
        return why is not told
    return str(why) != str(told) or why.trouble > told.trouble


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``pachybox doctor``. ``remedy`` is empty when there is nothing to mend; ``code``
    is given by doctor."""

    check: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Presents:
    """Which layouts a runner's workers can show (pachybox.worker.layout).

    ``links``: inputs are read-only mounts, so that stored content may be shown by ``links`` and
    by hard links in a ``tree``; without it user code can write to what it is given, and a
    tree must hold copies. ``image``: EROFS images. Directories and small files always can.
    """

    links: bool
    image: bool


class Worker(Protocol):
    """Runs datums of one pipeline, one at a time, the next one handed over already."""

    @property
    def alive(self) -> bool:
        """False once it has ended, by itself or by ``close``. It may end at any time after."""

    def serve(self, spec: WorkerSpec) -> None:
        """From now on run the transform of ``spec``, which asks for the same fence as the one
        the worker was started with: the same user, limits and files. No attempt is under way.
        Not for batched code, which lives on between datums."""

    def start(self, task: DatumTask) -> None:
        """Queue an attempt, at most two under way; it begins when the one before has ended.

        ``task.out`` is empty and was made for this attempt. Raises WorkerLost when the worker
        died, InvalidArgument for a third attempt.
        """

    def finish(self) -> DatumResult:
        """Wait for the oldest attempt started and take its result.

        After it no process of that datum lives, ``task.out`` is what it wrote (not judged:
        special files are the caller's to refuse), ``task.log`` has its output. Every trouble of
        user code is a result with ``ok`` false and a ``reason`` for people. Raises WorkerLost
        when the worker died: it is then closed, and so is every attempt under way.
        """

    def run(self, task: DatumTask, cancelled: Callable[[], bool] = lambda: False) -> DatumResult:
        """start and finish. ``cancelled`` is asked once the datum is under way: a caller that
        sets it before it calls ``cancel`` is heard however early it was."""

    def cancel(self) -> None:
        """From any thread: kill all attempts under way; each ``finish`` gives ``cancelled``.

        Returns at once. Does nothing when none is under way; a later ``start`` is not affected.
        A datum that ended before the kill came keeps its true result. With ``task.grace_s`` the
        code gets SIGTERM first.
        """

    def close(self) -> None:
        """Kill and release everything; idempotent.

        A ``finish`` under way returns with ``cancelled``, or raises WorkerLost when the worker
        did not end in good order; later ones raise WorkerLost. Batched code that waits for a
        datum is told that there are no more, and given a moment to end.
        """


@runtime_checkable
class AsksNext(Protocol):
    """A worker whose batched code can be served from the box (pachybox.pps.pool.Doors)."""

    @property
    def code_uid(self) -> int:
        """The user number that its code has on this machine."""

    def next_socket(self) -> str:
        """The path, for the box, of the socket at which the worker is asked for the next datum.
        Raises OSError when the worker is gone."""

    def end_code(self) -> None:
        """Kill its code, which waits for a datum when there are no more. Never raises."""


@runtime_checkable
class Reached(Protocol):
    """A worker whose code may have a network of its own."""

    @property
    def address(self) -> str:
        """The IP address at which its ports are reached from this machine. Raises WorkerLost when
        there is none (any more)."""


class Runner(Protocol):
    """Starts workers on one kind of machinery."""

    name: str

    @property
    def presents(self) -> Presents:
        """Which layouts its workers can show; the same for all of them."""

    def probe(self) -> list[Finding]:
        """What this machine can do for the runner, with remedies; never raises."""

    def start(self, spec: WorkerSpec) -> Worker:
        """A worker ready to run. Raises Refused, naming the cause and the remedy; WorkerWaits when
        there may be one later, within seconds: a runner keeps nobody for longer."""
