"""User metadata: words that clients keep beside projects, repos, branches and commits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pachybox.meta.tables import BRANCHES, COMMITS, PROJECTS, REPOS
from pachybox.model.ids import Branch, Commit, Repo
from pachybox.model.pfs import ProjectRecord
from pachybox.model.retention import RETENTION, parse_rules
from pachybox.pfs import repos
from pachybox.pfs.change import Change
from pachybox.pfs.object_types import WINDOW, window_s

Edit = Callable[[dict[str, str]], dict[str, str]]
"""The new metadata by the old."""


def edit(ch: Change, target: ProjectRecord | Repo | Branch | Commit, change: Edit) -> None:
    """Replace the metadata of ``target`` by ``change`` of it. Raises NotFound, and InvalidArgument
    for a branch's setting that is none: a window of S3 writes, a retention."""
    if isinstance(target, ProjectRecord):
        repos.require_project(ch.tx, target.name)
        project = ch.tx.get(PROJECTS, target.name) or target
        ch.tx.put(PROJECTS, replace(project, metadata=change(dict(project.metadata))))
    elif isinstance(target, Repo):
        repo = ch.repo(target)
        ch.tx.put(REPOS, replace(repo, metadata=change(dict(repo.metadata))))
    elif isinstance(target, Branch):
        branch = ch.branch(target)
        words = change(dict(branch.metadata))
        if WINDOW in words:
            window_s(words[WINDOW])
        if RETENTION in words:
            words[RETENTION] = parse_rules(words[RETENTION]).text
        ch.tx.put(BRANCHES, replace(branch, metadata=words))
    else:
        commit = ch.commit(target.repo, target.id)
        ch.tx.put(COMMITS, replace(commit, metadata=change(dict(commit.metadata))))
