"""The scheduler: which jobs are due, and one thread for each that runs.

It keeps no plan of its own: what is due follows from the open jobs and the finished
commits, which it learns from the metadata (once at start, then from every published
group). A restart after a crash is therefore the same as a normal start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pachybox.containers.troubles import ImageMissing
from pachybox.errors import NotReady, PachyboxError
from pachybox.meta.apply import Staged
from pachybox.meta.tables import COMMITS, JOBS, PIPELINES
from pachybox.model.ids import Commit, CommitId, Job, Pipeline
from pachybox.model.pps import JobRecord, JobState, PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import jobs, pipelines
from pachybox.pps.disk_watch import DiskWatch
from pachybox.pps.pins import Pins
from pachybox.pps.placement import Containers, Pods
from pachybox.pps.plan import Planner
from pachybox.pps.pool import WorkerPool
from pachybox.pps.run import JobRun
from pachybox.pps.runners.base import Runner
from pachybox.pps.secrets import Secrets
from pachybox.pps.service_run import ServiceRun
from pachybox.pps.slots import Slots
from pachybox.pps.trash import Trash
from pachybox.pps.workshop import Workshop
from pachybox.store.disk import full_disk_is_exhausted

log = logging.getLogger("pachybox.scheduler")

_IDLE_S = 30.0  # a worker unused for so long is stopped
_AGAIN_S = 2.0  # until what did not work (a full disk, no more threads) is tried again


@dataclass
class _Running:
    run: JobRun | ServiceRun
    thread: threading.Thread = field(repr=False)


class Scheduler:
    """Runs the jobs of one box, in order within a pipeline, side by side across pipelines."""

    def __init__(
        self,
        pfs: Pfs,
        runner: Runner,
        work: Path,
        logs: Path,
        slots: int,
        secrets: Secrets,
        disk: DiskWatch,
        containers: Containers | None = None,
        pods: Pods | None = None,
    ) -> None:
        """``work`` and ``logs`` are directories; ``slots`` bounds the datums that run at once.
        ``runner`` is for pipelines without an image, ``containers`` and ``pods`` for the others.
        ``disk`` is closed by ``stop``."""
        self._pfs = pfs
        self.slots = Slots(slots)
        self.pool = WorkerPool(runner, work, secrets, containers, pods)
        self.shop = Workshop(pfs, self.pool, Planner(pfs), Trash(work / "trash"), disk, work, logs)
        self.pins: Pins | None = None  # which pipelines wait for their images
        if containers is not None:
            self.pins = Pins(pfs, containers.images, secrets, self._arrived)
        self._wake = threading.Condition()
        # by pipeline in the order of their commits: no clock is asked which comes first
        self._open: dict[Pipeline, dict[Job, None]] = {}
        self._running: dict[Pipeline, _Running] = {}
        # what a job waits for: it is not looked at before that changes, however much else does
        self._blocked: dict[Job, Commit | Pipeline] = {}
        # pipelines that changed, and the version of each whose workers are kept
        self._unused: dict[Pipeline, PipelineRecord | None] = {}
        self._published_groups = 0
        self._stopping = False
        self._due = True
        self._looking = 0.0  # since when; 0.0 when it waits
        self.thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self, doors: Mapping[str, str] | None = None) -> None:
        """Load the open jobs and begin. Jobs that were running when the box died are run again;
        datums they had finished are not. ``doors`` are the variables that tell user code how to
        reach the box."""
        self.pool.reach = doors or {}
        meta = self._pfs.meta
        with self._wake:  # what is published meanwhile waits until the older ones are known
            meta.on_publish = self._published
            found = meta.db.read(
                "SELECT j.project, j.pipeline, j.id FROM jobs j JOIN commits c ON c.id = j.id "
                "AND c.project = j.project AND c.repo = j.pipeline AND c.type = 'user' "
                "WHERE j.finished_us IS NULL AND j.state <> 'JOB_EGRESSING' ORDER BY c.seq"
            )
            for project, pipeline, job_id in found:
                self._add(Job(Pipeline(project, pipeline), CommitId(job_id)))
            idle = [
                p
                for p in meta.all(PIPELINES)
                if pipelines.rests(p.spec) and p.pipeline not in self._open
            ]
        for one in idle:  # killed after its last job, before it was put to standby
            self._pfs.change_later(lambda ch, p=one.pipeline: pipelines.set_to_standby(ch, p))  # type: ignore[misc]
        if self.pins is not None:
            self.pins.start()
        self.thread.start()

    def _add(self, job: Job) -> None:
        self._open.setdefault(job.pipeline, {})[job] = None

    def _forget(self, job: Job) -> None:
        self._blocked.pop(job, None)
        mine = self._open.get(job.pipeline, {})
        mine.pop(job, None)
        if not mine:
            self._open.pop(job.pipeline, None)

    def at_work(self) -> float:
        """For how many seconds one look at what is due has taken; 0.0 when none is."""
        began = self._looking
        return time.monotonic() - began if began else 0.0

    def running(self) -> int:
        """How many jobs run now."""
        with self._wake:
            return len(self._running)

    def open_jobs(self) -> dict[Pipeline, int]:
        """How many jobs of each pipeline are not computed yet."""
        with self._wake:
            return {pipeline: len(jobs) for pipeline, jobs in self._open.items()}

    def live(self, job: Job) -> JobRun | ServiceRun | None:
        """The run of ``job`` if it runs now."""
        with self._wake:
            found = self._running.get(job.pipeline)
            return found.run if found is not None and found.run.job == job else None

    def stop(self) -> None:
        """Hand back what runs: datums are killed, their jobs stay open for the next start;
        datums already finished are kept."""
        with self._wake:
            self._stopping = True
            running = list(self._running.values())
            self._wake.notify_all()
        if self.pins is not None:
            self.pins.stop()
        for one in running:
            one.run.cancel()
        for one in running:
            one.thread.join()
        if self.thread.is_alive():
            self.thread.join()
        self.shop.disk.close()
        self.pool.close()
        self.shop.trash.close()

    def _published(self, staged: Staged) -> None:
        """Called by the metadata writer after each durable group; must be quick."""
        changed: dict[Any, Any] = staged.get(JOBS, {})
        for pipeline, made in staged.get(PIPELINES, {}).items():
            record = made if isinstance(made, PipelineRecord) else None
            self._outdated(pipeline, record)
            if self.pins is not None and record is not None:
                self.pins.changed(record)
        if not changed and COMMITS not in staged and PIPELINES not in staged:
            return
        moved = staged.get(COMMITS, {})
        with self._wake:
            self._published_groups += 1
            for job, on in list(self._blocked.items()) if moved else ():
                if on in moved or Commit(job.pipeline.repo, job.id) in moved:
                    del self._blocked[job]
            for key, record in changed.items():
                if isinstance(record, JobRecord) and not record.state.computed:
                    self._add(key)
                    continue
                self._forget(key)
                one = self._running.get(key.pipeline)
                if one is not None and one.run.job == key:
                    one.run.cancel()
            self._due = self._due or bool(self._open)
            if self._due:
                self._wake.notify_all()

    def _outdated(self, pipeline: Pipeline, record: PipelineRecord | None) -> None:
        """Idle workers of what is stopped, deleted or of an older version are of no more use."""
        keep = None if record is None or record.stopped else record
        with self._wake:
            self._unused[pipeline] = keep
            self._due = True

    def _loop(self) -> None:
        done = True
        while True:
            with self._wake:
                timeout = self._timeout() if done else _AGAIN_S
                self._wake.wait_for(lambda: self._stopping or self._due, timeout=timeout)
                if self._stopping:
                    return
                self._due = False
                waiting = self._next_jobs()
                unused, self._unused = self._unused, {}
            self._looking = time.monotonic()
            done = self._look(waiting, unused)
            self._looking = 0.0

    def _look(self, waiting: list[Job], unused: dict[Pipeline, PipelineRecord | None]) -> bool:
        """Whether all went well; what does not work with one job is no other's trouble."""
        done = True
        try:
            for pipeline, keep in unused.items():
                self.pool.drop(pipeline, keep)
            self.pool.reap(_IDLE_S)
        except Exception:
            log.exception("workers not stopped")
        for job in waiting:
            try:
                self._consider(job)
            except NotReady:
                return True  # the box stops
            except Exception:
                log.exception("scheduling failed job=%s", job)
                done = False
        return done

    def _timeout(self) -> float | None:
        return _IDLE_S if self.pool.idle() else None

    def _next_jobs(self) -> list[Job]:
        """The oldest open job of each pipeline that runs none, and the one that follows where a
        service runs, which never ends by itself."""
        due = []
        for pipeline, open_jobs in self._open.items():
            running = self._running.get(pipeline)
            if running is None:
                due.append(next(iter(open_jobs)))
            elif isinstance(running.run, ServiceRun):
                due += [job for job in open_jobs if job != running.run.job][:1]
        return [job for job in due if job not in self._blocked]

    def _arrived(self, pipeline: Pipeline) -> None:
        """The image of a pipeline is here: its jobs need wait no longer."""
        with self._wake:
            for job in [job for job, on in self._blocked.items() if on == pipeline]:
                del self._blocked[job]
            self._due = True
            self._wake.notify_all()

    def _await_image(self, job: JobRecord, pipeline: Pipeline, why: str) -> None:
        """Leave a job alone until its pipeline's image has come, and have it say why."""
        with self._wake:
            self._blocked[job.job] = pipeline
        if job.reason != why:
            self._pfs.change_later(lambda ch: jobs.wait(ch, job.job, why))

    def _block(self, job: Job, on: Commit, group: int) -> None:
        """Leave ``job`` alone until ``on`` changes; ``group`` was the last one published when
        ``on`` was looked at."""
        with self._wake:
            if self._published_groups == group:
                self._blocked[job] = on
            else:  # race: it may have changed since
                self._due = True

    def _consider(self, job: Job) -> None:
        """Start ``job`` if its inputs are finished; end it if they failed or are gone."""
        meta = self._pfs.meta
        with self._wake:
            group = self._published_groups
        commit = meta.get(COMMITS, Commit(job.pipeline.repo, job.id))
        pipeline = meta.get(PIPELINES, job.pipeline)
        record = meta.get(JOBS, job)
        if commit is None or pipeline is None or record is None or record.state.computed:
            with self._wake:
                self._forget(job)
                self._due = True
            return
        with self._wake:
            running = self._running.get(job.pipeline)
        before = running.run if running is not None else None
        if commit.parent is not None and before is None:
            parent = meta.get(COMMITS, Commit(job.pipeline.repo, commit.parent))
            if parent is not None and parent.finished is None:
                self._block(job, parent.commit, group)
                return
        failed = []
        for branch, up in commit.direct_provenance:
            upstream = meta.get(COMMITS, Commit(branch.repo, up))
            if upstream is None:
                failed.append(f"{branch.repo}@{up} was deleted")
            elif upstream.finished is None:
                self._block(job, upstream.commit, group)
                return
            elif upstream.error:
                failed.append(f"{branch.repo}@{up}")
        if failed:
            reason = f"inputs failed: {', '.join(failed)}"
            self._pfs.change(lambda ch: jobs.fail(ch, job, JobState.UNRUNNABLE, reason))
            return
        if self.pins is not None and (why := self.pins.lacking(pipeline)):
            self._await_image(record, job.pipeline, why)
            if not self.pins.lacking(pipeline):  # race: it came before it was waited for
                self._arrived(job.pipeline)
            return
        if isinstance(before, ServiceRun):
            before.supersede()  # once it is over, this job is looked at again
            return
        kind = ServiceRun if pipeline.spec.get("service") else JobRun
        run = kind(self.shop, pipeline, record, commit)
        thread = threading.Thread(
            target=self._run, args=(run,), name=f"job-{job.pipeline.name}", daemon=True
        )
        with self._wake:
            if self._stopping:
                return
            thread.start()  # it may fail; its end waits for the lock
            self._running[job.pipeline] = _Running(run, thread)

    def _run(self, run: JobRun | ServiceRun) -> None:
        job = run.job
        began = time.monotonic()
        log.info("job started job=%s", job)
        try:
            with full_disk_is_exhausted(self.shop.work):
                run.run(self.slots)
        except NotReady:
            log.info("job handed back job=%s", job)
        except ImageMissing as e:
            self._lost(run, e)
        except PachyboxError as e:
            self._failed(run, str(e))
        except Exception as e:
            log.exception("job broke job=%s", job)
            self._failed(run, f"internal error: {e!r}")
        finally:
            log.info("job ended job=%s seconds=%.3f", job, time.monotonic() - began)
            try:
                self._rest(run.pipeline)
            finally:  # whatever comes: else no job of the pipeline would ever run again
                with self._wake:
                    self._running.pop(job.pipeline, None)
                    self._due = True
                    self._wake.notify_all()

    def _rest(self, pipeline: PipelineRecord) -> None:
        """After a job: a pipeline that asks for it keeps no worker while it has nothing to do."""
        if not pipelines.rests(pipeline.spec):
            return
        with self._wake:
            busy = len(self._open.get(pipeline.pipeline, ())) > 0
        if busy:
            return
        self.pool.rest(pipeline)
        try:
            self._pfs.change(lambda ch: pipelines.set_to_standby(ch, pipeline.pipeline))
        except PachyboxError as e:
            log.warning("not put to standby pipeline=%s error=%s", pipeline.pipeline, e)

    def _lost(self, run: JobRun | ServiceRun, error: ImageMissing) -> None:
        """The image is gone, so no worker starts: the job goes on when it is there again."""
        if self.pins is None:
            self._failed(run, str(error))
        else:
            self.pins.lost(run.pipeline, error)

    def _failed(self, run: JobRun | ServiceRun, reason: str) -> None:
        """The job itself could not go on (no runner, input content damaged, disk full)."""
        state = PipelineState.FAILURE if run.unstartable else PipelineState.RUNNING

        def change(ch: Change) -> None:
            found = ch.tx.get(JOBS, run.job)
            if found is None or found.state.computed:
                return  # deleted, stopped or updated meanwhile: that is why it could not go on
            jobs.fail(ch, run.job, JobState.FAILURE, reason)
            pipelines.set_state(ch, run.job.pipeline, state, reason if run.unstartable else "")

        while True:
            try:
                self._pfs.change(change)
                return
            except NotReady:
                return
            except PachyboxError as e:
                # disk full: the job cannot even be marked failed; keep the box alive and retry
                log.error("cannot record failure job=%s error=%s", run.job, e)
                with self._wake:
                    if self._wake.wait_for(lambda: self._stopping, timeout=2.0):
                        return
