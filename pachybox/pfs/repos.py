"""Projects and repos: create, update, delete. Functions over a Change."""

from __future__ import annotations

from dataclasses import replace

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, Refused
from pachybox.meta.tables import (
    BRANCHES,
    COMMITS,
    DEFAULTS,
    INGESTS,
    PIPELINES,
    PROJECTS,
    REPOS,
    UPLOADS,
)
from pachybox.model.ids import DEFAULT_PROJECT, META, SPEC, USER, Pipeline, Repo, check_name
from pachybox.model.pfs import BranchRecord, ProjectRecord, RepoRecord
from pachybox.pfs.change import Change, View, names

FILESETS_REPO = "__filesets__"
"""The name by which filesets are read as commits; no repo has it."""


def create_project(ch: Change, name: str, description: str, *, update: bool = False) -> None:
    """Make a project, or change its description with ``update``."""
    check_name("project", name)
    found = ch.tx.get(PROJECTS, name)
    if update:
        require_project(ch.tx, name)
    if found is not None:
        if not update:
            raise AlreadyExists(f"project {name} already exists")
        ch.tx.put(PROJECTS, replace(found, description=description))
        return
    ch.tx.put(PROJECTS, ProjectRecord(name, description, ch.now))
    ch.tx.event("project.created", project=name)


def delete_project(ch: Change, name: str, *, force: bool = False) -> None:
    """Remove a project; one that still has repos or ingest sources only with ``force``, with all
    of them."""
    require_project(ch.tx, name)
    if name == DEFAULT_PROJECT:
        raise Refused('project "default" cannot be deleted', "delete its repos instead")
    inside = [r.repo for r in ch.tx.all(REPOS) if r.repo.project == name]
    sources = [i for i in ch.tx.all(INGESTS) if i.ingest.project == name]
    held = [f"repo {repo}" for repo in inside] + [
        f"ingest {i.ingest}" for i in sources if not i.kind.of_pipeline
    ]
    if held and not force:
        raise Refused(
            f"cannot delete project {name}: {held[0]} still exists"
            + (f", and {len(held) - 1} more" if len(held) > 1 else ""),
            "delete them first, or use --force",
        )
    for source in sources:
        ch.tx.remove(INGESTS, source.ingest)
    for repo in inside:
        if ch.tx.get(REPOS, repo) is not None:
            delete_repo(ch, repo, force=True)
    if ch.tx.get(DEFAULTS, name) is not None:
        ch.tx.remove(DEFAULTS, name)
    ch.tx.remove(PROJECTS, name)
    ch.tx.event("project.deleted", project=name)


def require_project(view: View, name: str) -> None:
    """Raise NotFound unless the project exists."""
    if view.get(PROJECTS, name) is None:
        raise NotFound(f'project "{name}" not found', f"make it with: create project {name}")


def create_repo(ch: Change, repo: Repo, description: str = "", *, update: bool = False) -> None:
    """Make a repo (or change its description with ``update``)."""
    if repo.type not in (USER, SPEC, META):
        raise InvalidArgument(f"repo type {repo.type!r} is not known", "use user, spec or meta")
    check_name("repo", repo.name)
    if repo.name == FILESETS_REPO:
        raise InvalidArgument(f"repo name {repo.name!r} is that of filesets", "take another")
    require_project(ch.tx, repo.project)
    found = ch.tx.get(REPOS, repo)
    if found is not None:
        if not update:
            raise AlreadyExists(f"repo {repo.full} already exists")
        ch.tx.put(REPOS, replace(found, description=description))
        ch.tx.event("repo.updated", **names(repo))
        return
    ch.tx.put(REPOS, RepoRecord(repo, description, ch.now))
    ch.tx.event("repo.created", **names(repo))


def delete_repo(ch: Change, repo: Repo, *, force: bool = False) -> bool:
    """Remove a repo with its branches and commits; returns whether it existed.

    Refused for a pipeline's output repo, while a branch of another repo is provenant on one of
    its branches, and while an ingest source writes to it, unless ``force``: then what was made
    from it forgets that, what is still to be made from it is closed empty, and a source has
    nowhere to write to until there is a repo of that name again.
    """
    if ch.tx.get(REPOS, repo) is None:
        return False
    mine = branches_of(ch.tx, repo)
    if not force:
        pipeline = ch.tx.get(PIPELINES, Pipeline(repo.project, repo.name))
        if repo.type == USER and pipeline is not None:
            raise Refused(
                f"repo {repo} is the output of pipeline {repo.name}",
                f"delete the pipeline: delete pipeline {repo.name}",
            )
        inside = {b.branch for b in mine}
        for other in ch.tx.all(BRANCHES):
            if other.branch.repo != repo and inside & set(other.direct_provenance):
                raise Refused(
                    f"repo {repo} has a branch that {other.branch} depends on",
                    "delete what depends on it first, or use --force",
                )
        require_unwritten(ch.tx, repo)
    for source in ch.tx.all(INGESTS):
        if source.to.repo == repo and source.kind.of_pipeline:
            ch.tx.remove(INGESTS, source.ingest)
    for commit in ch.tx.select(
        COMMITS,
        "WHERE project = ? AND repo = ? AND type = ?",
        (repo.project, repo.name, repo.type),
        also=lambda c: c.commit.repo == repo,
    ):
        if ch.listener:
            ch.listener.removed(ch, commit)
        ch.tx.remove(COMMITS, commit.commit)
    for record in mine:
        ch.tx.remove(BRANCHES, record.branch)
        ch.touch(record.branch)
    for upload in ch.tx.all(UPLOADS):
        if upload.branch.repo == repo:
            ch.tx.remove(UPLOADS, upload.id)
    _forget(ch, repo)
    ch.graph.stale = True
    ch.tx.remove(REPOS, repo)
    ch.tx.event("repo.deleted", **names(repo))
    return True


def require_unwritten(view: View, repo: Repo) -> None:
    """Refuse to take a repo away from an ingest source that writes to it."""
    for source in view.all(INGESTS):
        if source.to.repo == repo and not source.kind.of_pipeline:
            raise Refused(
                f"ingest {source.ingest} writes to repo {repo}",
                f"delete it first (delete ingest {source.ingest}), or use --force",
            )


def _forget(ch: Change, repo: Repo) -> None:
    """Take a repo that is deleted out of all provenance, which names only what exists."""
    for other in ch.tx.all(BRANCHES):
        left = tuple(b for b in other.direct_provenance if b.repo != repo)
        if other.branch.repo != repo and left != other.direct_provenance:
            ch.tx.put(BRANCHES, replace(other, direct_provenance=left))
    for commit in ch.tx.select(
        COMMITS,
        "WHERE contains(provenance_json, ?)",
        (f'"{repo.name}"',),
        also=lambda c: any(b.repo == repo for b, _ in c.direct_provenance),
    ):
        kept = tuple((b, i) for b, i in commit.direct_provenance if b.repo != repo)
        done = replace(commit, direct_provenance=kept)
        ch.tx.put(COMMITS, done)
        if commit.finished is None:
            done = replace(done, finished=ch.now, error=f"its input repo {repo} was deleted")
            ch.tx.put(COMMITS, done)
            ch.closed(done)


def branches_of(view: View, repo: Repo) -> list[BranchRecord]:
    """The repo's branches, newest first."""
    mine = [b for b in view.all(BRANCHES) if b.branch.repo == repo]
    return sorted(mine, key=lambda b: (b.created, b.branch.name), reverse=True)
