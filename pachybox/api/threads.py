"""Threads that are made when none is free and end when they are not needed for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

Task = Callable[[], object]

_IDLE_S = 10.0


class Threads:
    """Runs tasks, each on a thread of its own while it lasts, so that none waits for another."""

    def __init__(self, name: str, most: int) -> None:
        """At most ``most`` tasks at once."""
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._rested = threading.Condition(self._lock)
        self._idle: list[SimpleQueue[Task]] = []  # the last one to rest is the next to work
        self._count = 0

    def run(self, task: Task, wait_s: float = 0.0) -> bool:
        """Begin ``task``, which must not raise; False when too many are at work, and all still
        are after ``wait_s``."""
        with self._lock:
            if wait_s and self._count >= self._most:
                self._rested.wait_for(lambda: self._idle, wait_s)
            if self._idle:
                self._idle.pop().put(task)
                return True
            if self._count >= self._most:
                return False
            self._count += 1
        try:
            thread = threading.Thread(target=self._work, args=(task,), name=self._name, daemon=True)
            thread.start()
        except RuntimeError:  # the machine gives no more threads
            with self._lock:
                self._count -= 1
            return False
        return True

    @property
    def count(self) -> int:
        """Threads there are, at work or not."""
        return self._count

    def _work(self, task: Task | None) -> None:
        tasks: SimpleQueue[Task] = SimpleQueue()
        while task is not None:
            task()
            task = None  # nothing of it is held while this thread rests
            with self._lock:
                self._idle.append(tasks)
                self._rested.notify()
            task = self._next(tasks)

    def _next(self, tasks: SimpleQueue[Task]) -> Task | None:
        """The next task; None when there was none for a while and the thread is to end."""
        try:
            return tasks.get(timeout=_IDLE_S)
        except Empty:
            pass
        with self._lock:
            if tasks in self._idle:
                self._idle.remove(tasks)
                self._count -= 1
                return None
        return tasks.get()  # somebody chose this thread just now
