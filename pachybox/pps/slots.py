"""How many datums run at once on this machine, whichever jobs they are of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Slots:
    """A number of places to run in: first come, first served."""

    def __init__(self, width: int) -> None:
        """``width`` places, at least one."""
        self.width = width
        self._free = width
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @property
    def busy(self) -> int:
        """How many places are taken."""
        return self.width - self._free

    @property
    def contended(self) -> bool:
        """Whether somebody waits: who holds a place should give it up between two datums."""
        return bool(self._waiting)

    def acquire(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a place, behind those who came before; False when ``given_up()`` instead,
        which is asked whenever ``wake`` is called."""
        me = object()
        with self._changed:
            self._waiting.append(me)
            try:
                while not (self._free and self._waiting[0] is me):
                    if given_up():
                        return False
                    self._changed.wait()
                if given_up():
                    return False
                self._free -= 1
                return True
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()

    def release(self) -> None:
        """Give a place back."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def wake(self) -> None:
        """Have all who wait ask whether they still want to."""
        with self._changed:
            self._changed.notify_all()
