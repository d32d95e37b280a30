"""The newest jobs, in memory: what a look at the box shows must not cost what its history does.

Of each pipeline the newest job and the newest that tells how it does (it succeeded or failed;
one that was stopped tells nothing); of the whole box the jobs that are not over and the latest
others. Read once from the database, then kept by what is published.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest

from pachybox.meta.apply import Staged
from pachybox.meta.tables import JOBS, PIPELINES
from pachybox.meta.writer import Meta
from pachybox.model.ids import Job, Pipeline
from pachybox.model.pps import JobRecord, JobState, PipelineRecord

LATEST = 50
"""Jobs that are known of the whole box, besides those that are not over."""
OPEN = 500
"""And of those so many, the newest."""
_HELD = 4 * LATEST
_TELL = (JobState.SUCCESS, JobState.FAILURE, JobState.UNRUNNABLE)


@dataclass
class _Known:
    """What is in memory. ``stale`` when it may lack something: a job was deleted."""

    last: dict[Pipeline, JobRecord] = field(default_factory=dict)
    told: dict[Pipeline, JobRecord] = field(default_factory=dict)
    latest: dict[Job, JobRecord] = field(default_factory=dict)
    most: int = 2 * _HELD  # of the latest, before the oldest are let go
    lost: int = 0  # of the latest
    stale: bool = False

    def take(self, record: JobRecord) -> None:
        """A job was made, or has changed."""
        of = record.job.pipeline
        if _newer(record, self.last.get(of)):
            self.last[of] = record
        if record.state in _TELL and _newer(record, self.told.get(of)):
            self.told[of] = record
        self.latest[record.job] = record
        if len(self.latest) > self.most:
            over = [r for r in self.latest.values() if r.state.terminal]
            keep = {r.job for r in nlargest(_HELD, over, key=_age)}
            for old in over:
                if old.job not in keep:
                    del self.latest[old.job]
            self.most = len(self.latest) + _HELD

    def forget(self, job: Job) -> None:
        """A job was deleted."""
        self.latest.pop(job, None)
        for newest in (self.last, self.told):
            found = newest.get(job.pipeline)
            self.stale = self.stale or (found is not None and found.job == job)
        self.lost += 1
        self.stale = self.stale or self.lost > _HELD - LATEST

    def gone(self, pipeline: Pipeline) -> None:
        """A pipeline was deleted."""
        self.last.pop(pipeline, None)
        self.told.pop(pipeline, None)

    def shown(
        self,
    ) -> tuple[dict[Pipeline, JobRecord], dict[Pipeline, JobRecord], list[JobRecord]]:
        """See Newest.look."""
        return dict(self.last), dict(self.told), _ordered(self.latest.values())

    def change(self, staged: Staged) -> None:
        """What was published."""
        for job, record in staged.get(JOBS, {}).items():
            if isinstance(record, JobRecord):
                self.take(record)
            else:
                self.forget(job)
        for pipeline, made in staged.get(PIPELINES, {}).items():
            if not isinstance(made, PipelineRecord):
                self.gone(pipeline)


class Newest:
    """The newest jobs of one box. ``follow`` before the first look; thread-safe."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._known: _Known | None = None
        self._meanwhile: list[Staged] | None = None  # published while the database is read

    def follow(self) -> None:
        """Begin to be told of what is published."""
        before = self._meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            if JOBS in staged or PIPELINES in staged:
                with self._lock:
                    if self._meanwhile is not None:
                        self._meanwhile.append(staged)
                    elif self._known is not None:
                        self._known.change(staged)

        self._meta.on_publish = published

    def reset(self) -> None:
        """Everything has become different: read it again at the next look."""
        with self._loading, self._lock:
            self._known = None

    def look(self) -> tuple[dict[Pipeline, JobRecord], dict[Pipeline, JobRecord], list[JobRecord]]:
        """(newest job, newest that tells) by pipeline; the jobs not over and then the latest
        others, newest first."""
        with self._loading:
            with self._lock:
                if self._known is not None and not self._known.stale:
                    return self._known.shown()
                self._meanwhile, self._known = [], None
            known = _Known()
            try:
                # not under the lock: this may wait for the writer, which waits for the lock
                self._load(known)
                with self._lock:
                    for staged in self._meanwhile:
                        known.change(staged)
                    known.stale = False
                    self._meanwhile, self._known = None, known
                    return known.shown()
            finally:
                with self._lock:
                    self._meanwhile = None

    def _load(self, known: _Known) -> None:
        newest = "QUALIFY row_number() OVER (PARTITION BY project, pipeline ORDER BY {}) = 1"
        order = "created_us DESC, id"
        told = ", ".join(f"'{state.value}'" for state in _TELL)
        over = "state IN ('JOB_SUCCESS', 'JOB_FAILURE', 'JOB_KILLED', 'JOB_UNRUNNABLE')"
        for where in (
            newest.format(order),
            f"WHERE state IN ({told}) {newest.format(order)}",
            f"WHERE NOT {over}",
            f"WHERE {over} ORDER BY {order} LIMIT {_HELD}",
        ):
            for record in self._meta.select(JOBS, where):
                known.take(record)


def _age(record: JobRecord) -> tuple[object, str]:
    return record.created, record.job.id


def _newer(record: JobRecord, than: JobRecord | None) -> bool:
    return than is None or than.job == record.job or record.created >= than.created


def _ordered(found: Iterable[JobRecord]) -> list[JobRecord]:
    jobs = list(found)
    live = sorted((j for j in jobs if not j.state.terminal), key=_age, reverse=True)
    over = nlargest(LATEST, (j for j in jobs if j.state.terminal), key=_age)
    return live[:OPEN] + over
