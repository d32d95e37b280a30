"""Rows of the repo views' lists: repos, branches, commits, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from tui import glyphs
from tui.shown import NONE, age, count, size
from tui.widgets.rows import Column, Page, Query, Row

if TYPE_CHECKING:
    from pachybox.client import AsyncClient, BranchInfo, CommitInfo, FileChange, RepoInfo

SHORT = 8
"""Letters of a commit's id that are shown."""

REPOS = (
    Column("name", "REPO", 12, grow=2, sort="name", keep=9),
    Column("branches", "BRANCHES", 12, grow=1, keep=3),
    Column("size", "SIZE", 9, right=True, sort="size", keep=6),
    Column("age", "AGE", 5, right=True, sort="age", keep=4),
    Column("made", "MADE BY", 9, keep=2),
    Column("description", "DESCRIPTION", 12, grow=2, keep=1),
)
BRANCHES = (
    Column("name", "BRANCH", 10, grow=1, sort="name", keep=9),
    Column("state", "HEAD", 10, keep=8),
    Column("age", "AGE", 4, right=True, sort="age", keep=6),
    Column("size", "SIZE", 8, right=True, sort="size", keep=4),
    Column("note", "", 8, grow=1, keep=1),
)
COMMITS = (
    Column("id", "COMMIT", 10, keep=9),
    Column("branch", "BRANCH", 7, keep=5),
    Column("age", "AGE", 4, right=True, keep=7),
    Column("size", "SIZE", 8, right=True, keep=4),
    Column("note", "", 8, grow=1, keep=6),
)
CHANGES = (
    Column("path", "FILE", 12, grow=1, keep=9, path=True),
    Column("size", "SIZE", 20, right=True, keep=5),
)


def repo_row(repo: RepoInfo, now: datetime, ascii_only: bool) -> Row:
    """A repo of the list."""
    made = "pipeline" if repo.raw.get("provenance") else ""
    cells = (
        f"{glyphs.REPO.sign(ascii_only)} {repo}",
        ", ".join(repo.branches) or NONE,
        size(repo.size_bytes),
        age(repo.created, now),
        made,
        repo.description,
    )
    born = repo.created.timestamp() if repo.created else 0.0
    return Row(str(repo), cells, "", (str(repo), "", repo.size_bytes, -born, made, ""))


def commit_state(commit: CommitInfo, ascii_only: bool) -> tuple[str, str]:
    """A commit's sign with its short id, and the style of its row."""
    word = "finished" if commit.finished else "finishing" if _finishing(commit) else "started"
    mark = glyphs.commit(word, error=commit.error)
    return f"{mark.sign(ascii_only)} {commit.id[:SHORT]}", "" if mark.style == "ok" else mark.style


def is_open(commit: CommitInfo | None) -> bool:
    """Whether files can still be put into it."""
    return commit is not None and commit.finished is None and not _finishing(commit)


def is_hidden(commit: CommitInfo | None) -> bool:
    """Whether a job still makes it: nothing of it can be read before that is over."""
    return commit is not None and commit.finished is None and bool(commit.direct_provenance)


def _finishing(commit: CommitInfo) -> bool:
    return bool(commit.raw.get("finishing"))


def note_of(commit: CommitInfo) -> str:
    """What is to be said of a commit in a few words."""
    if commit.error:
        return commit.error
    if is_open(commit):
        return f"open {commit.description}".rstrip()
    return commit.description or commit.origin.lower()


def branch_row(branch: BranchInfo, head: CommitInfo | None, now: datetime, ascii_only: bool) -> Row:
    """A branch with its head."""
    if head is None:
        return Row(branch.name, (branch.name, NONE, "", "", "no commit"), "quiet")
    state, style = commit_state(head, ascii_only)
    when = head.finished or head.started
    cells = (branch.name, state, age(when, now), size(head.size_bytes), note_of(head))
    keys = (branch.name, "", -when.timestamp() if when else 0.0, head.size_bytes, "")
    return Row(branch.name, cells, style, keys)


class CommitRows:
    """The commits of ``place``: a repo, or one branch of it. Those fetched are kept in ``seen``."""

    def __init__(
        self,
        box: Callable[[], AsyncClient],
        place: str,
        now: Callable[[], datetime],
        ascii_only: bool,
    ) -> None:
        self._box, self._place, self._now, self._ascii = box, place, now, ascii_only
        self.seen: dict[str, CommitInfo] = {}

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        found = await self._box().page_commit(
            self._place, offset=offset, limit=limit, search=query.filter.strip()
        )
        self.seen.update((commit.id, commit) for commit in found.rows)
        return Page(found.total, [self._row(commit) for commit in found.rows])

    def _row(self, commit: CommitInfo) -> Row:
        state, style = commit_state(commit, self._ascii)
        when = commit.finished or commit.started
        cells = (state, commit.branch, age(when, self._now()), size(commit.size_bytes))
        return Row(commit.id, (*cells, note_of(commit)), style)


class ChangeRows:
    """The files that differ between two commits; ``told`` hears of the whole in a few words
    whenever a part of them came."""

    def __init__(
        self,
        box: Callable[[], AsyncClient],
        new: str,
        old: str | None,
        told: Callable[[str], None],
    ) -> None:
        self._box, self._new, self._old, self._told = box, new, old, told
        self.seen: dict[str, FileChange] = {}

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        found = await self._box().page_diff(
            f"{self._new}:/", f"{self._old}:/" if self._old else None, offset=offset, limit=limit
        )
        self.seen.update((path_of(change), change) for change in found.rows)
        delta = f"{'-' if found.bytes_delta < 0 else '+'}{size(abs(found.bytes_delta))}"
        self._told(
            f"+{count(found.added)} ~{count(found.changed)} -{count(found.removed)}  {delta}"
        )
        return Page(found.total, [change_row(change) for change in found.rows])


def path_of(change: FileChange) -> str:
    """The path that differs."""
    info = change.new or change.old
    return info.path if info else ""


def sign_of(change: FileChange) -> str:
    """``+`` added, ``-`` removed, ``~`` changed."""
    return "+" if change.old is None else "-" if change.new is None else "~"


def change_row(change: FileChange) -> Row:
    """A file that differs."""
    sign = sign_of(change)
    old, new = (size(info.size_bytes) if info else "" for info in (change.old, change.new))
    sizes = f"{old} -> {new}" if old and new else new or old
    style = {"+": "ok", "-": "bad", "~": "warn"}[sign]
    return Row(path_of(change), (f"{sign} {path_of(change)}", sizes), style)


def signs(changes: Iterable[FileChange]) -> dict[str, str]:
    """The sign of each path that differs."""
    return {path_of(change): sign_of(change) for change in changes}
