"""Threads that are made when none is free and end when they are not needed for a while."""

from __future__ import annotations

import threading
import time
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
        self._all: set[threading.Thread] = set()
        self._count = 0
        self._stopped = False

    def run(self, task: Task, wait_s: float = 0.0) -> bool:
        """Begin ``task``, which must not raise; False when too many are at work, and all still
        are after ``wait_s``, or after ``stop``."""
        with self._lock:
            if wait_s and self._count >= self._most:
                self._rested.wait_for(lambda: self._idle or self._stopped, wait_s)
            if self._stopped:
                return False
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

    def stop(self, wait_s: float = 1.0) -> None:
        """End the threads, those at work when they are done, and wait for them, ``wait_s`` at
        most: what belongs to a thread, such as its cursor, is not to be left to the exit."""
        with self._lock:
            self._stopped = True
            self._rested.notify_all()
            for tasks in self._idle:
                tasks.put(_nothing)
            self._idle.clear()
            threads = list(self._all)
        until = time.monotonic() + wait_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def count(self) -> int:
        """Threads there are, at work or not."""
        return self._count

    def _work(self, task: Task | None) -> None:
        own = threading.current_thread()
        with self._lock:
            self._all.add(own)
        tasks: SimpleQueue[Task] = SimpleQueue()
        while task is not None:
            task()
            task = None  # nothing of it is held while this thread rests
            with self._lock:
                if self._stopped:
                    self._count -= 1
                    break
                self._idle.append(tasks)
                self._rested.notify()
            task = self._next(tasks)
        with self._lock:
            self._all.discard(own)

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


def _nothing() -> None:
    """The task of a thread that is to end."""
