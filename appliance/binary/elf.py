"""ELF files as the build needs them: what a file asks of the machine, and what may be cut off."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<QQ")
_VERSION = struct.Struct("<HHIII")
_NAME = struct.Struct("<IHHII")


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a library of 64 bits, little-endian."""
    with open(path, "rb") as file:
        return file.read(6) == b"\x7fELF\x02\x01"


class Elf:
    """One file, read whole. Raises ValueError when it is cut short."""

    def __init__(self, path: Path) -> None:
        self.data = bytearray(path.read_bytes())
        try:
            header = _HEADER.unpack_from(self.data)
            at, size, count = header[5], header[9], header[10]
            self._segments = [_SEGMENT.unpack_from(self.data, at + i * size) for i in range(count)]
            self._dynamic = list(self._entries())
        except struct.error as error:
            raise ValueError(f"{path}: {error}") from None

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """The dynamic section: (where, tag, value)."""
        for kind, _, offset, _, _, size, *_ in self._segments:
            if kind != _DYNAMIC:
                continue
            for at in range(offset, offset + size, _ENTRY.size):
                tag, value = _ENTRY.unpack_from(self.data, at)
                if tag == 0:
                    return
                yield at, tag, value

    def _offset(self, address: int) -> int:
        for kind, _, offset, start, _, size, *_ in self._segments:
            if kind == _LOAD and start <= address < start + size:
                return int(offset + address - start)
        raise ValueError(f"no segment holds {address:#x}")

    def _value(self, wanted: int) -> int | None:
        return next((value for _, tag, value in self._dynamic if tag == wanted), None)

    def _text(self, index: int) -> str:
        table = self._value(_STRTAB)
        if table is None:
            return ""
        start = self._offset(table) + index
        return self.data[start : self.data.index(0, start)].decode()

    def needed(self) -> list[str]:
        """The names of the libraries it asks for."""
        return [self._text(value) for _, tag, value in self._dynamic if tag == _NEEDED]

    def versions(self) -> Iterator[tuple[str, str]]:
        """What it needs of other libraries: (library, version), as ("libc.so.6", "GLIBC_2.34")."""
        address, count = self._value(_VERNEED), self._value(_VERNEEDNUM) or 0
        if address is None:
            return
        at = self._offset(address)
        for _ in range(count):
            _, names, library, first, following = _VERSION.unpack_from(self.data, at)
            one = at + first
            for _ in range(names):
                _, _, _, name, step = _NAME.unpack_from(self.data, one)
                yield self._text(library), self._text(name)
                one += step
            at += following

    def runpath(self, path: str) -> None:
        """Replace where it looks for libraries, if it says so itself. ValueError when the new path
        is longer than the old one."""
        for _, tag, value in self._dynamic:
            if tag != _RUNPATH:
                continue
            old = len(self._text(value))
            if len(path) > old:
                raise ValueError(f"its run path has room for {old} letters, not for {path}")
            start = self._offset(self._value(_STRTAB) or 0) + value
            self.data[start : start + old] = path.encode().ljust(old, b"\0")

    def inherit_runpath(self) -> None:
        """Have where it looks for libraries hold for what it loads, too: DT_RPATH."""
        for at, tag, value in self._dynamic:
            if tag == _RUNPATH:
                _ENTRY.pack_into(self.data, at, _RPATH, value)

    def loaded(self) -> bytes:
        """The part that is loaded, without symbols, debug information and section headers, which
        no loader reads."""
        end = max(_HEADER.size, *(segment[2] + segment[5] for segment in self._segments))
        at, size, count = struct.unpack_from("<Q", self.data, 32)[0], *self._counts()
        end = max(end, at + size * count)
        kept = self.data[:end]
        struct.pack_into("<Q", kept, 40, 0)  # no section headers
        struct.pack_into("<HHH", kept, 58, 0, 0, 0)
        return bytes(kept)

    def _counts(self) -> tuple[int, int]:
        size, count = struct.unpack_from("<HH", self.data, 54)
        return int(size), int(count)
