"""put file --split: a stream cut into records, and the records into files.

Works on chunks as they come. Memory is bounded by a chunk, a piece (1 MiB) and, for
json and csv, one record (at most 64 MiB); lines and sql rows of any length pass
through without being held.

=====  ===============================================================
kind   a record
=====  ===============================================================
line   a line with its newline (the last may have none)
json   one value of a stream of them; white space between them is dropped
csv    one record, written anew: unquoted where possible, ended by a newline;
       empty lines are dropped, records may differ in length
sql    a row of the COPY section of a pg_dump of one table; what is before the
       rows is the header, what is after them the footer
=====  ===============================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pachybox.errors import InvalidArgument
from pachybox.pfs.records import Part, csv_records, json_values, lines

PIECE = 1 << 20
KINDS = ("line", "json", "csv", "sql")

_NAME = re.compile(r"[0-9a-f]{16}")


class Role(Enum):
    """What a piece is a part of."""

    HEADER = "header"
    FILE = "file"
    FOOTER = "footer"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the header, of the current file or of the footer; ``last`` ends it.

    What is shorter than PIECE is one piece. The last of several may be empty.
    """

    role: Role
    data: bytes
    last: bool


def split(
    kind: str,
    chunks: Iterable[bytes],
    *,
    target_datums: int = 0,
    target_bytes: int = 0,
    header_records: int = 0,
) -> Iterator[Piece]:
    """Cut a stream: the header if there is one, the files in order, the footer (sql).

    A file ends with the record that makes it ``target_datums`` records or
    ``target_bytes`` bytes, whichever comes first; with neither, each record is a file.
    The first ``header_records`` records are the header instead (not for sql).

    Raises InvalidArgument on a wrong argument at once, and while iterating on malformed
    data, naming the record (from 1) and the offset of its first byte (from 0).
    """
    if kind not in KINDS:
        raise InvalidArgument(f"cannot split by {kind!r}", "split by line, json, csv or sql")
    for name, value in (
        ("target-file-datums", target_datums),
        ("target-file-bytes", target_bytes),
        ("header-records", header_records),
    ):
        if value < 0:
            raise InvalidArgument(f"{name} is negative", "give 0 or more")
    if kind == "sql" and header_records:
        raise InvalidArgument(
            "sql data has its own header, header-records does not apply", "leave it away"
        )
    if not target_datums and not target_bytes:
        target_datums = 1
    if kind == "sql":
        return _Sql(chunks).split(target_datums, target_bytes)
    records = {"line": lines, "json": json_values, "csv": csv_records}[kind](chunks)
    return _cut(records, target_datums, target_bytes, header_records)


def split_name(number: int) -> str:
    """The name of file ``number`` of a split directory: 16 hexadecimal digits."""
    return f"{number:016x}"


def first_free(names: Iterable[str]) -> int:
    """The number after the highest of a split directory's names; 0 when there are none.

    Raises InvalidArgument when a name is not one of a split directory.
    """
    highest = -1
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"error parsing filename {name} as int: the directory holds unsplit files",
                "put split data on a path of its own",
            )
        highest = max(highest, int(name, 16))
    return highest + 1


# records into files


def _cut(
    parts: Iterable[Part], target_datums: int, target_bytes: int, header_records: int = 0
) -> Iterator[Piece]:
    role = Role.HEADER if header_records else Role.FILE
    most, enough = (header_records, 0) if header_records else (target_datums, target_bytes)
    held: list[bytes] = []
    holding = size = count = 0
    for data, ends in parts:
        held.append(data)
        size += len(data)
        count += ends
        if ends and (count == most or (enough and size >= enough)):
            yield Piece(role, b"".join(held) if len(held) > 1 else data, True)
            held, holding, size, count = [], 0, 0, 0
            role, most, enough = Role.FILE, target_datums, target_bytes
            continue
        holding += len(data)
        if holding >= PIECE:
            yield Piece(role, b"".join(held), False)
            held, holding = [], 0
    if size:
        yield Piece(role, b"".join(held), True)


# sql

_COPY = re.compile(rb"COPY .*FROM stdin;\s*", re.DOTALL)
_END = (b"\\.\n", b"\\.\r\n", b"\\.")


class _Sql:
    """Header, rows and footer of a dump, in the order in which they come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._lines = lines(chunks)
        self._end = b""
        self._offset = 0

    def split(self, target_datums: int, target_bytes: int) -> Iterator[Piece]:
        yield from _whole(Role.HEADER, self._header())
        yield from _cut(self._rows(), target_datums, target_bytes)
        yield from _whole(Role.FOOTER, self._footer())

    def _header(self) -> Iterator[bytes]:
        begins = True
        for part, ends in self._lines:
            yield part
            self._offset += len(part)
            if begins and ends and _COPY.fullmatch(part):
                return
            begins = ends
        raise InvalidArgument(
            "sql data has no COPY section",
            "make the dump with pg_dump, without --inserts or --column-inserts",
        )

    def _rows(self) -> Iterator[Part]:
        begins, record, offset = True, 1, self._offset
        for part, ends in self._lines:
            if begins and part in _END:
                self._end = part
                return
            yield part, ends
            self._offset += len(part)
            if ends:
                record, offset = record + 1, self._offset
            begins = ends
        raise InvalidArgument(
            f"sql record {record} at offset {offset}: the COPY section has no end",
            "the dump is cut short, a line with \\. is missing: make it anew",
        )

    def _footer(self) -> Iterator[bytes]:
        yield self._end
        begins = True
        for part, ends in self._lines:
            if begins and ends and _COPY.fullmatch(part):
                raise InvalidArgument(
                    "sql data has a second COPY section", "dump each table alone: pg_dump -t TABLE"
                )
            yield part
            begins = ends


def _whole(role: Role, parts: Iterable[bytes]) -> Iterator[Piece]:
    """All parts as one header or footer."""
    held: list[bytes] = []
    holding = 0
    for part in parts:
        held.append(part)
        holding += len(part)
        if holding >= PIECE:
            yield Piece(role, b"".join(held), False)
            held, holding = [], 0
    yield Piece(role, b"".join(held), True)
