"""What updating a pipeline to a spec would change, and what it would run. Nothing is changed.

The datums are planned as a job on the present heads would be planned: as a difference from the
last job where input and salt stay, else as a whole. So cost follows the plan.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pachybox.meta.tables import BRANCHES, COMMITS, PIPELINES
from pachybox.model.ids import Branch, Commit, CommitId, Job, Pipeline
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.model.pps import DatumState, JobRecord, JobState, PipelineRecord, PipelineState
from pachybox.pfs.service import Pfs
from pachybox.pps import algebra, planner
from pachybox.pps.known import with_hashes
from pachybox.pps.making import Made
from pachybox.pps.plan import Plan, Planner
from pachybox.pps.spec import Spec, read_values
from pachybox.pps.spec.difference import Change, changes
from pachybox.store.trees import EMPTY

_MANY = 4_000  # datums looked up together
_NO_JOB = CommitId("0" * 32)


@dataclass(frozen=True, slots=True)
class Work:
    """The datums of the job that an update would start: ``run`` of ``total``, the rest is kept.
    ``fresh`` of those that run were not in the last job; ``gone`` are of that job alone."""

    total: int
    run: int
    fresh: int
    gone: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One pipeline and the spec it would get.

    ``old`` is its record now, None when it would be made. ``changes`` are of the effective specs,
    ``user_changes`` of what users wrote. ``work`` is None where no job would start; ``remarks``
    say why datums run, are kept, or cannot be told. ``downstream`` get a job after it.
    """

    pipeline: Pipeline
    old: PipelineRecord | None
    spec: Mapping[str, Any]
    changes: list[Change]
    user_changes: list[Change]
    work: Work | None
    remarks: list[str]
    downstream: list[Pipeline]
    warnings: tuple[str, ...]


def difference(pfs: Pfs, spec: Spec, made: Made, *, reprocess: bool) -> Difference:
    """Compare a pipeline with a checked spec; ``made`` is what a dry run of it gave."""
    old = pfs.meta.get(PIPELINES, spec.pipeline)
    user_old = _given(old.user_spec) if old else {}
    user_new = _given(spec.user_text)
    found = changes(old.spec if old else {}, made.spec, user_old, user_new)
    with ExitStack() as held:
        work, remarks = _work(pfs, made, old, held)
    reprocess = reprocess or spec.reprocess
    return Difference(
        spec.pipeline,
        old,
        made.spec,
        found,
        changes(user_old, user_new),
        work,
        [
            *(_why(old, made.spec, found, reprocess=reprocess) if old else ()),
            *(_where(old, spec) if old else ()),
            *remarks,
        ],
        _downstream(pfs, made),
        spec.warnings,
    )


def _given(user_text: str) -> dict[str, Any]:
    """What a user wrote, with the box's names of fields."""
    return read_values(user_text, "the spec")[0]


# ---- reasons


def _why(
    old: PipelineRecord, new: Mapping[str, Any], found: Sequence[Change], *, reprocess: bool
) -> Iterator[str]:
    """What of the change makes datums run again, and what might be thought to."""
    tops = {change.path.partition(".")[0] for change in found}
    if planner.skips_nothing(new):
        which = "s3_out" if new.get("s3_out") else "reprocess_spec: every_job"
        yield f"every job runs every datum ({which})"
    elif reprocess:
        yield "no earlier result is used (reprocess)"
    elif new["salt"] != old.salt and "transform" in tops and new.get("reprocess_on_code_change"):
        yield "no earlier result is used: transform changes (reprocess_on_code_change)"
    elif new["salt"] != old.salt:
        yield "no earlier result is used: another salt"
    else:
        if "input" in tops:
            yield "input changes: what has another input name, repo, branch or path is a new datum"
        if "transform" in tops:
            yield (
                "transform changes, and results that are there stay: add --reprocess, or "
                "reprocess_on_code_change: true to the spec"
            )
    if "output_branch" in tops:
        yield "output_branch changes: outputs are put together on a branch of their own"
    elif "output_merge" in tops:
        yield "output_merge changes: outputs are put together again"


def _where(old: PipelineRecord, spec: Spec) -> Iterator[str]:
    """What of the place where datums run is not in the spec."""
    if old.runner != spec.runner:
        yield f"it would run by {spec.runner}, not by {old.runner}"
    pins = (old.image_pin, spec.image_pin)
    if all(pins) and pins[0] != pins[1] and old.spec["transform"].get("image") == spec.image:
        yield f"{spec.image} is another image now: {pins[1][:19]}, not {pins[0][:19]}"


# ---- the plan


def _work(
    pfs: Pfs, made: Made, old: PipelineRecord | None, held: ExitStack
) -> tuple[Work | None, list[str]]:
    """The job of an update, and what is to be said of its inputs."""
    if not made.spec.get("input"):
        return None, []
    remarks = []
    heads: list[tuple[Branch, CommitId]] = []
    for branch in algebra.branches(algebra.parse(made.spec["input"])):
        record = pfs.meta.get(BRANCHES, branch)
        if record is None or record.head is None:
            remarks.append(f"{branch} has no data yet")
            continue
        heads.append((branch, record.head))
        commit = pfs.meta.get(COMMITS, Commit(branch.repo, record.head))
        if commit is not None and commit.finished is None:
            remarks.append(f"{branch} has an open commit, counted as far as it is written")
    if old is not None and old.stopped:
        remarks.append("it is stopped: the job comes once it is started")
    if not heads:
        return None, remarks
    job, commit = _imagined(pfs, made, heads)
    pipeline = _record(made, old, job)
    plans = Planner(pfs)
    plan = plans.plan(pipeline, job, commit, held)
    last = plan.base or plans.base(job.job, commit)
    before = set(plan.removed)
    if plan.base is None and last is not None:
        held.enter_context(pfs.reading(last.datums))
        before = {entry.name for entry in pfs.trees.list(last.datums)}
    return _count(pfs, pipeline, plan, before), remarks


def _count(pfs: Pfs, pipeline: PipelineRecord, plan: Plan, before: set[str]) -> Work:
    """Look at the datums of a plan; ``before`` are ids of the last job, but for those that the
    plan keeps unseen."""
    run = fresh = 0
    gone = set(before)
    datums = plan.datums()
    while chunk := list(itertools.islice(datums, _MANY)):
        known: set[str] = set()
        if not planner.skips_nothing(pipeline.spec):
            known = {
                record.hash
                for record in with_hashes(pfs, [datum.hash for datum in chunk])
                if record.state is DatumState.SUCCESS and record.job.pipeline == pipeline.pipeline
            }
        for datum in chunk:
            gone.discard(datum.id)
            if datum.hash not in known:
                run += 1
                fresh += datum.id not in before
    return Work(plan.total, run, fresh, len(gone))


def _imagined(
    pfs: Pfs, made: Made, heads: Sequence[tuple[Branch, CommitId]]
) -> tuple[JobRecord, CommitRecord]:
    """The job that an update would start, and its output commit; neither is in the box."""
    output = Branch(made.pipeline.repo, made.spec["output_branch"])
    branch = pfs.meta.get(BRANCHES, output)
    parent = branch.head if branch is not None else None
    now = datetime.now(UTC)
    job = JobRecord(
        Job(made.pipeline, _NO_JOB), made.version, JobState.CREATED, "", now, None, None
    )
    commit = CommitRecord(
        Commit(made.pipeline.repo, _NO_JOB), output.name, parent, Origin.AUTO, "", 0, now, None,
        "", EMPTY, 0, 0, tuple(heads),
    )  # fmt: skip
    return job, commit


def _record(made: Made, old: PipelineRecord | None, job: JobRecord) -> PipelineRecord:
    """The pipeline after the update."""
    return PipelineRecord(
        made.pipeline,
        made.version,
        made.spec,
        json.dumps(made.spec),
        str(made.spec["salt"]),
        PipelineState.RUNNING,
        "",
        False,
        old.created if old else job.created,
        job.created,
        _NO_JOB,
    )


def _downstream(pfs: Pfs, made: Made) -> list[Pipeline]:
    """The pipelines of the box that read the output, or the output of one that does, in turn."""
    output = Branch(made.pipeline.repo, made.spec["output_branch"])
    others = [one for one in pfs.meta.all(PIPELINES) if one.pipeline != made.pipeline]
    found: list[Pipeline] = []
    reached = {output}
    grown = True
    while grown:
        grown = False
        for one in others:
            read = {leaf.branch for leaf in planner.inputs_of(one.spec)}
            if one.pipeline not in found and read & reached:
                found.append(one.pipeline)
                reached.add(Branch(one.pipeline.repo, one.spec["output_branch"]))
                grown = True
    return found
