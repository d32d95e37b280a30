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
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pachybox.containers.troubles import ImageMissing
from pachybox.errors import NotReady, PachyboxError
from pachybox.ingest.advance import spout_record
from pachybox.ingest.spout_life import Life, Readers, output
from pachybox.meta.tables import BRANCHES, COMMITS, INGESTS, PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Commit, Pipeline
from pachybox.model.ingest import Ingest, IngestInfo, IngestRecord, IngestState, IngestStatus
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import pipelines, ports
from pachybox.pps.logs import directory, of_spout
from pachybox.pps.ports import Publisher
from pachybox.pps.program import Pauses
from pachybox.pps.scheduler import Scheduler

log = logging.getLogger("pachybox.spouts")

_LOOK_S = 0.25  # between two looks, when nothing happens
_REST_S = 0.05  # the least between two


class Supervised(Readers, Protocol):
    """What runs readers and counts what comes in: see Supervisor."""

    def held(self) -> str: ...
    def advanced(self, ingest: Ingest, records: int, files: int = 0) -> None: ...
    def remove(self, ingest: Ingest) -> None: ...
    def rates(self, ingest: Ingest) -> tuple[float, ...]: ...


@dataclass
class _Shown:
    """What is known of a spout since the box started, over its lives."""

    state: IngestState = IngestState.STARTING
    reason: str = ""
    since: datetime | None = None
    errors: int = 0
    error: str = ""
    error_time: datetime | None = None
    restarts: int = 0
    seen: int | None = None  # the number of the newest commit that was counted

    def show(self, state: IngestState, reason: str = "") -> None:
        if state is not self.state:
            self.state, self.since = state, utc_now()
        self.reason = reason

    def failed(self, error: str) -> None:
        self.errors += 1
        self.error, self.error_time = error, utc_now()


class Spouts:
    """All spouts of a box; a Provider of ingest sources."""

    def __init__(self, pfs: Pfs, scheduler: Scheduler, supervisor: Supervised) -> None:
        self._pfs = pfs
        self._meta = pfs.meta
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._runs: dict[Pipeline, _Run] = {}
        self._shown: dict[Ingest, _Shown] = {}
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
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
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
        shown = self._shown.get(name) or _Shown()
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
            try:
                self._look()
            except NotReady:
                pass  # the box stops
            except Exception:  # it must be there for the next look
                log.exception("cannot look after spouts")
            if self._wake.wait(_REST_S):
                self._wake.clear()
                continue
            self._meta.wait_change(seen, _LOOK_S)

    def _look(self) -> None:
        wanted = {record.pipeline: record for record in self._spouts()}
        with self._lock:
            runs = dict(self._runs)
        for name, run in runs.items():
            record = wanted.get(name)
            if record is None or self._outdated(run, record):
                run.stop()
            run.look()
            if run.ended():
                with self._lock:
                    del self._runs[name]
                if record is None or record.created != run.record.created:
                    self._forget(run.record)
        for name, record in wanted.items():
            durable = self._meta.get(INGESTS, _ingest(record))
            paused = durable is not None and durable.paused
            why = self._why_not(record, paused)
            shown = self._shown.setdefault(_ingest(record), _Shown())
            self._count(record, shown)
            if why is not None:
                self._rest(record, why, shown)
            elif name not in self._runs and not self._stopping.is_set():
                run = _Run(self._pfs, self._scheduler, self._supervisor, record, shown)
                with self._lock:
                    self._runs[name] = run
                run.start()

    def _outdated(self, run: _Run, record: PipelineRecord) -> bool:
        durable = self._meta.get(INGESTS, _ingest(record))
        paused = durable is not None and durable.paused
        return (
            record.spec_commit != run.record.spec_commit
            or self._why_not(record, paused) is not None
        )

    def _rest(self, record: PipelineRecord, why: tuple[IngestState, str], shown: _Shown) -> None:
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

    def _count(self, record: PipelineRecord, shown: _Shown) -> None:
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


class _Run:
    """The lives of one version of a spout, in a thread of its own."""

    def __init__(
        self,
        pfs: Pfs,
        scheduler: Scheduler,
        readers: Supervised,
        record: PipelineRecord,
        shown: _Shown,
    ) -> None:
        self.record = record
        self._pfs = pfs
        self._scheduler = scheduler
        self._readers = readers
        self._shown = shown
        self._pauses = Pauses()
        self._wake = threading.Condition()
        self._over = False
        self._hurry = False
        self._life: Life | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"spout-{record.pipeline.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it, soon. Idempotent."""
        with self._wake:
            self._over = True
            self._wake.notify_all()
            life = self._life
        if life is not None:
            life.stop()

    def hurry(self) -> None:
        """Begin the next life now."""
        self._pauses.forget()
        with self._wake:
            self._hurry = True
            self._wake.notify_all()
            life = self._life
        if life is not None:
            life.stop()

    def look(self) -> None:
        """See Life.look."""
        with self._wake:
            life = self._life
        if life is not None:
            life.look()

    def ended(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        service = ports.published(self.record.spec)
        publisher = Publisher(service, lambda: self._life is not None) if service else None
        try:
            while not self._over:
                began = time.monotonic()
                why = self._live(publisher)
                if publisher is not None:
                    publisher.cut()
                if self._over or not why:
                    continue
                self._crashed(why, self._pauses.after(time.monotonic() - began))
        except NotReady:
            pass  # the box stops
        except Exception:
            log.exception("spout broke pipeline=%s", self.record.pipeline)
        finally:
            if publisher is not None:
                publisher.close()

    def _crashed(self, why: str, pause: float) -> None:
        log.warning("spout ended pipeline=%s reason=%s", self.record.pipeline, why)
        self._shown.failed(why)
        self._shown.show(IngestState.CRASHING, why)
        note(self._pfs, self.record, PipelineState.CRASHING, why)
        with self._wake:
            self._wake.wait_for(lambda: self._over or self._hurry, timeout=pause)
        self._shown.restarts += 1

    def _live(self, publisher: Publisher | None) -> str:
        """One life; why it ended, or could not begin. Nothing: it was stopped."""
        try:
            if publisher is not None:
                publisher.open()
                ports.await_free(self.record.spec["spout"]["service"], lambda: self._over)
            with self._wake:
                if self._over:
                    return ""
                self._hurry = False
                life = self._life = Life(self._scheduler.shop, self._readers, self.record)
            reason = life.run(self._running)
            return reason and f"the program ended ({reason}) and is started again"
        except ImageMissing as e:
            if self._scheduler.pins is not None:
                self._scheduler.pins.lost(self.record, e)
            return str(e)
        except (PachyboxError, OSError) as e:
            return f"the program cannot be started: {e}"
        finally:
            with self._wake:
                self._life = None

    def _running(self) -> None:
        self._shown.show(IngestState.RUNNING)
        note(self._pfs, self.record, PipelineState.RUNNING, "")


def note(pfs: Pfs, record: PipelineRecord, state: PipelineState, reason: str) -> None:
    """Record the state of a pipeline, unless there is a newer version of it."""

    def change(ch: Change) -> None:
        now = ch.tx.get(PIPELINES, record.pipeline)
        if now is not None and now.spec_commit == record.spec_commit:
            pipelines.set_state(ch, record.pipeline, state, reason)

    now = pfs.meta.get(PIPELINES, record.pipeline)
    if now is not None and (now.state, now.reason) != (state, reason) and not now.stopped:
        pfs.change(change)


def _ingest(record: PipelineRecord) -> Ingest:
    return Ingest(record.pipeline.project, record.pipeline.name)
