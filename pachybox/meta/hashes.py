"""Which jobs ran a datum of a hash: an index on disk, for as many datums as there ever were.

DuckDB holds its indexes in memory, this one is a B-tree of SQLite's beside the database: of each
datum the first 60 bits of its hash, and ``seq`` of its job (tables.DatumRecord). It may name jobs
that have no such datum any more, and never lacks one: a datum's pair comes to the table
``datum_hashes`` in the transaction that writes the datum, goes from there to the index in bulk, and
is taken from the table when the index has it for good. Both count these moves, so that an index
that does not belong to its database is seen when it is opened, and made anew.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from pachybox.errors import Corrupt, Exhausted, PachyboxError
from pachybox.meta.connect import FREE_SPACE, Database
from pachybox.meta.tables import HASH_NUMBER, Row, hash_number

log = logging.getLogger("pachybox.meta")

_TOGETHER = 2000  # pairs moved in one go, for which searches wait
_SCHEMA = """
CREATE TABLE pairs (hash INTEGER, seq INTEGER, PRIMARY KEY (hash, seq)) WITHOUT ROWID;
CREATE TABLE moved (number INTEGER NOT NULL);
INSERT INTO moved VALUES (-1);
"""
_ADD = "INSERT OR IGNORE INTO pairs VALUES (?, ?)"


class Hashes:
    """The index of one database. Safe to call from any thread but ``move``, which one calls at a
    time."""

    def __init__(self, db: Database) -> None:
        """Open the index, or make it. Raises Exhausted when the disk has no room for it."""
        self._db = db
        self.path = db.path.with_name(f"{db.path.name}.hashes")
        self._number = int(db.read("SELECT max(number) FROM hashes_moved")[0][0])
        if not self._fits():
            self._make()
        self._con = self._open(self.path)
        self._lock = threading.Lock()

    def find(self, hashes: Sequence[str]) -> set[int]:
        """``seq`` of every job that ran a datum with one of the hashes, and maybe of others."""
        numbers = [hash_number(one) for one in hashes]
        # race: the table first, since what it has no more is in the index
        rows = self._db.read(
            "SELECT DISTINCT seq FROM datum_hashes WHERE hash IN (SELECT unnest(?))", [numbers]
        )
        found = {int(row[0]) for row in rows}
        with self._lock:
            run = self._con.execute
            try:
                for number in numbers:
                    found.update(
                        r[0] for r in run("SELECT seq FROM pairs WHERE hash = ?", (number,))
                    )
            except sqlite3.DatabaseError as e:
                raise self._damaged(e) from e
        return found

    def move(self, write: Callable[[Callable[[], None]], None]) -> None:
        """Bring what waits into the index. ``write`` runs a function in the writer, between its
        transactions. Raises Exhausted when the disk is full, Corrupt when the index is damaged."""
        while pairs := self._db.read(f"SELECT hash, seq FROM datum_hashes LIMIT {_TOGETHER}"):
            self._change(_ADD, pairs, self._number + 1)
            write(partial(self._taken, pairs))

    def _taken(self, pairs: Sequence[Row]) -> None:
        """The index has these for good."""
        con = self._db.writer
        try:
            con.execute("BEGIN")
            con.execute(
                "DELETE FROM datum_hashes WHERE (hash, seq) IN (SELECT unnest(?), unnest(?))",
                [list(column) for column in zip(*pairs, strict=True)],
            )
            con.execute("UPDATE hashes_moved SET number = ?", [self._number + 1])
            con.execute("COMMIT")
        except BaseException as e:
            self._db.recover(e)
            raise
        self._number += 1

    def forget(self, datums: Iterable[tuple[str, int]]) -> None:
        """The datums of these hashes and ``seq`` are there no more."""
        gone = [(hash_number(hash_), seq) for hash_, seq in datums]
        try:
            self._change("DELETE FROM pairs WHERE hash = ? AND seq = ?", gone)
        except PachyboxError as e:  # it may have more than there is
            log.warning("hashes of datums not forgotten: %s", e)

    def _change(self, sql: str, pairs: Sequence[Row], number: int | None = None) -> None:
        con = self._con
        with self._lock:
            try:
                con.execute("BEGIN IMMEDIATE")
                con.executemany(sql, pairs)
                if number is not None:
                    con.execute("UPDATE moved SET number = ?", (number,))
                con.execute("COMMIT")
            except sqlite3.Error as e:
                if con.in_transaction:
                    con.execute("ROLLBACK")
                raise self._damaged(e) from e

    def _damaged(self, e: sqlite3.Error) -> PachyboxError:
        if "full" in str(e) or "I/O" in str(e):
            return Exhausted(f"{self.path} cannot be written: {e}", FREE_SPACE)
        return Corrupt(
            f"{self.path} is damaged: {e}", "remove it and restart the box, which makes it anew"
        )

    def close(self) -> None:
        """Let go of the file."""
        self._con.close()

    # ---- opening

    def _open(self, path: Path) -> sqlite3.Connection:
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # no shared memory then, for which a full disk has no room
            con.execute("PRAGMA locking_mode = EXCLUSIVE")
            con.execute("PRAGMA journal_mode = WAL")
            con.execute("PRAGMA synchronous = FULL")  # what is taken from the table must be here
        except sqlite3.Error as e:
            con.close()
            raise self._damaged(e) from e
        return con

    def _fits(self) -> bool:
        """Whether there is an index, and it belongs to the database as it is."""
        if not self.path.exists():
            return False
        try:
            con = self._open(self.path)
            try:
                number = con.execute("SELECT number FROM moved").fetchone()[0]
            finally:
                con.close()
        except Exhausted:
            raise
        except (sqlite3.Error, PachyboxError, TypeError) as e:
            log.warning("%s cannot be read: %s", self.path, e)
            return False
        # crash: the index may have what the table still holds
        return self._number >= 0 and number in (self._number, self._number + 1)

    def _make(self) -> None:
        """Make the index of all datums. A crash has it made again."""
        number = secrets.randbits(40) << 20  # none that another index counted to
        made = self.path.with_name(f"{self.path.name}.new")
        _remove(made)
        try:
            self._fill(made, number)
            _remove(self.path)
            made.replace(self.path)
            self._db.writer.execute("UPDATE hashes_moved SET number = ?", [number])
        except sqlite3.Error as e:
            raise self._damaged(e) from e
        self._number = number

    def _fill(self, path: Path, number: int) -> None:
        con = sqlite3.connect(path, isolation_level=None)
        try:
            con.execute("PRAGMA journal_mode = OFF")
            con.executescript(_SCHEMA)
            con.execute("BEGIN")
            for some in self._db.pieces(f"SELECT {HASH_NUMBER} AS h, seq FROM datums ORDER BY h"):
                con.executemany(_ADD, some)
            con.execute("UPDATE moved SET number = ?", (number,))
            con.execute("COMMIT")
        finally:
            con.close()
        # what SQLite wrote in this mode it has synced when it committed


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
