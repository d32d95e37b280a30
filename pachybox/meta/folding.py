"""Where changes become durable: in the database, or first in the journal in front of it.

Rows that wait in the journal are kept here, newest by key, until they are folded in: at once
before a read or a change that goes to the database itself, by a thread after ``IDLE_S``, and when
there are ``MOST`` of them. All of it is done under one lock, by whoever needs it, so that a reader
waits for no more than one transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb

from pachybox.errors import Exhausted, PachyboxError
from pachybox.meta.apply import GONE, Purged, Staged, apply
from pachybox.meta.connect import FREE_SPACE, Database, is_full, told
from pachybox.meta.journal import Journal
from pachybox.meta.tables import FILESETS, NOTES, Table

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger("pachybox.meta")

IDLE_S = 1.0
MOST = 8192  # rows kept back; one fold of so many takes some 100 ms
_BRIEF: tuple[Table[Any, Any], ...] = (NOTES, FILESETS)
"""Tables of rows that are mostly gone before they come to the database."""

Fresh = set[tuple[str, Any]]
"""(table name, key) of records known to be new to the database."""


class Folding:
    """The journal and what waits in it, over one database. Safe to call from any thread."""

    def __init__(self, db: Database, exists: Callable[[Table[Any, Any], Any], bool]) -> None:
        """Fold in what a crash left. ``exists``: see apply.apply."""
        self._db = db
        self._exists = exists
        self._lock = threading.RLock()
        self._pending: Staged = {}
        self._fresh: Fresh = set()
        self._sure: Fresh = set()  # those of which the database has a row already
        self._rows = 0
        self._not_before = 0.0
        self.in_time: Callable[[], None] = self.fold_to_read  # after IDLE_S
        self._journal = Journal(db.path.with_name(f"{db.path.name}.journal"), self._counted())
        self._left = True  # what waits comes from another process: nothing is known of it
        try:
            for staged in self._journal.left():
                self._wait(staged, set())
            self.fold()
        except BaseException as e:
            self._journal.close()
            if is_full(e):
                raise Exhausted(
                    f"no space left on the file system of {db.path} to bring in its journal",
                    FREE_SPACE,
                ) from e
            if isinstance(e, duckdb.Error):
                raise told(db.path, e) from e
            raise
        self._left = False
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="meta-fold", daemon=True)
        self._thread.start()

    def _counted(self) -> int:
        """How many foldings the database has seen."""
        return int(self._db.writer.execute("SELECT max(number) FROM folded").fetchall()[0][0])

    def find(self, table: Table[K, V], key: K) -> V | None:
        """The record of ``key`` that waits in the journal."""
        records = self._pending.get(table)
        return None if records is None else records.get(key)

    def waiting(self, table: Table[K, V]) -> list[V]:
        """Every record that waits in the journal."""
        with self._lock:
            return list(self._pending.get(table, {}).values())

    def quick(self, staged: Staged, fresh: Fresh, purged: Purged) -> bool:
        """Make a group durable in the journal; False when it cannot go there, nothing then
        being done."""
        with self._lock:
            if not self._takes(staged, purged):
                return False
            self._journal.append(staged)
            first = not self._rows
            for table, records in staged.items():
                waiting = self._pending.get(table, {})
                self._sure.update(
                    (table.name, key)
                    for key, record in records.items()
                    if record is not GONE and key not in waiting and self._exists(table, key)
                )
            self._wait(staged, fresh)
            if self._rows > MOST and not self._pending.get(NOTES):
                self.fold_to_read()
        if first:
            with self._wake:
                self._wake.notify()
        return True

    def _takes(self, staged: Staged, purged: Purged) -> bool:
        """Whether a group can go to the journal: it removes nothing, but for brief rows that are
        nowhere else."""
        return not purged and all(
            record is not GONE or (table in _BRIEF and (table.name, key) in self._fresh)
            for table, records in staged.items()
            for key, record in records.items()
        )

    def _wait(self, staged: Staged, fresh: Fresh) -> None:
        self._fresh |= fresh
        for table, records in staged.items():
            pending = self._pending.setdefault(table, {})
            self._rows -= len(pending)
            if table in _BRIEF:
                for key, record in records.items():
                    if record is not GONE:
                        pending[key] = record
                    elif pending.pop(key, None) is not None:
                        self._fresh.discard((table.name, key))
            else:
                pending.update(records)
            self._rows += len(pending)

    def write(self, staged: Staged, fresh: Fresh, purged: Purged) -> None:
        """Make a group durable in the database, with all that waits before it."""
        with self._lock:
            con = self._db.writer
            waiting = self._pending
            try:
                con.execute("BEGIN")
                if waiting:
                    apply(con, waiting, self._fresh, self._is_sure, again=self._left)
                    con.execute("UPDATE folded SET number = ?", [self._journal.number + 1])
                if staged or purged:
                    apply(con, staged, fresh, self._exists, purged)
                con.execute("COMMIT")
            except BaseException as e:
                try:
                    self._db.recover(e)
                    there = bool(waiting) and self._counted() > self._journal.number
                except PachyboxError as worse:
                    log.error("database not open, every change tries again: %s", worse)
                    raise e from None
                # crash: a commit may be durable and its sync still have failed. Lines written
                # under the old number from here on would be taken for folded in at the next start.
                if not there:
                    raise
            if waiting:
                self._journal.folded()
                self._pending, self._rows = {}, 0
                self._fresh, self._sure = set(), set()

    def _is_sure(self, table: Table[Any, Any], key: Any) -> bool:
        return (table.name, key) in self._sure

    def fold(self) -> None:
        """Bring what waits into the database. Raises what forbids it."""
        if self._pending:
            self.write({}, set(), ())

    def fold_to_read(self) -> None:
        """The same for a reader, who is told what was there before when it does not work. Then
        no other tries for a while: on a full disk each would cost a transaction and a line of
        the log."""
        if not self._pending or time.monotonic() < self._not_before:
            return
        try:
            self.fold()
        except Exception as e:
            self._not_before = time.monotonic() + IDLE_S
            log.warning("changes wait in the journal: %s", e)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._pending)
                if self._closed:
                    return
                self._wake.wait_for(lambda: self._closed, IDLE_S)
            self.in_time()

    def close(self) -> None:
        """Fold in what waits, and let go of the journal."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        self.fold_to_read()
        self._journal.close()
