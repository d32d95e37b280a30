"""A file system that a test fills up and frees again."""

from __future__ import annotations

import os
from pathlib import Path

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

    def release(self) -> None:
        """Take the filler away."""
        self._filler.unlink(missing_ok=True)
