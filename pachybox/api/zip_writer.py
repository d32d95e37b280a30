"""A zip written as it goes: entries stored as they are, any size, nothing held but the index.

A small entry carries its checksum up front, so that readers which cannot seek take it too; a
large one has it behind its content. Sizes and counts past 32 bits use zip64.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime

_AT_ONCE = 1 << 20  # content up to this size is read before its header is written
_MOST32, _MOST16 = 0xFFFFFFFF, 0xFFFF
_UTF8, _BEHIND = 0x800, 0x8
_PLAIN, _ZIP64 = 20, 45  # the version of the format a reader needs


class ZipWriter:
    """Writes one zip through ``write``; call ``finish`` at the end."""

    def __init__(self, write: Callable[[bytes | memoryview], object]) -> None:
        self._write = write
        self._at = 0  # bytes written
        self._count = 0
        self._index = bytearray()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._at

    def _put(self, data: bytes | memoryview) -> None:
        self._write(data)
        self._at += len(data)

    def add(
        self, name: str, size: int, pieces: Iterable[bytes | memoryview], when: datetime
    ) -> None:
        """One entry of exactly ``size`` bytes. Raises ValueError when ``pieces`` are not."""
        start, large = self._at, size >= _MOST32
        flags, crc = _UTF8, 0
        content: Iterable[bytes | memoryview] = pieces
        if size <= _AT_ONCE:
            whole = b"".join(pieces)
            content, crc = [whole], zlib.crc32(whole)
        else:
            flags |= _BEHIND
        text = name.encode()
        # Behind the content the sizes come again, so the header may say them already.
        sizes, extra = _sizes(size, large)
        fields = struct.pack(
            "<HHHIIIIHH",
            _ZIP64 if large else _PLAIN, flags, 0, _dos(when), crc, *sizes, len(text), len(extra),
        )  # fmt: skip
        self._put(b"PK\3\4" + fields + text + extra)
        got = 0
        for piece in content:
            if flags & _BEHIND:
                crc = zlib.crc32(piece, crc)
            got += len(piece)
            self._put(piece)
        if got != size:
            raise ValueError(f"{name} has {got} bytes instead of {size}")
        if flags & _BEHIND:
            self._put(b"PK\7\10" + struct.pack("<IQQ" if large else "<III", crc, size, size))
        self._list(text, flags, crc, size, start, when)

    def _list(
        self, text: bytes, flags: int, crc: int, size: int, start: int, when: datetime
    ) -> None:
        wide = b""
        if size >= _MOST32:
            wide += struct.pack("<QQ", size, size)
        if start >= _MOST32:
            wide += struct.pack("<Q", start)
        extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        short = min(size, _MOST32)
        need = _ZIP64 if wide else _PLAIN
        self._index += b"PK\1\2" + struct.pack(
            "<HHHHIIIIHHHHHII",
            3 << 8 | _ZIP64, need, flags, 0, _dos(when), crc, short, short, len(text), len(extra),
            0, 0, 0, 0o100644 << 16, min(start, _MOST32),
        )  # fmt: skip
        self._index += text + extra
        self._count += 1

    def finish(self) -> None:
        """Write the index."""
        start, size = self._at, len(self._index)
        self._put(memoryview(bytes(self._index)))
        if self._count >= _MOST16 or start >= _MOST32 or size >= _MOST32:
            end = self._at
            self._put(
                b"PK\6\6"
                + struct.pack(
                    "<QHHIIQQQQ", 44, 3 << 8 | _ZIP64, _ZIP64, 0, 0, self._count, self._count, size,
                    start,
                )
                + b"PK\6\7"
                + struct.pack("<IQI", 0, end, 1)
            )  # fmt: skip
        count = min(self._count, _MOST16)
        ends = struct.pack(
            "<HHHHIIH", 0, 0, count, count, min(size, _MOST32), min(start, _MOST32), 0
        )
        self._put(b"PK\5\6" + ends)


def _sizes(size: int, large: bool) -> tuple[tuple[int, int], bytes]:
    if not large:
        return (size, size), b""
    return (_MOST32, _MOST32), struct.pack("<HHQQ", 1, 16, size, size)


def _dos(when: datetime) -> int:
    """Time (the low half) and date as MS-DOS wrote them: from 1980 on, in steps of two seconds."""
    year = min(max(when.year, 1980), 2107) - 1980
    time = when.hour << 11 | when.minute << 5 | when.second // 2
    return (year << 9 | when.month << 5 | when.day) << 16 | time


def gathered(
    write: Callable[[bytes | memoryview], object], size: int
) -> tuple[Callable[[bytes | memoryview], None], Callable[[], None]]:
    """A ``write`` that passes on about ``size`` bytes at a time, and a flush for the rest."""
    held: list[bytes | memoryview] = []
    count = 0

    def flush() -> None:
        nonlocal count
        if held:
            write(held[0] if len(held) == 1 else b"".join(held))
        held.clear()
        count = 0

    def put(data: bytes | memoryview) -> None:
        nonlocal count
        held.append(data)
        count += len(data)
        if count >= size:
            flush()

    return put, flush
