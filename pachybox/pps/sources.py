"""What a pipeline reads: its input branches, and the repos and branches made for them.

Functions over a Change. A cron input has a repo of its own that its ticks go to; an input with
a ``trigger`` reads a branch that the trigger moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.meta.tables import BRANCHES, INGESTS, PIPELINES, REPOS
from pachybox.model.ids import Branch, Pipeline, Repo
from pachybox.model.ingest import Ingest, IngestKind
from pachybox.model.pfs import Trigger
from pachybox.model.pps import PipelineRecord
from pachybox.pfs import branches, repos
from pachybox.pfs.change import Change
from pachybox.pps.spec.inputs import leaves

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sources:
    """The provenance of an output branch: its input branches, each once, and the spec branch
    last. Changes of those in ``quiet`` start no jobs."""

    all: tuple[Branch, ...]
    quiet: tuple[Branch, ...]

    @property
    def inputs(self) -> tuple[Branch, ...]:
        """Without the spec branch."""
        return self.all[:-1]


@dataclass(frozen=True, slots=True)
class CronInput:
    """One cron input of a pipeline."""

    name: str
    branch: Branch
    spec: str
    timezone: str
    start: str
    overwrite: bool
    coalesce: bool

    @property
    def ingest(self) -> Ingest:
        """Its name as a source: that of its repo."""
        return Ingest(self.branch.repo.project, self.branch.repo.name)


def crons(spec: Spec) -> tuple[CronInput, ...]:
    """The cron inputs of a canonical spec, in order."""
    return tuple(
        CronInput(
            leaf["name"],
            branch_of("cron", leaf),
            leaf["spec"],
            leaf.get("timezone") or "",
            leaf.get("start") or "",
            bool(leaf.get("overwrite")),
            bool(leaf.get("coalesce")),
        )
        for kind, leaf in leaves(spec.get("input") or {})
        if kind == "cron"
    )


def branch_of(kind: str, leaf: Mapping[str, Any]) -> Branch:
    """The branch that a pfs or cron input reads."""
    repo = Repo(leaf["project"], leaf["repo"])
    return Branch(repo, "master" if kind == "cron" else leaf["branch"])


def of(ch: Change, pipeline: Pipeline, spec: Spec) -> Sources:
    """The sources of a spec, which must exist. Raises NotFound, or InvalidArgument for a loop."""
    loud: dict[Branch, bool] = {}
    for kind, leaf in leaves(spec.get("input") or {}):
        branch = branch_of(kind, leaf)
        if ch.tx.get(REPOS, branch.repo) is None:
            raise NotFound(
                f"repo {branch.repo.full} not found (input {leaf['name']!r} of pipeline "
                f"{pipeline})",
                f"make it with: create repo {branch.repo}",
            )
        if branch.repo == pipeline.repo:
            raise InvalidArgument(
                f"pipeline {pipeline} cannot read its own output", "choose another input repo"
            )
        never = (leaf.get("propagation_spec") or {}).get("never", False)
        loud[branch] = loud.get(branch, False) or not never
    _check_loop(ch, pipeline, Branch(pipeline.repo, spec["output_branch"]), loud)
    quiet = tuple(branch for branch, is_loud in loud.items() if not is_loud)
    return Sources((*loud, Branch(pipeline.spec_repo, "master")), quiet)


def _check_loop(ch: Change, pipeline: Pipeline, output: Branch, sources: Iterable[Branch]) -> None:
    """Refuse a pipeline that would read, through whatever pipelines, what it makes.

    By their specs: a stopped pipeline's output has no provenance until it is started again.
    """
    made_by: dict[Branch, PipelineRecord] = {}
    for record in ch.tx.all(PIPELINES):
        if record.pipeline != pipeline:
            made_by[Branch(record.pipeline.repo, record.spec["output_branch"])] = record
    for source in sources:
        way: dict[Branch, Branch | None] = {source: None}
        stack = [source]
        while stack:
            branch = stack.pop()
            if branch == output:
                names = " <- ".join(_back(way, branch))
                raise InvalidArgument(
                    f"pipeline {pipeline} cannot read {source}, which is made from its own "
                    f"output: {names}",
                    "read another branch, or change one of the pipelines between them",
                )
            maker = made_by.get(branch)
            if maker is None:
                record_ = ch.tx.get(BRANCHES, branch)
                above = list(record_.direct_provenance) if record_ else []
            else:
                above = [branch_of(k, leaf) for k, leaf in leaves(maker.spec.get("input") or {})]
            for one in above:
                if one not in way:
                    way[one] = branch
                    stack.append(one)


def _back(way: Mapping[Branch, Branch | None], branch: Branch | None) -> Iterator[str]:
    """The branches from the source to ``branch``."""
    found = []
    while branch is not None:
        found.append(str(branch))
        branch = way[branch]
    return reversed(found)


# ---- what is made for inputs


def make(ch: Change, pipeline: Pipeline, spec: Spec) -> None:
    """Make the repos of cron inputs and the branches of triggers. What is there is used."""
    for kind, leaf in leaves(spec.get("input") or {}):
        branch = branch_of(kind, leaf)
        if kind == "cron":
            _make_cron(ch, pipeline, branch)
        elif "trigger" in leaf:
            _make_trigger(ch, pipeline, branch, leaf)


def _make_cron(ch: Change, pipeline: Pipeline, branch: Branch) -> None:
    repo = branch.repo
    if ch.tx.get(REPOS, repo) is None:
        repos.create_repo(ch, repo, _about_ticks(pipeline))
    found = ch.tx.get(BRANCHES, branch)
    if ch.tx.get(PIPELINES, Pipeline(repo.project, repo.name)) or (
        found is not None and found.direct_provenance
    ):
        raise Refused(
            f"repo {repo} cannot hold the ticks of pipeline {pipeline}: it is written by a job",
            "name another repo in input.cron.repo",
        )
    named = ch.tx.get(INGESTS, Ingest(repo.project, repo.name))
    if named is not None and not named.kind.of_pipeline:
        raise Refused(
            f"repo {repo} cannot hold the ticks of pipeline {pipeline}: there is an ingest of that "
            "name",
            "name another repo in input.cron.repo",
        )
    branches.ensure_branch(ch, branch)


def _about_ticks(pipeline: Pipeline) -> str:
    return f"Cron tick repo for pipeline {pipeline}."


def _make_trigger(ch: Change, pipeline: Pipeline, branch: Branch, leaf: Mapping[str, Any]) -> None:
    if ch.tx.get(REPOS, branch.repo) is None:
        return  # told when the sources are looked at
    trigger = Trigger(**leaf["trigger"])
    old = ch.tx.get(BRANCHES, branch)
    if old is not None and old.direct_provenance:
        raise Refused(
            f"branch {branch} follows other branches: a trigger cannot move it (input "
            f"{leaf['name']!r} of pipeline {pipeline})",
            "name another branch, or none, and the box makes one",
        )
    if old is None or old.trigger != trigger:
        branches.create_branch(ch, branch, old.head if old else None, (), trigger)


def leave(ch: Change, pipeline: Pipeline, old: Spec, new: Spec | None) -> None:
    """Remove the branches that were made for triggers of ``old`` and that ``new`` does not have.
    One that something else reads stays. Of cron inputs that are no more nothing is kept in mind."""
    _forget_crons(ch, pipeline, old, new)
    kept = {branch_of(kind, leaf) for kind, leaf in leaves((new or {}).get("input") or {})}
    mine = re.compile(rf"{re.escape(pipeline.name)}-trigger-[0-9]+")
    for kind, leaf in leaves(old.get("input") or {}):
        branch = branch_of(kind, leaf)
        if "trigger" not in leaf or branch in kept or not mine.fullmatch(branch.name):
            continue
        if ch.tx.get(BRANCHES, branch) is None:
            continue
        try:
            branches.delete_branch(ch, branch)
        except Refused:
            pass  # read by others: theirs now


def _forget_crons(ch: Change, pipeline: Pipeline, old: Spec, new: Spec | None) -> None:
    gone = {cron.ingest for cron in crons(old)} - {cron.ingest for cron in crons(new or {})}
    if not gone:
        return
    for record in ch.tx.all(PIPELINES):
        if record.pipeline != pipeline:
            gone -= {cron.ingest for cron in crons(record.spec)}
    for ingest in gone:
        found = ch.tx.get(INGESTS, ingest)
        if found is not None and found.kind is IngestKind.CRON:
            ch.tx.remove(INGESTS, ingest)


def delete_crons(ch: Change, pipeline: Pipeline, spec: Spec) -> None:
    """Remove the repos made for the cron inputs of a pipeline that is gone, but for those that
    something else reads or ticks into."""
    others = {cron.branch.repo for record in ch.tx.all(PIPELINES) for cron in crons(record.spec)}
    for cron in crons(spec):
        repo = ch.tx.get(REPOS, cron.branch.repo)
        if repo is None or repo.repo in others or repo.description != _about_ticks(pipeline):
            continue
        try:
            repos.delete_repo(ch, repo.repo)
        except Refused:
            pass  # read by others: theirs now
