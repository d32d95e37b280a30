"""Where a preview's bytes come from, and how much of them and of the time it may take."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol


class Reader(Protocol):
    """A file that can be read in pieces."""

    path: str
    size: int

    async def read(self, offset: int, size: int) -> bytes:
        """The bytes of ``[offset, offset + size)``, fewer where the file ends."""


class Limits(NamedTuple):
    """What one preview may take: bytes read, seconds decoding, rows, pixels decoded."""

    bytes: int = 4 << 20
    seconds: float = 0.2
    rows: int = 500
    pixels: int = 8_000_000

    def grown(self) -> Limits:
        """The next step of "show more"."""
        return Limits(self.bytes * 4, self.seconds * 5, self.rows * 10, self.pixels * 8)


class Deadline:
    """A stretch of time that decoders look at between two pieces of work."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until it is over, never negative."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return self.left == 0.0


class Source:
    """A reader that gives no more than ``limits.bytes`` in all.

    ``failed`` is the error with which a read ended, to tell it from a decoder's.
    """

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self.path, self.size = reader.path, max(reader.size, 0)
        self.limits = limits
        self.left = limits.bytes
        self.failed: BaseException | None = None
        self._reader = reader
        self._head = b""

    async def read(self, offset: int, size: int) -> bytes:
        """As ``Reader.read``, cut at what is left of the limit."""
        size = min(size, self.left, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        try:
            data = await self._reader.read(offset, size)
        except BaseException as e:
            self.failed = e
            raise
        data = data[:size]
        self.left -= len(data)
        return data

    async def head(self, size: int) -> bytes:
        """The first ``size`` bytes; those already read are not read again."""
        have = len(self._head)
        if size > have:
            self._head += await self.read(have, size - have)
        return self._head[:size]

    @property
    def bytes_left_out(self) -> bool:
        """Whether the head read so far is less than the file."""
        return len(self._head) < self.size
