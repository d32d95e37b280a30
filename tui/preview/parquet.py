"""Parquet: schema, first rows, row groups, by DuckDB on a copy that is almost all hole.

The copy is a sparse temporary file of the whole size that holds the footer and, of the first row
group, the pages with the first rows. Which bytes those are is read from the page headers, so that
a column is either shown as it is or named as left out, never made of zeros.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from tui.preview.parquet_pages import Malformed, needed
from tui.preview.parquet_reader import ask
from tui.preview.plain import cell
from tui.preview.source import Source
from tui.preview.values import Column, Preview, Table

ROWS = 200
COLUMNS = 200
FOOTER = 64 << 10
PEEK = 16 << 10
VECTOR = 2048  # values that DuckDB decodes at once, however few are asked for
TABS = ("preview", "schema", "row groups", "hex")


class Chunk(NamedTuple):
    """The bytes of a leaf of topmost column ``column`` in the first row group with rows."""

    column: int
    start: int
    size: int
    values: int


class Layout(NamedTuple):
    """What the footer says. ``first``: rows in the first row group that has any."""

    rows: int
    groups: int
    maker: str
    columns: tuple[tuple[str, str], ...]  # the topmost, each with DuckDB's type
    first: int
    chunks: tuple[Chunk, ...]


async def show_parquet(source: Source, tab: str) -> Preview:
    """One tab of a Parquet file. Raises Unreadable for a file that is none."""
    with tempfile.NamedTemporaryFile(prefix="pachybox-", suffix=".parquet", buffering=0) as file:
        copy: BinaryIO = file.file  # type: ignore[assignment]  # raw, so nothing is held back
        await asyncio.to_thread(copy.truncate, source.size)
        await _footer(source, copy)
        found = _layout(await ask("layout", file.name))
        notes: tuple[str, ...] = ()
        more = False
        facts = [f"{found.rows:,} rows", f"{len(found.columns)} columns"]
        facts.append(f"{found.groups:,} row groups" if found.groups != 1 else "1 row group")
        if tab == "schema":
            body = _schema(await ask("schema", file.name))
            facts.append(cell(found.maker, 100))
        elif tab == "row groups":
            body = _groups(await ask("groups", file.name))
        else:
            body, notes, more = await _rows(source, copy, file.name, found)
            facts[0] = f"first {len(body.rows):,} of {found.rows:,} rows"
    return Preview("parquet", body, tuple(facts), notes, more, TABS, tab)


async def _footer(source: Source, copy: BinaryIO) -> None:
    tail = await source.read(source.size - min(FOOTER, source.size), FOOTER)
    size = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or size + 4 > source.size:
        raise ValueError("no Parquet footer at its end: it is cut or broken")
    if size > source.left + len(tail):
        raise ValueError(f"its footer alone has {size:,} bytes")
    if size > len(tail):
        tail = await source.read(source.size - size, size - len(tail)) + tail
    await asyncio.to_thread(_write, copy, 0, b"PAR1")
    await asyncio.to_thread(_write, copy, source.size - len(tail), tail)


def _write(copy: BinaryIO, at: int, data: bytes) -> None:
    copy.seek(at)
    copy.write(data)


async def _rows(
    source: Source, copy: BinaryIO, name: str, found: Layout
) -> tuple[Table, tuple[str, ...], bool]:
    """The first rows of the columns for which the bytes suffice."""
    wanted = range(min(len(found.columns), COLUMNS))
    whole = await _whole_group(source, copy, found.chunks)
    have = []
    for column in wanted:
        chunks = [chunk for chunk in found.chunks if chunk.column == column]
        if whole or all([await _fetch(source, copy, chunk) for chunk in chunks]):
            have.append(column)
    most = min(ROWS * max(source.limits.rows // 500, 1), found.first)
    answer = await ask("rows", name, [found.columns[n][0] for n in have], most)
    have = [have[n] for n in answer["places"]]
    values = [_cells(row) for row in answer["rows"]]
    columns = tuple(
        Column(
            cell(found.columns[n][0]),
            cell(found.columns[n][1]),
            sum(row[at] is None for row in values),
            _number(found, n),
        )
        for at, n in enumerate(have)
    )
    out = [found.columns[n][0] for n in range(len(found.columns)) if n not in set(have)]
    notes = (f"left out, too long for a preview: {_list(out)}",) if out else ()
    return Table(columns, values), notes, bool(out) or most < found.rows


def _layout(answer: dict[str, Any]) -> Layout:
    columns = tuple((str(name), str(kind)) for name, kind in answer["columns"])
    chunks = tuple(Chunk(*chunk) for chunk in answer["chunks"])
    return Layout(
        answer["rows"], answer["groups"], answer["maker"], columns, answer["first"], chunks
    )


def _cells(row: Sequence[Any]) -> tuple[str | None, ...]:
    return tuple(
        None if value is None else f"{value:,}" if isinstance(value, int) else cell(value)
        for value in row
    )


def _schema(answer: Sequence[Sequence[Any]]) -> Table:
    """The tree of columns, one a row."""
    titles = ("column", "type", "stored as", "meaning", "presence")
    shown, left = [], list[int]()  # children still to come, of each level
    for name, *row, children in answer[1:]:  # the first is the root
        shown.append(_cells(["  " * len(left) + str(name), *row]))
        if left:
            left[-1] -= 1
        if children:
            left.append(children)
        while left and left[-1] <= 0:
            left.pop()
    return Table(tuple(Column(title, "") for title in titles), shown)


def _groups(answer: Sequence[Sequence[Any]]) -> Table:
    """Each column of each row group."""
    numbers = {"group", "values", "nulls", "stored", "unpacked"}
    titles = (
        *("group", "column", "values", "nulls", "least", "most"),
        *("stored", "unpacked", "compression", "encodings"),
    )
    columns = tuple(Column(title, "", right=title in numbers) for title in titles)
    return Table(columns, [_cells(row) for row in answer])


def _number(found: Layout, column: int) -> bool:
    kind = found.columns[column][1]
    return kind.endswith("INT") or kind.startswith(("DECIMAL", "INTEGER", "DOUBLE", "FLOAT"))


def _list(names: Sequence[str]) -> str:
    return ", ".join(cell(name, 60) for name in names[:5]) + (
        f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    )


async def _whole_group(source: Source, copy: BinaryIO, chunks: Sequence[Chunk]) -> bool:
    """All of the first row group at once, where it is small enough; whether it was."""
    start = min((chunk.start for chunk in chunks), default=0)
    end = max((chunk.start + chunk.size for chunk in chunks), default=0)
    if not 0 < end - start <= min(source.left, source.limits.bytes // 4):
        return False
    data = await source.read(start, end - start)
    await asyncio.to_thread(_write, copy, start, data)
    return len(data) == end - start


async def _fetch(source: Source, copy: BinaryIO, chunk: Chunk) -> bool:
    """The pages of one chunk that hold its first rows; whether that was possible."""
    if chunk.start <= 0 or chunk.size < 0 or chunk.start + chunk.size > source.size:
        return False
    data = await source.read(chunk.start, min(PEEK, chunk.size))
    while True:
        try:
            end, known = needed(data, min(VECTOR, chunk.values))
        except Malformed:
            return False
        end = min(end if known else end + PEEK, chunk.size)
        if end <= len(data):
            break
        if end - len(data) > source.left:
            return False
        more = await source.read(chunk.start + len(data), end - len(data))
        if not more:
            return False
        data += more
    await asyncio.to_thread(_write, copy, chunk.start, data)
    return True
