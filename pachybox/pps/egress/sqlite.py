"""Tables of an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError
from pachybox.pps.egress.objects import refuse_home
from pachybox.pps.egress.output import Output
from pachybox.pps.egress.rows import Column, Row, as_text
from pachybox.pps.egress.sql import is_text, quoted
from pachybox.pps.egress.target import Database

_WAIT_S = 30.0  # for another writer


@contextmanager
def open_sqlite(output: Output, target: Database) -> Iterator[SqliteTables]:
    """A transaction on the file. NotFound when it is missing, NotReady when it is in use."""
    path = Path(target.path)
    refuse_home(output, path, str(target))
    if not path.is_file():
        raise NotFound(f"{target} is no file", "create it with its tables: egress makes none")
    uri = f"file:{quote(os.fspath(path))}?mode=rw"
    try:
        con = sqlite3.connect(
            uri, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as e:
        raise _told(target, e) from e
    try:
        try:
            con.execute("BEGIN IMMEDIATE")
            yield SqliteTables(con, target)
        except sqlite3.Error as e:
            raise _told(target, e) from e
    finally:
        con.close()  # an open transaction is undone


class SqliteTables:
    """See Tables."""

    def __init__(self, con: sqlite3.Connection, target: Database) -> None:
        self._con = con
        self._target = target

    def columns(self, table: str) -> list[Column]:
        """See Tables."""
        rows = self._con.execute("SELECT name, type FROM pragma_table_info(?)", [table])
        # a column without a type takes all, text too
        return [Column(name, not kind or is_text(kind)) for name, kind in rows]

    def clear(self, table: str) -> None:
        """See Tables."""
        self._con.execute(f"DELETE FROM {quoted(table)}")

    def insert(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> int:
        """See Tables."""
        names = ", ".join(map(quoted, columns))
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})"
        try:
            return self._con.executemany(sql, (list(map(_value, row)) for row in rows)).rowcount
        except (sqlite3.IntegrityError, OverflowError) as e:
            raise InvalidArgument(
                f"a row does not fit table {table} of {self._target}: {e}",
                "mend the pipeline's output",
            ) from e

    def commit(self) -> None:
        """See Tables."""
        self._con.execute("COMMIT")


def _value(value: Any) -> Any:
    """What SQLite stores; text becomes a number where the column is one, by its affinity."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    return float(value) if isinstance(value, Decimal) else as_text(value)


def _told(target: Database, e: sqlite3.Error) -> PachyboxError:
    return NotReady(f"{target}: {e}", "see that the file can be written and nobody holds it")
