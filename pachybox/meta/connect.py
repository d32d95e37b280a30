"""DuckDB: opening, migrations, reading. Writing is writer.py's.

One process owns the file (DuckDB takes its lock). Readers take a cursor each from
a small pool; a result is always fetched whole before the cursor goes back, because
in DuckDB 2 an open result owns its connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from pachybox.errors import Internal, Refused

_CONFIG: dict[str, Any] = {
    "threads": 2,
    "memory_limit": "256MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "checkpoint_threshold": "16MB",
}


def migrations() -> list[tuple[int, str]]:
    """The numbered SQL files shipped with this version, in order."""
    found = []
    for item in files("pachybox.meta").joinpath("migrations").iterdir():
        if item.name.endswith(".sql"):
            found.append((int(item.name.split("_", 1)[0]), item.read_text()))
    return sorted(found)


class Database:
    """The one connection to ``meta.duckdb`` and a pool of cursors on it."""

    def __init__(self, path: Path) -> None:
        """Open or create the database and bring its schema up to date.

        Raises Refused when another process holds it or when a newer version wrote it.
        """
        self.path = path
        self._lock = threading.Lock()
        self._pool: list[duckdb.DuckDBPyConnection] = []
        self._generation = 0
        self.writer = self._connect()
        self._migrate()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            return duckdb.connect(
                str(self.path), config={**_CONFIG, "temp_directory": f"{self.path}.tmp"}
            )
        except duckdb.IOException as e:
            if "lock" in str(e):
                raise Refused(
                    f"{self.path} is in use by another process",
                    "stop the other box, or choose another PACHYBOX_HOME",
                ) from e
            raise Internal(f"cannot open {self.path}: {e}") from e

    def _migrate(self) -> None:
        con = self.writer
        con.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        rows = con.execute("SELECT max(version) FROM schema_version").fetchall()
        have = rows[0][0] or 0
        shipped = migrations()
        newest = shipped[-1][0]
        if have > newest:
            raise Refused(
                f"{self.path} has schema version {have}; this pachybox knows up to {newest}",
                "run the newer pachybox that wrote it",
            )
        for number, sql in shipped:
            if number > have:
                con.execute("BEGIN")
                con.execute(sql)
                con.execute("INSERT INTO schema_version VALUES (?)", [number])
                con.execute("COMMIT")

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for reading; sees what was committed when a statement begins."""
        with self._lock:
            generation = self._generation
            con = self._pool.pop() if self._pool else self.writer.cursor()
        try:
            yield con
        finally:
            with self._lock:
                if generation == self._generation and len(self._pool) < 8:
                    self._pool.append(con)
                else:
                    con.close()

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self.cursor() as con:
            return con.execute(sql, list(params)).fetchall()

    def reopen(self) -> None:
        """After DuckDB declared the database invalid (disk full in mid-write): start afresh
        from what is on disk."""
        with self._lock:
            self._generation += 1
            for con in self._pool:
                con.close()
            self._pool.clear()
            self.writer.close()
            self.writer = self._connect()

    def close(self) -> None:
        """Checkpoint and close."""
        with self._lock:
            for con in self._pool:
                con.close()
            self._pool.clear()
            self.writer.close()
