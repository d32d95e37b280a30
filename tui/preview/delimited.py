"""CSV and TSV: the dialect is guessed, the first rows are typed, nulls are counted."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tui.preview.column_types import NULLS, guess_type, value_range
from tui.preview.plain import cell, decode
from tui.preview.source import Deadline, Source
from tui.preview.values import Column, Preview, Table

STEPS = (256 << 10, 1 << 20)  # read first, then more until there are rows enough
COLUMNS = 400
_LONGEST = 128 << 10  # characters of a cell; beyond that a quote was never closed
_DELIMITERS = (",", "\t", ";", "|")
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}

Rows = list[list[str]]


class Dialect(NamedTuple):
    """How cells are parted; ``quoted`` is False where quotes are mere characters."""

    delimiter: str
    quoted: bool = True


class Parsed(NamedTuple):
    """The first rows of a text, the header among them."""

    dialect: Dialect
    rows: Rows
    note: str
    ended: bool  # nothing came after these rows


async def show_delimited(source: Source, tab: str) -> Preview:
    """The first rows, or for tab ``schema`` what their columns hold."""
    limits = source.limits
    deadline = Deadline(limits.seconds)
    for step in (*STEPS, limits.bytes):
        data = await source.head(min(step, limits.bytes))
        whole = not source.bytes_left_out
        text, encoding = await asyncio.to_thread(decode, data, whole)
        parsed = await asyncio.to_thread(parse, text, source.path, limits.rows + 1, whole, deadline)
        if len(parsed.rows) > limits.rows or whole or deadline.over:
            break
    total, exact = len(parsed.rows), parsed.ended and whole
    if not exact:
        if source.size <= limits.bytes and not deadline.over:
            text, _ = decode(await source.head(source.size), True)
            total, exact = await asyncio.to_thread(count, text, parsed.dialect, deadline)
        if not exact:
            total = max(total, _estimate(data, source.size))
    notes = tuple(note for note in (encoding, parsed.note) if note)
    return await asyncio.to_thread(_made, parsed, tab, limits.rows, (total, exact), notes)


def _made(
    parsed: Parsed, tab: str, most: int, total: tuple[int, bool], notes: tuple[str, ...]
) -> Preview:
    rows = parsed.rows
    width = min(max((len(row) for row in rows), default=0), COLUMNS)
    if any(len(row) > COLUMNS for row in rows):
        notes += (f"only the first {COLUMNS} columns are shown",)
    named = has_header(rows)
    names = rows[0] if named else []
    cut = len(rows) > most + named
    rows = rows[named : most + named]
    names = [*names[:width], *(str(n + 1) for n in range(len(names[:width]), width))]
    if not named and rows:
        notes += ("no header: columns are numbered",)
    cells = [tuple(_cell(row, n) for n in range(width)) for row in rows]
    kinds = [guess_type([row[n] for row in cells]) for n in range(width)]
    columns = tuple(
        Column(
            cell(name),
            kind,
            sum(row[n] is None for row in cells),
            right=kind in ("integer", "number"),
        )
        for n, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    facts = _facts(columns, len(cells), max(total[0] - named, len(cells)), total[1])
    facts += (f"{_NAMES[parsed.dialect.delimiter]} separated",)
    body = schema(columns, cells) if tab == "schema" else Table(columns, cells)
    more = cut or not parsed.ended
    return Preview("csv", body, facts, notes, more, ("preview", "raw", "schema", "hex"), tab)


def _cell(row: Sequence[str], n: int) -> str | None:
    return cell(row[n]) if n < len(row) and row[n] not in NULLS else None


def _facts(columns: Sequence[Column], shown: int, total: int, exact: bool) -> tuple[str, ...]:
    if exact and shown == total:
        rows = f"{total:,} rows" if total != 1 else "1 row"
    else:
        rows = f"first {shown:,} of {'' if exact else '~'}{total:,} rows"
    nulls = [f"{c.nulls} in {c.name}" for c in columns if c.nulls]
    found: tuple[str, ...] = (rows, f"{len(columns)} column{'s' * (len(columns) != 1)}")
    if nulls:
        found += ("nulls: " + ", ".join(nulls[:4]) + (" \u2026" if len(nulls) > 4 else ""),)
    return found


def schema(columns: Sequence[Column], rows: Sequence[tuple[str | None, ...]]) -> Table:
    """What each column of the rows shown holds, one a row."""
    found = []
    for n, column in enumerate(columns):
        least, most = value_range(column.type, [row[n] for row in rows])
        found.append((column.name, column.type, str(column.nulls), least, most))
    titles = (Column("column", "text"), Column("type", "text"), Column("nulls", "", right=True))
    return Table((*titles, Column("least", "text"), Column("most", "text")), found)


def parse(text: str, path: str, most: int, whole: bool, deadline: Deadline) -> Parsed:
    """At most ``most`` rows and one more of ``text``, the beginning of a file or the ``whole``."""
    dialect, note = sniff(text[: 64 << 10], path), ""
    try:
        rows = _take(text, dialect, most + 1, deadline)
    except csv.Error as e:
        dialect, note = Dialect(dialect.delimiter, False), f"quotes do not match ({e})"
        try:
            rows = _take(text, dialect, most + 1, deadline)
        except csv.Error as again:
            return Parsed(dialect, [], str(again), whole)
    ended = len(rows) <= most and not deadline.over
    if ended and not whole and len(rows) > 1:
        rows.pop()  # it may be cut
    return Parsed(dialect, [row for row in rows if row], note, ended and whole)


def _take(text: str, dialect: Dialect, most: int, deadline: Deadline) -> Rows:
    rows: Rows = []
    for row in reader(text, dialect):
        if any(len(text) > _LONGEST for text in row):  # csv's own limit is the whole process's
            raise csv.Error(f"a cell is longer than {_LONGEST:,} characters")
        rows.append(row)
        if len(rows) >= most or (len(rows) % 256 == 0 and deadline.over):
            break
    return rows


def reader(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """The rows of ``text``."""
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
    )


def count(text: str, dialect: Dialect, deadline: Deadline) -> tuple[int, bool]:
    """How many rows ``text`` has, and whether the time sufficed to count them all."""
    found, rows = 0, reader(text, dialect)
    try:
        while block := sum(1 for row in itertools.islice(rows, 4096) if row):
            found += block
            if deadline.over:
                return found, False
    except csv.Error:
        return found, False
    return found, True


def _estimate(data: bytes, size: int) -> int:
    return round((data.count(b"\n") or 1) / max(len(data), 1) * size)


def sniff(text: str, path: str) -> Dialect:
    """The delimiter that parts most rows into equally many cells."""
    best = (0.0, 0, 0)
    found = "\t" if path.lower().endswith((".tsv", ".tab")) else ","
    preferred = found
    for delimiter in _DELIMITERS:
        try:
            rows = list(itertools.islice(reader(text, Dialect(delimiter)), 40))
        except csv.Error:
            rows = [line.split(delimiter) for line in text.split("\n", 40)[:40]]
        if len(rows) > 1:
            rows.pop()  # it may be cut
        widths = Counter(len(row) for row in rows if row)
        if not widths:
            continue
        width, alike = widths.most_common(1)[0]
        score = (alike / widths.total(), width, int(delimiter == preferred))
        if width > 1 and score > best:
            best, found = score, delimiter
    return Dialect(found)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: each cell filled, another, and no number or date."""
    if not rows:
        return False
    first = rows[0]
    return (
        all(name.strip() for name in first)
        and len(set(first)) == len(first)
        and all(guess_type([name]) == "text" for name in first)
    )
