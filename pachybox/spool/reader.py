"""Reading a log on from a position, also while another process writes it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

from pachybox.errors import Corrupt
from pachybox.spool.frames import Frame, decode, size_at

_BLOCK = 1 << 20
SUFFIX = ".log"


def segment_name(position: int) -> str:
    """The name of the segment that begins at ``position``."""
    return f"{position:020}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """The positions at which segments begin, in order; none where there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(
        int(name[: -len(SUFFIX)])
        for name in names
        if name.endswith(SUFFIX) and name[: -len(SUFFIX)].isdigit()
    )


class Reader:
    """Reads frames from ``position`` on, in order. For one thread; ``close`` it."""

    def __init__(self, folder: Path, position: int = 0) -> None:
        """``position`` is where a frame begins, or before or after all that is there."""
        self._folder = folder
        self.position = position
        """Where the next frame begins that was not given."""
        self._fd = -1
        self._base = 0  # where the open segment begins

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frames(self, most: int = _BLOCK) -> Iterator[tuple[int, int, Frame]]:
        """The frames that are there now, each with its position and that after it, and none that
        is not whole; about ``most`` bytes of them. Raises Corrupt when there is more behind what
        cannot be read."""
        until = self.position + most
        while self.position < until:
            if self._fd < 0 and not self._open():
                return
            read = yield from self._block()
            if not read and not self._advance():
                return

    def _block(self) -> Generator[tuple[int, int, Frame], None, bool]:
        """The whole frames of one block; the value of the generator tells whether any was."""
        data = os.pread(self._fd, _BLOCK, self.position - self._base)
        size = size_at(data, 0)
        if size > len(data):
            data = os.pread(self._fd, size, self.position - self._base)
        at = 0
        while 0 < (size := size_at(data, at)) <= len(data) - at:
            frame = decode(data, at, size)
            if frame is None:
                break
            at += size
            begin = self.position
            self.position += size
            yield begin, self.position, frame
        return at > 0

    def _open(self) -> bool:
        """Open the segment with the position; skip what was cut away."""
        found = segments(self._folder)
        if not found:
            return False
        self.position = max(self.position, found[0])
        base = max(one for one in found if one <= self.position)
        self._set(base)
        return True

    def _advance(self) -> bool:
        """Go to the next segment when this one is at its end."""
        later = [one for one in segments(self._folder) if one > self._base]
        if not later:
            return False
        size = os.fstat(self._fd).st_size
        if self.position - self._base < size and self._still_torn():
            raise Corrupt(
                f"{self._folder / segment_name(self._base)} is damaged at byte "
                f"{self.position - self._base}",
                "records behind it cannot be read",
            )
        if self.position - self._base < size:
            return True  # it was completed meanwhile
        self.position = max(self.position, later[0])
        self._set(later[0])
        return True

    def _still_torn(self) -> bool:
        head = os.pread(self._fd, 8, self.position - self._base)
        size = size_at(head, 0)
        if size <= 0:
            return True
        data = os.pread(self._fd, size, self.position - self._base)
        return len(data) < size or decode(data, 0, size) is None

    def _set(self, base: int) -> None:
        self.close()
        with suppress(FileNotFoundError):  # cut meanwhile: looked for again
            self._fd = os.open(self._folder / segment_name(base), os.O_RDONLY | os.O_CLOEXEC)
            self._base = base

    def sync(self) -> None:
        """Have all that was read be durable, whoever wrote it: before it is relied on."""
        if self._fd >= 0:
            os.fdatasync(self._fd)  # what went before was made so when its segment ended

    def close(self) -> None:
        """Close the file that is open; reading goes on where it was."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
