"""Tables of a DuckDB file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError
from pachybox.pps.egress.objects import refuse_home
from pachybox.pps.egress.output import Output
from pachybox.pps.egress.rows import Column, Row, as_text, duckdb_settings
from pachybox.pps.egress.sql import batches, is_text, qualified, quoted
from pachybox.pps.egress.target import Database


@contextmanager
def open_duckdb(output: Output, target: Database) -> Iterator[DuckTables]:
    """A transaction on the file. NotFound when it is missing, NotReady when it is in use."""
    path = Path(target.path)
    refuse_home(output, path, str(target))
    if not path.is_file():
        raise NotFound(f"{target} is no file", "create it with its tables: egress makes none")
    try:
        con = duckdb.connect(os.fspath(path), config=duckdb_settings(output))
    except duckdb.Error as e:
        raise _told(target, e) from e
    try:
        try:
            con.execute("BEGIN")
            yield DuckTables(con, target)
        except duckdb.Error as e:
            raise _told(target, e) from e
    finally:
        con.close()  # an open transaction is undone


class DuckTables:
    """See Tables."""

    def __init__(self, con: duckdb.DuckDBPyConnection, target: Database) -> None:
        self._con = con
        self._target = target

    def columns(self, table: str) -> list[Column]:
        """See Tables."""
        schema, dot, name = table.partition(".")
        rows = self._con.execute(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_catalog = current_database() AND table_schema = ? AND table_name = ? "
            "ORDER BY ordinal_position",
            [schema if dot else "main", name if dot else table],
        ).fetchall()
        return [Column(name, is_text(kind)) for name, kind in rows]

    def clear(self, table: str) -> None:
        """See Tables."""
        self._con.execute(f"DELETE FROM {qualified(table)}")

    def insert(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> int:
        """See Tables."""
        names = ", ".join(map(quoted, columns))
        # perf: a column of texts each, cast by the table: 90,000 rows/s; executemany 3,000
        lists = ", ".join("unnest(?::VARCHAR[])" for _ in columns)
        sql = f"INSERT INTO {qualified(table)} ({names}) SELECT {lists}"
        count = 0
        for batch in batches(rows):
            values = [list(map(_text, column)) for column in zip(*batch, strict=True)]
            try:
                self._con.execute(sql, values)
            except (duckdb.ConversionException, duckdb.ConstraintException) as e:
                why = str(e).splitlines()[0]
                raise InvalidArgument(
                    f"a row does not fit table {table} of {self._target}: {why}",
                    "mend the pipeline's output",
                ) from e
            count += len(batch)
        return count

    def commit(self) -> None:
        """See Tables."""
        self._con.execute("COMMIT")


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return "".join(f"\\x{b:02X}" for b in value)  # how DuckDB writes a blob
    return as_text(value)


def _told(target: Database, e: duckdb.Error) -> PachyboxError:
    why = str(e).splitlines()[0]
    return NotReady(f"{target}: {why}", "see that the file can be written and nobody holds it")
