"""Lines that lead somewhere: the history of a file, what a commit came from, who uses it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip

from tui.places import JOB, PIPELINE, REPO, Place, split
from tui.screens.repo_draw import Paint
from tui.screens.repo_rows import SHORT, commit_state, note_of
from tui.shown import age, size, stamp

if TYPE_CHECKING:
    from pachybox.client import AsyncClient, CommitInfo

MOST = 500
"""Entries of one list."""


class Entry(NamedTuple):
    """A line, and where Enter on it leads."""

    text: str
    place: Place | None = None


class EntryLines:
    """Entries as lines of a pane."""

    head: tuple[str, ...] = ()

    def __init__(self, entries: Sequence[Entry], empty: str) -> None:
        self._entries = entries or [Entry(empty)]
        self.height = len(self._entries)
        self.width = max(cell_len(entry.text) for entry in self._entries)

    def plain(self, y: int) -> str:
        """The line."""
        return self._entries[y].text

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """The line, drawn."""
        return paint(self._entries[y].text, base)

    def place(self, y: int) -> Place | None:
        """Where it leads."""
        return self._entries[y].place


async def history(box: AsyncClient, file: str, now: datetime) -> EntryLines:
    """The versions of ``repo@ref:/path``, newest first."""
    repo, _, path = split(file)
    entries = []
    async for info in box.list_history(file, depth=MOST):
        entries.append(
            Entry(
                f"{info.commit[:SHORT]}  {stamp(info.committed)}  {age(info.committed, now):>5}"
                f"  {size(info.size_bytes):>9}  {info.hash[:10]}",
                Place(REPO, repo, info.commit, path),
            )
        )
    return EntryLines(entries, "no version of it is in a finished commit")


async def provenance(box: AsyncClient, commit: str, now: datetime, ascii_only: bool) -> EntryLines:
    """What ``repo@commit`` was made from, and the job that made it."""
    repo, ref, _ = split(commit)
    own = await box.inspect_commit(commit)
    entries = []
    if own.origin.upper() == "AUTO":
        entries.append(Entry(f"made by the job {repo}@{ref[:SHORT]}", Place(JOB, repo, own.id)))
    else:
        entries.append(Entry(f"put by a user  {own.description}".rstrip()))
    async for info in box.walk_commit_provenance(commit, number=MOST):
        if str(info) != str(own):
            entries.append(_commit("from", info, now, ascii_only))
    return EntryLines(entries, "it was made from nothing")


async def users(box: AsyncClient, commit: str, now: datetime, ascii_only: bool) -> EntryLines:
    """The pipelines that read the repo, and what was made from ``repo@commit``."""
    repo, _, _ = split(commit)
    entries = [
        Entry(f"read by the pipeline {name}", Place(PIPELINE, name))
        for name in await box.repo_users(repo)
    ]
    own = await box.inspect_commit(commit)
    async for info in box.walk_commit_subvenance(commit, number=MOST):
        if str(info) != str(own):
            entries.append(_commit("made", info, now, ascii_only))
    return EntryLines(entries, "nobody reads it, and nothing was made from it")


def _commit(word: str, info: CommitInfo, now: datetime, ascii_only: bool) -> Entry:
    state, _ = commit_state(info, ascii_only)
    when = info.finished or info.started
    text = f"{word}  {info.repo}@{info.branch}  {state}  {age(when, now):>4}  {note_of(info)}"
    return Entry(text, Place(REPO, info.repo, info.id))
