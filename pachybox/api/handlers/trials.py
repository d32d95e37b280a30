"""pachybox.v1.API: trials, the runs of a spec that commit nothing.

The stream of OpenTrial is the session: it ends when the client hangs up, whatever way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.datums import datum_info
from pachybox.api.handlers.pps import pipeline_name
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.model.ids import DEFAULT_PROJECT, CommitId, Job, Pipeline
from pachybox.model.pps import DatumState, Stats
from pachybox.pfs.write import AddTree
from pachybox.pps.datums import DatumInfo
from pachybox.pps.spec import Spec, Text
from pachybox.pps.trial_stage import Kept
from pachybox.pps.trial_values import (
    Ask,
    Difference,
    Ended,
    FileChange,
    Line,
    Planned,
    Tried,
)

_NO_JOB = Job(Pipeline("", ""), CommitId(""))


@handles("pachybox.v1.API/OpenTrial")
def open_trial(box: Box, request: Any, call: Call) -> Iterator[Any]:
    trial = box.pps.trials.open()
    try:
        call.cancel.on_set(trial.cancel)
        yield ours.TrialEvent(trial=trial.id)
        for event in trial.events():
            yield None if event is None else _event(event)
    finally:
        box.pps.trials.close(trial)


@handles("pachybox.v1.API/RunTrial")
def run_trial(box: Box, request: Any, call: Call) -> Any:
    trial = box.pps.trials.find(request.trial)
    spec = _one(box, request, request.text, request.pipeline)
    build = _one(box, request, request.build) if request.build else None
    spec = box.pps.placement.place(spec, request.runner)
    build = box.pps.placement.place(build, request.runner) if build is not None else None
    if request.sample < 0:
        raise InvalidArgument(f"a sample of {request.sample} datums", "ask for some, or 0 for all")
    ask = Ask(
        spec,
        build,
        request.sample,
        tuple(request.datums),
        tuple(request.inputs),
        request.place,
    )
    number = trial.run(ask, request.fileset, list(request.programs))
    return ours.RunTrialResponse(run=number, warnings=list(spec.warnings))


def _one(box: Box, request: Any, text: str, wanted: str = "") -> Spec:
    """A spec of a text: that of the pipeline named, or the only one."""
    source = request.source or "the spec"
    project = request.project or DEFAULT_PROJECT
    specs = box.pps.specs([Text(text, source)], project=project)
    found = [s for s in specs if not wanted or wanted in (str(s.pipeline), s.pipeline.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(spec.pipeline) for spec in specs)
    if found:
        raise InvalidArgument(
            f"{source} holds several specs: {names}", "choose one: --pipeline NAME"
        )
    raise InvalidArgument(f"{source} has no pipeline {wanted}", f"it has {names}")


@handles("pachybox.v1.API/SaveTrial")
def save_trial(box: Box, request: Any, call: Call) -> Any:
    def create(kept: Kept) -> str:
        return box.filesets.create(kept.session, [AddTree(kept.output)])

    made = box.pps.trials.find(request.trial).save(create)
    return ours.SaveTrialResponse(fileset=made)


# ---- events


@singledispatch
def _event(event: object) -> Any:
    raise TypeError(type(event).__name__)


@_event.register
def _planned(event: Planned) -> Any:
    plan = ours.TrialPlan(
        pipeline=pipeline_name(event.pipeline),
        exists=event.exists,
        total=event.total,
        datums=[
            datum_info(DatumInfo(_NO_JOB, d.id, DatumState.UNKNOWN, "", Stats(), d.inputs, None))
            for d in event.datums
        ],
        place=event.place,
        empty=event.empty,
    )
    return ours.TrialEvent(run=event.run, plan=plan)


@_event.register
def _line(event: Line) -> Any:
    line = ours.TrialLine(datum=event.datum, time=m.timestamp(event.time), message=event.message)
    return ours.TrialEvent(run=event.run, line=line)


@_event.register
def _tried(event: Tried) -> Any:
    info = DatumInfo(
        _NO_JOB, event.datum.id, event.state, event.reason, event.stats, event.datum.inputs, None
    )
    made = ours.TrialDatum(
        info=datum_info(info),
        reason=event.reason,
        files=event.files,
        size_bytes=event.size,
        last=_difference(event.last),
        present=_difference(event.present),
    )
    return ours.TrialEvent(run=event.run, datum=made)


@_event.register
def _ended(event: Ended) -> Any:
    end = ours.TrialEnd(
        state=event.state,
        message=event.message,
        hint=event.hint,
        took_us=round(event.seconds * 1e6),
    )
    return ours.TrialEvent(run=event.run, end=end)


def _difference(found: Difference | None) -> Any:
    if found is None:
        return None
    changes = [_change(one) for one in found.changes]
    return ours.TrialDifference(changes=changes, more=found.more)


def _change(one: FileChange) -> Any:
    op = "added" if one.old is None else "removed" if one.new is None else "changed"
    return ours.TrialChange(
        path=one.path, op=op, old_bytes=one.old or 0, new_bytes=one.new or 0, text=one.text
    )
