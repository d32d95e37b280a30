"""pachybox.v1.API: specs as they are written."""

from __future__ import annotations

import time
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, PachyboxError
from pachybox.ingest import spec as ingest_specs
from pachybox.ingest.describe import describe as describe_ingest
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.pps.spec import Problem, load_draft
from pachybox.pps.spec.describe import describe

_ROWS = 50
_MOST_ROWS = 10_000


@handles("pachybox.v1.API/CheckSpec")
def check_spec(box: Box, request: Any, call: Call) -> Any:
    project = request.project or DEFAULT_PROJECT
    if request.kind == "ingest":
        specs, found = ingest_specs.examine(request.text, default_project=project)
        names = [str(spec.ingest) for spec in specs]
    else:
        _require_kind(request.kind)
        checked = box.pps.checker().check_text(
            request.text, request.source or "the text", project=project, runner=request.runner
        )
        found = [one.problem for one in checked.found]
        names = [str(pipeline) for pipeline in checked.pipelines]
    return ours.CheckSpecResponse(pipelines=names, problems=map(_problem, found))


def _require_kind(kind: str) -> None:
    if kind not in ("", "pipeline"):
        raise InvalidArgument(f"kind is {kind!r}", "set it to pipeline or ingest")


def _problem(one: Problem) -> Any:
    return ours.SpecProblem(
        level=one.level,
        line=max(one.line, 1),
        column=max(one.column, 1),
        message=one.message,
        hint=one.hint,
        field=one.path,
        document=one.document,
    )


@handles("pachybox.v1.API/DescribeSpec")
def describe_spec(box: Box, request: Any, call: Call) -> Any:
    if request.kind == "ingest":
        found = describe_ingest()
    else:
        _require_kind(request.kind)
        found = describe()
    return ours.DescribeSpecResponse(
        fields=[
            ours.SpecField(
                path=one.path,
                type=one.type,
                default=one.default,
                help=one.help,
                example=one.example,
                choices=one.choices,
                status=one.status,
            )
            for one in found
        ]
    )


@handles("pachybox.v1.API/PreviewInput")
def preview_input(box: Box, request: Any, call: Call) -> Any:
    began = time.monotonic()
    limit = request.limit or _ROWS
    if not 0 < limit <= _MOST_ROWS:
        raise InvalidArgument(f"limit is {limit}", f"ask for 1 to {_MOST_ROWS}")
    source, project = request.source or "the text", request.project or DEFAULT_PROJECT
    try:
        wanted, limits = load_draft(request.text, source, default_project=project)
        found = box.pps.previewer.preview(wanted, limits, limit)
    except PachyboxError as e:
        return ours.PreviewInputResponse(problem=str(e))
    return ours.PreviewInputResponse(
        total=found.total,
        at_least=found.at_least,
        sampled=found.sampled,
        bytes=found.bytes,
        largest=found.largest,
        median=found.median,
        rows=[
            ours.PreviewDatum(
                id=datum.id,
                inputs=[one.path for one in datum.inputs],
                bytes=sum(one.size for one in datum.inputs),
            )
            for datum in found.rows
        ],
        globs=[
            ours.PreviewGlob(glob=one.glob, datums=one.datums, at_least=one.at_least)
            for one in found.globs
        ],
        commits=[f"{one.repo}@{one.id}" for one in found.commits],
        warnings=found.warnings,
        took_us=round((time.monotonic() - began) * 1e6),
    )
