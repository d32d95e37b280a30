"""Counts of jobs and datums by pipeline since the box started, told by what is published."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pachybox.meta.apply import Staged
from pachybox.meta.tables import EVENTS, JOBS, PIPELINES
from pachybox.meta.writer import Meta
from pachybox.model.events import Event
from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.model.pps import JobRecord, JobState

_OVER = {state.value for state in JobState if state.terminal}


@dataclass(frozen=True, slots=True)
class Counts:
    """By pipeline and state of jobs (``success``, ``failure``, ``killed``, ``unrunnable``); by
    pipeline and state of datums, of jobs that are over; seconds from jobs' making to their end;
    when (seconds since 1970) a job of the pipeline last succeeded, also before the box started."""

    jobs: Mapping[tuple[Pipeline, str], int]
    datums: Mapping[tuple[Pipeline, str], int]
    seconds: Mapping[Pipeline, float]
    succeeded: Mapping[Pipeline, float]


class Tally:
    """Callable from any thread."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._lock = threading.Lock()
        self._jobs: Counter[tuple[Pipeline, str]] = Counter()
        self._datums: Counter[tuple[Pipeline, str]] = Counter()
        self._seconds: dict[Pipeline, float] = {}
        self._succeeded: dict[Pipeline, float] = {}
        self._loaded = False

    def follow(self) -> None:
        """Begin to be told of what is published."""
        before = self._meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            for event in staged.get(EVENTS, {}).values() if JOBS in staged else ():
                if isinstance(event, Event) and event.kind == "job.state":
                    self._take(event, staged)

        self._meta.on_publish = published

    def counts(self) -> Counts:
        """What there is, of pipelines that there are. The first call reads all jobs once."""
        if not self._loaded:
            self._load()
        known = self._meta.resident(PIPELINES)
        with self._lock:
            return Counts(
                {key: n for key, n in self._jobs.items() if key[0] in known},
                {key: n for key, n in self._datums.items() if key[0] in known},
                {key: s for key, s in self._seconds.items() if key in known},
                {key: at for key, at in self._succeeded.items() if key in known},
            )

    def _load(self) -> None:
        rows = self._meta.db.read(
            "SELECT project, pipeline, max(finished_us) FROM jobs "
            "WHERE state = 'JOB_SUCCESS' AND finished_us IS NOT NULL GROUP BY project, pipeline"
        )
        with self._lock:
            for project, name, at in rows:
                pipeline = Pipeline(project, name)
                self._succeeded[pipeline] = max(at / 1e6, self._succeeded.get(pipeline, 0.0))
            self._loaded = True

    def _take(self, event: Event, staged: Staged) -> None:
        """A job has come to another state; quick, and no word to be relied on: it may be gone."""
        state = str(event.data.get("state"))
        if state not in _OVER:
            return
        pipeline = Pipeline(str(event.data["project"]), str(event.data["pipeline"]))
        job = staged[JOBS].get(Job(pipeline, CommitId(str(event.data["id"]))))
        with self._lock:
            self._jobs[pipeline, state.removeprefix("JOB_").lower()] += 1
            if state == JobState.SUCCESS.value:
                self._succeeded[pipeline] = event.time.timestamp()
            if not isinstance(job, JobRecord):
                return
            for kind in ("processed", "skipped", "failed", "recovered"):
                self._datums[pipeline, kind] += getattr(job, kind)
            took = ((job.finished or event.time) - job.created).total_seconds()
            self._seconds[pipeline] = self._seconds.get(pipeline, 0.0) + max(0.0, took)
