"""DuckDB: opening, migrations, reading. Writing is writer.py's.

One process owns the file (DuckDB takes its lock). Readers take a cursor each from
a small pool; a result is always fetched whole before the cursor goes back, because
in DuckDB 2 an open result owns its connection.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from pachybox import upgrade
from pachybox.errors import Corrupt, Exhausted, Internal, NotReady, PachyboxError, Refused

log = logging.getLogger("pachybox.meta")

FREE_SPACE = "free some space, or delete old commits and run garbage-collect, then try again"
READ_ONLY = "mount it writable again; pachybox doctor says more"
LESS_HISTORY = (
    "have retention squash old commits, delete old commits and pipelines, or give the box more "
    "memory, then try again"
)
INVALID = (duckdb.FatalException, duckdb.ConnectionException)
"""What every call raises once DuckDB has given a database up, or it could not be reopened."""

_READS = 16  # at once; a scan takes some 0.5 MiB of the memory limit, and clients wait in hundreds
_PIECE = 20_000  # rows
_REOPEN_S = 30.0  # a reader waits so long at most for the writer to open the database afresh
_ALONE_S = 0.05  # what is not urgent waits so long for readers to be done, and new ones with it

_CONFIG: dict[str, Any] = {
    "allocator_background_threads": True,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "checkpoint_threshold": "16MB",
    # perf: the first 256 of a million rows by one of their columns, 86 ms without
    "late_materialization_max_rows": 2048,
}


@dataclass(frozen=True, slots=True)
class Room:
    """What DuckDB may have. ``more_bytes``: where ``bytes`` is too little to open what is there, or
    to migrate it."""

    bytes: int = 192_000_000
    more_bytes: int = 768_000_000
    threads: int = 2


ROOM = Room()


def migrations() -> list[tuple[int, str]]:
    """The numbered SQL files shipped with this version, in order."""
    found = []
    for item in files("pachybox.meta").joinpath("migrations").iterdir():
        if item.name.endswith(".sql"):
            found.append((int(item.name.split("_", 1)[0]), item.read_text()))
    return sorted(found)


class Database:
    """The one connection to ``meta.duckdb`` and a pool of cursors on it."""

    def __init__(self, path: Path, room: Room = ROOM) -> None:
        """Open or create the database and bring its schema up to date.

        Before the schema of one that has rows is changed the files are copied (see upgrade).

        Raises Refused when another process holds it, when a newer version wrote it or when there
        is no room for the copy, Corrupt when it is damaged.
        """
        upgrade.mend(path)
        self.path = path
        self._room = room
        self._lock = threading.Condition()
        self._pool: list[duckdb.DuckDBPyConnection] = []
        self._lent = 0
        self._reads = threading.Semaphore(_READS)
        self._generation = 0
        self._alone = False  # the writer has the database to itself
        self._closed = False
        self.before_read: Callable[[], None] = lambda: None  # has what waits brought in
        self.after_read: Callable[[], None] = lambda: None  # waits until all that was seen is told
        self.writer = self._connect()
        try:
            self._migrate()
        except duckdb.Error as e:
            self.writer.close()
            raise told(path, e) from e
        except BaseException:
            self.writer.close()
            raise

    def _connect(self, limit: int = 0) -> duckdb.DuckDBPyConnection:
        room = self._room
        self._limit = f"{(limit or room.bytes) // 1_000_000}MB"
        config = {
            **_CONFIG,
            "threads": room.threads,
            "memory_limit": self._limit,
            "temp_directory": f"{self.path}.tmp",
        }
        try:
            return duckdb.connect(str(self.path), config=config)
        except duckdb.Error as e:
            if is_memory(e) and not limit:
                log.warning("opened with more memory: %s", first_line(e))
                return self._connect(room.more_bytes)
            if "Could not set lock" in str(e):
                raise Refused(
                    f"{self.path} is in use by another process",
                    "stop the other box, or choose another PACHYBOX_HOME",
                ) from e
            raise told(self.path, e) from e

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
                "run the newer pachybox that wrote it; with that one stopped, `pachybox upgrade "
                "--undo` puts back the metadata from before it came",
            )
        copy = self._copy(have, newest) if 0 < have < newest else None
        con = self.writer
        if copy is not None:
            con.execute(
                f"SET memory_limit = '{self._room.more_bytes // 1_000_000}MB'"
            )  # old indexes may have filled it
        todo = [one for one in shipped if one[0] > have]
        # a database that is made has its schema at once; an old one may be too large for that
        for some in [[one] for one in todo] if have else [todo]:
            con.execute("BEGIN")
            for number, sql in some:
                con.execute(sql)
                con.execute("INSERT INTO schema_version VALUES (?)", [number])
            con.execute("COMMIT")
        if copy is not None:
            con.close()
            self.writer = self._connect()
            upgrade.finished(copy)

    def _copy(self, have: int, to: int) -> upgrade.Copy:
        """Copy the files as they are, with the database closed."""
        event = self.writer.execute("SELECT coalesce(max(seq), 0) FROM events").fetchall()[0][0]
        self.writer.close()
        newest = max(int(event), upgrade.seen(self.path))  # a journal may have more
        copy = upgrade.take(self.path, schema=have, to=to, event=newest)
        self.writer = self._connect()
        return copy

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for reading; sees what was committed when a statement begins."""
        self.before_read()
        with self._lent_cursor() as con:
            yield con
        self.after_read()

    @contextmanager
    def _lent_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._lock:
            self._lock.wait_for(lambda: not self._alone)
            generation = self._generation
            con = self._pool.pop() if self._pool else self.writer.cursor()
            self._lent += 1
        try:
            yield con
        finally:
            with self._lock:
                self._lent -= 1
                if generation == self._generation and not self._alone and len(self._pool) < 8:
                    self._pool.append(con)
                else:
                    con.close()
                self._lock.notify_all()

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query. Waits while the database is opened afresh.

        Raises Corrupt when the rows lie in a damaged part of the file, NotReady when closed.
        """
        generation = self._generation
        try:
            try:
                return self._read(sql, params)
            except INVALID:
                with self._lock:
                    self._lock.wait_for(
                        lambda: self._closed or self._generation != generation, _REOPEN_S
                    )
                    if self._closed:
                        raise NotReady("the box is stopping", "try again when it is up") from None
                return self._read(sql, params)
        except duckdb.Error as e:
            raise told(self.path, e) from e

    def _read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._reads, self.cursor() as con:
            return con.execute(sql, list(params)).fetchall()

    def prove(self) -> None:
        """Return once the database answers, without what a reader brings in first. Raises what
        ``read`` does."""
        try:
            with self._reads, self._lent_cursor() as con:
                con.execute("SELECT 1").fetchall()
        except INVALID:
            pass  # the writer opens it afresh: it is the one who is looked at then
        except duckdb.Error as e:
            raise told(self.path, e) from e

    def pieces(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of one query, of one state, some at a time. Until the last is taken the database
        cannot be opened afresh, for which the writer may wait: take them and do nothing else.
        Raises what ``read`` does."""
        try:
            with self.cursor() as con:
                con.execute(sql)
                while rows := con.fetchmany(_PIECE):
                    yield rows
        except duckdb.Error as e:
            raise told(self.path, e) from e

    def recover(self, e: BaseException) -> None:
        """After a transaction failed with ``e``: none is open, and the database can be used.

        A commit that finds no room in the write-ahead log ends its transaction and no more.
        One that was to checkpoint and could not makes DuckDB give the database up, with what
        it committed before safe in the log: then it is opened afresh. Raises what forbids that.
        So it is too after a commit for which memory did not suffice: DuckDB then keeps in its
        indexes what the rows lack, and refuses them for ever as being there.
        """
        cramped = is_memory(e)
        try:
            if not isinstance(e, INVALID):
                self.writer.execute("ROLLBACK")
        except duckdb.TransactionException:
            pass  # DuckDB has rolled it back
        except duckdb.Error as worse:
            e = worse
        if cramped or isinstance(e, INVALID):
            log.warning("database given up, opening it afresh: %s", first_line(e))
            self.reopen()

    def reopen(self) -> None:
        """Start afresh from what is on disk. Readers wait meanwhile."""
        with self._lock:
            self._alone = True
            # DuckDB keeps the old instance, invalid as it is, while any cursor on it is open
            self._lock.wait_for(lambda: self._lent == 0)
            try:
                for con in self._pool:
                    con.close()
                self._pool.clear()
                self.writer.close()
                self.writer = self._connect()
            finally:
                self._generation += 1
                self._alone = False
                self._lock.notify_all()

    def let_go(self) -> None:
        """Have DuckDB free what it keeps in case it is read again: blocks, and the list of those it
        could free. In that each use of a block is an entry that outlives the block, 32,768 of them
        in each of eight lists before it looks at them: 1 to 3 KB a transaction, up to 60 MB.

        For the writer, at a checkpoint, when no block must be written to be freed. 5 to 20 ms, in
        which readers wait; nothing is done when some are not ready in time.
        """
        with self._lock:
            self._alone = True
            try:
                if self._lock.wait_for(lambda: self._lent == 0, _ALONE_S):
                    try:
                        self.writer.execute("SET memory_limit = '1KB'")
                    except duckdb.OutOfMemoryException:
                        pass  # there is more it cannot free, and has not: the limit is as it was
                    finally:
                        self.writer.execute(f"SET memory_limit = '{self._limit}'")
            finally:
                self._alone = False
                self._lock.notify_all()

    def close(self) -> None:
        """Checkpoint and close. Reads that come later raise NotReady."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            for con in self._pool:
                con.close()
            self._pool.clear()
            self.writer.close()


def first_line(e: BaseException) -> str:
    """The first line of an error's text."""
    return (str(e).splitlines() or [repr(e)])[0]


def is_full(e: BaseException) -> bool:
    """Whether an error says that the disk has no room."""
    if isinstance(e, OSError):
        return e.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(e, duckdb.Error) and "No space left" in str(e)


def is_read_only(e: BaseException) -> bool:
    """Whether an error says that the disk takes no writes."""
    if isinstance(e, OSError):
        return e.errno == errno.EROFS
    return isinstance(e, duckdb.Error) and "Read-only file system" in str(e)


def is_memory(e: BaseException) -> bool:
    """Whether an error says that the database may not have the memory it needs."""
    return isinstance(e, duckdb.Error) and "memory_limit" in str(e)


def told(path: Path, e: duckdb.Error) -> PachyboxError:
    """What users are told of an error of DuckDB's."""
    text = first_line(e)
    if is_full(e):
        return Exhausted(f"no space left on the file system of {path}", FREE_SPACE)
    if is_read_only(e):
        return Exhausted(f"the file system of {path} is read-only: nothing was written", READ_ONLY)
    if is_memory(e):
        return Exhausted(f"{path} needs more memory than it may have: {text}", LESS_HISTORY)
    if "orrupt" in text or "WAL" in text:
        return Corrupt(f"{path} is damaged: {text}", "restore the data directory from a backup")
    return Internal(f"{path}: {text}")
