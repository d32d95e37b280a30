"""What DuckDB is asked about a Parquet file. One database in memory serves all previews."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import duckdb

from tui.preview.plain import cell
from tui.preview.values import Column, Table

VECTOR = 2048  # values that DuckDB decodes at once, however few are asked for
SECONDS = 2.0  # a query that takes longer is stopped: only a hostile file's does
STATISTICS = 5_000
_CELL = 400
_SAFE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # the first rows come from the first row group, in order
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


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


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config=_SAFE)


@contextmanager
def _asking() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose query is stopped when it takes too long."""
    with _database().cursor() as connection:
        timer = threading.Timer(SECONDS, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield connection
        finally:
            timer.cancel()


def layout(name: str) -> Layout:
    """Rows, columns, and where the first rows of each column lie."""
    with _asking() as ask:
        maker, total, count = ask.execute(
            "select created_by, num_rows, num_row_groups from parquet_file_metadata(?)", [name]
        ).fetchall()[0]
        described = ask.execute("describe select * from read_parquet(?)", [name]).fetchall()
        tops = _tops(
            ask.execute("select num_children from parquet_schema(?)", [name]).fetchall()[1:]
        )
        chunks = ask.execute(
            """select row_group_num_rows, column_id,
                      coalesce(least(nullif(dictionary_page_offset, 0), data_page_offset),
                               data_page_offset),
                      total_compressed_size, num_values
               from parquet_metadata($1)
               where row_group_id = (select min(row_group_id) from parquet_metadata($1)
                                     where row_group_num_rows > 0)""",
            [name],
        ).fetchall()
    return Layout(
        total,
        count,
        cell(maker or "", 100),
        tuple((cell(row[0], 200), cell(row[1], 200)) for row in described),
        chunks[0][0] if chunks else 0,
        tuple(Chunk(tops[row[1]], row[2], row[3], row[4]) for row in chunks),
    )


def _tops(children: Sequence[tuple[int | None]]) -> list[int]:
    """For each leaf of a schema written depth first, without its root, the topmost column."""
    tops: list[int] = []
    open_: list[int] = []  # children still to come, of each level
    top = -1
    for (count,) in children:
        if not open_:
            top += 1
        else:
            open_[-1] -= 1
        if count:
            open_.append(count)
        else:
            tops.append(top)
        while open_ and not open_[-1]:
            open_.pop()
    return tops


def rows(
    name: str, columns: Sequence[str], most: int
) -> tuple[list[int], list[tuple[str | None, ...]]]:
    """The first rows; which of ``columns`` they hold, without those that cannot be decoded."""
    places = list(range(len(columns)))
    try:
        return places, _rows(name, columns, most)
    except duckdb.Error:
        places = [n for n in places if _readable(name, columns[n], most)]
        if not places:
            raise
        return places, _rows(name, [columns[n] for n in places], most)


def _readable(name: str, column: str, most: int) -> bool:
    try:
        _rows(name, [column], most)
    except duckdb.Error:
        return False
    return True


def _rows(name: str, columns: Sequence[str], most: int) -> list[tuple[str | None, ...]]:
    if not columns or not most:
        return []
    asked = ", ".join(f"left(cast({_quoted(c)} as varchar), {_CELL})" for c in columns)
    with _asking() as ask:
        found = ask.execute(f"select {asked} from read_parquet(?) limit {most:d}", [name])
        return [
            tuple(None if value is None else cell(value) for value in row)
            for row in found.fetchall()
        ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def schema(name: str) -> Table:
    """The tree of columns, one a row."""
    with _asking() as ask:
        found = ask.execute(
            """select name, coalesce(duckdb_type, ''), coalesce(type, ''),
                      coalesce(logical_type, converted_type, ''), coalesce(repetition_type, ''),
                      num_children
               from parquet_schema(?) limit ?""",
            [name, STATISTICS],
        ).fetchall()
    titles = ("column", "type", "stored as", "meaning", "presence")
    shown, depth = [], list[int]()
    for *row, children in found[1:]:  # the first is the root
        row[0] = "  " * len(depth) + str(row[0])
        shown.append(tuple(cell(value, 200) for value in row))
        if depth:
            depth[-1] -= 1
        if children:
            depth.append(children)
        while depth and depth[-1] <= 0:
            depth.pop()
    return Table(tuple(Column(title, "") for title in titles), shown)


def groups(name: str) -> Table:
    """Each column of each row group: sizes and statistics."""
    with _asking() as ask:
        found = ask.execute(
            f"""select row_group_id, path_in_schema, num_values, stats_null_count,
                       left(coalesce(stats_min_value, stats_min), {_CELL}),
                       left(coalesce(stats_max_value, stats_max), {_CELL}),
                       total_compressed_size, total_uncompressed_size, compression, encodings
                from parquet_metadata(?) order by row_group_id, column_id limit ?""",
            [name, STATISTICS],
        ).fetchall()
    numbers = {"group", "values", "nulls", "stored", "unpacked"}
    titles = (
        *("group", "column", "values", "nulls", "least", "most"),
        *("stored", "unpacked", "compression", "encodings"),
    )
    shown = [
        tuple(
            None if value is None else f"{value:,}" if isinstance(value, int) else cell(value)
            for value in row
        )
        for row in found
    ]
    return Table(tuple(Column(title, "", right=title in numbers) for title in titles), shown)
