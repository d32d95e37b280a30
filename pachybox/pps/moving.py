"""Pipelines from one runner to another, with the spec that they have.

The runner is kept with a version (pachybox.pps.placement), so another one makes another version.
It is no part of a datum: what was computed stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pachybox.model.ids import Pipeline
from pachybox.model.pps import PROCESS, PipelineRecord
from pachybox.pfs.change import Change
from pachybox.pps.making import make, require_version
from pachybox.pps.placement import Placement
from pachybox.pps.spec import Spec, from_message_dict


@dataclass(frozen=True, slots=True)
class Moved:
    """A pipeline that has another runner now, by its new version. ``warnings`` are those that its
    spec has with that."""

    pipeline: Pipeline
    version: int
    was: str
    runner: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """What is to become of a pipeline at a version."""

    record: PipelineRecord
    spec: Spec


def runner_of(record: PipelineRecord) -> str:
    """What runs a pipeline, by name."""
    return record.runner or PROCESS


def elsewhere(records: Iterable[PipelineRecord], setting: str) -> list[PipelineRecord]:
    """Those with an image that do not run by what the setting ``runner`` says. It says nothing of
    pipelines without one, and as ``auto`` nothing of any."""
    return [
        record
        for record in records
        if setting != "auto"
        and record.spec["transform"].get("image")
        and runner_of(record) != setting
    ]


def planned(records: Iterable[PipelineRecord], placement: Placement, runner: str) -> list[Move]:
    """The moves that it takes for ``records`` to run by ``runner`` ("": what the box would choose
    now). Raises what ``place`` raises."""
    made = []
    for record in records:
        spec = replace(from_message_dict(record.spec), user_text=record.user_spec)
        spec = placement.place(spec, runner)
        if spec.runner != runner_of(record):
            made.append(Move(record, spec))
    return made


def carry_out(ch: Change, move: Move) -> Moved:
    """Make the version. Raises Refused when the pipeline is another by now."""
    require_version(ch, move.record.pipeline, move.record.version)
    made = make(ch, move.spec, update=True)
    told = tuple(f"{made.pipeline}: {warning}" for warning in move.spec.warnings)
    return Moved(made.pipeline, made.version, runner_of(move.record), move.spec.runner, told)
