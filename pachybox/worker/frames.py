"""Frames, the bytes between the box and a worker: both ends read and write them, one is in C.

A frame is the u32 length of what follows, one byte of type and a body. Numbers are little-endian;
a text is its u32 length, its bytes and a NUL; a list the u32 count and its texts.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection

_U32 = struct.Struct("<I")
LIMIT = 1 << 30
"""No frame is longer."""


def frame(kind: bytes, body: bytes) -> bytes:
    """One frame of type ``kind`` (one byte)."""
    return _U32.pack(len(body) + 1) + kind + body


def blob(value: bytes) -> bytes:
    """A text of any bytes."""
    return b"%b%b\0" % (_U32.pack(len(value)), value)


def text(value: str) -> bytes:
    """A text; lone surrogates are the bytes they stand for."""
    return blob(os.fsencode(value))


def texts(values: Collection[str]) -> bytes:
    """A list of texts."""
    return _U32.pack(len(values)) + b"".join(map(text, values))


class Reader:
    """Takes the parts of a body one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        """The numbers of ``layout``."""
        values = layout.unpack_from(self._body, self._at)
        self._at += layout.size
        return values

    def u32(self) -> int:
        """One number."""
        (value,) = _U32.unpack_from(self._body, self._at)
        self._at += 4
        return int(value)

    def blob(self) -> bytes:
        """A text's bytes."""
        size = self.u32()
        start, self._at = self._at, self._at + size + 1
        return self._body[start : start + size]

    def text(self) -> str:
        """A text."""
        return os.fsdecode(self.blob())

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self.text() for _ in range(self.u32()))

    def rest(self) -> bytes:
        """All that was not taken yet."""
        return self._body[self._at :]


class Splitter:
    """Cuts what is read of a stream into frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._data += data

    def next(self) -> tuple[bytes, bytes] | None:
        """The next whole frame as (type, body), or None. ValueError when these are no frames."""
        data = self._data
        if len(data) < 5:
            return None
        (size,) = _U32.unpack_from(data)
        if not 1 <= size <= LIMIT:
            raise ValueError(f"a frame of {size} bytes")
        if len(data) < size + 4:
            return None
        kind, body = bytes(data[4:5]), bytes(data[5 : size + 4])
        del data[: size + 4]
        return kind, body
