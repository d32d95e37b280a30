"""pps_v2.API and our pipeline methods: pipelines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pfs, pps
from pachybox.api.handlers import batch
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.kept import kept
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.model.ids import DEFAULT_PROJECT, Commit, Job, Pipeline, Repo
from pachybox.model.pps import (
    PipelineRecord,
    PipelineState,
)
from pachybox.model.refs import parse_commit_ref, parse_pipeline_ref, parse_ref
from pachybox.pps import defaults, labels, moving, planner
from pachybox.pps.making import Made, no_dry_run
from pachybox.pps.pipelines import Chosen
from pachybox.pps.spec import Text, from_message_dict

# ---- requests


def to_pipeline(message: Any) -> Pipeline:
    """The pipeline named; an empty project is ``default``."""
    if not message.name:
        raise InvalidArgument("the request names no pipeline", "set pipeline.name")
    return Pipeline(message.project.name or DEFAULT_PROJECT, message.name)


# ---- answers


def pipeline_name(value: Pipeline) -> Any:
    """pps_v2.Pipeline."""
    return pps.Pipeline(project=pfs.Project(name=value.project), name=value.name)


_ENVELOPE = ("pipeline", "update", "reprocess", "dry_run", "spec_commit", "metadata")


def fill_spec(details: Any, record: PipelineRecord) -> None:
    """Copy the fields of the spec that the details message has by the same name."""
    known = details.DESCRIPTOR.fields_by_name
    values = {k: v for k, v in record.spec.items() if k in known and k not in _ENVELOPE}
    for name in ("datum_timeout", "job_timeout", "maximum_expected_uptime"):
        if name in values:
            values[name] = f"{planner.seconds(values[name]):.9f}s"
    json_format.ParseDict(values, details, ignore_unknown_fields=True)


def job_name(value: Job) -> Any:
    """pps_v2.Job."""
    return pps.Job(pipeline=pipeline_name(value.pipeline), id=value.id)


def _type(record: PipelineRecord) -> int:
    kind = "SERVICE" if record.spec.get("service") else "TRANSFORM"
    found: int = pps.PipelineInfo.PipelineType.Value(f"PIPELINE_TYPE_{kind}")
    return found


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
        type=_type(record),
        user_spec_json=record.user_spec,
        effective_spec_json=effective_json(record.spec),
        metadata=labels.of_pipeline(box.meta, record.pipeline),
        runner=moving.runner_of(record),
    )
    last = box.pps.last_job(record.pipeline)
    if last is not None:
        made.last_job_state = pps.JobState.Value(last.state.value)
    fill_spec(made.details, record)
    made.details.created_at.CopyFrom(m.timestamp(record.created))
    made.details.updated_at.CopyFrom(m.timestamp(record.updated))
    made.details.reason = record.reason
    if not details:
        keep = ("created_at", "input", "description", "output_branch", "updated_at")
        for field, _ in made.details.ListFields():
            if field.name not in keep:
                made.details.ClearField(field.name)
    return made


def effective_json(spec: Mapping[str, Any]) -> str:
    """A spec as the JSON of a CreatePipelineRequest: lowerCamelCase names, durations in seconds.
    Fields that Pachyderm does not know keep their names."""
    return json.dumps(message_dict(spec), sort_keys=True)


def message_dict(spec: Mapping[str, Any]) -> dict[str, Any]:
    """See effective_json."""
    made: dict[str, Any] = _as_message(spec, pps.CreatePipelineRequest.DESCRIPTOR)
    return made


def _as_message(value: Any, kind: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = {}
    for name, part in value.items():
        field = kind.fields_by_name.get(name)
        if field is None:
            made[name] = part
            continue
        below = field.message_type
        if below is None or below.GetOptions().map_entry:
            made[field.json_name] = part
        elif below.full_name == "google.protobuf.Duration":
            made[field.json_name] = f"{planner.seconds(part):.9f}".rstrip("0").rstrip(".") + "s"
        elif isinstance(part, list):
            made[field.json_name] = [_as_message(one, below) for one in part]
        else:
            made[field.json_name] = _as_message(part, below)
    return made


# ---- pipelines


def _put(
    box: Box,
    call: Call,
    request: Any,
    found: Sequence[Text],
    *,
    project: str = DEFAULT_PROJECT,
    runner: str = "",
    alone: bool = False,
    heads: bool = False,
    if_version: int = 0,
) -> tuple[list[Made], list[str]]:
    """Create or update pipelines, or queue that in the call's transaction; and warnings."""
    if if_version < 0 or (if_version and call.transaction):
        raise InvalidArgument(
            "if_version is below 1, or part of a transaction",
            "name a version, and change the pipeline outside of transactions",
        )
    if not call.transaction or request.dry_run:
        return box.pps.create(
            *found[0],
            more=found[1:],
            project=project,
            update=request.update,
            reprocess=request.reprocess,
            dry_run=request.dry_run,
            runner=runner,
            alone=alone,
            heads=heads,
            if_version=if_version,
        )
    specs = box.pps.specs(found, project=project)
    for spec in specs:
        no_dry_run(spec)
    specs = [box.pps.placement.place(spec, runner) for spec in specs]
    made = batch.submit_pipelines(
        box,
        call,
        [replace(spec, heads=heads) for spec in specs],
        update=request.update,
        reprocess=request.reprocess,
    )
    return made, [warning for spec in specs for warning in spec.warnings]


def texts(request: Any) -> list[Text]:
    """The texts of a request of ours."""
    return [Text(one.text, one.source or "the request") for one in (request, *request.more)]


@handles("pachybox.v1.API/CreatePipelines")
def create_pipelines(box: Box, request: Any, call: Call) -> Any:
    made, warnings = _put(
        box,
        call,
        request,
        texts(request),
        project=request.project or DEFAULT_PROJECT,
        runner=request.runner,
        if_version=request.if_version,
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


@handles("pachybox.v1.API/ValidatePipelines")
def validate_pipelines(box: Box, request: Any, call: Call) -> Any:
    right, problems, warnings = box.pps.validate(
        texts(request),
        project=request.project or DEFAULT_PROJECT,
        runner=request.runner,
    )
    return ours.ValidatePipelinesResponse(
        pipelines=map(pipeline_name, right), problems=problems, warnings=warnings
    )


@handles("pachybox.v1.API/MovePipelines")
def move_pipelines(box: Box, request: Any, call: Call) -> Any:
    if request.pipelines:
        records = [box.pps.pipeline(to_pipeline(one)) for one in request.pipelines]
    else:
        projects = [] if request.all_projects else [request.project or DEFAULT_PROJECT]
        found = box.pps.list_pipelines(projects)
        records = [one for one in found if one.spec["transform"].get("image")]
    moved = box.pps.move(records, request.runner, dry_run=request.dry_run)
    return ours.MovePipelinesResponse(
        pipelines=[
            ours.MovedPipeline(
                pipeline=pipeline_name(one.pipeline),
                version=one.version,
                was=one.was,
                runner=one.runner,
            )
            for one in moved
        ],
        warnings=[warning for one in moved for warning in one.warnings],
    )


@handles("pps_v2.API/CreatePipelineV2")
def create_pipeline_v2(box: Box, request: Any, call: Call) -> Any:
    made, _ = _put(
        box,
        call,
        request,
        [Text(request.create_pipeline_request_json, "the request")],
        alone=True,
        heads=True,
    )
    text = effective_json(made[0].spec)
    return pps.CreatePipelineV2Response(effective_create_pipeline_request_json=text)


@handles("pps_v2.API/CreatePipeline")
def create_pipeline(box: Box, request: Any, call: Call) -> Any:
    spec = replace(from_message_dict(m.as_dict(request), defaults.of(box.meta)), heads=True)
    spec = box.pps.placement.place(spec)
    if call.transaction and not spec.dry_run:
        batch.submit_pipelines(box, call, [spec], update=False, reprocess=False)
    else:
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
    found = (
        pipeline_info(box, record, details=request.details) for record in _listed(box, request)
    )
    return kept(found, request.jq_filter, call)


def _listed(box: Box, request: Any) -> Iterator[PipelineRecord]:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    if request.pipeline.name:
        found = [box.pps.pipeline(to_pipeline(request.pipeline))]
    else:
        found = box.pps.list_pipelines(projects)
    if request.commit_set.id:
        found = box.pps.as_of(found, request.commit_set.id)
    size = request.page.page_size
    if size < 0 or request.page.page_index < 0:
        raise InvalidArgument("page.page_size or page.page_index is negative", "count from 0")
    if size:
        found = found[request.page.page_index * size :][:size]
    for record in found:
        yield record
        if request.history:
            older = [v for v in box.pps.versions(record.pipeline) if v.version < record.version]
            most = None if request.history < 0 else request.history
            for version in older[:most]:
                yield box.pps.at_version(record, version)


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
    with _missing_is_fine(request):
        box.pps.delete(pipeline, keep_repo=request.keep_repo, force=request.force)
    return Empty()


@contextmanager
def _missing_is_fine(request: Any) -> Iterator[None]:
    """As in Pachyderm, a pipeline that is not there is an error with ``must_exist`` only."""
    try:
        yield
    except NotFound:
        if request.must_exist:
            raise


@handles("pps_v2.API/DeletePipelines")
def delete_pipelines(box: Box, request: Any, call: Call) -> Any:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    if not projects and not request.all:
        raise InvalidArgument("the request names no project", "name projects, or set all")
    gone = _delete_all(box, [] if request.all else projects, request.force, request.keep_repo)
    return pps.DeletePipelinesResponse(pipelines=[pipeline_name(p) for p in gone])


def _delete_all(box: Box, projects: list[str], force: bool, keep_repo: bool) -> list[Pipeline]:
    """What reads another's output goes before it."""
    found = box.pps.list_pipelines(projects)
    above = {one.pipeline: {Pipeline(r.project, r.name) for r in _read_by(one)} for one in found}
    mine = [one for one in TopologicalSorter(above).static_order() if one in above]
    for pipeline in reversed(mine):
        box.pps.delete(pipeline, keep_repo=keep_repo, force=force)
    return mine[::-1]


def _read_by(record: PipelineRecord) -> Iterator[Repo]:
    return (leaf.branch.repo for leaf in planner.inputs_of(record.spec))


@handles("pps_v2.API/StartPipeline")
def start_pipeline(box: Box, request: Any, call: Call) -> Any:
    box.pps.start(to_pipeline(request.pipeline))
    return Empty()


@handles("pps_v2.API/StopPipeline")
def stop_pipeline(box: Box, request: Any, call: Call) -> Any:
    with _missing_is_fine(request):
        box.pps.stop(to_pipeline(request.pipeline))
    return Empty()


@handles("pps_v2.API/RerunPipeline")
def rerun_pipeline(box: Box, request: Any, call: Call) -> Any:
    box.pps.rerun(to_pipeline(request.pipeline), reprocess=request.reprocess)
    return Empty()


@handles("pps_v2.API/RunCron")
def run_cron(box: Box, request: Any, call: Call) -> Any:
    box.pps.run_cron(to_pipeline(request.pipeline))
    return Empty()


@handles("pps_v2.API/RunPipeline")
def run_pipeline_on(box: Box, request: Any, call: Call) -> Any:
    """As Pachyderm 1.x did it; 2.x answers that it is unimplemented."""
    chosen = []
    for commit in request.provenance:
        found = box.pfs.resolve(*m.to_ref(commit))
        chosen.append(Chosen(found, commit.branch.name, strict=bool(commit.branch.name)))
    box.pps.run(to_pipeline(request.pipeline), chosen, request.job_id)
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
        base = left.rpartition("@")[2] if equals else parse_ref(ref).base
        commit = box.pfs.resolve(found.repo, ref)
        chosen.append(Chosen(commit, base, strict=bool(equals)))
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


@handles("pps_v2.API/GetKubeEvents")
def get_kube_events(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """None: there is no Kubernetes."""
    return iter(())


@handles("pps_v2.API/ListTask")
def list_task(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """None: datums are handed to workers directly, and ListDatum shows them."""
    return iter(())


@handles("pps_v2.API/QueryLoki")
def query_loki(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """What a cluster without Loki answers."""
    raise Refused("loki not configured", "read the logs with GetLogs: pachybox logs")


@handles("pps_v2.API/DeleteAll")
def delete_all(box: Box, request: Any, call: Call) -> Any:
    _delete_all(box, [], True, False)
    box.secrets.delete_all()
    box.pps.clear_defaults()
    return Empty()
