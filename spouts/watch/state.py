"""What a watch has committed: a database beside the box, one row a file that is still there.

The order that makes a file enter once: the rows of batch N are made durable as *pending*, then
the box commits batch N, then they become rows of files. The next life learns from the box
whether N was committed, and drops or takes them. So memory does not grow with the folder, and the
cost of a batch is that of its own files.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE, LETTER, GONE = 0, 1, 2
"""Kinds of row: a file in the repo, a dead letter; only of pending: a deletion."""

Known = tuple[int, int, int]
"""Of a committed file: size, mtime in nanoseconds, kind."""

Entry = tuple[str, int, int, int]
"""Name, size, mtime in nanoseconds, kind."""

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS files (dir BLOB, name BLOB, size INTEGER, mtime INTEGER,
        kind INTEGER, batch INTEGER, PRIMARY KEY (dir, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pending (dir BLOB, name BLOB, size INTEGER, mtime INTEGER,
        kind INTEGER, batch INTEGER);
"""
_PAGE = 5000


class State:
    """The database ``watch.db`` in ``folder``.

    ``batch`` is what the box has committed: what is pending for a later one is dropped, and rows
    of later ones are (a box that was reset begins again).
    """

    def __init__(self, folder: Path, batch: int) -> None:
        self._db = sqlite3.connect(folder / "watch.db", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM pending WHERE batch > ?", (batch,))
            self._settle()
            self._db.execute("DELETE FROM files WHERE batch > ?", (batch,))

    def close(self) -> None:
        """End the use of the database."""
        self._db.close()

    # ---- about the source

    def get(self, key: str) -> str:
        """What was kept under ``key``; "" without."""
        found = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def set(self, key: str, value: str) -> None:
        """Keep ``value``."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def forget_all(self) -> None:
        """As if nothing had been committed."""
        self._db.execute("DELETE FROM files")

    # ---- files

    def known(self, name: str) -> Known | None:
        """What was committed of the file."""
        found: Known | None = self._db.execute(
            "SELECT size, mtime, kind FROM files WHERE dir = ? AND name = ?", _key(name)
        ).fetchone()
        return found

    def between(
        self, folder: str, after: bytes, last: bytes | None
    ) -> Iterator[tuple[bytes, Known]]:
        """Of the files directly in ``folder``, by name: those after ``after`` and, unless it is
        None, up to ``last``. Rows may be changed meanwhile."""
        directory = os.fsencode(folder)
        upto, bound = ("", ()) if last is None else (" AND name <= ?", (last,))
        sql = f"SELECT name, size, mtime, kind FROM files WHERE dir = ? AND name > ?{upto} LIMIT ?"
        while True:
            page = self._db.execute(sql, (directory, after, *bound, _PAGE)).fetchall()
            for name, size, mtime, kind in page:
                yield name, (size, mtime, kind)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def children(self, folder: str) -> Iterator[str]:
        """The names of folders directly in ``folder`` below which there are files; some twice."""
        prefix = os.fsencode(folder) + b"/" if folder else b""
        at, end = prefix, prefix[:-1] + b"0" if prefix else b"\xff" * 256
        while True:
            found = self._db.execute(
                "SELECT dir FROM files WHERE dir > ? AND dir < ? LIMIT 1", (at, end)
            ).fetchone()
            if found is None:
                return
            at = bytes(found[0])
            child, slash, _ = at[len(prefix) :].partition(b"/")
            yield os.fsdecode(child)
            if slash:
                at = prefix + child + b"/" + b"\xff" * 256  # after everything in it

    def below(self, folder: str) -> Iterator[str]:
        """The names of all files below ``folder``."""
        for child, _ in self.between(folder, b"", None):
            yield _join(folder, os.fsdecode(child))
        for child_folder in self.children(folder):
            yield from self.below(_join(folder, child_folder))

    def drop(self, names: Iterable[str]) -> None:
        """Forget files. May be undone by a loss of power."""
        self._lazily()
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM files WHERE dir = ? AND name = ?", map(_key, names))

    # ---- batches

    def begin(self, batch: int, entries: Iterable[Entry]) -> None:
        """Batch ``batch`` is about to be committed: durable when it returns. What was begun under
        the number before is forgotten."""
        self._db.execute("PRAGMA synchronous = FULL")
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM pending")
            self._db.executemany(
                "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?)",
                ((*_key(name), size, mtime, kind, batch) for name, size, mtime, kind in entries),
            )

    def finish(self) -> None:
        """The batch begun last is committed."""
        self._lazily()  # lost, it is found pending, and known to be committed
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._settle()

    def _settle(self) -> None:
        self._db.execute(
            "DELETE FROM files WHERE (dir, name) IN (SELECT dir, name FROM pending WHERE kind = ?)",
            (GONE,),
        )
        self._db.execute(
            "INSERT OR REPLACE INTO files "
            "SELECT dir, name, size, mtime, kind, batch FROM pending WHERE kind <> ?",
            (GONE,),
        )
        self._db.execute("DELETE FROM pending")

    def _lazily(self) -> None:
        self._db.execute("PRAGMA synchronous = NORMAL")


def _key(name: str) -> tuple[bytes, bytes]:
    folder, _, base = os.fsencode(name).rpartition(b"/")
    return folder, base


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
