"""Lanes and windows: S3 writes that come together are made together.

A **lane** is the queue before one open commit: whoever finds it empty leads, takes all that
waits by the time the last change is durable, and makes it in one. A **window** is a branch's
setting: its first write opens a commit, writes that follow join it, and when none has come for
the window's length it is finished; at the latest after ``LONGEST`` windows, or ``AT_LEAST_S``
when that is longer. A commit that a crash left open is finished at the next start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pachybox.errors import NotReady, PachyboxError
from pachybox.meta.tables import COMMITS
from pachybox.model.ids import Commit
from pachybox.model.pfs import CommitRecord
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pfs.object_types import WINDOW, window_s
from pachybox.pfs.object_write import Op
from pachybox.pfs.service import Pfs

log = logging.getLogger("pachybox.s3")

LONGEST = 30
AT_LEAST_S = 60.0
_MOST = 1000  # ops made in one change
_AGAIN_S = 5.0  # until a commit that could not be finished is tried again


class _Waiter:
    __slots__ = ("done", "error", "lock", "ops")

    def __init__(self, ops: list[Op]) -> None:
        self.ops = ops
        self.done = False
        self.error: BaseException | None = None
        self.lock = threading.Lock()  # held until it is done or is to lead
        self.lock.acquire()


class Lane:
    """Writes to one target, made in the order they came, several at a time."""

    def __init__(self, make: Callable[[list[Op]], None]) -> None:
        """``make`` makes ops durable or raises."""
        self._make = make
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []
        self._led = False

    def submit(self, ops: list[Op]) -> None:
        """Have ``ops`` made; returns when they are durable. Raises what ``make`` raised."""
        mine = _Waiter(ops)
        with self._lock:
            self._waiting.append(mine)
            follow, self._led = self._led, True
        if follow:
            mine.lock.acquire()
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise mine.error

    def _lead(self) -> None:
        with self._lock:
            batch: list[_Waiter] = []
            count = 0
            for one in self._waiting:
                if batch and count + len(one.ops) > _MOST:
                    break
                batch.append(one)
                count += len(one.ops)
            del self._waiting[: len(batch)]
        error: BaseException | None = None
        try:
            self._make([op for one in batch for op in one.ops])
        except BaseException as e:
            error = e
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._led = following is not None
        if following is not None:
            following.lock.release()
        for one in batch:
            one.error = error
            one.done = True
            one.lock.release()


class _Group:
    __slots__ = ("first", "last", "window")

    def __init__(self, now: float, window: float) -> None:
        self.first = now
        self.last = now
        self.window = window

    def due(self) -> float:
        """When it is to be finished."""
        longest = max(AT_LEAST_S, LONGEST * self.window)
        return min(self.last + self.window, self.first + longest)


class Windows:
    """Finishes the commits that windows opened. ``start`` and ``stop`` with the box."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._groups: dict[Commit, _Group] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="s3-windows", daemon=True)

    def start(self) -> None:
        """Finish what a crash left open, then watch."""
        self.finish_left()
        self._thread.start()

    def finish_left(self) -> None:
        """Finish what windows of another process opened."""
        left = self._pfs.meta.select(
            COMMITS, "WHERE finished_us IS NULL AND contains(metadata_json, ?)", (f'"{WINDOW}"',)
        )
        for commit in left:
            self._finish(commit.commit)

    def stop(self) -> None:
        """Finish what is open, and no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        for commit in list(self._groups):
            self._finish(commit)

    def touched(self, commit: CommitRecord) -> None:
        """A write has gone into ``commit``."""
        text = commit.metadata.get(WINDOW)
        if text is None or commit.finished is not None:
            return
        now = time.monotonic()
        with self._changed:
            group = self._groups.get(commit.commit)
            if group is not None:
                group.last = now
                return
            self._groups[commit.commit] = _Group(now, window_s(text))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                now = time.monotonic()
                due = [c for c, group in self._groups.items() if group.due() <= now]
                if not due:
                    next_ = min((g.due() for g in self._groups.values()), default=None)
                    self._changed.wait(None if next_ is None else next_ - now)
                    continue
                for commit in due:
                    del self._groups[commit]
            for commit in due:
                self._finish(commit)

    def _finish(self, commit: Commit) -> None:
        def run(ch: Change) -> None:
            found = ch.tx.get(COMMITS, commit)
            if found is not None and found.finished is None:
                commits.finish_commit(ch, found)

        try:
            self._pfs.change(run)
        except NotReady:
            pass  # the box is closing: the next start does it
        except PachyboxError as e:
            log.warning("commit %s stays open: %s", commit, e)
            with self._changed:  # its pipelines wait for it: try again
                self._groups.setdefault(commit, _Group(time.monotonic(), _AGAIN_S))
                self._changed.notify()
