"""Files that have been seen and are not committed: those that rest, and those that are whole."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from os import stat_result

Mark = tuple[int, int, int, int]
"""What a version of a file is known by while it waits: size, mtime, inode, ctime."""

_STEP_S = 1.0  # by so much the wall clock must part from the other to be said to have been set


def mark(status: stat_result) -> Mark:
    """The mark of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns


class Ages:
    """How long ago a file was written, by its mtime and the wall clock; nothing is believed for
    ``settle`` seconds after that clock was set, nor of other machines (``local`` is false)."""

    def __init__(self, settle: float, *, local: bool) -> None:
        self._settle = settle
        self.local = local
        self._between = time.time() - time.monotonic()
        self._believed_from = 0.0

    def age(self, mtime_ns: int, now: float) -> float:
        """Seconds; 0 when that cannot be known. ``now`` is monotonic."""
        if not self.local:
            return 0.0
        wall = time.time()
        between = wall - now
        if abs(between - self._between) > _STEP_S:
            self._believed_from = now + self._settle
        self._between = between
        if now < self._believed_from:
            return 0.0
        return max(0.0, wall - mtime_ns / 1e9)


@dataclass(slots=True)
class Waiting:
    """By name. A mark of None stands for a file that is gone. All times are monotonic."""

    settle: float
    resting: dict[str, tuple[Mark | None, float]] = field(default_factory=dict)
    """With the time since which it has not changed."""
    whole: dict[str, tuple[Mark | None, float]] = field(default_factory=dict)
    """With the time since which it is whole, oldest first."""
    arrived: float = 0.0
    """When something was last added."""
    ripe_by: float = 0.0
    """When all that rests is whole, if nothing more comes."""
    _queue: list[tuple[float, str]] = field(default_factory=list)
    """What rests, or rested, by the time since when; a heap."""

    def __len__(self) -> int:
        return len(self.resting) + len(self.whole)

    def holds(self, name: str, seen: Mark | None) -> bool:
        """Whether this version waits already."""
        found = self.resting.get(name) or self.whole.get(name)
        return found is not None and found[0] == seen

    def add(self, name: str, seen: Mark | None, now: float, age: float) -> None:
        """A version was seen, ``age`` seconds after it came to be."""
        self.forget(name)
        self.arrived = now
        if age >= self.settle:
            self.whole[name] = (seen, now)
        else:
            self.resting[name] = (seen, now - age)
            self.ripe_by = max(self.ripe_by, now - age + self.settle)
            heapq.heappush(self._queue, (now - age, name))

    def forget(self, name: str) -> None:
        """It does not wait any more."""
        self.resting.pop(name, None)
        self.whole.pop(name, None)

    def clear(self) -> None:
        """Nothing waits."""
        self.resting.clear()
        self.whole.clear()
        self._queue.clear()

    def ripen(self, now: float) -> None:
        """What has rested long enough is whole."""
        while (ripe := self.next_ripe()) is not None and ripe <= now:
            _, name = heapq.heappop(self._queue)
            self.whole[name] = (self.resting.pop(name)[0], now)

    def next_ripe(self) -> float | None:
        """When the next one is whole."""
        while self._queue:
            since, name = self._queue[0]
            found = self.resting.get(name)
            if found is not None and found[1] == since:
                return since + self.settle
            heapq.heappop(self._queue)  # it was forgotten, or is another version
        return None

    def oldest(self) -> float | None:
        """Since when the oldest whole file waits."""
        for _, since in self.whole.values():
            return since
        return None

    def first(self, most: int) -> Iterator[tuple[str, Mark | None]]:
        """The whole ones, oldest first, ``most`` of them."""
        for name, (seen, _) in islice(self.whole.items(), most):
            yield name, seen
