"""How many bytes of a column's chunk hold its first rows: page headers of Parquet, read alone.

A header is a Thrift struct in the compact protocol; only the few fields needed here are kept.
"""

from __future__ import annotations

from typing import NamedTuple

DICTIONARY = 2  # the type of a page that holds no rows


class Page(NamedTuple):
    """One page: its type, the bytes of its header and of its content, the values in it."""

    type: int
    header: int
    content: int
    unpacked: int
    values: int


class Malformed(ValueError):
    """Bytes that are no page header."""


class Short(Exception):
    """The header goes on behind the bytes given."""


def page(data: bytes, at: int) -> Page:
    """The page whose header begins at ``at``."""
    reader = _Compact(data, at)
    fields = reader.struct(0)
    # 5 data, 7 dictionary, 8 data version 2: each begins with its number of values
    inner = next((v for n in (5, 8, 7) if isinstance(v := fields.get(n), dict)), {})
    kind, unpacked, content = (fields.get(n) for n in (1, 2, 3))
    values = inner.get(1)
    if not isinstance(kind, int) or not isinstance(content, int) or not isinstance(values, int):
        raise Malformed("no page header")
    if not isinstance(unpacked, int) or content < 0 or unpacked < 0 or values < 0:
        raise Malformed("a page of negative size")
    return Page(kind, reader.at - at, content, unpacked, values)


def needed(data: bytes, rows: int) -> tuple[int, bool]:
    """How many bytes from the chunk's begin hold ``rows`` values, as far as ``data`` tells.

    The second is False when the pages seen hold fewer: the next header begins at the first.
    """
    at, values = 0, 0
    while values < rows:
        try:
            found = page(data, at)
        except Short:
            return at, False
        at += found.header + found.content
        if found.type != DICTIONARY:
            values += found.values
    return at, True


_Value = int | bytes | bool | float | dict[int, "_Value"] | list["_Value"]


class _Compact:
    """Thrift's compact protocol."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise Short
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Malformed("a number too long")

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, size: int) -> int:
        if size > len(self.data) - self.at:
            raise Short
        self.at += size
        return 0

    def struct(self, depth: int) -> dict[int, _Value]:
        if depth > 8:
            raise Malformed("nested too deep")
        fields: dict[int, _Value] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            fields[number] = self.value(head & 15, depth)
        return fields

    def value(self, kind: int, depth: int) -> _Value:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 7:
            return self.skip(8)
        if kind == 8:
            return self.skip(self.varint())
        if kind == 12:
            return self.struct(depth + 1)
        raise Malformed(f"a field of type {kind}")  # lists and maps: not in a page header
