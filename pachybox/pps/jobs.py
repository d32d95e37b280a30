"""Job records follow output commits, inside the same transactions. Functions over a Change."""

from __future__ import annotations

from dataclasses import replace

from pachybox.errors import NotFound, Refused
from pachybox.meta.tables import COMMITS, EGRESSES, JOBS, PIPELINES, EgressRecord
from pachybox.meta.tx import Tx
from pachybox.model.ids import USER, Commit, Hash, Job, Pipeline
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import JobRecord, JobState, PipelineRecord
from pachybox.pfs import commits
from pachybox.pfs.change import Change


class JobListener:
    """Makes, ends and forgets jobs as their output commits come and go."""

    def opened(self, change: Change, commit: CommitRecord) -> None:
        """An AUTO commit on a pipeline's output branch is a job waiting to run."""
        repo = commit.commit.repo
        if repo.type != USER:
            return
        pipeline = change.tx.get(PIPELINES, Pipeline(repo.project, repo.name))
        if pipeline is None or pipeline.spec["output_branch"] != commit.branch:
            return
        create(change, pipeline, commit)

    def finished(self, change: Change, commit: CommitRecord) -> None:
        """However its output commit came to be finished, a job is then over, but for egress."""
        job = job_of(change, commit)
        if job is not None and not job.state.terminal and job.state is not JobState.EGRESSING:
            end(change, job, JobState.KILLED, commit.error or "its output commit was finished")

    def removed(self, change: Change, commit: CommitRecord) -> None:
        """The job of a deleted commit is forgotten; results stay for later jobs to reuse."""
        job = job_of(change, commit)
        if job is not None:
            forget(change, job)


def job_of(change: Change, commit: CommitRecord) -> JobRecord | None:
    """The job whose output is ``commit``, if it is one."""
    repo = commit.commit.repo
    if repo.type != USER or not commit.direct_provenance:
        return None
    return change.tx.get(JOBS, Job(Pipeline(repo.project, repo.name), commit.commit.id))


def create(change: Change, pipeline: PipelineRecord, commit: CommitRecord) -> None:
    """Record the job whose output commit was just opened: STARTING while inputs are open."""
    job = Job(pipeline.pipeline, commit.commit.id)
    inputs = [change.tx.get(COMMITS, Commit(b.repo, id_)) for b, id_ in commit.direct_provenance]
    waits = any(one is not None and one.finished is None for one in inputs)
    state = JobState.STARTING if waits else JobState.CREATED
    record = JobRecord(job, pipeline.version, state, "", change.now, None, None)
    change.tx.add(JOBS, record)
    _event(change, record, "job.created")


def update(change: Change, job: Job, **changes: object) -> JobRecord:
    """Change fields of a job that is not over; Refused when it is, NotFound when deleted."""
    current = require(change.tx, job)
    if current.state.terminal:
        raise Refused(f"job {job} has already finished", "list job shows its state")
    record = replace(current, **changes)  # type: ignore[arg-type]
    change.tx.put(JOBS, record)
    if record.state != current.state:
        _event(change, record, "job.state")
    return record


def wait(change: Change, job: Job, reason: str) -> None:
    """Say why a job does not begin, or go on. Nothing happens to one that is over or egresses."""
    record = change.tx.get(JOBS, job)
    if record is not None and not record.state.computed and record.reason != reason:
        change.tx.put(JOBS, replace(record, reason=reason))


def require(tx: Tx, job: Job) -> JobRecord:
    """The job's record; NotFound otherwise."""
    found = tx.get(JOBS, job)
    if found is None:
        raise NotFound(f"job {job} not found", "list job shows what there is")
    return found


def forget(change: Change, job: JobRecord) -> None:
    """Remove the record of a job."""
    change.tx.remove(JOBS, job.job)
    _event(change, job, "job.deleted")


def end(change: Change, job: JobRecord, state: JobState, reason: str) -> None:
    """Set a terminal state."""
    record = replace(job, state=state, reason=reason, finished=change.now)
    change.tx.put(JOBS, record)
    if job.state is JobState.EGRESSING:
        change.tx.remove(EGRESSES, job.job)
    _event(change, record, "job.state")


def fail(change: Change, job: Job, state: JobState, reason: str, **changes: object) -> None:
    """End a job without output: its commit is finished empty, with the reason as its error.
    Nothing happens to one that is over or was deleted."""
    record = change.tx.get(JOBS, job)
    if record is None or record.state.terminal:
        return
    end(change, replace(record, **changes), state, reason)  # type: ignore[arg-type]
    commit = change.tx.get(COMMITS, Commit(job.pipeline.repo, job.id))
    if commit is not None and commit.finished is None:
        commits.finish_commit(change, commit, error=reason or state.value)


def stop(change: Change, job: Job, reason: str = "") -> None:
    """Kill a job: its output commit is finished empty. Refused when it is over."""
    if require(change.tx, job).state.terminal:
        raise Refused(f"job {job} has already finished", "list job shows its state")
    fail(change, job, JobState.KILLED, reason or "job was stopped")


def succeed(change: Change, job: Job, root: Hash, size: int, files: int, **changes: object) -> None:
    """End a job with its output: the commit gets the tree and is finished. Nothing happens to
    one that is over or was deleted."""
    record = change.tx.get(JOBS, job)
    if record is None or record.state.terminal:
        return
    end(change, replace(record, **changes), JobState.SUCCESS, "")  # type: ignore[arg-type]
    commit = change.commit(job.pipeline.repo, job.id)
    commit = commits.set_tree(change, commit, root, size, files)
    commits.finish_commit(change, commit)


def to_egress(
    change: Change, job: Job, root: Hash, size: int, files: int, **changes: object
) -> None:
    """As ``succeed``, but the job goes on to egress. Its commit is finished: who reads it need
    not wait for that. Nothing happens to a job that is over or was deleted."""
    record = change.tx.get(JOBS, job)
    if record is None or record.state.terminal:
        return
    update(change, job, **{**changes, "state": JobState.EGRESSING, "reason": ""})
    commit = change.commit(job.pipeline.repo, job.id)
    commit = commits.set_tree(change, commit, root, size, files)
    commits.finish_commit(change, commit)


def egressing(change: Change, progress: EgressRecord, reason: str) -> None:
    """Record how far the egress of a job has come, and what holds it up. Nothing happens to a
    job that egresses no more."""
    record = change.tx.get(JOBS, progress.job)
    if record is None or record.state is not JobState.EGRESSING:
        return
    change.tx.put(EGRESSES, progress)
    if record.reason != reason:
        record = replace(record, reason=reason)
        change.tx.put(JOBS, record)
    _event(change, record, "job.egress", files=progress.files, bytes=progress.bytes)


def egressed(change: Change, job: Job, error: str = "") -> None:
    """End an egress: the job succeeded, or failed by ``error`` while its commit stands. Nothing
    happens to a job that egresses no more."""
    record = change.tx.get(JOBS, job)
    if record is None or record.state is not JobState.EGRESSING:
        return
    if error:
        end(change, record, JobState.FAILURE, f"egress error: {error}")
    else:
        end(change, record, JobState.SUCCESS, "")


def _event(change: Change, job: JobRecord, kind: str, **more: object) -> None:
    change.tx.event(
        kind,
        project=job.job.pipeline.project,
        pipeline=job.job.pipeline.name,
        id=job.job.id,
        state=job.state.value,
        reason=job.reason,
        **more,
    )
