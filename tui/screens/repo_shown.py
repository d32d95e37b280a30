"""The file pane of the repo view: which tab of which file it shows, and what leads on from it."""

from __future__ import annotations

import asyncio
import shlex
from abc import abstractmethod
from typing import TYPE_CHECKING

from textual.content import Content

from pachybox.errors import NotFound
from tui import preview
from tui.screens.repo_draw import lines_of
from tui.screens.repo_entries import history, provenance, users
from tui.screens.repo_files import BoxFile, compared
from tui.screens.repo_pane import Pane
from tui.screens.view import View
from tui.shown import size
from tui.widgets.cells import shortened

if TYPE_CHECKING:
    from pachybox.client import CommitInfo, FileInfo

_OF_COMMIT = ("provenance", "used by")
_OF_FILE = ("history", *_OF_COMMIT, "diff")


class Shown(View):
    """What the pane shows: ``path`` of ``commit`` in ``tab``. ``mark`` and ``base`` are commits
    (``repo@id``): the one marked to compare with, and the one compared with now."""

    repo = ""
    branch = ""
    commit: CommitInfo | None = None
    path = ""
    tab = preview.FIRST
    mark = ""
    base = ""
    more = False
    _limits = preview.Limits()
    _file_tabs: tuple[str, ...] = (preview.FIRST,)
    _shown = ("", "", "")  # commit, path and tab of what the pane holds

    @abstractmethod
    def name_of(self, path: str = "") -> str:
        """``repo@ref:/path``."""

    @abstractmethod
    def compare(self, base: str) -> None:
        """List what differs from ``base``."""

    @abstractmethod
    def pane_in_front(self) -> str:
        """The list that has the focus."""

    def read(self) -> None:
        """Into the file's pane."""

    def looked(self, command: str) -> None:
        """Show the command line that shows the same."""

    @property
    def preview(self) -> Pane:
        """The pane."""
        return self.query_one("#preview", Pane)

    # Showing

    def show_file(self, *, more: bool = False) -> None:
        """Show ``path`` in ``tab``; a newer call replaces one that is not done."""
        self._limits = self._limits.grown() if more else preview.Limits()
        self.load(self._show_file(more), "preview")

    async def _show_file(self, more: bool) -> None:
        commit, path, tab = self.commit, self.path, self.tab
        self.more = False
        if commit is None:
            return
        if not more:
            await asyncio.sleep(0.03)  # the cursor may go on at once
        at = f"{self.repo}@{commit.id}"
        if tab in _OF_COMMIT:
            await self._show_lineage(at, tab)
        elif not path or path.endswith("/"):
            self._put_title(path or "/", "")
            self.preview.put_tabs((preview.FIRST, *_OF_COMMIT), preview.FIRST)
            self.preview.say("a folder: Enter folds and unfolds it" if path else "no file")
        elif tab == "history":
            self.looked(f"list file {shlex.quote(self.name_of(path))} --history all")
            lines = await history(self.frame.feed.box, f"{at}:{path}", self.frame.store.now)
            self._put_title(path, f"{lines.height} versions")
            self.preview.put(lines)
        elif tab == "diff":
            await self._show_diff(at, path)
        else:
            await self._show_preview(at, path, tab, more)
        if tab not in (preview.FIRST,) and not path.endswith("/"):
            self.preview.put_tabs((*self._file_tabs, *_OF_FILE), self.tab)

    async def _show_preview(self, at: str, path: str, tab: str, more: bool) -> None:
        info = await self._inspect(f"{at}:{path}")
        if info is None:
            self.preview.say("this file is not in this commit; the tab diff shows what it was")
            return
        width, height = self.preview.cells
        file = BoxFile(lambda: self.frame.feed.box, at, path, info.size_bytes)
        found = await preview.show(file, tab, limits=self._limits, width=width, height=height)
        self._file_tabs = found.tabs
        self.tab = found.tab
        facts = ", ".join(found.facts)
        self._put_title(path, f"{size(info.size_bytes)}  {found.kind}  {info.hash[:8]}")
        self.more = found.more
        said = [part for part in ("Enter shows more" if found.more else "", facts) if part]
        self.preview.border_subtitle = Content("; ".join(said))
        self.preview.put_tabs((*found.tabs, *_OF_FILE), found.tab)
        body, ascii_only = found.body, self.frame.ascii_only
        shown = (at, path, found.tab)
        if isinstance(body, preview.Text):
            self.preview.put(body, found.notes, stay=shown == self._shown)
        else:
            lines = await asyncio.to_thread(lines_of, body, 0, ascii_only)
            self.preview.put(lines, found.notes, stay=shown == self._shown)
        self._shown = shown
        if not more:
            self.looked(f"get file {shlex.quote(self.name_of(path))}")

    async def _show_lineage(self, at: str, tab: str) -> None:
        ask = provenance if tab == "provenance" else users
        box, ascii_only = self.frame.feed.box, self.frame.ascii_only
        lines = await ask(box, at, self.frame.store.now, ascii_only)
        self._put_title(at.partition("@")[2][:8], tab)
        self.preview.put_tabs((*self._file_tabs, *_OF_FILE), tab)
        self.preview.put(lines)

    async def _show_diff(self, at: str, path: str) -> None:
        old = f"{self.base}:{path}" if self.base else ""
        new_there = await self._inspect(f"{at}:{path}") is not None
        old_there = bool(old) and await self._inspect(old) is not None
        text, notes = await compared(
            self.frame.feed.box, f"{at}:{path}" if new_there else None, old if old_there else None
        )
        self._put_title(path, f"diff from {self.base.partition('@')[2][:8] or 'nothing'}")
        self.preview.put(text, notes)
        command = f"diff file {shlex.quote(self.name_of(path))}"
        self.looked(f"{command} {shlex.quote(old)}" if old and self.mark else command)

    async def _inspect(self, file: str) -> FileInfo | None:
        try:
            return await self.frame.feed.box.inspect_file(file)
        except NotFound:
            return None

    def _put_title(self, path: str, facts: str) -> None:
        room = self.preview.size.width - len(facts) - 4
        self.preview.border_title = Content(f"{shortened(path, room)}  {facts}".rstrip())
        self.preview.border_subtitle = ""

    # What the pane asks

    def on_pane_tabbed(self, event: Pane.Tabbed) -> None:
        """Another tab of the same file."""
        self.tab = event.tab
        self.show_file()

    def on_pane_more(self) -> None:
        """More of the file."""
        if self.more:
            self.show_file(more=True)

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """Where an entry leads."""
        self.frame.visit(event.place)

    # Verbs

    def front(self, name: str) -> None:
        """Show branches or commits above the files."""

    def do_tab_left(self) -> None:
        """The tab to the left, of branches and commits where those have the focus."""
        self._tab(-1)

    def do_tab_right(self) -> None:
        """The tab to the right."""
        self._tab(1)

    def _tab(self, step: int) -> None:
        front = self.pane_in_front()
        if front in ("branches", "commits"):
            other = "commits" if front == "branches" else "branches"
            self.front(other)
            self.query_one(f"#{other}").focus()
            return
        tabs = self.preview.tabs or (preview.FIRST,)
        at = tabs.index(self.tab) if self.tab in tabs else 0
        self.tab = tabs[(at + step) % len(tabs)]
        self.show_file()

    def do_upstream(self) -> None:
        """What the commit was made from."""
        self.tab = "provenance"
        self.show_file()
        self.read()

    def do_downstream(self) -> None:
        """Who reads the repo, and what was made from the commit."""
        self.tab = "used by"
        self.show_file()
        self.read()

    def do_diff(self) -> None:
        """Of a file: what changed in it. Of a commit: mark it, or compare it with the mark."""
        assert self.commit is not None
        here = f"{self.repo}@{self.commit.id}"
        if self.pane_in_front() == "files" and self.path.endswith("/"):
            self.frame.notice("a folder has no difference of its own: all that changed is listed")
        elif self.pane_in_front() in ("files", "changes"):
            self.tab = "diff"
            self.show_file()
            self.read()
        elif not self.mark:
            self.mark = here
            self.frame.notice(f"marked {self.commit.id[:8]}: d on another commit compares with it")
        elif self.mark == here:
            self.mark = ""
            self.frame.notice("the mark is gone: commits are compared with the one before")
            self.compare("")
        else:
            self.compare(self.mark)
            self.looked(f"diff file {here}:/ {self.mark}:/")
            self.query_one("#changes").focus()

    def named(self) -> list[tuple[str, str]]:
        """The names of what is selected, as the command line takes them."""
        front = self.pane_in_front()
        commit = self.commit.id if self.commit is not None else ""
        whole = ("commit", f"{self.repo}@{commit}" if commit else "")
        if front == "branches":
            return [("branch", f"{self.repo}@{self.branch}"), whole]
        if front == "commits":
            return [whole, ("commit id", commit)]
        at = f"{self.repo}@{commit}:{self.path}" if commit else ""
        names = [("file", self.name_of(self.path)), ("file of this commit", at)]
        return [*dict((text, (what, text)) for what, text in names).values(), ("path", self.path)]
