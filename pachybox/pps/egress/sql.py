"""Egress of rows: every top-level directory of the commit is a table, its files are the rows.

All tables named are emptied and filled in one transaction: readers see the former commit's rows
or this one's. Tables must be there; what the commit does not name is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pachybox.errors import InvalidArgument, NotFound
from pachybox.pps.egress.output import Output
from pachybox.pps.egress.rows import Column, Row, read
from pachybox.pps.egress.target import Database

BATCH = 2000


@dataclass(slots=True)
class Filled:
    """What an egress of rows did; ``rows`` by table."""

    files: int = 0
    bytes: int = 0
    rows: dict[str, int] = field(default_factory=dict)


class Tables(Protocol):
    """A database in a transaction of ours; leaving it by an error undoes the transaction."""

    def columns(self, table: str) -> list[Column]:
        """The columns a row may have, in order; none when there is no such table."""

    def clear(self, table: str) -> None:
        """Delete every row."""

    def insert(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> int:
        """Insert rows as they come; returns how many. InvalidArgument when one does not fit."""

    def commit(self) -> None:
        """Make it so."""


def fill(output: Output, target: Database, password: str | None) -> Filled:
    """Empty and fill the tables that the commit's directories name; nothing for an empty commit.

    Raises InvalidArgument when the commit cannot be tables, NotFound for a missing table,
    Refused and NotReady for the database's own troubles, and Stopped. Then nothing is changed.
    """
    names = []
    for entry in output.pfs.trees.list(output.root):
        if not entry.is_dir:
            raise InvalidArgument(
                f"/{entry.name} is a file at the top of the output, and belongs to no table",
                "write it into a directory that has the table's name",
            )
        names.append(entry.name)
    done = Filled()
    if not names:
        return done
    with _open(output, target, password) as tables:
        known = {name: _columns(tables, name, target) for name in names}
        for name in names:
            tables.clear(name)
        try:
            for name in names:
                _fill_table(output, target, tables, name, known[name], done)
        except UnicodeEncodeError:
            raise InvalidArgument(
                "a row holds half of a surrogate pair, which is no text",
                "mend the pipeline's output",
            ) from None
        output.check()
        tables.commit()
    return done


def _columns(tables: Tables, name: str, target: Database) -> list[Column]:
    found = tables.columns(name)
    if not found:
        raise NotFound(f"{target} has no table {name}", "create it: egress makes no tables")
    there = {c.name for c in found}
    for column in target.columns:
        if column not in there:
            raise InvalidArgument(
                f"table {name} of {target} has no column {column}",
                "add it, or take it out of file_format.columns",
            )
    return found


def _fill_table(
    output: Output,
    target: Database,
    tables: Tables,
    name: str,
    columns: list[Column],
    done: Filled,
) -> None:
    def rows() -> Iterator[Row]:
        for path, entry in output.files(f"/{name}"):
            yield from read(output, path, entry, target.format, target.columns, columns)
            done.files += 1
            done.bytes += entry.size

    wanted = target.columns or [c.name for c in columns]
    done.rows[name] = tables.insert(name, wanted, rows())


def _open(output: Output, target: Database, password: str | None) -> AbstractContextManager[Tables]:
    match target.url.scheme:
        case "sqlite":
            from pachybox.pps.egress.sqlite import open_sqlite

            return open_sqlite(output, target)
        case "duckdb":
            from pachybox.pps.egress.duck import open_duckdb

            return open_duckdb(output, target)
        case _:
            from pachybox.pps.egress.postgres import open_postgres

            return open_postgres(target, password)


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in lists of at most BATCH."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str) -> str:
    """A table, of a schema when there is a dot in its name."""
    schema, dot, name = table.partition(".")
    return f"{quoted(schema)}.{quoted(name)}" if dot else quoted(table)


def is_text(kind: str) -> bool:
    """Whether a type of SQL holds text, so that an empty string is a value of it."""
    return any(word in kind.upper() for word in ("CHAR", "TEXT", "CLOB", "STRING"))
