"""Pipelines: create, update, stop, start, delete, run. Functions over a Change."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, Refused
from pachybox.meta.tables import (
    BRANCHES,
    COMMITS,
    DATUMS,
    FACTS,
    INGESTS,
    JOBS,
    PIPELINE_VERSIONS,
    PIPELINES,
    REPOS,
    PipelineVersion,
)
from pachybox.model.ids import (
    Branch,
    Commit,
    CommitId,
    Job,
    Pipeline,
    check_pipeline_name,
)
from pachybox.model.ingest import SPOUT_MARKER, Ingest, IngestKind
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin, RepoRecord
from pachybox.model.pps import PODMAN, JobState, PipelineRecord, PipelineState
from pachybox.pfs import branches, commits, repos
from pachybox.pfs.change import Change
from pachybox.pps import jobs, labels, sources
from pachybox.store.trees import EMPTY

NONE = sources.Sources((), ())
"""An output branch that nothing moves: its pipeline is stopped, or writes to another."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An input commit picked by hand. ``branch`` is the input branch it stands for: by its
    name (``strict``), or as far as the name tells."""

    commit: CommitRecord
    branch: str = ""
    strict: bool = False


def put_pipeline(
    ch: Change,
    pipeline: Pipeline,
    spec: Mapping[str, Any],
    user_spec: str,
    *,
    update: bool,
    reprocess: bool,
    runner: str = "",
    image_pin: str = "",
) -> PipelineRecord:
    """Create a pipeline, or with ``update`` make its next version (or create it).

    An update ends the jobs of the old version. ``reprocess`` gives it a new salt, so that no
    earlier result is reused. A stopped pipeline stays stopped.
    """
    check_pipeline_name(pipeline.name)
    repos.require_project(ch.tx, pipeline.project)
    old = ch.tx.get(PIPELINES, pipeline)
    if old is not None and not update:
        raise AlreadyExists(
            f'pipeline "{pipeline}" already exists', "change it with: update pipeline"
        )
    sources.make(ch, pipeline, spec)
    found = _followed(ch, pipeline, spec)
    if old is None:
        _claim_output(ch, pipeline, spec)
    else:
        _end_jobs(ch, pipeline, "pipeline has been updated")
    if old is not None and _moved(old.image_pin, image_pin):
        reprocess = reprocess or bool(spec.get("reprocess_on_code_change"))
    record = _next_version(ch, pipeline, spec, user_spec, old, reprocess)
    record = replace(record, runner=runner, image_pin=image_pin)
    if old is not None and is_spout(old.spec) and old.salt != record.salt:
        _rewind_spout(ch, record)
    if not record.stopped:
        record = replace(record, state=first_state(record))
    _save_version(ch, record)
    if old is not None and old.spec["output_branch"] != spec["output_branch"]:
        _set_provenance(ch, Branch(pipeline.repo, old.spec["output_branch"]), NONE)
    if not record.stopped:
        _set_provenance(ch, _output(record), found)
    if old is not None:
        sources.leave(ch, pipeline, old.spec, spec)
        if not is_spout(spec):
            _forget_spout(ch, old)
    if is_spout(spec):
        _require_ingest_name(ch, pipeline)
    ch.tx.event(
        "pipeline.created" if old is None else "pipeline.updated",
        project=pipeline.project,
        pipeline=pipeline.name,
        version=record.version,
    )
    return record


def _followed(ch: Change, pipeline: Pipeline, spec: Mapping[str, Any]) -> sources.Sources:
    """What the output branch follows: of a spout nothing, so that no job ever comes about."""
    return NONE if is_spout(spec) else sources.of(ch, pipeline, spec)


def is_spout(spec: Mapping[str, Any]) -> bool:
    """Whether a pipeline brings data in, by a program that never ends, and has no jobs."""
    return "spout" in spec


def _forget_spout(ch: Change, record: PipelineRecord) -> None:
    """How far a spout has come is of no more use once it is none."""
    name = Ingest(record.pipeline.project, record.pipeline.name)
    found = ch.tx.get(INGESTS, name)
    if is_spout(record.spec) and found is not None and found.kind is IngestKind.SPOUT:
        ch.tx.remove(INGESTS, name)


def _rewind_spout(ch: Change, record: PipelineRecord) -> None:
    """A spout that is reprocessed begins from the beginning: no marker tells it where to go on."""
    marker = ch.tx.get(BRANCHES, Branch(record.pipeline.repo, SPOUT_MARKER))
    if marker is not None and marker.head is not None:
        ch.move(marker, None)
    name = Ingest(record.pipeline.project, record.pipeline.name)
    found = ch.tx.get(INGESTS, name)
    if found is not None and found.kind is IngestKind.SPOUT:
        ch.tx.put(INGESTS, replace(found, offset=""))


def _require_ingest_name(ch: Change, pipeline: Pipeline) -> None:
    """A spout is an ingest source of its pipeline's name."""
    found = ch.tx.get(INGESTS, Ingest(pipeline.project, pipeline.name))
    if found is not None and found.kind is not IngestKind.SPOUT:
        raise AlreadyExists(
            f"spout {pipeline} would have the name of ingest {found.ingest}, a {found.kind.value}",
            "choose another name",
        )


def _moved(old: str, new: str) -> bool:
    """Whether a name leads to another image than before, as far as both are known."""
    return bool(old and new) and old.split()[0] != new.split()[0]


def _save_version(ch: Change, record: PipelineRecord) -> None:
    ch.tx.put(PIPELINES, record)
    ch.tx.put(
        PIPELINE_VERSIONS,
        PipelineVersion(
            record.pipeline,
            record.version,
            dict(record.spec),
            record.user_spec,
            record.salt,
            ch.now,
            record.spec_commit,
            record.runner,
            record.image_pin,
        ),
    )


def _next_version(
    ch: Change,
    pipeline: Pipeline,
    spec: Mapping[str, Any],
    user_spec: str,
    old: PipelineRecord | None,
    reprocess: bool,
) -> PipelineRecord:
    code_changed = old is not None and old.spec.get("transform") != spec.get("transform")
    if old is not None and (reprocess or (spec.get("reprocess_on_code_change") and code_changed)):
        salt = uuid.uuid4().hex  # also when the spec, extracted from the box, names the old one
    elif spec.get("salt"):
        salt = str(spec["salt"])
    else:
        salt = old.salt if old is not None else uuid.uuid4().hex
    return PipelineRecord(
        pipeline,
        old.version + 1 if old else 1,
        {**spec, "salt": salt},
        user_spec,
        salt,
        PipelineState.PAUSED if old and old.stopped else ready(spec),
        "",
        old.stopped if old else False,
        old.created if old else ch.now,
        ch.now,
        _spec_commit(ch, pipeline),
    )


def _claim_output(ch: Change, pipeline: Pipeline, spec: Mapping[str, Any]) -> None:
    """Make the output repo, or take over one left by a pipeline of the same name."""
    if ch.tx.get(REPOS, pipeline.repo) is None:
        ch.tx.put(REPOS, RepoRecord(pipeline.repo, f"Output repo for pipeline {pipeline}.", ch.now))
        ch.tx.event(
            "repo.created", project=pipeline.project, repo=pipeline.name, type=pipeline.repo.type
        )
        return
    branch = ch.tx.get(BRANCHES, Branch(pipeline.repo, spec["output_branch"]))
    head = None if branch is None else ch.head(branch)
    if head is not None and head.origin is Origin.USER and not is_spout(spec):
        raise AlreadyExists(
            f"repo {pipeline.repo.full} already exists and holds data of its own",
            "give the pipeline another name",
        )


def _spec_commit(ch: Change, pipeline: Pipeline) -> CommitId:
    """Mark the new version by a commit in the pipeline's spec repo."""
    repo = pipeline.spec_repo
    if ch.tx.get(REPOS, repo) is None:
        ch.tx.put(REPOS, RepoRecord(repo, f"Versions of pipeline {pipeline}.", ch.now))
    branch = branches.ensure_branch(ch, Branch(repo, "master"))
    if branch.head == ch.id:
        return ch.id
    commit = ch.open_commit(branch, branch.head, EMPTY, 0, 0, origin=Origin.AUTO)
    return commits.finish_commit(ch, commit).commit.id


def _output(record: PipelineRecord) -> Branch:
    return Branch(record.pipeline.repo, record.spec["output_branch"])


def _set_provenance(ch: Change, branch: Branch, found: sources.Sources) -> None:
    old = ch.tx.get(BRANCHES, branch)
    head = old.head if old else None
    branches.create_branch(ch, branch, head, found.all, None, quiet=found.quiet)


def _end_jobs(ch: Change, pipeline: Pipeline, reason: str) -> None:
    """Kill every job that is not over, oldest first."""
    open_jobs = ch.tx.select(
        JOBS,
        "WHERE project = ? AND pipeline = ? AND finished_us IS NULL",
        (pipeline.project, pipeline.name),
        also=lambda j: j.job.pipeline == pipeline and not j.state.terminal,
    )
    ordered = []
    for job in open_jobs:
        commit = ch.tx.get(COMMITS, Commit(pipeline.repo, job.job.id))
        ordered.append((commit.seq if commit else 0, job))
    for _, job in sorted(ordered, key=lambda pair: pair[0]):
        jobs.fail(ch, job.job, JobState.KILLED, reason)


def require(ch: Change, pipeline: Pipeline) -> PipelineRecord:
    """The pipeline's record; NotFound otherwise."""
    found = ch.tx.get(PIPELINES, pipeline)
    if found is None:
        raise NotFound(f'pipeline "{pipeline}" not found', "list pipeline shows what there is")
    return found


def stop_pipeline(ch: Change, pipeline: Pipeline) -> None:
    """No new jobs; running ones are killed. Idempotent."""
    record = require(ch, pipeline)
    if record.stopped:
        return
    _end_jobs(ch, pipeline, "pipeline was stopped")
    _set_provenance(ch, _output(record), NONE)
    _save_state(ch, replace(record, stopped=True, state=PipelineState.PAUSED, reason=""))


def start_pipeline(ch: Change, pipeline: Pipeline) -> None:
    """Undo a stop: one job for the present heads when they changed meanwhile. Idempotent."""
    record = require(ch, pipeline)
    if not record.stopped:
        return
    _save_state(ch, replace(record, stopped=False, state=first_state(record), reason=""))
    sources.make(ch, pipeline, record.spec)  # they could be deleted while nothing followed them
    if is_spout(record.spec):
        return
    found = sources.of(ch, pipeline, record.spec)
    _set_provenance(ch, _output(record), found)
    head = ch.head(ch.branch(_output(record)))
    heads = {(s, i) for s in found.all if (i := _head(ch, s)) is not None}
    if head is not None and head.error and set(head.direct_provenance) == heads:
        run_pipeline(ch, pipeline, [])  # what the stop killed is still due


def set_state(ch: Change, pipeline: Pipeline, state: PipelineState, reason: str) -> None:
    """Record a state found by the scheduler."""
    record = ch.tx.get(PIPELINES, pipeline)
    if record is None or record.stopped:
        return  # a stopped one is paused, whatever its last job met
    if (record.state, record.reason) != (state, reason):
        _save_state(ch, replace(record, state=state, reason=reason))


def rests(spec: Mapping[str, Any]) -> bool:
    """Whether a pipeline has no workers while it has nothing to do (standby, autoscaling)."""
    return bool(spec.get("standby") or spec.get("autoscaling"))


def ready(spec: Mapping[str, Any]) -> PipelineState:
    """The state of a pipeline that lacks nothing, before its first job runs."""
    if is_spout(spec):
        return PipelineState.STARTING  # until its program runs
    return PipelineState.STANDBY if rests(spec) else PipelineState.RUNNING


def first_state(record: PipelineRecord) -> PipelineState:
    """The state of a pipeline that is made or started: STARTING while its image is not here."""
    if record.runner == PODMAN and not record.image_pin:
        return PipelineState.STARTING
    return ready(record.spec)


def set_to_standby(ch: Change, pipeline: Pipeline) -> None:
    """Note that a pipeline rests; one that is stopped or failed stays so."""
    record = ch.tx.get(PIPELINES, pipeline)
    if record is not None and record.state is PipelineState.RUNNING and rests(record.spec):
        _save_state(ch, replace(record, state=PipelineState.STANDBY))


def _save_state(ch: Change, record: PipelineRecord) -> None:
    ch.tx.put(PIPELINES, record)
    ch.tx.event(
        "pipeline.state",
        project=record.pipeline.project,
        pipeline=record.pipeline.name,
        state=record.state.value,
        reason=record.reason,
    )


def delete_pipeline(
    ch: Change, pipeline: Pipeline, *, keep_repo: bool = False, force: bool = False
) -> None:
    """Remove a pipeline with its jobs, the branches made for its triggers and (unless
    ``keep_repo``) its output repo and the repos of its cron inputs.

    Refused while another branch depends on its output, or an ingest source writes to its repo,
    unless ``force``.
    """
    record = require(ch, pipeline)
    if not force:
        for other in ch.tx.all(BRANCHES):
            if any(b.repo == pipeline.repo for b in other.direct_provenance):
                raise Refused(
                    f"pipeline {pipeline} has its output read by {other.branch.repo}",
                    f"delete {other.branch.repo} first, or use --force",
                )
        if not keep_repo:
            repos.require_unwritten(ch.tx, pipeline.repo)
    _end_jobs(ch, pipeline, "pipeline was deleted")
    key = (pipeline.project, pipeline.name)
    mine = "WHERE project = ? AND pipeline = ?"
    for job in ch.tx.select(JOBS, mine, key):
        ch.tx.remove(JOBS, job.job)
    for version in ch.tx.select(PIPELINE_VERSIONS, "WHERE project = ? AND name = ?", key):
        ch.tx.remove(PIPELINE_VERSIONS, (pipeline, version.version))
    ch.tx.purge(DATUMS, "project = ? AND pipeline = ?", key)  # else no output were ever freed
    ch.tx.remove(PIPELINES, pipeline)
    ch.tx.remove(FACTS, labels.key(pipeline))
    _forget_spout(ch, record)
    ch.tx.event("pipeline.deleted", project=pipeline.project, pipeline=pipeline.name)
    if keep_repo:
        for branch in repos.branches_of(ch.tx, pipeline.repo):
            if branch.direct_provenance:
                _set_provenance(ch, branch.branch, NONE)
    else:
        repos.delete_repo(ch, pipeline.repo, force=True)
        sources.delete_crons(ch, pipeline, record.spec)
    repos.delete_repo(ch, pipeline.spec_repo, force=True)
    sources.leave(ch, pipeline, record.spec, None)


def run_pipeline(
    ch: Change, pipeline: Pipeline, chosen: Sequence[Chosen], *, reprocess: bool = False
) -> Job:
    """A job on ``chosen`` input commits, the rest filled from the heads. An input that was deleted
    by force and is there again is followed again.

    Raises InvalidArgument when a chosen commit is of no input branch's repo, two are of one
    branch, or it could be of several; Refused when no input has a head yet or the pipeline is
    stopped.
    """
    record = require(ch, pipeline)
    if is_spout(record.spec):
        raise Refused(
            f"pipeline {pipeline} is a spout, which has no jobs",
            f"start its program anew with: run ingest {pipeline}",
        )
    if record.stopped:
        raise Refused(f"pipeline {pipeline} is stopped", f"start it: start pipeline {pipeline}")
    if reprocess:
        salt = uuid.uuid4().hex
        record = replace(record, salt=salt, spec={**record.spec, "salt": salt})
        ch.tx.put(PIPELINES, record)
    found = sources.of(ch, pipeline, record.spec)
    provenance = _provenance(ch, pipeline, record, found, chosen)
    if set(ch.branch(_output(record)).direct_provenance) != set(found.all):
        _set_provenance(ch, _output(record), found)  # an input deleted by force is there again
    branch = ch.branch(_output(record))
    ch.pin(branch.branch)
    commit = ch.open_commit(
        branch, branch.head, EMPTY, 0, 0, origin=Origin.AUTO, provenance=provenance
    )
    jobs.create(ch, record, commit)
    return Job(pipeline, commit.commit.id)


def _provenance(
    ch: Change,
    pipeline: Pipeline,
    record: PipelineRecord,
    found: sources.Sources,
    chosen: Sequence[Chosen],
) -> tuple[tuple[Branch, CommitId], ...]:
    picked: dict[Branch, CommitRecord] = {}
    for one in chosen:
        ch.commit(one.commit.commit.repo, one.commit.commit.id)  # still there?
        branch = chosen_branch(pipeline, found.inputs, one)
        if branch in picked:
            raise InvalidArgument(
                f"two commits of one input branch: {one.commit.commit} and "
                f"{picked[branch].commit}, both for {branch}",
                "give one, or REPO@BRANCH=REF where several branches of a repo are read",
            )
        picked[branch] = one.commit
    made = []
    for source in found.all:
        commit_id = picked[source].commit.id if source in picked else _head(ch, source)
        if commit_id is not None:  # as where branches are followed: it has no datums yet
            made.append((source, commit_id))
    if len(made) == 1:  # the spec branch alone
        where = ", ".join(map(str, found.inputs))
        ticks = any(cron.branch in found.inputs for cron in sources.crons(record.spec))
        raise Refused(
            f"no input branch of pipeline {pipeline} has a head yet: {where}",
            f"run cron {pipeline}" if ticks else f"put data into {found.inputs[0]}",
        )
    return tuple(made)


def chosen_branch(pipeline: Pipeline, inputs: Sequence[Branch], chosen: Chosen) -> Branch:
    """The input branch that a chosen commit stands for."""
    commit = chosen.commit
    near = {branch.name: branch for branch in inputs if branch.repo == commit.commit.repo}
    if not near or (chosen.strict and chosen.branch not in near):
        shown = f"{commit.commit.repo}@{chosen.branch}" if near else str(commit.commit)
        raise InvalidArgument(
            f"{shown} is not an input of pipeline {pipeline}",
            f"inputs: {', '.join(map(str, inputs))}",
        )
    for name in (chosen.branch, commit.branch):
        if name in near:
            return near[name]
    if len(near) > 1:
        raise InvalidArgument(
            f"{commit.commit} could be of several inputs: {', '.join(map(str, near.values()))}",
            "write REPO@BRANCH=REF",
        )
    return next(iter(near.values()))


def _head(ch: Change, branch: Branch) -> CommitId | None:
    record: BranchRecord | None = ch.tx.get(BRANCHES, branch)
    return None if record is None else record.head
