"""Rows in files: CSV, JSON and Parquet, read as streams.

A value is what Python has for it: text from CSV, numbers too from the others. Rows come in the
order of the column names given with them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.files import Entry
from pachybox.pps.egress.output import Output

Row = Sequence[Any]

_LONGEST = 64 << 20  # one value of JSON, one cell of CSV
_BATCH = 2000
csv.field_size_limit(_LONGEST)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``text``: an empty string is a value of it."""

    name: str
    text: bool


class _Stream(io.RawIOBase):
    """Pieces of content as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def read(
    output: Output,
    path: str,
    entry: Entry,
    form: str,
    columns: Sequence[str],
    table: Sequence[Column],
) -> Iterator[Row]:
    """The rows of one file, with a value for each of ``columns``, or for each of the table's.

    Raises InvalidArgument naming file and row.
    """
    wanted = list(columns) or [c.name for c in table]
    if form == "PARQUET":
        yield from _parquet(output, path, entry, wanted)
        return
    stream = io.BufferedReader(_Stream(output.content(entry)), 1 << 16)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            if form == "JSON":
                yield from _json(text, path, wanted, strict=not columns)
            else:
                yield from _csv(text, path, wanted, table, header=bool(columns))
        except UnicodeDecodeError as e:
            raise InvalidArgument(f"{path} is no UTF-8 text: {e.reason}", "encode it") from None


def _csv(
    text: io.TextIOWrapper, path: str, wanted: list[str], table: Sequence[Column], *, header: bool
) -> Iterator[Row]:
    """Without a header, values by position. An empty cell is NULL, but in columns of text."""
    reader = csv.reader(text, strict=True)
    keeps = {c.name for c in table if c.text}
    texts = [name in keeps for name in wanted]
    places = list(range(len(wanted)))
    width = len(wanted)
    try:
        if header:
            names = next(reader, None)
            if names is None:
                return  # an empty file has no rows
            missing = [name for name in wanted if name not in names]
            if missing:
                raise InvalidArgument(
                    f"{path} has no column {missing[0]} in its header",
                    "name the columns of the first row in file_format.columns",
                )
            places, width = [names.index(name) for name in wanted], len(names)
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                raise InvalidArgument(
                    f"{path}, line {reader.line_num}: {len(row)} values for {width} columns",
                    "a row has a value for every column",
                )
            yield [
                row[at] if row[at] or is_text else None
                for at, is_text in zip(places, texts, strict=True)
            ]
    except csv.Error as e:
        raise InvalidArgument(
            f"{path}, line {reader.line_num}: no valid CSV: {e}", "mend the pipeline's output"
        ) from None


def _json(text: io.TextIOWrapper, path: str, wanted: list[str], *, strict: bool) -> Iterator[Row]:
    """Objects one after another. What an object lacks is NULL; with ``strict`` it may have
    nothing that the table lacks."""
    known = set(wanted)
    for number, value in enumerate(_values(text, path), 1):
        if not isinstance(value, dict):
            raise InvalidArgument(
                f"{path}, row {number}: no JSON object", "write one object for each row"
            )
        if strict and (more := value.keys() - known):
            raise InvalidArgument(
                f"{path}, row {number}: the table has no column {min(more)}",
                "add it to the table, or name the wanted ones in file_format.columns",
            )
        yield [value.get(name) for name in wanted]


def _values(text: io.TextIOWrapper, path: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_float=Decimal)
    held, at, ended = "", 0, False
    while True:
        while at < len(held) and held[at] in " \t\r\n":
            at += 1
        if at == len(held) and ended:
            return
        try:
            value, end = decoder.raw_decode(held, at)
        except json.JSONDecodeError as e:
            if ended or len(held) - at > _LONGEST:
                line = f"{e.msg} at character {e.pos - at + 1} of a value"
                raise InvalidArgument(
                    f"{path}: no valid JSON: {line}", "mend the pipeline's output"
                ) from None
        except RecursionError:
            raise InvalidArgument(f"{path}: JSON is nested too deep", "flatten it") from None
        else:
            # a number at the end of what is held may go on
            if ended or end < len(held):
                if "\\u" in held[at:end]:  # halves of surrogate pairs: raise before the database
                    json.dumps(value, ensure_ascii=False, default=str).encode()
                yield value
                at = end
                continue
        more = text.read(max(1 << 16, len(held) - at))
        held, at, ended = held[at:] + more, 0, not more


def _parquet(output: Output, path: str, entry: Entry, wanted: list[str]) -> Iterator[Row]:
    import duckdb

    names = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted)
    with tempfile.NamedTemporaryFile(dir=output.scratch, suffix=".parquet") as file:
        for piece in output.content(entry):
            file.write(piece)
        file.flush()
        with duckdb.connect(config=duckdb_settings(output)) as con:
            try:
                con.execute(f"SELECT {names} FROM read_parquet(?)", [file.name])
                while rows := con.fetchmany(_BATCH):
                    output.check()
                    yield from rows
            except duckdb.Error as e:
                why = str(e).splitlines()[0].replace(os.fspath(file.name), path)
                raise InvalidArgument(
                    f"{path} cannot be read: {why}",
                    "its columns have the names of the table's, or of file_format.columns",
                ) from None


def duckdb_settings(output: Output) -> dict[str, Any]:
    """How much a DuckDB beside the box's own may take."""
    return {
        "threads": 1,
        "memory_limit": "256MB",
        "temp_directory": os.fspath(output.scratch / "duckdb"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def as_text(value: Any) -> str | None:
    """A value as text that a database casts to the type of the column; None is NULL."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime() | date() | time():
            return value.isoformat()
        case dict() | list() | tuple():
            return json.dumps(value, default=_inside, ensure_ascii=False)
        case _:
            return str(value)


def _inside(value: Any) -> Any:
    """A value inside a list or an object, as JSON has it."""
    return float(value) if isinstance(value, Decimal) else as_text(value)
