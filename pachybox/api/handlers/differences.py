"""pachybox.v1.API/DiffPipelines: what an update would change and run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers.pps import pipeline_name, texts
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.pps.compare import Difference
from pachybox.pps.spec.difference import NOTHING, Change


@handles("pachybox.v1.API/DiffPipelines")
def diff_pipelines(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for one in box.pps.differences(
        texts(request),
        project=request.project or DEFAULT_PROJECT,
        reprocess=request.reprocess,
        runner=request.runner,
    ):
        yield _message(one)


def _message(one: Difference) -> Any:
    made = ours.PipelineDifference(
        pipeline=pipeline_name(one.pipeline),
        version=one.old.version if one.old else 0,
        changes=map(_change, one.changes),
        user_changes=map(_change, one.user_changes),
        remarks=one.remarks,
        downstream=map(pipeline_name, one.downstream),
        warnings=one.warnings,
        old_spec_json=_spec(one.old.spec) if one.old else "",
        new_spec_json=_spec(one.spec),
    )
    if one.work is not None:
        made.job = True
        made.datums_total, made.datums_run = one.work.total, one.work.run
        made.datums_new, made.datums_gone = one.work.fresh, one.work.gone
    return made


def _spec(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)


def _change(change: Change) -> Any:
    old, new = change.old, change.new
    return ours.FieldChange(
        path=change.path,
        old_json="" if old is NOTHING else json.dumps(old, ensure_ascii=False),
        new_json="" if new is NOTHING else json.dumps(new, ensure_ascii=False),
        old_is_default=old is not NOTHING and not change.old_given,
        new_is_default=new is not NOTHING and not change.new_given,
    )
