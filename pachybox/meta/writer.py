"""The one writer of metadata: groups what waits into one durable DuckDB transaction.

A change is a function over a Tx. The writer thread runs the functions that wait one
after the other on an overlay of staged records (each sees what those before it
staged), then makes the content they name durable (``barrier``), commits the overlay to
DuckDB in bulk, publishes it to the in-memory tables and wakes the callers. A function
that raises stages nothing. A crash before the DuckDB commit leaves no trace of any of
them; after it, all are there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import duckdb

from pachybox.errors import Corrupt, Exhausted, Internal, NotReady, PachyboxError
from pachybox.meta.apply import GONE, Filling, Purged, Staged, insert, settle
from pachybox.meta.connect import (
    FREE_SPACE,
    READ_ONLY,
    ROOM,
    Database,
    Room,
    first_line,
    is_full,
    is_memory,
    is_read_only,
    told,
)
from pachybox.meta.folding import Folding, Fresh
from pachybox.meta.groups import Groups, Outcome, Pending
from pachybox.meta.hashes import Hashes
from pachybox.meta.pulse import Pulse
from pachybox.meta.tables import ALL, COMMITS, EVENTS, FACTS, NOTES, Table
from pachybox.meta.tx import Tx
from pachybox.meta.witness import Witness
from pachybox.model.events import Event
from pachybox.model.ids import Commit
from pachybox.model.pfs import NoteRecord

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

log = logging.getLogger("pachybox.meta")

_TICK = timedelta(microseconds=1)  # between changes of a group: times tell their order
_LRU = 4096  # records remembered of a table that is not resident
_PRUNED = 20_000  # events forgotten in one change, behind which others wait some 20 ms
_LOG_BYTES = 512 << 10  # DuckDB's write-ahead log, of whose changes it has twice that in memory


def utc_now() -> datetime:
    """The wall clock; the daemon passes it in, tests may pass another."""
    return datetime.now(UTC)


class Figures(NamedTuple):
    """Of the writer: changes that wait for it, groups it has written, seconds it was at them,
    checkpoints."""

    waiting: int
    groups: int
    seconds: float
    checkpoints: int


class Notes(Protocol):
    """Who brings notes into the trees of their commits (pfs/object_notes.py)."""

    def write_up(self, tx: Tx, notes: list[NoteRecord]) -> None:
        """Do what ``notes`` say and remove them, but those that cannot be done."""

    def written_up(self) -> None:
        """The change of ``write_up`` is durable, or refused."""


class Meta:
    """The metadata of one box: reads from memory or cursors, writes through one thread."""

    def __init__(
        self,
        path: Path,
        *,
        barrier: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = utc_now,
        room: Room = ROOM,
    ) -> None:
        """Open ``path`` (see Database). ``barrier`` returns when all content written so far
        is durable; it runs before every commit. Raises Corrupt when acknowledged changes are
        missing."""
        self.db = Database(path, room)
        self._barrier = barrier
        self._clock = clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._resident: dict[Table[Any, Any], dict[Any, Any]] = {}
        self._lru: dict[Table[Any, Any], OrderedDict[Any, Any]] = {}
        self.last_event = 0
        try:
            self._folding = Folding(self.db, self._exists)
        except BaseException:
            self.db.close()
            raise
        try:
            self.hashes = Hashes(self.db)
        except BaseException as e:
            self._folding.close()
            self.db.close()
            raise self._translate(e) from e
        self._load()
        newest = self.last_event
        self._witness = Witness(path.with_name(f"{path.name}.seen"))
        if newest < self._witness.number:
            raise self._cut_short(newest)
        self._queue = Groups()
        self._closed = False
        self.on_publish: Callable[[Staged], None] = lambda staged: None
        self.on_discard: Callable[[], None] = lambda: None  # what was staged never comes to be
        # asked when the disk is full: whether it is worth another try
        self.make_room: Callable[[], bool] = lambda: False
        # asked before what DuckDB gives a database up for when it cannot be written: why it is not
        self.forbidden: Callable[[], str] = lambda: ""
        self.notes: Notes | None = None
        self.noted: frozenset[Commit] = frozenset()
        """Open commits to which objects were put that are not in their trees yet."""
        self._notes: list[NoteRecord] = []  # theirs, in the journal or in the database by now
        self._folding.in_time = self._fold_in_turn
        self.db.before_read, self.db.after_read = self._before_read, self._after_read
        self._groups = 0
        self._turn = 0  # odd while SQL may show what ``get`` does not tell yet
        self._checkpoints = True
        self._checkpointed, self._seconds = 0, 0.0
        self._work = (0.0, False)  # since when at a group, and whether that is alone
        self.failing = ""
        """Why the last group was not written; "" when it was."""
        self.reading = Pulse("meta-read", self.db.prove)
        self.writing = Pulse("meta-write", self._prove_writing)
        self._thread = threading.Thread(target=self._run, name="meta-writer", daemon=True)
        self._thread.start()

    # ---- reading

    def get(self, table: Table[K, V], key: K) -> V | None:
        """The newest durable record of ``key``."""
        if table.resident:
            return self._resident[table].get(key)
        if table is COMMITS and key in self.noted:
            self._write_up()
        with self.lock:
            lru = self._lru[table]
            if key in lru:  # first: what waits may not be published yet
                lru.move_to_end(key)
                return lru[key]  # type: ignore[no-any-return]
            if (waiting := self._folding.find(table, key)) is not None:
                return waiting
            before = self._groups  # not last_event: a change need not have one
        where = " AND ".join(f"{c} = ?" for c in table.columns[: table.keys])
        rows = self.db.read(f"{table.select} WHERE {where}", table.key_row(key))
        record = table.from_row(rows[0]) if rows else None
        if record is not None:
            with self.lock:
                # race: a commit between the read and here may have published a newer one
                if self._groups == before:
                    self._remember(table, key, record)
        return record

    def all(self, table: Table[K, V]) -> list[V]:
        """Every record of a resident table."""
        return list(self._resident[table].values())

    def mark(self, table: Table[K, V]) -> object:
        """Another object whenever something in a resident table has changed."""
        return self._resident[table]

    def resident(self, table: Table[K, V]) -> dict[K, V]:
        """A snapshot of a resident table."""
        with self.lock:
            return dict(self._resident[table])

    def select(
        self,
        table: Table[K, V],
        where: str,
        params: Iterable[Any] = (),
        also: Callable[[V], bool] | None = None,
    ) -> list[V]:
        """Durable records by SQL condition (WHERE ... ORDER BY ... LIMIT). ``also`` is for
        transactions and adds nothing here."""
        return [table.from_row(r) for r in self.db.read(f"{table.select} {where}", list(params))]

    def wait_change(self, seen: int, timeout_s: float) -> int:
        """Block until an event newer than number ``seen`` is durable, or the time is up;
        returns the newest number."""
        with self.changed:
            self.changed.wait_for(lambda: self.last_event > seen or self._closed, timeout_s)
            return self.last_event

    def waiting(self, table: Table[K, V]) -> list[V]:
        """Records that are durable in the journal alone. What is known by SQL and by this is all
        there is, also when the database takes nothing now; asked for in this order, since what
        waits may be brought in meanwhile: first this, then SQL."""
        return self._folding.waiting(table)

    def fold(self) -> None:
        """Bring in what waits in the journal, for a reader who must not miss it. Others are told
        what was there before when that does not work. Raises what forbids it."""
        try:
            if self.noted and not self._in_writer():
                self.write(lambda tx: self._folding.fold(), quick=True)
            else:
                self._folding.fold()
        except BaseException as e:
            raise self._translate(e) from e

    def at_work(self) -> tuple[float, bool]:
        """For how many seconds the writer has been at a group of changes (0.0: it waits for one),
        and whether that is one change that has the database to itself."""
        began, alone = self._work
        return (time.monotonic() - began if began else 0.0), alone

    def figures(self) -> Figures:
        """What the writer has done since the box started."""
        return Figures(self._queue.qsize(), self._groups, self._seconds, self._checkpointed)

    @property
    def thread(self) -> threading.Thread:
        """The writer's."""
        return self._thread

    def _prove_writing(self) -> None:
        """Write something, to see whether what could not be written now can."""
        self.write(lambda tx: tx.put(FACTS, ("health.probe", utc_now().isoformat())))

    def _in_writer(self) -> bool:
        return threading.current_thread() is self._thread

    def _write_up(self) -> None:
        """Have the trees show what is noted. Raises what forbids it."""
        if self.noted and not self._in_writer():
            self.write(lambda tx: None, quick=True)  # any change but a note comes behind that

    def _fold_in_turn(self) -> None:
        """Bring in what waits while nothing is noted: no other than the writer could know that."""
        try:
            self.write(lambda tx: self._folding.fold_to_read(), quick=True)
        except NotReady:
            pass  # the box is closing, which brings all in
        except PachyboxError as e:
            log.warning("objects wait in the journal: %s", e)

    def checkpoint(self) -> None:
        """Have DuckDB move its latest changes from the log and memory to its file, when they are
        many, and let go of what it keeps. By itself it does so after 16 MiB of log, which a steady
        load takes an hour for, and 35 MB of memory; and a lower bound would cost those who write
        much in no time."""
        log_file = Path(f"{self.db.path}.wal")

        def run(tx: Tx) -> None:
            try:
                self.db.writer.execute("CHECKPOINT")
                self._checkpointed += 1
                self.db.let_go()
            except duckdb.Error as e:
                self._checkpoints = False  # on a full disk it gives the database up each time
                log.warning("not moved to the database's file: %s", first_line(e))
                self.db.recover(e)

        try:
            large = self._checkpoints and log_file.stat().st_size >= _LOG_BYTES
            if large and not self.forbidden():
                # race: solo, so that nothing waits that a reader brings in on the same connection
                self.write(run, solo=True)
        except FileNotFoundError:
            pass  # there is no change yet
        except PachyboxError as e:
            log.warning("not moved to the database's file: %s", e)

    def checkpoint_again(self) -> int:
        """``checkpoint``, also when one failed before: the disk may have room now. Returns 0."""
        self._checkpoints = True
        self.checkpoint()
        return 0

    def index_hashes(self) -> None:
        """Have the index of hashes (hashes.py) take what it lacks, which is looked through by
        every search until then. To be called now and then, by one thread."""
        if self.forbidden():
            return
        try:
            # race: solo, as in ``checkpoint``
            self.hashes.move(lambda run: self.write(lambda tx: run(), solo=True))
        except PachyboxError as e:
            log.warning("hashes of datums wait: %s", e)

    def _before_read(self) -> None:
        if self.noted and not self._in_writer():
            self._fold_in_turn()
        else:
            self._folding.fold_to_read()

    def _after_read(self) -> None:
        """Wait until ``get`` tells all that SQL has shown: of a job that a list calls done, the
        output must be there. That is no longer than for the group that is being written."""
        turn = self._turn
        if turn % 2 and not self._in_writer():
            with self.changed:
                self.changed.wait_for(lambda: self._turn != turn)

    def _level(self) -> None:
        """What SQL shows is told; ``lock`` is held."""
        self._turn += self._turn % 2
        self.changed.notify_all()

    def first_event(self) -> int:
        """The number of the oldest event kept."""
        return int(self.db.read("SELECT coalesce(min(seq), 0) FROM events")[0][0])

    def prune_events(self, keep: int) -> int:
        """Forget all but the newest ``keep`` events; returns how many went."""
        edge = self.last_event - keep
        if edge <= 0:
            return 0
        gone = 0
        for to in (*range(self.first_event() + _PRUNED, edge, _PRUNED), edge):

            def run(tx: Tx, to: int = to) -> int:
                rows = self.db.writer.execute(
                    "DELETE FROM events WHERE seq <= ? RETURNING 1", [to]
                ).fetchall()
                return len(rows)

            gone += self.write(run, solo=True)
        return gone

    def events(self, after: int, limit: int = 1000) -> list[Event]:
        """Events numbered above ``after``, oldest first, of which every listener knows."""
        where = "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        return self.select(EVENTS, where, (after, self.last_event, limit))

    # ---- writing

    def write(
        self,
        fn: Callable[[Tx], T],
        *,
        solo: bool = False,
        quick: bool = False,
        noting: bool = False,
    ) -> T:
        """Run ``fn`` in the writer and return its result once it is durable.

        ``solo`` gives the change a transaction of its own, in which ``Tx.select`` is allowed.
        ``quick``: the journal will do (journal.py), for changes of which many come at once.
        ``noting``: it adds notes and does nothing else. It sees commits without what is noted;
        all other changes come behind what was noted before.
        Raises what ``fn`` raises, Exhausted when the disk is full, NotReady when closing.
        """
        return self._begin(Pending(fn, solo=solo, quick=quick, noting=noting)).result()

    def begin(self, fn: Callable[[Tx], T], *, quick: bool = False) -> Outcome[T]:
        """``write`` that is waited for later: have several begun by one thread be one group."""
        return self._begin(Pending(fn, quick=quick))

    def _begin(self, change: Pending[T]) -> Outcome[T]:
        if self._in_writer():
            raise Internal("a metadata change started another change")
        outcome = self._enqueue(change)
        assert isinstance(outcome, Outcome)
        return outcome

    def later(self, fn: Callable[[Tx], T]) -> Future[T]:
        """Have ``fn`` run in the writer, in order with all other changes, and do not wait: it is
        written with the next change that somebody waits for, or by itself a moment later
        (groups.LATER_S). A crash before that loses it.

        The future has the result once it is durable, or what ``write`` would raise. Raises
        NotReady when closing.
        """
        future = self._enqueue(Pending(fn, later=True))
        assert isinstance(future, Future)
        return future

    def _enqueue(self, change: Pending[T]) -> Future[T] | Outcome[T]:
        with self.lock:
            if self._closed:
                raise NotReady("the box is stopping", "try again when it is up")
            self._queue.put(change)
        return change.future

    def fill(
        self,
        check: Callable[[], None],
        rows: Iterable[Filling],
        after: Callable[[], Staged],
    ) -> None:
        """Write ``rows`` in one durable transaction, and have all readers see them at once.

        ``check`` runs before, in the writer, and may forbid it; ``after`` runs behind and says
        what the listener of published changes is told.
        """

        def run(tx: Tx) -> None:
            check()
            try:
                self._barrier()
                self.db.writer.execute("BEGIN")
                for some in rows:
                    insert(self.db.writer, some)
                settle(self.db.writer)
                self._turn += 1
                self.db.writer.execute("COMMIT")
            except BaseException as e:
                with self.changed:
                    self._level()
                self.db.recover(e)
                raise self._translate(e) from e
            with self.changed:
                self._groups += 1
                self._load()
                self._level()
            self._witness.note(self.last_event)
            self.on_publish(after())

        self.write(run, solo=True)

    def _load(self) -> None:
        """Take what is in the database; ``lock`` is held but at the start."""
        for table in ALL:
            if table.resident:
                rows = self.db.read(table.select)
                self._resident[table] = {table.key(v): v for v in map(table.from_row, rows)}
            else:
                self._lru[table] = OrderedDict()
        self.last_event = int(self.db.read("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def _remember(self, table: Table[K, V], key: K, record: V) -> None:
        lru = self._lru[table]
        lru[key] = record
        lru.move_to_end(key)
        while len(lru) > _LRU:
            lru.popitem(last=False)

    def _run(self) -> None:
        while (group := self._queue.take()) is not None:
            self._work = time.monotonic(), group[0].solo
            noted = self.noted and not group[0].noting
            if noted and (error := self._commit_notes()) is not None:
                for job in group:
                    job.future.set_exception(error)
            else:
                self._commit_group(group)
            self._seconds += time.monotonic() - self._work[0]
            self._work = 0.0, False

    def _commit_notes(self) -> BaseException | None:
        """Do what is noted, in a group of its own; what forbids it."""
        notes = self.notes
        assert notes is not None
        job = Pending(lambda tx: notes.write_up(tx, self._notes), quick=True)
        self._commit_group([job])
        notes.written_up()
        try:
            job.future.result()
        except BaseException as e:
            return e
        self._notes, self.noted = [], frozenset()
        return None

    def _commit_group(self, group: list[Pending[Any]]) -> None:
        staged: Staged = {}
        fresh: Fresh = set()
        purged: list[tuple[Table[Any, Any], str, list[Any]]] = []
        done: list[tuple[Pending[Any], Any]] = []
        next_event = self.last_event + 1
        now = self._clock()
        for job in group:
            now += _TICK
            tx = Tx(self, staged, now, next_event)
            try:
                if job.solo:
                    self._fold_for_solo()
                result = job.fn(tx)
            except BaseException as e:
                self.on_discard()
                job.future.set_exception(e)
                continue
            next_event += tx.events
            purged += tx.purged
            for table, records in tx.staged.items():
                staged.setdefault(table, {}).update(records)
            fresh |= tx.fresh
            done.append((job, result))
        quick = all(job.quick for job, _ in done)
        failed: BaseException | None = None
        if staged or purged:
            failed = self._made_durable(staged, fresh, purged, quick)
        if failed is not None and self._again(failed):
            # crash: it may be there, were it for the sync alone that it failed
            failed = self._made_durable(staged, set(), purged, quick)
        if failed is not None:
            error = self._translate(failed)
            self.failing = first_line(error)
            self.on_discard()
            for job, _ in done:
                job.future.set_exception(error)
            return
        if staged or purged:
            self.failing = ""
        if next_event - 1 > self.last_event:
            self._witness.note(next_event - 1)
        self._publish(staged, purged, next_event - 1)
        for job, result in done:
            job.future.set_result(result)

    def _fold_for_solo(self) -> None:
        """A change that may read by SQL, or writes past the overlay, must see all there is."""
        try:
            self.fold()
        except Exhausted:
            if not self.make_room():
                raise
            self.fold()

    def _again(self, e: BaseException) -> bool:
        """Whether a group that was not written for ``e`` is worth another try."""
        if is_memory(e):
            return True  # the database was opened afresh, and has no caches
        return (is_full(e) or isinstance(e, Exhausted)) and self.make_room()

    def _made_durable(
        self, staged: Staged, fresh: Fresh, purged: Purged, quick: bool
    ) -> BaseException | None:
        """Write one group; what forbade it: nothing of it is there then."""
        try:
            self._barrier()
            self._turn += 1
            if not quick or not self._folding.quick(staged, fresh, purged):
                self._folding.write(staged, fresh, purged)
        except BaseException as e:
            with self.changed:
                self._level()
            return e
        return None

    def _cut_short(self, newest: int) -> Corrupt:
        """Close a database that lacks what it held; what its opener is told."""
        seen = self._witness.number
        self._witness.close()
        self._folding.close()
        self.hashes.close()
        self.db.close()
        return Corrupt(
            f"{self.db.path} is damaged: it ends with event {newest}, and event {seen} was in it",
            "restore the data directory from a backup; to go on with what is left, remove "
            f"{self._witness.path}",
        )

    def _exists(self, table: Table[Any, Any], key: Any) -> bool:
        """Whether the row of ``key`` is known to be in the database."""
        return key in (self._resident[table] if table.resident else self._lru[table])

    def _translate(self, e: BaseException) -> BaseException:
        """What the callers of a failed group are told."""
        if isinstance(e, PachyboxError):
            return e
        if is_full(e):
            where = self.db.path.parent
            return Exhausted(
                f"no space left on the file system of {where}: nothing was written", FREE_SPACE
            )
        if is_read_only(e):
            where = self.db.path.parent
            return Exhausted(
                f"the file system of {where} is read-only: nothing was written", READ_ONLY
            )
        log.error("metadata commit failed: %r", e)
        return (
            told(self.db.path, e)
            if isinstance(e, duckdb.Error)
            else Internal(f"metadata could not be written: {first_line(e)}")
        )

    def _publish(self, staged: Staged, purged: Purged, last_event: int) -> None:
        with self.changed:
            self._groups += 1
            for table, _, _ in purged:
                self._lru[table].clear()
            for table, records in staged.items():
                if table.resident:
                    # readers iterate the old dict without the lock: replace, never mutate
                    merged = dict(self._resident[table])
                    for key, record in records.items():
                        if record is GONE:
                            merged.pop(key, None)
                        else:
                            merged[key] = record
                    self._resident[table] = merged
                elif table is NOTES:
                    made = [note for note in records.values() if note is not GONE]
                    self._notes += made
                    self.noted |= {note.commit for note in made}
                elif table is not EVENTS:
                    for key, record in records.items():
                        if record is GONE:
                            self._lru[table].pop(key, None)
                        else:
                            self._remember(table, key, record)
            self._level()
        try:
            self.on_publish(staged)
        except Exception:  # the change stands, and the writer outlives its listeners
            log.exception("a listener of the metadata failed")
        with self.changed:  # last: who is told of an event may ask what listeners make of it
            self.last_event = max(self.last_event, last_event)  # fill may have gone further
            self.changed.notify_all()

    def close(self) -> None:
        """Finish what waits, then close the database. Later writes raise NotReady."""
        self._fold_in_turn()
        with self.changed:
            if self._closed:
                return
            self._closed = True
            self._queue.close()
            self.changed.notify_all()
        self._thread.join()
        self._folding.close()
        self.hashes.close()
        self.db.close()
        self._witness.close()
        # these point back at us: let go, so that the connection is freed with us
        self.db.before_read = self.db.after_read = self._folding.in_time = lambda: None
        self.notes = None
        self._barrier = lambda: None
        self.writing = Pulse("", lambda: None)
        self.on_publish = lambda staged: None
