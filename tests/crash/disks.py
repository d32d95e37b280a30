"""A file system that a test fills up and frees again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pachybox.errors import Exhausted

STEP = 1 << 16


class SmallDisk:
    """A mounted file system with a filler file on it."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._filler = where / "filler"

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        state = os.statvfs(self.where)
        return state.f_bavail * state.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free, to a page."""
        with open(self._filler, "ab", buffering=0) as f:
            while (more := self.free - leave) > 0:
                try:
                    f.write(bytes(min(more, STEP)))
                except OSError:
                    return

    @property
    def percent(self) -> float:
        """How full it is, as ``df`` counts."""
        state = os.statvfs(self.where)
        used = state.f_blocks - state.f_bfree
        return 100 * used / (used + state.f_bavail)

    def fill_to(self, percent: float) -> None:
        """Be so full, whether that is more or less than now."""
        state = os.statvfs(self.where)
        whole = (state.f_blocks - state.f_bfree + state.f_bavail) * state.f_frsize
        leave = int(whole * (100 - percent) / 100)
        if self.free < leave:
            os.truncate(self._filler, self._filler.stat().st_size - (leave - self.free))
        else:
            self.fill(leave)

    def release(self) -> None:
        """Take the filler away."""
        self._filler.unlink(missing_ok=True)


def until_refused(act: Callable[[int], object]) -> Exhausted:
    """Do it again and again until there is no room; returns what was said."""
    for i in range(10_000):
        try:
            act(i)
        except Exhausted as e:
            return e
    raise AssertionError("the disk is never full")
