"""The queue in front of the metadata writer: what waits, cut into groups that are written together.

A change that somebody waits for goes at once, with all that has come before it. One that nobody
waits for holds back for company, which saves it most of its cost: of four changes of a short job
three ride along with the last.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from pachybox.meta.tx import Tx

T = TypeVar("T")

LATER_S = 0.1
"""A change that nobody waits for is written after so long at the latest."""

_MOST = 512  # changes a group may hold; what waits longer goes into the next


class Outcome(Generic[T]):
    """What came of a change, for the one who waits for it: a Future at a fifth of its price."""

    __slots__ = ("_came", "_error", "_result")

    def __init__(self) -> None:
        self._came = threading.Lock()
        self._came.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None

    def set_result(self, result: T) -> None:
        """Once, or ``set_exception``."""
        self._result = result
        self._came.release()

    def set_exception(self, error: BaseException) -> None:
        """Have ``error`` raised there."""
        self._error = error
        self._came.release()

    def result(self) -> T:
        """Wait for it. To be called once."""
        self._came.acquire()
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # the error's traceback has this frame, and would keep what keeps it
        return cast(T, self._result)


class Pending(Generic[T]):
    """A change in the queue. ``solo``: a group of its own; ``later``: it may wait for company;
    ``quick``: the journal will do; ``noting``: it goes with its like only (notes.py)."""

    __slots__ = ("fn", "future", "later", "noting", "quick", "solo")

    def __init__(
        self,
        fn: Callable[[Tx], T],
        *,
        solo: bool = False,
        later: bool = False,
        quick: bool = False,
        noting: bool = False,
    ) -> None:
        self.fn = fn
        self.solo = solo
        self.later = later
        self.quick = quick
        self.noting = noting
        self.future: Future[T] | Outcome[T] = Future() if later else Outcome()


class Groups:
    """Changes in the order they came. ``put`` by any thread, ``take`` by one."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Pending[Any] | None] = queue.SimpleQueue()
        self._held: Pending[Any] | None = None

    def put(self, change: Pending[Any]) -> None:
        """Add a change."""
        self._queue.put(change)

    def close(self) -> None:
        """Nothing comes any more: when all is taken, ``take`` returns None."""
        self._queue.put(None)

    def qsize(self) -> int:
        """About how many changes wait."""
        return self._queue.qsize()

    def take(self) -> list[Pending[Any]] | None:
        """The next group, when there is one to be written; None at the end."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return None
        group, patient = [first], first.later
        until = time.monotonic() + LATER_S
        while not first.solo and len(group) < _MOST:
            try:
                left = until - time.monotonic() if patient else 0.0
                following = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            if following.solo or following.noting is not first.noting:
                self._held = following
                break
            group.append(following)
            patient = patient and following.later
        return group
