"""Pages of a job's datums, however many it has: found by state and by counting, never listed whole.

Those that the job ran are rows of a table, those it skipped are in its tree of datums and not in
the table, those that run or are next in turn are in memory. A list is these parts one after the
other. Of a job that is not over, what was skipped and what is not yet in turn is counted only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import DATUMS, DatumRecord
from pachybox.meta.writer import Meta
from pachybox.model.files import Entry
from pachybox.model.ids import Hash, Job
from pachybox.model.pps import Datum, JobRecord, Stats
from pachybox.pfs.pages import Kept
from pachybox.pfs.service import Pfs
from pachybox.pps import meta_file
from pachybox.pps.bench import Running
from pachybox.pps.known import of_job
from pachybox.pps.skipped import Skipped

FAILED, RUNNING, RECOVERED = "FAILED", "RUNNING", "RECOVERED"
WAITING, SUCCESS, SKIPPED = "WAITING", "SUCCESS", "SKIPPED"
STATES = (FAILED, RUNNING, RECOVERED, WAITING, SUCCESS, SKIPPED)
"""In the order of trouble."""

_RAN = (FAILED, RECOVERED, SUCCESS)
_TOOK = "download_us + process_us + upload_us"
_ORDERS = {  # of those that were run, by the word for it: forwards, backwards
    # perf: the place of the row settles ties; to read ids for that would take three times as long
    "slowest": (f"{_TOOK} DESC, rowid", f"{_TOOK}, rowid DESC"),
    "newest": ("finished_us DESC, rowid", "finished_us, rowid DESC"),
    "input": ("inputs, rowid", "inputs DESC, rowid DESC"),
}
_NEAR = 2048  # rows from either end that the database finds without sorting all
_BY_PATH = 20_000  # datums of a job that are put in the order of their paths, skipped ones too
_FOUND = "(starts_with(id, ?) OR contains(lower(inputs), ?))"


@dataclass(frozen=True, slots=True)
class DatumRow:
    """A datum in a line. ``worker`` is a number in its job, None where none is known."""

    id: str
    state: str
    reason: str
    stats: Stats
    inputs: tuple[str, ...]
    tries: int = 0
    worker: int | None = None
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """``total`` counts what was asked for, ``counts`` all datums of the job by state."""

    total: int
    counts: dict[str, int]
    rows: list[DatumRow]


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a list: how long it is, and what gives rows of it by number."""

    count: int
    rows: Callable[[int, int], list[DatumRow]]


@dataclass(frozen=True, slots=True)
class Live:
    """What a job that runs has in memory: the datums under way, and those next in turn."""

    running: Sequence[Running]
    waiting: Sequence[Datum]


class DatumPages:
    """Pages of the datums of jobs."""

    def __init__(self, pfs: Pfs, live: Callable[[Job], Live]) -> None:
        self._pfs = pfs
        self._live = live
        self._skipped = Skipped(pfs)
        self._ordered = Kept(10 * _BY_PATH)

    def page(
        self,
        job: JobRecord,
        offset: int,
        limit: int,
        *,
        search: str = "",
        states: Iterable[str] = (),
        sort: str = "trouble",
        reverse: bool = False,
    ) -> Page:
        """Rows ``offset`` to ``offset + limit`` of the list asked for."""
        wanted = _states(states)
        live = self._live(job.job) if not job.state.computed else Live((), ())
        ran = self._ran_counts(job.job, "")
        counts = _counts(job, ran, len(live.running))
        found = _List(self, job, live, search.lower(), ran)
        parts = [part for part in found.parts(sort or "trouble", wanted) if part.count]
        rows: list[DatumRow] = []
        at = 0  # the number of the first row of a part
        for part in reversed(parts) if reverse else parts:
            first, end = max(offset - at, 0), min(offset + limit - at, part.count)
            if first < end and reverse:
                rows += part.rows(part.count - end, end - first)[::-1]
            elif first < end:
                rows += part.rows(first, end - first)
            at += part.count
        return Page(at, counts, rows)

    def _ran_counts(self, job: Job, search: str) -> dict[str, int]:
        where, params = _where(self._pfs.meta, job, (), search)
        rows = self._pfs.meta.db.read(
            f"SELECT state, count(*) FROM datums WHERE {where} GROUP BY state", params
        )
        return dict(rows)

    # ---- those that were run

    def _ran(
        self, job: Job, states: Sequence[str], search: str, order: str, count: int
    ) -> Callable[[int, int], list[DatumRow]]:
        where, params = _where(self._pfs.meta, job, states, search)
        forwards, backwards = _ORDERS[order]

        def rows(offset: int, limit: int) -> list[DatumRow]:
            behind = count - offset - limit
            back = behind < offset
            order, skip = (backwards, behind) if back else (forwards, offset)
            how = f"WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {max(0, skip)}"
            if skip + limit > _NEAR:  # perf: to sort all, the columns of the order are enough
                how = f"WHERE rowid IN (SELECT rowid FROM datums {how}) ORDER BY {order}"
            made = [self.row(d) for d in self._pfs.meta.select(DATUMS, how, params)]
            return made[::-1] if back else made

        return rows

    def row(self, record: DatumRecord) -> DatumRow:
        """A datum that a job ran."""
        inputs = record.inputs
        if len(inputs) != record.input_count or not inputs:
            meta = meta_file.read(self._pfs, record.dir)
            inputs = tuple(one["path"] for one in meta["inputs"])
        began = record.started
        return DatumRow(
            record.id,
            record.state.value,
            record.reason,
            record.stats,
            inputs,
            record.tries,
            record.worker if began is not None else None,
            began,
        )

    # ---- both, by path

    def _by_path(self, job: JobRecord, states: Sequence[str], search: str) -> _Part | None:
        """All of a job that is over in the order of their paths; None where they are too many, or
        what another job has run was forgotten."""
        tree = job.datums
        if tree is None or not job.state.computed or self._pfs.trees.entries(tree) > _BY_PATH:
            return None
        key = (tree, job.job, search, *states)
        found = self._ordered.get(key)
        if found is None:
            ids = [entry.name for entry in self._pfs.trees.names(tree)]
            of = job.job.pipeline
            rows = self._pfs.meta.db.read(
                "SELECT id, min(inputs), max(CASE WHEN job = ? THEN state END) FROM datums "
                "WHERE project = ? AND pipeline = ? AND id IN (SELECT unnest(?)) GROUP BY id",
                [job.job.id, of.project, of.name, ids],
            )
            if len(rows) != len(ids):
                return None
            found = [
                id_
                for inputs, id_, state in sorted((i, id_, s or SKIPPED) for id_, i, s in rows)
                if state in states and _matches(id_, inputs, search)
            ]
            self._ordered.put(key, found)
        order = found

        def rows_of(offset: int, limit: int) -> list[DatumRow]:
            return self._with_ids(job.job, tree, order[offset : offset + limit])

        return _Part(len(order), rows_of)

    def _with_ids(self, job: Job, tree: Hash, ids: Sequence[str]) -> list[DatumRow]:
        where, params = _where(self._pfs.meta, job, (), "")
        found = self._pfs.meta.select(
            DATUMS, f"WHERE {where} AND id IN (SELECT unnest(?))", [*params, list(ids)]
        )
        mine = {record.id: record for record in found}
        with self._pfs.reading(tree):
            rows = []
            for id_ in ids:
                if id_ in mine:
                    rows.append(self.row(mine[id_]))
                elif (entry := self._pfs.trees.get(tree, f"/{id_}")) is not None:
                    rows.append(self._of_tree(entry))
            return rows

    # ---- those that were skipped

    def _not_run(self, job: JobRecord, ran: int, search: str) -> _Part:
        """Entries of the job's tree that are none of the ``ran`` it ran itself."""
        tree = job.datums
        if tree is None or not job.state.computed or self._pfs.trees.entries(tree) <= ran:
            return _held([])
        told = (_FOUND, [search, search]) if search else None
        numbers = self._skipped.numbers(job, tree, ran, told)

        def rows(offset: int, limit: int) -> list[DatumRow]:
            found = self._skipped.entries(tree, numbers[offset : offset + limit])
            return [self._of_tree(entry) for entry in found]

        return _Part(len(numbers), rows)

    def _of_tree(self, entry: Entry) -> DatumRow:
        meta = meta_file.read(self._pfs, entry.hash)
        inputs = tuple(one["path"] for one in meta["inputs"])
        return DatumRow(entry.name, SKIPPED, "", Stats(**meta["stats"]), inputs)


class _List:
    """The parts of one list."""

    def __init__(
        self, pages: DatumPages, job: JobRecord, live: Live, search: str, ran: dict[str, int]
    ) -> None:
        self._pages, self._job, self._live, self._search = pages, job, live, search
        self._mine = sum(ran.values())
        self._ran = pages._ran_counts(job.job, search) if search else ran

    def parts(self, sort: str, wanted: Sequence[str]) -> list[_Part]:
        """The parts that make up the list in this order."""
        if sort in ("trouble", "state"):
            order = {SUCCESS: "slowest" if sort == "trouble" else "input"}
            return [self._part(state, order.get(state, "newest")) for state in wanted]
        if sort not in ("time", "input"):
            raise InvalidArgument(
                f"datums are not sorted by {sort!r}", "use trouble, input, time or state"
            )
        if sort == "input":
            whole = self._pages._by_path(self._job, wanted, self._search)
            if whole is not None:
                return [whole]
        ran = [state for state in _RAN if state in wanted]
        count = sum(self._ran.get(state, 0) for state in ran)
        order_by = "slowest" if sort == "time" else "input"
        rows = self._pages._ran(self._job.job, ran, self._search, order_by, count)
        first = [_Part(count, rows)] if ran else []
        live = [self._part(s) for s in (RUNNING, WAITING, SKIPPED) if s in wanted]
        if sort == "time" and RUNNING in wanted:
            return [live[0], *first, *live[1:]]
        return [*first, *live]

    def _part(self, state: str, order: str = "newest") -> _Part:
        if state == RUNNING:
            now = time.time()
            return _held(self._matching(_running(one, now) for one in self._oldest()))
        if state == WAITING:
            return _held(self._matching(map(_waiting, self._live.waiting)))
        if state == SKIPPED:
            return self._pages._not_run(self._job, self._mine, self._search)
        count = self._ran.get(state, 0)
        return _Part(count, self._pages._ran(self._job.job, [state], self._search, order, count))

    def _oldest(self) -> list[Running]:
        return sorted(self._live.running, key=lambda one: one.since)

    def _matching(self, rows: Iterable[DatumRow]) -> list[DatumRow]:
        word = self._search
        return [row for row in rows if _matches(row.id, "\n".join(row.inputs), word)]


def _matches(id_: str, inputs: str, word: str) -> bool:
    return not word or id_.startswith(word) or word in inputs.lower()


def _states(states: Iterable[str]) -> list[str]:
    wanted = set(states)
    if unknown := sorted(wanted - set(STATES)):
        raise InvalidArgument(f"no datum is {unknown[0]!r}", f"states are {', '.join(STATES)}")
    return [state for state in STATES if state in wanted or not wanted]


def _where(meta: Meta, job: Job, states: Sequence[str], search: str) -> tuple[str, list[Any]]:
    where, params = of_job(meta, job)
    if states:
        where += f" AND state IN ({', '.join('?' * len(states))})"
        params += states
    if search:
        where += f" AND {_FOUND}"
        params += [search, search]
    return where, params


def _counts(job: JobRecord, ran: dict[str, int], running: int) -> dict[str, int]:
    counts = {RUNNING: running, SKIPPED: job.skipped, **{s: ran.get(s, 0) for s in _RAN}}
    if not job.state.computed:
        counts[WAITING] = max(0, job.total - sum(counts.values()))
    return {state: counts[state] for state in STATES if counts.get(state)}


def _held(rows: list[DatumRow]) -> _Part:
    return _Part(len(rows), lambda offset, limit: rows[offset : offset + limit])


def _running(one: Running, now: float) -> DatumRow:
    began = datetime.fromtimestamp(one.since, UTC)
    paths = tuple(i.path for i in one.datum.inputs)
    stats = Stats(process_s=max(0.0, now - one.since))
    return DatumRow(one.datum.id, RUNNING, "", stats, paths, one.tries, one.worker, began)


def _waiting(datum: Datum) -> DatumRow:
    return DatumRow(datum.id, WAITING, "", Stats(), tuple(i.path for i in datum.inputs))
