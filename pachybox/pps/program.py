"""A program that never ends: one life of it in a worker, and when the next one begins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from pachybox.model.pps import PipelineRecord
from pachybox.pps.pool import WorkerPool
from pachybox.pps.ports import LOOPBACK
from pachybox.pps.runners.base import DatumTask, Reached, Worker, WorkerLost, WorkerWaits, is_news

GRACE_S = 10.0
"""For a program to end by itself when it is stopped (SIGTERM, then SIGKILL)."""

_PAUSE_S = (0.5, 30.0)  # before a program that ended is started again: at first, at most
_ASK_AGAIN_S = 0.5  # for a worker that is to come
_SETTLED_S = 60.0  # a program that lived so long begins with the first pause again


class Pauses:
    """How long to wait before a program that ended is started again: longer and longer."""

    def __init__(self) -> None:
        self._next = _PAUSE_S[0]

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a life of so many."""
        if lived_s > _SETTLED_S:
            self._next = _PAUSE_S[0]
        pause, self._next = self._next, min(2 * self._next, _PAUSE_S[1])
        return pause

    def forget(self) -> None:
        """Begin with the shortest again."""
        self._next = _PAUSE_S[0]


class Program:
    """One life of a program."""

    def __init__(
        self,
        pool: WorkerPool,
        pipeline: PipelineRecord,
        task: Callable[[ExitStack], DatumTask],
        waits: Callable[[WorkerWaits | None], None],
    ) -> None:
        """``task`` is asked once there is a worker; what it needs is held until the end. ``waits``
        is told why there is no worker yet, once for each reason, again when that is in the way by
        now (base.is_news), and by None that one came."""
        self._pool = pool
        self._pipeline = pipeline
        self._task = task
        self._waits = waits
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End it, from any thread; ``run`` then returns."""
        with self._lock:
            self._stopped.set()
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def address(self) -> str:
        """The address at which its ports are reached, "" when it does not run; from any thread."""
        with self._lock:
            worker = self._worker
        if worker is None:
            return ""
        try:
            return worker.address if isinstance(worker, Reached) else LOOPBACK
        except WorkerLost:
            return ""

    def run(self) -> str:
        """Run the program until it ends; why it did, nothing when it was stopped. Raises Refused
        when no worker can be started, and what ``task`` raises."""
        try:
            worker = self._taken()
        except WorkerLost as e:
            return e.message  # it died while it was started: that is an end like any other
        if worker is None:
            return ""
        with self._lock:
            self._worker = worker
        held = ExitStack()
        try:
            worker.start(self._task(held))
            if self._stopped.is_set():  # race: stopped before it was there to be killed
                worker.cancel()
            result = worker.finish()
            return "" if result.cancelled else result.reason or "exit status 0"
        except WorkerLost as e:
            return e.message
        finally:
            with self._lock:
                self._worker = None
            self._pool.end(worker)
            held.close()

    def _taken(self) -> Worker | None:
        """A worker, waited for if need be; None when stopped meanwhile."""
        told: WorkerWaits | None = None
        while not self._stopped.is_set():
            try:
                worker = self._pool.take(self._pipeline)
            except WorkerWaits as e:
                if is_news(e, told):
                    told = e
                    self._waits(e)
                self._stopped.wait(_ASK_AGAIN_S)
                continue
            if told is not None:
                self._waits(None)
            return worker
        return None
