"""How much came in, second by second."""

from __future__ import annotations

import threading
import time

SECONDS = 60


class Rate:
    """Counts of the last 60 seconds. Callable from any thread."""

    def __init__(self) -> None:
        self._counts = [0] * SECONDS
        self._second = int(time.monotonic())
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """So many more, now."""
        with self._lock:
            self._turn()
            self._counts[self._second % SECONDS] += count

    def last(self) -> tuple[float, ...]:
        """The counts of the last 60 seconds, the newest (which is not over) last."""
        with self._lock:
            self._turn()
            first = self._second + 1
            return tuple(float(self._counts[(first + i) % SECONDS]) for i in range(SECONDS))

    def _turn(self) -> None:
        now = int(time.monotonic())
        for second in range(max(self._second + 1, now - SECONDS + 1), now + 1):
            self._counts[second % SECONDS] = 0
        self._second = now
