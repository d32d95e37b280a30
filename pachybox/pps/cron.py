"""The clock of cron inputs: one thread that makes the ticks of all pipelines that are not stopped.

There is no plan but the data: the next tick follows the newest tick file of the repo (see
model/ticks.py), so a tick that was committed is never made again and one that was not is made after
a restart, however the box went down. Ticks that time has passed over are made one by one, one of
each cron input in a round. The clock is looked at every second, so that it may be set meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from pachybox.errors import NotFound, PachyboxError
from pachybox.meta.apply import Staged
from pachybox.meta.groups import Outcome
from pachybox.meta.tables import BRANCHES, COMMITS, INGESTS, PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch, Commit, CommitId, Pipeline, Repo
from pachybox.model.ingest import Ingest, IngestInfo, IngestState, IngestStatus
from pachybox.model.pps import PipelineRecord
from pachybox.model.ticks import Ticks
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pfs.zone import local_zone
from pachybox.pps.ingest_state import tell
from pachybox.pps.sources import CronInput, crons
from pachybox.pps.ticking import ahead, newest_tick, remedy, row_of, tick, tick_now, ticks_of
from pachybox.store.blobs import Session

log = logging.getLogger("pachybox.cron")

_LOOK_S = 1.0  # the finest schedule is by the second
_MOST_OPEN = 100  # jobs of a pipeline not over, until missed ticks wait for them
_MOST_MISSED = 100  # missed ticks of fields are counted so far
_RATES = 60  # seconds of which it is known how many ticks they had


@dataclass(frozen=True, slots=True)
class _Next:
    """The next tick of a cron input, worked out from ``head``. ``at``: None for never."""

    pipeline: PipelineRecord
    cron: CronInput
    head: CommitId | None
    ticks: Ticks
    at: datetime | None


class _Seen:
    """What is remembered of a branch of ticks; all of it but the troubles can be found out anew."""

    def __init__(self) -> None:
        self.head: CommitId | None = None
        self.newest: datetime | None = None  # tick file at that head
        self.commits = 0  # of the repo, once they were counted
        self.due: dict[Ticks, datetime | None] = {}  # of its cron inputs, when each is due
        self.rates: dict[int, int] = {}  # ticks made, by second
        self.trouble = ""  # why the last one could not be made; "" when it could
        self.errors = 0
        self.error = ""
        self.error_time: datetime | None = None

    def failed(self, why: str, now: datetime) -> bool:
        """Note why there is no tick; whether that is news."""
        news, self.trouble = self.trouble != why, why
        if news:
            self.errors += 1
            self.error, self.error_time = why, now
        return news


class Cron:
    """Makes the ticks, and tells of its inputs as sources of data."""

    def __init__(
        self,
        pfs: Pfs,
        *,
        clock: Callable[[], datetime] = utc_now,
        zone: Callable[[], tzinfo] = local_zone,
        held: Callable[[], str] = lambda: "",
    ) -> None:
        """``held`` says why no data is to come in now, "" when it may."""
        self._pfs = pfs
        self._clock = clock
        self._zone = zone
        self._held = held
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="cron", daemon=True)
        self._lock = threading.Lock()  # over what is remembered, which infos reads too
        self._specs: dict[Pipeline, tuple[object, tuple[CronInput, ...]]] = {}
        self._seen: dict[Branch, _Seen] = {}
        self._room: dict[Pipeline, int] = {}

    def start(self) -> None:
        """Begin to tick. Comes after whoever else wants to be told of publications."""
        meta = self._pfs.meta
        before = meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            if PIPELINES in staged or INGESTS in staged:
                self._wake.set()

        meta.on_publish = published
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent, and without effect when it was never started."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping:  # looked at behind that: who stops this sets it first
                return
            pause: float | None = _LOOK_S
            try:
                pause = self.look(self._clock())
            except Exception:  # it must be there for the next tick
                log.exception("cron inputs could not be looked at")
            self._wake.wait(pause)

    def look(self, now: datetime) -> float | None:
        """Make one tick of every cron input that is due; for how many seconds there is nothing to
        do, None for until a pipeline changes."""
        with self._lock:
            ready = [one for one in self._coming() if self._active(one)]
        due = [one for one in _first(ready) if one.at is not None and one.at <= now]
        if due and not self._held() and self._make(self._roomy(due), now):
            return 0.0
        waits = [(one.at - now).total_seconds() for one in ready if one.at is not None]
        return min([_LOOK_S, *(wait for wait in waits if wait > 0)]) if waits else None

    # ---- what is due

    def _coming(self) -> list[_Next]:
        """The next tick of every cron input. Those that cannot be read say so as sources."""
        records = self._pfs.meta.all(PIPELINES)
        found = [one for r in records for cron in self._crons(r) if (one := self._next_of(r, cron))]
        if len(self._specs) > 2 * len(records) + 100:
            self._specs.clear()
        if len(self._seen) > 2 * len(found) + 100:
            used = {one.cron.branch for one in found}
            self._seen = {branch: seen for branch, seen in self._seen.items() if branch in used}
        return found

    def _active(self, one: _Next) -> bool:
        row = self._pfs.meta.get(INGESTS, one.cron.ingest)
        return not one.pipeline.stopped and (row is None or not row.paused)

    def _crons(self, record: PipelineRecord) -> tuple[CronInput, ...]:
        """perf: specs of thousands of pipelines are not read anew every second."""
        known = self._specs.get(record.pipeline)
        if known is None or known[0] is not record.spec:
            known = self._specs[record.pipeline] = (record.spec, crons(record.spec))
        return known[1]

    def _next_of(self, record: PipelineRecord, cron: CronInput) -> _Next | None:
        meta = self._pfs.meta
        branch = meta.get(BRANCHES, cron.branch)
        if branch is None:
            return None  # taken away by force
        seen = self._seen.setdefault(cron.branch, _Seen())
        if seen.head != branch.head:
            commit = branch.head and meta.get(COMMITS, Commit(cron.branch.repo, branch.head))
            seen.newest = newest_tick(self._pfs, commit.root) if commit else None
            seen.head, seen.commits = branch.head, 0
        try:
            ticks = ticks_of(meta, record, cron, seen.newest, self._zone())
        except PachyboxError as e:
            self._failed(cron, e)
            return None
        if ticks not in seen.due:
            if len(seen.due) > 10:
                seen.due.clear()
            seen.due[ticks] = ticks.next()
        return _Next(record, cron, branch.head, ticks, seen.due[ticks])

    def _roomy(self, due: list[_Next]) -> list[_Next]:
        """Without those of pipelines of which so many jobs wait that more would only fill the box;
        ticks are not lost."""
        names = {one.pipeline.pipeline for one in due}
        if short := [name for name in names if self._room.get(name, 0) <= 0]:
            rows = self._pfs.meta.db.read(
                "SELECT project, pipeline, count(*) FROM jobs WHERE finished_us IS NULL "
                "GROUP BY project, pipeline"
            )
            waiting = {Pipeline(project, name): count for project, name, count in rows}
            kept = {name: room for name, room in self._room.items() if name in names}
            self._room = kept | {name: _MOST_OPEN - waiting.get(name, 0) for name in short}
        return [one for one in due if self._room[one.pipeline.pipeline] > 0]

    # ---- making ticks

    def _make(self, due: list[_Next], now: datetime) -> bool:
        """Make the ticks, in one transaction where they go together; whether any was made."""
        begun: list[tuple[_Next, datetime, Outcome[CommitId | None]]] = []
        made = False
        with self._pfs.blobs.session() as session:
            for one in due:
                at = one.ticks.due(now, coalesce=one.cron.coalesce)
                if at is not None and not self._stopping:
                    begun.append((one, at, self._pfs.begin(self._change(one, at, session))))
            for one, at, outcome in begun:
                try:
                    commit = outcome.result()
                except PachyboxError as e:
                    self._failed(one.cron, e)
                    continue
                made = made or commit is not None
                if commit is not None:
                    self._made(one, at, commit)
            session.keep()
        return made

    def _change(
        self, one: _Next, at: datetime, session: Session
    ) -> Callable[[Change], CommitId | None]:
        """The tick at ``at``; None where it is not what is due any more."""

        def change(ch: Change) -> CommitId | None:
            record = ch.tx.get(PIPELINES, one.pipeline.pipeline)
            branch = ch.tx.get(BRANCHES, one.cron.branch)
            row = ch.tx.get(INGESTS, one.cron.ingest)
            if record is None or record.stopped or record.version != one.pipeline.version:
                return None
            if branch is None or branch.head != one.head or (row is not None and row.paused):
                return None  # somebody else ticked: look again
            return tick(ch, self._pfs, session, record, one.cron, one.ticks, at)

        return change

    def _made(self, one: _Next, at: datetime, commit: CommitId) -> None:
        self._room[one.pipeline.pipeline] -= 1
        with self._lock:
            seen = self._seen.setdefault(one.cron.branch, _Seen())
            before = None if one.cron.overwrite else one.ticks.newest
            seen.newest = at if before is None else max(at, before)
            seen.head = commit  # perf: its tree need not be looked at
            seen.commits += 1
            seen.due.clear()
            if seen.trouble:
                tell(self._pfs.meta, one.cron.ingest, IngestState.RUNNING, "")
            seen.trouble = ""
            second = int(self._clock().timestamp())
            seen.rates[second] = seen.rates.get(second, 0) + 1
            for old in [s for s in seen.rates if s <= second - _RATES]:
                del seen.rates[old]

    def _failed(self, cron: CronInput, error: PachyboxError) -> None:
        if self._seen.setdefault(cron.branch, _Seen()).failed(str(error), self._clock()):
            log.warning("no tick repo=%s error=%s", cron.branch.repo, error)
            tell(self._pfs.meta, cron.ingest, IngestState.CRASHING, str(error))

    # ---- as sources

    def infos(self) -> list[IngestInfo]:
        """Every cron input as a source, by the repo of its ticks."""
        now, held = self._clock(), self._held()
        with self._lock:
            coming = {(one.pipeline.pipeline, one.cron): one for one in self._coming()}
            self._count(coming.values())
            found: dict[Branch, IngestInfo] = {}
            for record in self._pfs.meta.all(PIPELINES):
                for cron in self._crons(record):
                    one = coming.get((record.pipeline, cron))
                    found.setdefault(cron.branch, self._info(record, cron, one, now, held))
        return list(found.values())

    def _count(self, coming: Iterable[_Next]) -> None:
        """Count the commits of repos where that is not known."""
        new = [s for one in coming if one.head and not (s := self._seen[one.cron.branch]).commits]
        if not new:
            return
        rows = self._pfs.meta.db.read(
            "SELECT project, repo, branch, count(*) FROM commits WHERE type = 'user' "
            "GROUP BY project, repo, branch"
        )
        for project, repo, branch, count in rows:
            if seen := self._seen.get(Branch(Repo(project, repo), branch)):
                seen.commits = count

    def _info(
        self, record: PipelineRecord, cron: CronInput, one: _Next | None, now: datetime, held: str
    ) -> IngestInfo:
        row = self._pfs.meta.get(INGESTS, cron.ingest)
        shown = row_of(record, cron)
        if row is not None:
            shown = replace(shown, paused=row.paused, offset=row.offset, updated=row.updated)
        seen = self._seen.setdefault(cron.branch, _Seen())
        if one is not None and one.head is not None:
            head = self._pfs.meta.get(COMMITS, Commit(cron.branch.repo, one.head))
            shown = replace(
                shown,
                files=head.files if head else 0,
                commits=seen.commits,
                last_commit=one.head,
                last_time=head.finished if head else None,
            )
        state, reason = self._state(record, cron, one, shown.paused, now, held)
        at = None if one is None else one.at
        second = int(now.timestamp())
        status = IngestStatus(
            state,
            reason,
            lag_s=max(0.0, (now - at).total_seconds()) if at else 0.0,
            pending=one.ticks.missed(now, _MOST_MISSED) if one and at and at <= now else 0,
            rates=tuple(float(seen.rates.get(second - n, 0)) for n in range(_RATES, 0, -1)),
            errors=seen.errors,
            error=seen.error,
            error_time=seen.error_time,
            next_time=at,
        )
        return IngestInfo(shown, status, record.pipeline)

    def _state(
        self, record: PipelineRecord, cron: CronInput, one: _Next | None, paused: bool,
        now: datetime, held: str,
    ) -> tuple[IngestState, str]:  # fmt: skip
        if record.stopped:
            return IngestState.STOPPED, f"pipeline {record.pipeline} is stopped"
        if paused:
            return IngestState.PAUSED, ""
        if held:
            return IngestState.HELD, held
        if one is None:
            why = self._seen[cron.branch].trouble or f"branch {cron.branch} was deleted"
            return IngestState.CRASHING, why
        if one.ticks.ahead(now):
            newest = one.ticks.newest or one.ticks.position
            return IngestState.CRASHING, f"the newest tick is {ahead(newest)}; {remedy(cron)}"
        if one.at is not None and one.at <= now:
            if self._seen[cron.branch].trouble:
                return IngestState.CRASHING, self._seen[cron.branch].trouble
            if self._room.get(record.pipeline, 1) <= 0:
                return IngestState.RUNNING, f"waits for {_MOST_OPEN} jobs of {record.pipeline}"
        return IngestState.RUNNING, ""

    def changed(self, ingest: Ingest) -> None:
        """A source was paused or resumed: look at once."""
        self._wake.set()

    def run(self, ingest: Ingest) -> None:
        """Tick a cron input by hand. Raises NotFound, and what ``tick_now`` raises."""
        for record in self._pfs.meta.all(PIPELINES):
            for cron in crons(record.spec):
                if cron.ingest == ingest:
                    tick_now(self._pfs, record.pipeline, cron.branch)
                    return
        raise NotFound(f"ingest {ingest} not found", "list ingest shows what there is")


def _first(ready: Iterable[_Next]) -> list[_Next]:
    """Of each branch the tick that comes first: cron inputs may share a repo."""
    found: dict[Branch, _Next] = {}
    for one in ready:
        other = found.get(one.cron.branch)
        if one.at is not None and (other is None or other.at is None or one.at < other.at):
            found[one.cron.branch] = one
    return list(found.values())
