"""pps_v2.API: what goes into specs: defaults of the box and of projects, templates."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from pachybox.api.definitions import pps
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.pps import message_dict, pipeline_name
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.pps import defaults
from pachybox.pps.scripts import render
from pachybox.pps.spec import read_values


@handles("pps_v2.API/GetClusterDefaults")
def get_cluster_defaults(box: Box, request: Any, call: Call) -> Any:
    found = defaults.get(box.meta, defaults.BOX)
    text = found.text if found else defaults.NOTHING
    return pps.GetClusterDefaultsResponse(cluster_defaults_json=text)


@handles("pps_v2.API/SetClusterDefaults")
def set_cluster_defaults(box: Box, request: Any, call: Call) -> Any:
    changed = box.pps.set_defaults(
        defaults.BOX,
        request.cluster_defaults_json,
        regenerate=request.regenerate,
        reprocess=request.reprocess,
        dry_run=request.dry_run,
    )
    return pps.SetClusterDefaultsResponse(affected_pipelines=map(pipeline_name, changed))


@handles("pps_v2.API/GetProjectDefaults")
def get_project_defaults(box: Box, request: Any, call: Call) -> Any:
    found = defaults.get(box.meta, request.project.name or DEFAULT_PROJECT)
    return pps.GetProjectDefaultsResponse(
        project_defaults_json=found.text if found else defaults.NOTHING,
        created_at=m.timestamp(found.created if found else None),
    )


@handles("pps_v2.API/SetProjectDefaults")
def set_project_defaults(box: Box, request: Any, call: Call) -> Any:
    changed = box.pps.set_defaults(
        request.project.name or DEFAULT_PROJECT,
        request.project_defaults_json,
        regenerate=request.regenerate,
        reprocess=request.reprocess,
        dry_run=request.dry_run,
    )
    return pps.SetProjectDefaultsResponse(affected_pipelines=map(pipeline_name, changed))


@handles("pps_v2.API/RenderTemplate")
def render_template(box: Box, request: Any, call: Call) -> Any:
    text = render(request.template, request.args, call.cancel.is_set)
    made = pps.RenderTemplateResponse(json=text)
    for values in read_values(text, "the rendered template"):
        try:
            json_format.ParseDict(
                message_dict(values), made.specs.add(), ignore_unknown_fields=True
            )
        except json_format.ParseError as e:  # a value that fits our field, and not the message's
            raise InvalidArgument(f"the rendered template: {e}") from e
    return made
