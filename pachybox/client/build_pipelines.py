"""Build pipelines (``transform.build``): source code of this machine as a versioned input.

A pipeline p whose spec names a source directory becomes three things: the repo ``p_source`` with
the source; the pipeline ``p_build``, which turns that into what running needs, on its branch
``build``; and p itself, whose input is the cross of both and of its own. The box sees ordinary
pipelines: docs/build-pipelines.md.

(Pachyderm 1.x had the source on a branch of the repo ``p_build``. All commits of one run share an
id, so two branches of one repo cannot follow each other.)
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pachybox.client.commits import Commits
from pachybox.client.files import Writing
from pachybox.client.names import full_name
from pachybox.client.pipeline_values import CreatedPipeline
from pachybox.client.pipelines import Pipelines
from pachybox.client.repos import Repos
from pachybox.client.values import Json
from pachybox.errors import AlreadyExists, InvalidArgument, NotFound

if TYPE_CHECKING:  # loaded on use: a client that builds nothing starts without
    from pachybox.client.build_plan import Plan


class Builds(Repos, Commits, Writing, Pipelines):
    """Methods on pipelines whose source code is in a directory of this machine."""

    def build_pipeline(
        self,
        spec: Json,
        folder: str | os.PathLike[str] = ".",
        *,
        update: bool = False,
        reprocess: bool = False,
        runner: str = "",
    ) -> CreatedPipeline:
        """Make a pipeline whose ``transform.build`` names its source, relative to ``folder``.

        With ``update`` change it; nothing is uploaded, built or run again that did not change.
        ``reprocess`` builds again too.

        >>> box.build_pipeline({"pipeline": {"name": "edges"},
        ...     "transform": {"build": {"language": "python", "path": "edges"}},
        ...     "input": {"pfs": {"repo": "images", "glob": "/*"}}})
        """
        from pathlib import Path

        from pachybox.client.build_plan import Plan

        check(self, spec, update=update, runner=runner)
        plan = Plan.of(spec, Path(folder), runner=runner)
        return make(self, plan, update=update, reprocess=reprocess, runner=runner)


def check(box: Builds, spec: Json, *, update: bool = False, runner: str = "") -> None:
    """Have the box look at a spec, before anything is made of it. Raises what it has against it."""
    box.create_pipelines(spec, update=update, dry_run=True, runner=runner)


def make(
    box: Builds,
    plan: Plan,
    *,
    update: bool = False,
    reprocess: bool = False,
    runner: str = "",
    quiet: bool = False,
) -> CreatedPipeline:
    """Carry out a plan and make its pipeline.

    Where only the source changed, its commit is all there is to do. With ``quiet`` an update that
    changes nothing at all makes no new version.
    """
    moved = prepare(box, plan, update=update, reprocess=reprocess, runner=runner)
    same = update and (moved or quiet) and not (reprocess or runner)
    if same and (there := unchanged(box, plan)):
        return there
    made, _warnings = box.create_pipelines(
        plan.document, update=update, reprocess=reprocess, runner=runner
    )
    return made[0]


def prepare(
    box: Builds, plan: Plan, *, update: bool = False, reprocess: bool = False, runner: str = ""
) -> str:
    """Make the repo, the pipeline that builds and a commit of the source, as far as they are not
    there yet; the commit's id when one was made.

    The caller has had the box check the spec. Raises AlreadyExists unless ``update`` when there is
    such a pipeline.
    """
    if box.transaction_id:
        raise InvalidArgument(
            "uploading source cannot be part of a transaction",
            "finish or stop the transaction first",
        )
    if not update:
        _absent(box, plan.pipeline)
    said = plan.said  # reads all of the source: what is wrong with it is known before all else
    found = _mark_of_builder(box, plan)
    if found is None:
        _make_repo(box, plan)
    commit = _upload(box, plan, said) if found is not None else ""
    # after the source, whose building the update ends: nothing is built twice
    if reprocess or found != plan.build["metadata"]:
        box.create_pipelines(plan.build, update=True, reprocess=reprocess, runner=runner)
    return commit if found is not None else _upload(box, plan, said)


def _make_repo(box: Builds, plan: Plan) -> None:
    """Make the repo of the source; one that an earlier such pipeline left will do. Raises
    AlreadyExists for one that holds something else, which the source would take the place of."""
    description = f"Source of pipeline {plan.pipeline}."
    try:
        there = box.inspect_repo(plan.repo)
    except NotFound:
        pass
    else:
        if there.description != description and there.branches:
            raise AlreadyExists(
                f'repo "{full_name(plan.repo, box.project)}" exists, and is not the source of '
                f"pipeline {plan.pipeline}",
                "give the pipeline another name, or delete the repo",
            )
    box.create_repo(plan.repo, description, update=True)


def _upload(box: Builds, plan: Plan, what: str) -> str:
    """Commit the source, described so, unless it is there; the commit's id when one was made."""
    branch = f"{plan.repo}@master"
    try:
        if box.inspect_commit(branch).description == what:
            return ""
    except NotFound:
        pass
    with box.put(branch, description=what) as put:
        plan.source.put(put)
    return put.result.commit if put.result else ""


def unchanged(box: Builds, plan: Plan) -> CreatedPipeline | None:
    """The pipeline as it is when an update would change nothing: its new source is then run by
    the commit of that source alone, with no job of an older version to be killed."""
    from pachybox.client.build_plan import either

    if either(plan.document["transform"], "image"):
        return None  # the name may lead to another image by now
    try:
        there = json.loads(box.extract_pipeline(plan.pipeline))
        info = box.inspect_pipeline(plan.pipeline)
        would = box.create_pipelines(plan.document, update=True, dry_run=True)[0][0]
    except NotFound:
        return None  # it is new, or reads what is new
    if would.effective_spec != there or info.stopped:
        return None
    return CreatedPipeline(
        info.project, info.name, info.version, False, there,
        {**would.raw, "version": info.version},
    )  # fmt: skip


def _absent(box: Builds, pipeline: str) -> None:
    try:
        box.inspect_pipeline(pipeline)
    except NotFound:
        return
    raise AlreadyExists(
        f'pipeline "{full_name(pipeline, box.project)}" already exists',
        "change it with: update pipeline",
    )


def _mark_of_builder(box: Builds, plan: Plan) -> Json | None:
    """The metadata of the pipeline that builds, which say how it was made; None without one."""
    try:
        found = json.loads(box.extract_pipeline(plan.builder))
    except NotFound:
        return None
    return dict(found.get("metadata") or {})
