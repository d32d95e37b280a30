"""Egress of jobs: pushes what they made to where their pipelines say, until it is there.

A job whose output commit is finished and whose pipeline has an egress is in state EGRESSING.
That record is all there is to know: at the start, and whenever one is published, its pipeline's
thread takes it up. The jobs of a pipeline go one after another, in the order of their commits;
no pipeline waits for another's target.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Unimplemented
from pachybox.meta.apply import Staged
from pachybox.meta.tables import (
    COMMITS,
    EGRESSES,
    JOBS,
    PIPELINE_VERSIONS,
    PIPELINES,
    EgressRecord,
)
from pachybox.meta.tx import Tx
from pachybox.model.ids import Commit, CommitId, Hash, Job, Pipeline
from pachybox.model.pps import JobRecord, JobState
from pachybox.model.units import format_size
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import jobs
from pachybox.pps.egress import objects, sql
from pachybox.pps.egress.output import Output, Stopped
from pachybox.pps.egress.target import Bucket, Database, Folder, Target, of_spec
from pachybox.pps.secrets import Secrets

log = logging.getLogger("pachybox.egress")

PAUSES_S = (1.0, 10.0, 60.0)
"""Before each of the attempts after the first. What got further than before counts anew."""

_SAVE_S = 1.0  # between two records of how far it has come: what a crash may push again
_STOP_S = 5.0  # that the box waits for what is under way when it stops
_AGAIN_S = 2.0  # between attempts to record something on a full disk


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was brought to a target; ``rows`` by table, of tables only."""

    files: int
    bytes: int
    rows: dict[str, int] = field(default_factory=dict)


class Pusher:
    """Brings trees to targets. No state."""

    def __init__(self, pfs: Pfs, secrets: Secrets, scratch: Path, home: Path) -> None:
        """``scratch`` is a directory for passing files, ``home`` the box's own."""
        self.pfs = pfs
        self._secrets = secrets
        self._scratch = scratch
        self._home = home

    def push(
        self,
        root: Hash,
        target: Target,
        wanted: Callable[[], bool],
        after: str = "",
        mark: Callable[[str, int], None] = lambda path, size: None,
    ) -> Pushed:
        """Bring the tree to the target.

        Of files, those behind the path ``after``; ``mark(path, size)`` when all up to one are
        there. Raises Stopped when ``wanted`` says no, else what the target's module does.
        """
        count, size = 0, 0

        def marked(path: str, length: int) -> None:
            nonlocal count, size
            count, size = count + 1, size + length
            mark(path, length)

        self._scratch.mkdir(parents=True, exist_ok=True)
        with self.pfs.reading(root):
            output = Output(self.pfs, root, wanted, self._scratch, self._home)
            match target:
                case Bucket():
                    objects.to_bucket(output, target, after, marked)
                case Folder():
                    objects.to_folder(output, target, after, marked)
                case Database():
                    done = sql.fill(output, target, self._password(target))
                    return Pushed(done.files, done.bytes, done.rows)
        return Pushed(count, size)

    def _password(self, target: Database) -> str | None:
        if target.secret is None:
            return None
        name, key = target.secret
        try:
            return self._secrets.value(name, key).decode()
        except UnicodeDecodeError:
            raise InvalidArgument(
                f"key {key} of secret {name} is no text and cannot be a password",
                "create the secret again",
            ) from None


class Egresser:
    """The egresses of one box."""

    def __init__(self, pusher: Pusher, pauses: Sequence[float] = PAUSES_S) -> None:
        self._pusher = pusher
        self._pfs = pusher.pfs
        self._pauses = pauses
        self._wake = threading.Condition()
        # by pipeline in the order of their commits
        self._due: dict[Pipeline, dict[Job, None]] = {}
        self._threads: dict[Pipeline, threading.Thread] = {}
        self._stopping = False

    def start(self) -> None:
        """Take up what a former process left, and from now on what is published. Comes after
        whoever else wants to be told of publications."""
        meta = self._pfs.meta
        before = meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            self._published(staged)

        with self._wake:  # what is published meanwhile waits until the older ones are known
            meta.on_publish = published
            found = meta.db.read(
                "SELECT j.project, j.pipeline, j.id FROM jobs j JOIN commits c ON c.id = j.id "
                "AND c.project = j.project AND c.repo = j.pipeline AND c.type = 'user' "
                "WHERE j.finished_us IS NULL AND j.state = 'JOB_EGRESSING' ORDER BY c.seq"
            )
            due = [Job(Pipeline(project, name), CommitId(id_)) for project, name, id_ in found]
            for job in due:
                self._add(job)
        stale = [e.job for e in meta.all(EGRESSES) if e.job not in due]

        def forget(tx: Tx) -> None:
            for job in stale:
                tx.remove(EGRESSES, job)

        if stale:
            meta.write(forget)

    def stop(self) -> None:
        """Break off what is under way; it goes on at the next start. An upload that hangs is
        left behind after a while."""
        with self._wake:
            self._stopping = True
            threads = list(self._threads.values())
            self._wake.notify_all()
        until = time.monotonic() + _STOP_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _published(self, staged: Staged) -> None:
        changed: dict[Any, Any] = staged.get(JOBS, {})
        if not changed:
            return
        with self._wake:
            for job, record in changed.items():
                if isinstance(record, JobRecord) and record.state is JobState.EGRESSING:
                    self._add(job)
                else:
                    self._drop(job)
            self._wake.notify_all()

    def _add(self, job: Job) -> None:
        self._due.setdefault(job.pipeline, {})[job] = None
        if job.pipeline not in self._threads and not self._stopping:
            thread = threading.Thread(
                target=self._loop,
                args=(job.pipeline,),
                name=f"egress-{job.pipeline.name}",
                daemon=True,
            )
            self._threads[job.pipeline] = thread
            thread.start()

    def _drop(self, job: Job) -> None:
        mine = self._due.get(job.pipeline, {})
        mine.pop(job, None)
        if not mine:
            self._due.pop(job.pipeline, None)

    def _wanted(self, job: Job) -> bool:
        return not self._stopping and job in self._due.get(job.pipeline, ())

    def _loop(self, pipeline: Pipeline) -> None:
        while True:
            with self._wake:
                due = self._due.get(pipeline)
                if not due or self._stopping:
                    del self._threads[pipeline]
                    return
                job = next(iter(due))
            try:
                self._egress(job)
            except (Stopped, NotReady):
                pass  # no longer due, or the box stops
            except Exception as e:
                log.exception("egress broke job=%s", job)
                self._end(job, f"internal error: {type(e).__name__}")
            with self._wake:
                self._drop(job)

    # ---- one job

    def _egress(self, job: Job) -> None:
        """Attempt after attempt until the job is over. Raises Stopped."""
        meta = self._pfs.meta
        commit = meta.get(COMMITS, Commit(job.pipeline.repo, job.id))
        record = meta.get(JOBS, job)
        if commit is None or record is None:
            raise Stopped
        run = _Run(self, job, meta.get(EGRESSES, job) or EgressRecord(job))
        log.info("egress started job=%s after=%r", job, run.progress.pushed)
        while True:
            try:
                target = of_spec(self._spec(record))
                if target is not None:
                    self._pusher.push(
                        commit.root,
                        target,
                        lambda: self._wanted(job),
                        run.progress.pushed,
                        run.mark,
                    )
            except Stopped:
                run.save()
                raise
            except (PachyboxError, OSError) as e:
                if not self._wanted(job):
                    run.save()
                    raise Stopped from None
                if not self._again(run, e):
                    self._end(job, str(e))
                    return
            else:
                log.info("egress ended job=%s files=%d", job, run.progress.files)
                self._end(job, "")
                return

    def _again(self, run: _Run, e: Exception) -> bool:
        """Whether to try once more; if so, wait until it is time."""
        failures = run.progress.failures + 1
        if isinstance(e, InvalidArgument | Unimplemented) or failures > len(self._pauses):
            return False
        pause = self._pauses[failures - 1]
        log.warning("egress failed job=%s failures=%d error=%s", run.job, failures, e)
        run.progress = replace(run.progress, failures=failures)
        run.save(f"egress failed {failures} of {len(self._pauses) + 1} times: {e}")
        with self._wake:
            self._wake.wait_for(lambda: not self._wanted(run.job), timeout=pause)
        if not self._wanted(run.job):
            raise Stopped
        return True

    def _spec(self, record: JobRecord) -> dict[str, Any]:
        """The spec as it was when the job was made."""
        pipeline = self._pfs.meta.get(PIPELINES, record.job.pipeline)
        if pipeline is not None and pipeline.version == record.pipeline_version:
            return pipeline.spec
        key = (record.job.pipeline, record.pipeline_version)
        version = self._pfs.meta.get(PIPELINE_VERSIONS, key)
        if version is None:
            raise Stopped
        return version.spec

    def _end(self, job: Job, error: str) -> None:
        """Record the end, however long it takes until the disk has room for it."""

        def change(ch: Change) -> None:
            jobs.egressed(ch, job, error)

        while True:
            try:
                self._pfs.change(change)
                return
            except NotReady:
                raise
            except PachyboxError as e:
                log.error("cannot record the end of an egress job=%s error=%s", job, e)
            with self._wake:
                if self._wake.wait_for(lambda: self._stopping, timeout=_AGAIN_S):
                    raise Stopped


class _Run:
    """How far one job has come, saved now and then."""

    def __init__(self, egresser: Egresser, job: Job, progress: EgressRecord) -> None:
        self._pfs = egresser._pfs
        self.job = job
        self.progress = progress
        self._saved = time.monotonic()

    def mark(self, path: str, size: int) -> None:
        """Every file up to ``path`` is there."""
        now = self.progress
        self.progress = EgressRecord(self.job, path, now.files + 1, now.bytes + size)
        if time.monotonic() - self._saved > _SAVE_S:
            self.save()

    def save(self, reason: str = "") -> None:
        """Make it durable, and tell it, or ``reason``, as the job's. It is lost when that fails:
        then some files are pushed again."""
        self._saved = time.monotonic()
        now = self.progress
        reason = reason or f"{now.files} files, {format_size(now.bytes)}, are at the target"
        try:
            self._pfs.change(lambda ch: jobs.egressing(ch, now, reason))
        except PachyboxError as e:
            log.warning("egress goes on unrecorded job=%s error=%s", self.job, e)
