"""pps_v2.API and our pipeline methods: pipelines, jobs, datums, logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pfs, pps
from pachybox.api.handlers import batch
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Unimplemented
from pachybox.meta.tables import PIPELINES
from pachybox.model.ids import DEFAULT_PROJECT, Commit, CommitId, Job, Pipeline, Repo
from pachybox.model.pps import (
    DatumInput,
    DatumState,
    JobRecord,
    PipelineRecord,
    PipelineState,
    Stats,
)
from pachybox.model.refs import parse_commit_ref, parse_pipeline_ref, parse_ref
from pachybox.pfs import wait
from pachybox.pps import planner
from pachybox.pps.datums import DatumInfo
from pachybox.pps.logs import LogLine
from pachybox.pps.spec import from_message_dict

# ---- requests


def to_pipeline(message: Any) -> Pipeline:
    """The pipeline named; an empty project is ``default``."""
    if not message.name:
        raise InvalidArgument("the request names no pipeline", "set pipeline.name")
    return Pipeline(message.project.name or DEFAULT_PROJECT, message.name)


def to_job(box: Box, message: Any) -> Job:
    """The job named, which may lack its pipeline when the id is of one pipeline only."""
    if not message.id:
        raise InvalidArgument("the request names no job", "set job.id")
    if not message.pipeline.name:
        return box.pps.find_job(message.id).job
    return box.pps.job(Job(to_pipeline(message.pipeline), CommitId(message.id))).job


# ---- answers


def pipeline_name(value: Pipeline) -> Any:
    """pps_v2.Pipeline."""
    return pps.Pipeline(project=pfs.Project(name=value.project), name=value.name)


def job_name(value: Job) -> Any:
    """pps_v2.Job."""
    return pps.Job(pipeline=pipeline_name(value.pipeline), id=value.id)


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
            _fill_spec(made.details, pipeline)
            for attempt in box.pps.running(record.job):
                if attempt.datum is not None:
                    _fill_worker(made.details.worker_status.add(), record.job, attempt)
    return made


def _fill_worker(status: Any, job: Job, attempt: Any) -> None:
    status.worker_id = f"{job.pipeline.name}-{attempt.number}"
    status.job_id = job.id
    status.datum_status.started.FromMicroseconds(int(attempt.since * 1e6))
    for one in attempt.datum.inputs:
        status.datum_status.data.add(path=one.path, hash=one.hash)


_ENVELOPE = ("pipeline", "update", "reprocess", "dry_run", "spec_commit", "metadata")


def _fill_spec(details: Any, record: PipelineRecord) -> None:
    """Copy the fields of the spec that the details message has by the same name."""
    known = details.DESCRIPTOR.fields_by_name
    values = {k: v for k, v in record.spec.items() if k in known and k not in _ENVELOPE}
    for name in ("datum_timeout", "job_timeout", "maximum_expected_uptime"):
        if name in values:
            values[name] = f"{planner.seconds(values[name]):.9f}s"
    json_format.ParseDict(values, details, ignore_unknown_fields=True)


def pipeline_info(box: Box, record: PipelineRecord, *, details: bool) -> Any:
    """pps_v2.PipelineInfo."""
    made = pps.PipelineInfo(
        pipeline=pipeline_name(record.pipeline),
        version=record.version,
        spec_commit=m.commit(Commit(record.pipeline.spec_repo, record.spec_commit), "master"),
        stopped=record.stopped,
        state=pps.PipelineState.Value(record.state.value),
        reason=record.reason,
        parallelism=planner.workers_wanted(record.spec),
        type=1,
        user_spec_json=record.user_spec,
        effective_spec_json=json.dumps(record.spec, sort_keys=True),
    )
    last = box.pps.last_job(record.pipeline)
    if last is not None:
        made.last_job_state = pps.JobState.Value(last.state.value)
    _fill_spec(made.details, record)
    made.details.created_at.CopyFrom(m.timestamp(record.created))
    made.details.updated_at.CopyFrom(m.timestamp(record.updated))
    made.details.reason = record.reason
    if not details:
        keep = ("created_at", "input", "description", "output_branch", "updated_at")
        for field, _ in made.details.ListFields():
            if field.name not in keep:
                made.details.ClearField(field.name)
    return made


# ---- pipelines


@handles("pachybox.v1.API/CreatePipelines")
def create_pipelines(box: Box, request: Any, call: Call) -> Any:
    made, warnings = box.pps.create(
        request.text,
        request.source or "the request",
        project=request.project or DEFAULT_PROJECT,
        update=request.update,
        reprocess=request.reprocess,
        dry_run=request.dry_run,
        runner=request.runner,
    )
    return ours.CreatePipelinesResponse(
        pipelines=[
            ours.CreatedPipeline(
                project=one.pipeline.project,
                name=one.pipeline.name,
                version=one.version,
                created=one.created,
                effective_spec_json=json.dumps(one.spec, sort_keys=True),
            )
            for one in made
        ],
        warnings=warnings,
    )


@handles("pps_v2.API/CreatePipelineV2")
def create_pipeline_v2(box: Box, request: Any, call: Call) -> Any:
    made, _ = box.pps.create(
        request.create_pipeline_request_json,
        "the request",
        project=DEFAULT_PROJECT,
        update=request.update,
        reprocess=request.reprocess,
        dry_run=request.dry_run,
        alone=True,
    )
    text = json.dumps(made[0].spec, sort_keys=True)
    return pps.CreatePipelineV2Response(effective_create_pipeline_request_json=text)


@handles("pps_v2.API/CreatePipeline")
def create_pipeline(box: Box, request: Any, call: Call) -> Any:
    spec = from_message_dict(json_format.MessageToDict(request))
    box.pps.check_image(spec)
    box.pps.put(spec)
    return Empty()


@handles("pps_v2.API/InspectPipeline")
def inspect_pipeline(box: Box, request: Any, call: Call) -> Any:
    name, ancestry = parse_pipeline_ref(
        request.pipeline.name, request.pipeline.project.name or DEFAULT_PROJECT
    )
    return pipeline_info(box, box.pps.pipeline(name, ancestry), details=request.details)


@handles("pps_v2.API/ListPipeline")
def list_pipeline(box: Box, request: Any, call: Call) -> Iterator[Any]:
    _no_filter(request)
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    if request.pipeline.name:
        found = [box.pps.pipeline(to_pipeline(request.pipeline))]
    else:
        found = box.pps.list_pipelines(projects)
    size = request.page.page_size
    if size:
        found = found[request.page.page_index * size :][:size]
    for record in found:
        yield pipeline_info(box, record, details=request.details)
        if request.history:
            older = [v for v in box.pps.versions(record.pipeline) if v.version != record.version]
            most = None if request.history < 0 else request.history
            for version in older[:most]:
                then = box.pps.at_version(record, version)
                yield pipeline_info(box, then, details=request.details)


@handles("pps_v2.API/PipelinesSummary")
def pipelines_summary(box: Box, request: Any, call: Call) -> Any:
    wanted = [p.name for p in request.projects] or [p.name for p in box.pfs.list_projects()]
    made = []
    for name in wanted:
        found = box.pps.list_pipelines([name or DEFAULT_PROJECT])
        failed = sum(p.state is PipelineState.FAILURE for p in found)
        made.append(
            pps.PipelinesSummary(
                project=pfs.Project(name=name or DEFAULT_PROJECT),
                active_pipelines=sum(not p.stopped for p in found) - failed,
                paused_pipelines=sum(p.stopped for p in found),
                failed_pipelines=failed,
                unhealthy_pipelines=sum(p.state is PipelineState.CRASHING for p in found),
            )
        )
    return pps.PipelinesSummaryResponse(summaries=made)


@handles("pps_v2.API/DeletePipeline")
def delete_pipeline(box: Box, request: Any, call: Call) -> Any:
    if request.all:
        _delete_all(box, [], request.force, request.keep_repo)
        return Empty()
    pipeline = to_pipeline(request.pipeline)
    box.pps.delete(pipeline, keep_repo=request.keep_repo, force=request.force)
    return Empty()


@handles("pps_v2.API/DeletePipelines")
def delete_pipelines(box: Box, request: Any, call: Call) -> Any:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    if not projects and not request.all:
        raise InvalidArgument("the request names no project", "name projects, or set all")
    gone = _delete_all(box, [] if request.all else projects, request.force, request.keep_repo)
    return pps.DeletePipelinesResponse(pipelines=[pipeline_name(p) for p in gone])


def _delete_all(box: Box, projects: list[str], force: bool, keep_repo: bool) -> list[Pipeline]:
    """Newest first, so that what reads another's output goes before it."""
    found = [p.pipeline for p in box.pps.list_pipelines(projects)]
    for pipeline in found:
        box.pps.delete(pipeline, keep_repo=keep_repo, force=force)
    return found


@handles("pps_v2.API/StartPipeline")
def start_pipeline(box: Box, request: Any, call: Call) -> Any:
    box.pps.start(to_pipeline(request.pipeline))
    return Empty()


@handles("pps_v2.API/StopPipeline")
def stop_pipeline(box: Box, request: Any, call: Call) -> Any:
    box.pps.stop(to_pipeline(request.pipeline))
    return Empty()


@handles("pps_v2.API/RerunPipeline")
def rerun_pipeline(box: Box, request: Any, call: Call) -> Any:
    box.pps.rerun(to_pipeline(request.pipeline), reprocess=request.reprocess)
    return Empty()


@handles("pachybox.v1.API/RunPipeline")
def run_pipeline(box: Box, request: Any, call: Call) -> Any:
    pipeline = to_pipeline(request.pipeline)
    chosen = []
    for text in request.provenance:
        left, equals, right = text.partition("=")
        found = parse_commit_ref(left, pipeline.project)
        ref = right if equals else str(found.ref or "")
        if not ref:
            raise InvalidArgument(f"{text!r} names no commit", "write repo@branch or repo@id")
        parse_ref(ref)
        chosen.append(box.pfs.resolve(found.repo, ref))
    job = box.pps.run(pipeline, chosen, request.job)
    return ours.RunPipelineResponse(job=job_name(job))


@handles("pachybox.v1.API/ExtractPipeline")
def extract_pipeline(box: Box, request: Any, call: Call) -> Any:
    name, ancestry = parse_pipeline_ref(
        request.pipeline.name, request.pipeline.project.name or DEFAULT_PROJECT
    )
    record = box.pps.pipeline(name, ancestry)
    spec = dict(record.spec)
    if request.version:
        spec = dict(box.pps.version(name, request.version).spec)
    return ours.ExtractPipelineResponse(spec_json=json.dumps(spec, indent=2))


@handles("pps_v2.API/CheckStatus")
def check_status(box: Box, request: Any, call: Call) -> Iterator[Any]:
    projects = [] if request.all else [request.project.name or DEFAULT_PROJECT]
    for record in box.pps.list_pipelines(projects):
        alerts = []
        if record.state in (PipelineState.FAILURE, PipelineState.CRASHING):
            alerts.append(f"pipeline is in state {record.state.value}: {record.reason}")
        last = box.pps.last_job(record.pipeline)
        if last is not None and last.state.value in ("JOB_FAILURE", "JOB_UNRUNNABLE"):
            alerts.append(f"last job {last.job.id} ended in {last.state.value}: {last.reason}")
        if alerts:
            yield pps.CheckStatusResponse(
                project=pfs.Project(name=record.pipeline.project),
                pipeline=pipeline_name(record.pipeline),
                alerts=alerts,
            )


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
    _no_filter(request)
    pipeline = to_pipeline(request.pipeline) if request.pipeline.name else None
    found = box.pps.list_jobs(
        pipeline,
        projects=[p.name or DEFAULT_PROJECT for p in request.projects],
        inputs=[box.pfs.resolve(*m.to_ref(c)) for c in request.input_commit],
        number=request.number,
        reverse=request.reverse,
        history=request.history or -1,
    )
    return (job_info(box, r, details=request.details) for r in found)


@handles("pps_v2.API/ListJobSet")
def list_job_set(box: Box, request: Any, call: Call) -> Iterator[Any]:
    _no_filter(request)
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    seen: set[str] = set()
    for record in box.pps.list_jobs(projects=projects, reverse=request.reverse):
        if record.job.id in seen:
            continue
        seen.add(record.job.id)
        members = box.pps.job_set(record.job.id)
        yield pps.JobSetInfo(
            job_set=pps.JobSet(id=record.job.id),
            jobs=[job_info(box, r, details=request.details) for r in members],
        )
        if request.number and len(seen) >= request.number:
            return


def _no_filter(request: Any) -> None:
    if request.jq_filter:
        raise Unimplemented(
            "jq filters are not built in this version of pachybox",
            "filter the JSON lines on the client's side",
        )


@handles("pps_v2.API/SubscribeJob")
def subscribe_job(box: Box, request: Any, call: Call) -> Iterator[Any]:
    pipeline = to_pipeline(request.pipeline)
    last: dict[Job, JobRecord] = {}
    while True:
        seen = box.meta.last_event
        for record in box.pps.list_jobs(pipeline, reverse=True):
            if last.get(record.job) != record:
                last[record.job] = record
                yield job_info(box, record, details=request.details)
        yield None
        wait.pause(box.pfs, seen, call.cancel.is_set)


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
    request.job.CopyFrom(job_name(to_job(box, request.job)))
    batch.submit(box, call, "stop_job", request)
    return Empty()


@handles("pps_v2.API/DeleteJob")
def delete_job(box: Box, request: Any, call: Call) -> Any:
    box.pps.delete_job(to_job(box, request.job))
    return Empty()


# ---- datums

_DATUM_STATES = {state: state.value for state in DatumState}


def datum_info(info: DatumInfo) -> Any:
    """pps_v2.DatumInfo."""
    return pps.DatumInfo(
        datum=pps.Datum(job=job_name(info.job), id=info.id),
        state=pps.DatumState.Value(_DATUM_STATES[info.state]),
        stats=stats(info.stats),
        data=[_input_file(one) for one in info.inputs],
    )


def _input_file(one: DatumInput) -> Any:
    repo = Repo(one.project, one.repo)
    path = f"{one.path}/" if one.is_dir and one.path != "/" else one.path
    return pfs.FileInfo(
        file=pfs.File(commit=m.commit(Commit(repo, one.commit), one.branch), path=path),
        file_type=2 if one.is_dir else 1,
        size_bytes=one.size,
        hash=one.hash,
    )


@handles("pps_v2.API/ListDatum")
def list_datum(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.HasField("input"):
        spec = {"input": json_format.MessageToDict(request.input, preserving_proto_field_name=True)}
        job = Job(Pipeline(DEFAULT_PROJECT, ""), CommitId(""))
        found: Iterator[DatumInfo] = (
            DatumInfo(job, d.id, DatumState.UNKNOWN, "", Stats(), d.inputs, None)
            for d in box.pps.preview(box.pps.complete_input(spec))
        )
    else:
        found = box.pps.list_datums(to_job(box, request.job))
    wanted = {pps.DatumState.Name(s) for s in request.filter.state}
    shown: Iterator[DatumInfo] = (i for i in found if not wanted or i.state.value in wanted)
    if request.number:
        shown = islice(shown, request.number)
    return map(datum_info, shown)


@handles("pps_v2.API/InspectDatum")
def inspect_datum(box: Box, request: Any, call: Call) -> Any:
    job = to_job(box, request.datum.job)
    return datum_info(box.pps.inspect_datum(job, request.datum.id))


@handles("pps_v2.API/RestartDatum")
def restart_datum(box: Box, request: Any, call: Call) -> Any:
    box.pps.restart_datum(to_job(box, request.job), list(request.data_filters))
    return Empty()


# ---- logs


@handles("pps_v2.API/GetLogs")
def get_logs(box: Box, request: Any, call: Call) -> Iterator[Any]:
    job = request.datum.job if request.datum.id else request.job
    wanted: list[Job] | Pipeline
    if job.id:
        if job.pipeline.name:
            wanted = [to_job(box, job)]
        else:
            wanted = [r.job for r in box.pps.job_set(job.id)]
    elif request.pipeline.name:
        wanted = box.pps.pipeline(to_pipeline(request.pipeline)).pipeline
    else:
        raise InvalidArgument("logs need a pipeline or a job", "name one: --pipeline or --job")
    since = None
    if request.HasField("since"):
        since = timedelta(seconds=request.since.ToTimedelta().total_seconds())
    lines = box.pps.log_reader.read(
        wanted,
        datum=request.datum.id,
        filters=list(request.data_filters),
        everything=request.master,
        follow=request.follow,
        tail=request.tail,
        since=since,
        cancelled=call.cancel.is_set,
    )
    return (None if line is None else _log_message(line) for line in lines)


def _log_message(line: LogLine) -> Any:
    return pps.LogMessage(
        project_name=line.job.pipeline.project,
        pipeline_name=line.job.pipeline.name,
        job_id=line.job.id,
        worker_id=f"{line.job.pipeline.name}-{line.worker}",
        datum_id=line.datum,
        user=line.user,
        ts=m.timestamp(line.time),
        message=line.message,
    )


@handles("pps_v2.API/DeleteAll")
def delete_all(box: Box, request: Any, call: Call) -> Any:
    _delete_all(box, [], True, False)
    return Empty()
