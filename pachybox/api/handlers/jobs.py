"""pps_v2.API: jobs, datums, logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pfs, pps
from pachybox.api.handlers import batch, box_log
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.kept import kept
from pachybox.api.handlers.pps import fill_spec, job_name, to_pipeline
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.meta.tables import PIPELINES
from pachybox.model.events import Event
from pachybox.model.ids import DEFAULT_PROJECT, Commit, CommitId, Job, Pipeline
from pachybox.model.pps import JobRecord, Stats
from pachybox.model.refs import parse_pipeline_ref
from pachybox.pfs import wait
from pachybox.pps.bench import Running
from pachybox.pps.logs import SPOUT, LogLine


def to_job(box: Box, message: Any) -> Job:
    """The job named, which may lack its pipeline when the id is of one pipeline only."""
    if not message.id:
        raise InvalidArgument("the request names no job", "set job.id")
    if not message.pipeline.name:
        return box.pps.find_job(message.id).job
    return box.pps.job(Job(to_pipeline(message.pipeline), CommitId(message.id))).job


def stats(value: Stats) -> Any:
    """pps_v2.ProcessStats."""
    return pps.ProcessStats(
        download_time=m.duration(value.download_s),
        process_time=m.duration(value.process_s),
        upload_time=m.duration(value.upload_s),
        download_bytes=value.download_bytes,
        upload_bytes=value.upload_bytes,
    )


def job_info(box: Box, record: JobRecord, *, details: bool) -> Any:
    """pps_v2.JobInfo."""
    made = pps.JobInfo(
        job=job_name(record.job),
        pipeline_version=record.pipeline_version,
        output_commit=m.commit(Commit(record.job.pipeline.repo, record.job.id)),
        restart=record.restarts,
        data_processed=record.processed,
        data_skipped=record.skipped,
        data_total=record.total,
        data_failed=record.failed,
        data_recovered=record.recovered,
        stats=stats(record.stats),
        state=pps.JobState.Value(record.state.value),
        reason=record.reason,
        created=m.timestamp(record.created),
        started=m.timestamp(record.started),
        finished=m.timestamp(record.finished),
    )
    pipeline = box.meta.get(PIPELINES, record.job.pipeline)
    if pipeline is not None:
        made.output_commit.branch.CopyFrom(
            pfs.Branch(repo=m.repo(record.job.pipeline.repo), name=pipeline.spec["output_branch"])
        )
        if details:
            fill_spec(made.details, pipeline)
            for one in box.pps.running(record.job):
                _fill_worker(made.details.worker_status.add(), record.job, one)
    return made


def _fill_worker(status: Any, job: Job, running: Running) -> None:
    status.worker_id = f"{job.pipeline.name}-{running.worker}"
    status.job_id = job.id
    status.datum_status.started.FromMicroseconds(int(running.since * 1e6))
    for one in running.datum.inputs:
        status.datum_status.data.add(path=one.path, hash=one.hash)


# ---- jobs


@handles("pps_v2.API/InspectJob")
def inspect_job(box: Box, request: Any, call: Call) -> Any:
    job = to_job(box, request.job)
    record = box.pps.wait_job(job, call.cancel.is_set) if request.wait else box.pps.job(job)
    return job_info(box, record, details=request.details)


@handles("pps_v2.API/InspectJobSet")
def inspect_job_set(box: Box, request: Any, call: Call) -> Iterator[Any]:
    job_id = request.job_set.id
    first = box.pps.job_set(job_id)
    if not request.wait:
        for record in first:
            yield job_info(box, record, details=request.details)
        return
    shown: set[Job] = set()
    while True:
        waiting = [r for r in box.pps.job_set(job_id) if r.job not in shown]
        if not waiting:
            return
        record = box.pps.wait_job(waiting[0].job, call.cancel.is_set)
        shown.add(record.job)
        yield job_info(box, record, details=request.details)


@handles("pps_v2.API/ListJob")
def list_job(box: Box, request: Any, call: Call) -> Iterator[Any]:
    pipeline = to_pipeline(request.pipeline) if request.pipeline.name else None
    found = box.pps.list_jobs(
        pipeline,
        projects=[p.name or DEFAULT_PROJECT for p in request.projects],
        inputs=[box.pfs.resolve(*m.to_ref(c)) for c in request.input_commit],
        reverse=request.reverse,
        beyond=_marker(request),
        # of no pipeline in particular: of whatever version
        history=request.history if pipeline is not None else -1,
    )
    shown = (job_info(box, r, details=request.details) for r in found)
    return m.at_most(kept(shown, request.jq_filter, call), request.number)


def _marker(request: Any) -> datetime | None:
    """The moment of the last record of the page before."""
    if not request.HasField("pagination_marker"):
        return None
    return m.moment(request.pagination_marker, "pagination_marker")


@handles("pps_v2.API/ListJobSet")
def list_job_set(box: Box, request: Any, call: Call) -> Iterator[Any]:
    return m.at_most(kept(_job_sets(box, request), request.jq_filter, call), request.number)


def _job_sets(box: Box, request: Any) -> Iterator[Any]:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    seen: set[str] = set()
    for record in box.pps.list_jobs(
        projects=projects, reverse=request.reverse, beyond=_marker(request)
    ):
        if record.job.id in seen:
            continue
        seen.add(record.job.id)
        members = box.pps.job_set(record.job.id)
        yield pps.JobSetInfo(
            job_set=pps.JobSet(id=record.job.id),
            jobs=[job_info(box, r, details=request.details) for r in members],
        )


@handles("pps_v2.API/SubscribeJob")
def subscribe_job(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """The jobs of a pipeline, oldest first, then each again whenever its state has changed."""
    pipeline = to_pipeline(request.pipeline)
    seen = box.meta.last_event
    for record in box.pps.list_jobs(pipeline, reverse=True):
        yield job_info(box, record, details=request.details)
    while not call.cancel.is_set():
        yield None
        wait.pause(box.pfs, seen, call.cancel.is_set)
        while events := box.meta.events(seen):
            seen = events[-1].seq
            for job in dict.fromkeys(_jobs_of(events, pipeline)):
                try:
                    record = box.pps.job(job)
                except NotFound:  # deleted meanwhile
                    continue
                yield job_info(box, record, details=request.details)


def _jobs_of(events: Sequence[Event], pipeline: Pipeline) -> Iterator[Job]:
    for event in events:
        named = (event.data.get("project"), event.data.get("pipeline"))
        if event.kind.startswith("job.") and named == (pipeline.project, pipeline.name):
            yield Job(pipeline, CommitId(str(event.data.get("id"))))


@handles("pachybox.v1.API/FlushJob")
def flush_job(box: Box, request: Any, call: Call) -> Iterator[Any]:
    roots = [m.parse_commit(text) for text in request.commits]
    to = [parse_pipeline_ref(text)[0].repo for text in request.to_pipelines]
    for commit in wait.flush(box.pfs, roots, to, call.cancel.is_set):
        if commit is None:
            yield None
            continue
        repo = commit.commit.repo
        job = Job(Pipeline(repo.project, repo.name), commit.commit.id)
        try:
            record = box.pps.wait_job(job, call.cancel.is_set)
        except NotFound:
            continue  # an output commit that no job made
        yield job_info(box, record, details=False)


@handles("pps_v2.API/StopJob")
def stop_job(box: Box, request: Any, call: Call) -> Any:
    """As Pachyderm does: nothing happens to a job that is over."""
    job = to_job(box, request.job)
    request.job.CopyFrom(job_name(job))
    try:
        if call.transaction or not box.pps.job(job).state.terminal:
            batch.submit(box, call, "stop_job", request)
    except Refused:
        if not box.pps.job(job).state.terminal:  # else it ended meanwhile
            raise
    return Empty()


@handles("pachybox.v1.API/StopJob")
def stop_running_job(box: Box, request: Any, call: Call) -> Any:
    """As pps_v2.API/StopJob, and an error when it is over."""
    request.job.CopyFrom(job_name(to_job(box, request.job)))
    batch.submit(box, call, "stop_job", request)
    return ours.StopJobResponse()


@handles("pps_v2.API/DeleteJob")
def delete_job(box: Box, request: Any, call: Call) -> Any:
    box.pps.delete_job(to_job(box, request.job))
    return Empty()


# ---- logs


@handles("pps_v2.API/GetLogs")
def get_logs(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """As Pachyderm does: what user code and workers say; with ``master`` what the box says."""
    if not request.master:
        return _get_logs(box, request, call, everything=True)
    edge = datetime.now(UTC) - since if (since := _since(request)) else None
    job = request.datum.job if request.datum.id else request.job
    pipeline = job.pipeline if job.id and job.pipeline.name else request.pipeline
    name = ""
    if pipeline.name:
        name = str(box.pps.pipeline(to_pipeline(pipeline)).pipeline)
    return box_log.messages(box, name, job.id, edge, request, call)


@handles("pachybox.v1.API/GetLogs")
def get_user_logs(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """What user code says; with ``master`` what workers say of it too."""
    return _get_logs(box, request, call, everything=request.master)


def _get_logs(box: Box, request: Any, call: Call, *, everything: bool) -> Iterator[Any]:
    job = request.datum.job if request.datum.id else request.job
    wanted: list[Job] | Pipeline
    if job.id:
        if job.pipeline.name and job.id == SPOUT:
            wanted = box.pps.pipeline(to_pipeline(job.pipeline)).pipeline  # it has no jobs
        elif job.pipeline.name:
            wanted = [to_job(box, job)]
        else:
            wanted = [r.job for r in box.pps.job_set(job.id)]
    elif request.pipeline.name:
        wanted = box.pps.pipeline(to_pipeline(request.pipeline)).pipeline
    else:  # the box's own log
        edge = datetime.now(UTC) - since if (since := _since(request)) else None
        return box_log.messages(box, "", "", edge, request, call)
    since = _since(request)
    lines = box.pps.log_reader.read(
        wanted,
        datum=request.datum.id,
        filters=list(request.data_filters),
        everything=everything,
        follow=request.follow,
        tail=request.tail,
        since=since,
        cancelled=call.cancel.is_set,
    )
    return log_messages(lines)


def _since(request: Any) -> timedelta | None:
    if not request.HasField("since"):
        return None
    since: timedelta = m.span(request.since)
    if since < timedelta(0):
        raise InvalidArgument("since is negative", "give a duration such as 24h")
    return since


def log_messages(lines: Iterator[LogLine | None]) -> Iterator[Any]:
    last: LogLine | None = None
    base = pps.LogMessage()
    for line in lines:
        if line is None:
            yield None
            continue
        # perf: lines come in runs that differ by their text alone (16 us -> 2)
        if last is None or (line.time, line.datum, line.user, line.worker, line.job) != (
            *(last.time, last.datum, last.user, last.worker, last.job),
        ):
            base = pps.LogMessage(
                project_name=line.job.pipeline.project,
                pipeline_name=line.job.pipeline.name,
                job_id=line.job.id,
                worker_id=f"{line.job.pipeline.name}-{line.worker}",
                datum_id=line.datum,
                user=line.user,
                ts=m.timestamp(line.time),
            )
            last = line
        made = pps.LogMessage()
        made.CopyFrom(base)
        made.message = line.message
        yield made
