"""Keeps the programs of spouts running: one thread a spout that is to run, life after life.

What is to run follows from the records of pipelines and of sources, at every look anew; so a box
that starts, an update and a resume are all the same.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from pachybox.errors import NotReady
from pachybox.ingest.advance import spout_record
from pachybox.ingest.spout_life import Readers, output
from pachybox.ingest.spout_run import Shown, SpoutRun, note
from pachybox.meta.tables import BRANCHES, COMMITS, INGESTS, PIPELINES
from pachybox.model.ids import Commit, Pipeline
from pachybox.model.ingest import Ingest, IngestInfo, IngestRecord, IngestState, IngestStatus
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pfs.service import Pfs
from pachybox.pps import pipelines
from pachybox.pps.logs import directory, of_spout
from pachybox.pps.scheduler import Scheduler

log = logging.getLogger("pachybox.spouts")

_LOOK_S = 0.25  # between two looks at what runs
_REST_S = 0.1  # the least between two looks at all records
_AGAIN_S, _IDLE_S = 1.0, 60.0  # the most, where there are spouts and where there is none


class Supervised(Readers, Protocol):
    """What runs readers and counts what comes in: see Supervisor."""

    def held(self) -> str: ...
    def advanced(self, ingest: Ingest, records: int, files: int = 0) -> None: ...
    def remove(self, ingest: Ingest) -> None: ...
    def rates(self, ingest: Ingest) -> tuple[float, ...]: ...


class Spouts:
    """All spouts of a box; a Provider of ingest sources."""

    def __init__(self, pfs: Pfs, scheduler: Scheduler, supervisor: Supervised) -> None:
        self._pfs = pfs
        self._meta = pfs.meta
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._runs: dict[Pipeline, SpoutRun] = {}
        self._shown: dict[Ingest, Shown] = {}
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="spouts", daemon=True)

    def start(self) -> None:
        """Begin to run what is to run."""
        self._thread.start()

    def stop(self) -> None:
        """End all programs; what they wrote whole is committed. Idempotent."""
        self._stopping.set()
        self._wake.set()
        with self._looking:  # what it is at; what it waits for matters no more
            runs = list(self._runs.values())
        for run in runs:
            run.stop()
        for run in runs:
            run.join()

    # ---- as a Provider

    def infos(self) -> Iterable[IngestInfo]:
        """See service.Provider."""
        for record in self._spouts():
            name = _ingest(record)
            found = spout_record(self._meta, name)
            if found is not None:
                status = self._status(record, found)
                yield IngestInfo(self._with_commits(found), status, record.pipeline)

    def changed(self, ingest: Ingest) -> None:
        """See service.Provider."""
        self._wake.set()

    def run(self, ingest: Ingest) -> None:
        """Start the program anew, now."""
        with self._lock:
            run = self._runs.get(Pipeline(ingest.project, ingest.name))
        if run is not None:
            run.hurry()

    def _status(self, record: PipelineRecord, durable: IngestRecord) -> IngestStatus:
        name = _ingest(record)
        shown = self._shown.get(name) or Shown()
        reader = self._supervisor.status(name)
        why = self._why_not(record, durable.paused)
        state, reason = why or (shown.state, shown.reason)
        if why is None and state is IngestState.RUNNING:
            reason = reader.reason
        newest = shown if (shown.errors and not reader.error) else reader
        return replace(
            reader,
            state=state,
            reason=reason,
            since=shown.since,
            errors=shown.errors + reader.errors,
            error=newest.error or shown.error,
            error_time=newest.error_time or shown.error_time,
            restarts=shown.restarts,
            rates=self._supervisor.rates(name),
        )

    def _with_commits(self, record: IngestRecord) -> IngestRecord:
        """With what its program committed by the API, too."""
        repo, branch = record.to.repo, record.to.name
        head = self._meta.get(BRANCHES, record.to)
        if head is None or head.head in (None, record.last_commit):
            return record
        count, last = self._meta.db.read(
            "SELECT count(*), arg_max(id, seq) FROM commits WHERE project = ? AND repo = ? "
            "AND type = ? AND branch = ? AND finished_us IS NOT NULL",
            (repo.project, repo.name, repo.type, branch),
        )[0]
        newest = self._meta.get(COMMITS, Commit(repo, last)) if last else None
        if newest is None:
            return record
        return replace(
            record, commits=count, last_commit=newest.commit.id, last_time=newest.finished
        )

    # ---- what is to run

    def _spouts(self) -> list[PipelineRecord]:
        return [p for p in self._meta.all(PIPELINES) if pipelines.is_spout(p.spec)]

    def _why_not(self, record: PipelineRecord, paused: bool) -> tuple[IngestState, str] | None:
        """Why a spout is not to run now; None when it is."""
        if record.stopped:
            return IngestState.STOPPED, "its pipeline is stopped"
        if paused:
            return IngestState.PAUSED, ""
        if why := self._supervisor.held():
            return IngestState.HELD, why
        pins = self._scheduler.pins
        if pins is not None and (lacking := pins.lacking(record)) is not None:
            return IngestState.STARTING, lacking
        return None

    def _loop(self) -> None:
        while not self._stopping.is_set():
            seen = self._meta.last_event
            some = True
            try:
                with self._looking:
                    some = self._look()
            except NotReady:
                pass  # the box stops
            except Exception:  # it must be there for the next look
                log.exception("cannot look after spouts")
            self._await(seen, time.monotonic() + (_AGAIN_S if some else _IDLE_S))

    def _await(self, seen: int, until: float) -> None:
        """Until something has happened that may matter, or until then."""
        self._wake.wait(_REST_S)
        while True:
            for run in list(self._runs.values()):
                run.look()  # also where something happens all the time
            over = time.monotonic() > until
            if over or self._wake.is_set() or self._meta.last_event != seen:
                break
            self._meta.wait_change(seen, _LOOK_S)
        self._wake.clear()

    def _look(self) -> bool:
        """Bring every spout nearer to what it is to be; whether there is any."""
        if self._stopping.is_set():
            return False
        wanted = {record.pipeline: record for record in self._spouts()}
        with self._lock:
            runs = dict(self._runs)
        for name, run in runs.items():
            record = wanted.get(name)
            if record is None or self._outdated(run, record):
                run.stop()
            if run.ended():
                with self._lock:
                    del self._runs[name]
                if record is None or record.created != run.record.created:
                    self._forget(run.record)
        for name, record in wanted.items():
            durable = self._meta.get(INGESTS, _ingest(record))
            paused = durable is not None and durable.paused
            why = self._why_not(record, paused)
            shown = self._shown.setdefault(_ingest(record), Shown())
            self._count(record, shown)
            if why is not None:
                self._rest(record, why, shown)
            elif name not in self._runs:
                run = SpoutRun(
                    self._pfs, self._scheduler, self._supervisor, record, shown, self._wake.set
                )
                with self._lock:
                    self._runs[name] = run
                run.start()
        return bool(wanted or self._runs)

    def _outdated(self, run: SpoutRun, record: PipelineRecord) -> bool:
        durable = self._meta.get(INGESTS, _ingest(record))
        paused = durable is not None and durable.paused
        return (
            record.spec_commit != run.record.spec_commit
            or self._why_not(record, paused) is not None
        )

    def _rest(self, record: PipelineRecord, why: tuple[IngestState, str], shown: Shown) -> None:
        """A spout is not to run: have its pipeline say so."""
        shown.show(*why)
        if why[0] in (IngestState.PAUSED, IngestState.HELD) and record.pipeline not in self._runs:
            remedy = f"paused, resume it with: resume ingest {_ingest(record)}"
            note(self._pfs, record, PipelineState.PAUSED, why[1] or remedy)

    def _forget(self, record: PipelineRecord) -> None:
        """A spout is gone, and all that it kept."""
        name = _ingest(record)
        self._shown.pop(name, None)
        self._supervisor.remove(name)
        shutil.rmtree(
            directory(self._scheduler.shop.logs, of_spout(record.pipeline)), ignore_errors=True
        )

    def _count(self, record: PipelineRecord, shown: Shown) -> None:
        """Commits that came by the API since the last look are what came in."""
        to = output(record)
        branch = self._meta.get(BRANCHES, to)
        head = (
            self._meta.get(COMMITS, Commit(to.repo, branch.head))
            if branch and branch.head
            else None
        )
        if head is None or head.finished is None or head.seq == shown.seen:
            shown.seen = shown.seen or 0
            return
        before, shown.seen = shown.seen, head.seq
        if before is None:
            return  # they came before the box started
        durable = self._meta.get(INGESTS, _ingest(record))
        if durable is not None and durable.commits:
            return  # they come through the pipe, where they are counted
        count = self._meta.db.read(
            "SELECT count(*) FROM commits WHERE project = ? AND repo = ? AND type = ? "
            "AND branch = ? AND seq > ? AND seq <= ? AND finished_us IS NOT NULL",
            (to.repo.project, to.repo.name, to.repo.type, to.name, before, head.seq),
        )[0][0]
        self._supervisor.advanced(_ingest(record), count)


def _ingest(record: PipelineRecord) -> Ingest:
    return Ingest(record.pipeline.project, record.pipeline.name)
