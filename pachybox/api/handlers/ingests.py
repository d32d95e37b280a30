"""pachybox.v1.API: ingest sources, and what they bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pps
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.ingest.advance import Step
from pachybox.ingest.spec import load
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.model.ingest import Ingest, IngestInfo


def to_ingest(request: Any) -> Ingest:
    """The source a request names; an empty project is ``default``."""
    if not request.ingest.name:
        raise InvalidArgument("the request names no ingest", "set ingest.name")
    return Ingest(request.ingest.project or DEFAULT_PROJECT, request.ingest.name)


def ingest_name(ingest: Ingest) -> Any:
    """pachybox.v1.Ingest."""
    return ours.Ingest(project=ingest.project, name=ingest.name)


def ingest_info(info: IngestInfo) -> Any:
    """pachybox.v1.IngestInfo."""
    record, status = info.record, info.status
    made = ours.IngestInfo(
        ingest=ingest_name(record.ingest),
        kind=record.kind.value,
        to=f"{record.to.repo}@{record.to.name}",
        state=status.state.value,
        reason=status.reason,
        since=m.timestamp(status.since),
        paused=record.paused,
        spec_json=json.dumps(record.spec, sort_keys=True) if record.spec else "",
        version=record.version,
        created=m.timestamp(record.created),
        updated=m.timestamp(record.updated),
        batch=record.batch,
        offset_json=record.offset,
        records=record.records,
        bytes=record.bytes,
        files=record.files,
        commits=record.commits,
        dead_letters=record.dead,
        last_commit=record.last_commit or "",
        last_time=m.timestamp(record.last_time),
        next_time=m.timestamp(status.next_time),
        lag_s=status.lag_s,
        pending=status.pending,
        rates=status.rates,
        errors=status.errors,
        error=status.error,
        error_time=m.timestamp(status.error_time),
        restarts=status.restarts,
        pid=status.pid,
    )
    if (of := info.pipeline) is not None:
        named = pps.Pipeline(name=of.name)
        named.project.name = of.project
        made.pipeline.CopyFrom(named)
    return made


@handles("pachybox.v1.API/CreateIngest")
def create_ingest(box: Box, request: Any, call: Call) -> Any:
    specs = load(
        request.text,
        request.source or "the request",
        default_project=request.project or DEFAULT_PROJECT,
    )
    made = box.ingests.create(
        specs,
        update=request.update,
        reset=request.reset,
        # with a token whoever asks has shown it
        trusted=call.local or (box.closed() and call.principal.is_admin),
    )
    return ours.CreateIngestResponse(
        ingests=[
            ours.CreatedIngest(
                ingest=ingest_name(one.record.ingest),
                version=one.record.version,
                created=one.created,
                warnings=one.warnings,
            )
            for one in made
        ]
    )


@handles("pachybox.v1.API/ListIngest")
def list_ingest(box: Box, request: Any, call: Call) -> Iterator[Any]:
    yield from map(ingest_info, box.ingests.list(request.projects))


@handles("pachybox.v1.API/InspectIngest")
def inspect_ingest(box: Box, request: Any, call: Call) -> Any:
    return ingest_info(box.ingests.inspect(to_ingest(request)))


@handles("pachybox.v1.API/PauseIngest")
def pause_ingest(box: Box, request: Any, call: Call) -> Any:
    box.ingests.pause(to_ingest(request))
    return ours.IngestResponse()


@handles("pachybox.v1.API/ResumeIngest")
def resume_ingest(box: Box, request: Any, call: Call) -> Any:
    box.ingests.resume(to_ingest(request))
    return ours.IngestResponse()


@handles("pachybox.v1.API/RunIngest")
def run_ingest(box: Box, request: Any, call: Call) -> Any:
    box.ingests.run(to_ingest(request))
    return ours.IngestResponse()


@handles("pachybox.v1.API/DeleteIngest")
def delete_ingest(box: Box, request: Any, call: Call) -> Any:
    box.ingests.delete(to_ingest(request))
    box.pushes.forget(to_ingest(request))
    return ours.IngestResponse()


@handles("pachybox.v1.API/AdvanceIngest")
def advance_ingest(box: Box, request: Any, call: Call) -> Any:
    """Exactly once by ``batch``; see pachybox.ingest.advance."""
    record = box.ingests.advance(
        Step(
            ingest=to_ingest(request),
            version=request.version,
            batch=request.batch,
            offset=request.offset_json,
            fileset=request.fileset,
            append=request.append,
            deletes=tuple(request.deletes),
            marker=request.marker,
            dead=request.dead,
            records=request.records,
            bytes=request.bytes,
            files=request.files,
            dead_letters=request.dead_letters,
            description=request.description,
            made=request.made,
        ),
    )
    box.pushes.advanced(record)
    return ours.AdvanceIngestResponse(batch=record.batch, commit=record.last_commit or "")
