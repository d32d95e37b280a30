"""One repo: branches and commits, the files of a commit, a file, and what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer

from pachybox.errors import Denied, NotFound
from tui import preview
from tui.places import REPO, Place
from tui.screens.bulk import Bulk
from tui.screens.repo_pane import Pane
from tui.screens.repo_rows import (
    BRANCHES,
    CHANGES,
    COMMITS,
    SHORT,
    ChangeRows,
    CommitRows,
    branch_row,
    is_hidden,
    is_open,
    signs,
)
from tui.screens.repo_shown import Shown
from tui.screens.repo_tree import COLUMNS, FileTree, Seeking, TreeRows
from tui.screens.repo_verbs import RepoVerbs
from tui.shown import size
from tui.widgets.rows import LocalRows, Query
from tui.widgets.table import VirtualTable
from tui.widgets.table_messages import Highlighted, Loaded, Opened

if TYPE_CHECKING:
    from pachybox.client import BranchInfo, CommitInfo

_OPEN_S = 2.0  # how often the files of an open commit are looked at: puts into it are no events
_RENEW_S = 0.5  # the least time between two looks at a repo that changes
_HEADS = 256  # heads that are looked up at once
_NOT_YET = "its job is not over: files come when it is"
_LISTS = ("branches", "commits", "files", "changes")


class RepoView(RepoVerbs, Shown, Bulk):
    """See the module. ``place`` says which repo, and what of it comes first."""

    mode: ClassVar[str] = REPO
    bulk_ids: ClassVar[tuple[str, ...]] = ("save", "delete")
    footer_ids: ClassVar[tuple[str, ...]] = ("list.open", "view.diff", "view.put", "view.save")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave_pane", "back to the files", show=False, id="app.back")
    ]
    DEFAULT_CSS = """
    RepoView #left { width: 5fr; }
    RepoView #right { width: 6fr; }
    RepoView #branches, RepoView #commits { height: 2fr; }
    RepoView #files { height: 3fr; }
    RepoView #preview { height: 3fr; }
    RepoView #changes { height: 1fr; min-height: 5; }
    RepoView.-branches #commits, RepoView.-commits #branches { display: none; }
    RepoView.-three #left { layout: horizontal; width: 1fr; }
    RepoView.-three #branches, RepoView.-three #commits, RepoView.-three #files { height: 1fr; }
    RepoView.-three #right { width: 1fr; }
    RepoView.-one #right { display: none; }
    RepoView.-one #left, RepoView.-one #right { width: 1fr; }
    RepoView.-one.-reading #left { display: none; }
    RepoView.-one.-reading #right { display: block; }
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.repo, self.asked = place.name, place
        self.heads: dict[str, CommitInfo] = {}
        self._branch_rows = LocalRows()
        self._commit_rows: CommitRows | None = None
        self._timer: Timer | None = None
        self._warm = self._stale = self._renewing = False
        self._chosen = ""  # the branch whose commits are listed

    def body(self) -> ComposeResult:
        with Horizontal(classes="body"):
            with Vertical(id="left"):
                yield Seeking(
                    BRANCHES,
                    self._branch_rows,
                    empty="no branches yet; p puts a file",
                    marks=False,
                    id="branches",
                    classes="pane",
                )
                yield Seeking(
                    COMMITS, empty="no commits", marks=False, id="commits", classes="pane"
                )
                yield FileTree(COLUMNS, empty="no files", id="files", classes="pane")
            with Vertical(id="right"):
                yield Pane(id="preview", classes="pane")
                yield VirtualTable(
                    CHANGES, empty="no change", marks=False, id="changes", classes="pane"
                )

    def table(self, name: str) -> VirtualTable:
        """One of the lists."""
        return self.query_one(f"#{name}", VirtualTable)

    def _seek(self, name: str, row_id: str) -> None:
        """Put the cursor of a list on a row, now or when it comes."""
        table = self.query_one(f"#{name}", Seeking)
        table.wanted = "" if table.show_row(row_id) else row_id

    @property
    def file_tree(self) -> FileTree:
        """The files."""
        return self.query_one(FileTree)

    def on_mount(self) -> None:
        """Branches first; what was asked for is shown once they are known."""
        self.add_class("-branches")
        self._timer = self.set_interval(_OPEN_S, self._poll, pause=True)
        self.table("files").border_title = "Files"
        self.table("files").focus()
        self.load(self._first())

    # Where one is

    def crumbs(self) -> list[str]:
        found = ["Repos", self.repo]
        if self.commit is not None:
            found += [self.commit.branch, self.commit.id[:SHORT]]
        return found

    def place(self) -> Place:
        ref = self.branch if self._follows_head() else self.commit.id if self.commit else ""
        return Place(REPO, self.repo, ref or self.asked.ref, self.path or self.asked.path)

    def show(self, place: Place) -> None:
        self.repo, self.asked = place.name, place
        self.load(self._first())

    def _follows_head(self) -> bool:
        head = self.heads.get(self.branch)
        return head is not None and self.commit is not None and head.id == self.commit.id

    def _awaits(self, head: CommitInfo | None) -> bool:
        """Whether ``head`` follows what is shown, and has nothing to show before its job ends."""
        next_to = self.commit is not None and head is not None and head.parent == self.commit.id
        return next_to and is_hidden(head)

    def name_of(self, path: str = "") -> str:
        ref = self.branch if self._follows_head() else self.commit.id if self.commit else ""
        place = f"{self.repo}@{ref}" if ref else self.repo
        return f"{place}:{path}" if path else place

    def pane_in_front(self) -> str:
        focused = self.focused.id if self.focused else ""
        return focused if focused in (*_LISTS, "preview") else "files"

    def selected(self) -> list[str]:
        if self.pane_in_front() in ("preview", "changes"):
            return [self.path] if self.path else []
        return self.file_tree.targets()

    def size_of(self, path: str) -> int:
        info = self.file_tree.files.info(path) if self.file_tree.files else None
        return info.size_bytes if info else 0

    def progress(self, text: str) -> None:
        self.file_tree.border_subtitle = text

    # Branches and commits

    async def _first(self) -> None:
        try:
            await self._load_branches()
        except Denied as e:
            for name in ("branches", "files"):
                self.table(name).empty = str(e)
                self.table(name).refresh_rows()
            raise
        if not self.heads:
            await self.frame.feed.box.inspect_repo(self.repo)  # says so when it is not there
        ref, path = self.asked.ref, "" if self.asked.pane else self.asked.path
        if ref in self.heads or not ref:
            await self._choose(ref or self.branch or next(iter(self.heads), ""))
        else:
            commit = await self.frame.feed.box.inspect_commit(f"{self.repo}@{ref}")
            await self._choose(commit.branch, commit)
            self.front("commits")
        if path and self.commit is not None and not is_hidden(self.commit):
            await self.frame.feed.box.inspect_file(f"{self.repo}@{self.commit.id}:{path}")

    async def _load_branches(self) -> None:
        box, now = self.frame.feed.box, self.frame.store.now
        branches = [branch async for branch in box.list_branch(self.repo)]
        heads = await asyncio.gather(*(self._head(branch) for branch in branches[:_HEADS]))
        self.heads = {head.branch_name: head.commit for head in heads if head.commit is not None}
        known = {head.branch_name: head.commit for head in heads}
        self._branch_rows.set(
            branch_row(branch, known.get(branch.name), now, self.frame.ascii_only)
            for branch in sorted(branches, key=lambda b: (b.name != "master", b.name))
        )
        self.heads = {name: self.heads[name] for name in sorted(self.heads, key=_master_first)}
        if self.wish in self.heads:
            self.branch, self.wish = self.wish, ""
        if self.branch not in self.heads:
            self.branch = next(iter(self.heads), "")
        self._title()
        self.table("branches").refresh_rows()

    async def _head(self, branch: BranchInfo) -> _Head:
        if not branch.head:
            return _Head(branch.name, None)
        try:
            found = await self.frame.feed.box.inspect_commit(f"{self.repo}@{branch.head}")
        except NotFound:  # deleted meanwhile
            return _Head(branch.name, None)
        return _Head(branch.name, found)

    def front(self, name: str) -> None:
        """Show branches or commits above the files."""
        self.set_class(name == "branches", "-branches")
        self.set_class(name == "commits", "-commits")
        self._title()

    def _title(self) -> None:
        for name in ("branches", "commits"):
            front = "Branches - [Commits]" if name == "commits" else "[Branches] - Commits"
            self.table(name).border_title = Content(front)

    async def _choose(self, branch: str, commit: CommitInfo | None = None) -> None:
        """Show a branch: its commits in the list, its head's files (or those of ``commit``)."""
        self.branch = self._chosen = branch
        commit = commit or self.heads.get(branch)
        place = f"{self.repo}@{branch}" if branch else self.repo
        self._commit_rows = CommitRows(
            lambda: self.frame.feed.box, place, lambda: self.frame.store.now, self.frame.ascii_only
        )
        self.table("commits").set_rows(self._commit_rows)
        if commit is not None:
            self._seek("commits", commit.id)
        self.looked(f"list commit {place}")
        self._seek("branches", branch)
        await self._show(commit)

    async def _show(self, commit: CommitInfo | None, *, again: bool = False) -> None:
        """The files of a commit, what changed in it, and whether it is still open."""
        known = self.commit
        self.commit = commit
        if self._timer is not None:
            (self._timer.resume if is_open(commit) else self._timer.pause)()
        self.renew()
        if commit is None:
            self._show_nothing("there is no commit yet")
            return
        if known is not None and known.id == commit.id and not again:
            return
        place = f"{self.repo}@{commit.id}"
        rows = self.file_tree.files
        hidden = is_hidden(commit)
        self.file_tree.empty, self.table("changes").empty = (
            (_NOT_YET, "not known yet") if hidden else ("no files", "no change")
        )
        state = "open" if is_open(commit) else size(commit.size_bytes)
        self.file_tree.border_title = f"Files of {commit.id[:SHORT]}  {state}"
        if hidden:
            self.asked, self.path = Place(REPO, self.repo, path=self.asked.path or self.path), ""
            self._show_nothing(_NOT_YET)
            return
        if rows is None or rows.place != place:
            rows = TreeRows(lambda: self.frame.feed.box, place)
            wanted = self.asked.path or self.path
            await rows.page(Query(), 0, 1)
            if wanted:  # the same file of another commit stays under the cursor
                await rows.reveal(wanted)
            self.file_tree.set_rows(rows)
            self.file_tree.wanted = wanted
        else:
            rows.forget()
            self.file_tree.refresh_rows()
        self.compare(self.mark)
        self.asked = Place(REPO, self.repo, pane=self.asked.pane)
        if self.asked.pane:
            self.tab, self.asked = self.asked.pane, Place(REPO, self.repo)
            self.show_file()

    def _show_nothing(self, why: str) -> None:
        for name in ("files", "changes"):
            self.table(name).set_rows(LocalRows())
        self.table("changes").border_title = ""
        self._put_title("", "")
        self.preview.say(why)

    def compare(self, base: str) -> None:
        """List what differs from ``base`` (``repo@id``), or from the commit before."""
        assert self.commit is not None
        new = f"{self.repo}@{self.commit.id}"
        base = "" if base == new else base
        if not base and self.commit.parent:
            base = f"{self.repo}@{self.commit.parent}"
        old = base.partition("@")[2][:SHORT] or "nothing"
        changes = self.table("changes")
        head = f"diff {old} -> {self.commit.id[:SHORT]}"

        def told(text: str) -> None:
            changes.border_title = f"{head}  {text}"
            files = self.file_tree.files
            if files is not None and files.place == new:  # what differs is signed in the tree
                files.changes = signs(rows.seen.values())
                self.file_tree.refresh_rows()

        changes.border_title = head
        rows = ChangeRows(lambda: self.frame.feed.box, new, base or None, told)
        changes.set_rows(rows)
        self.base = base

    # What comes from outside

    def changed(self, topics: frozenset[str]) -> None:
        if self.is_mounted and topics & {f"repo:{self.repo}", "reset"}:
            self._renew_soon()

    def reload(self) -> None:
        if self.is_mounted and self.heads:
            self._renew_soon()

    def _renew_soon(self) -> None:
        """Load again, twice a second at most: a newer wish does not break off the one before."""
        self._stale = True
        if not self._renewing:
            self._renewing = True
            self.load(self._renew(), "refresh")

    async def _renew(self) -> None:
        try:
            while self._stale:
                self._stale = False
                await self.refresh_all()
                await asyncio.sleep(_RENEW_S)
        finally:
            self._renewing = False

    async def refresh_all(self) -> None:
        was = self.heads.get(self.branch)
        followed, before = self._follows_head() or self._awaits(was), self._chosen
        await self._load_branches()
        self.table("commits").refresh_rows()
        if self.branch != before or self.commit is None:
            await self._choose(self.branch)
        elif followed:
            head = self.heads.get(self.branch)
            if not self._awaits(head):
                await self._show(head, again=self.commit.finished is None)
        elif is_open(self.commit):
            await self._show(await self._now(), again=True)

    async def _now(self) -> CommitInfo:
        assert self.commit is not None
        return await self.frame.feed.box.inspect_commit(f"{self.repo}@{self.commit.id}")

    def _poll(self) -> None:
        """An open commit may have got files."""
        if self.is_current and is_open(self.commit):
            self.load(self._poll_open(), "poll")

    async def _poll_open(self) -> None:
        before = self.commit
        now = await self._now()
        if before is None or self.commit is not before:
            return
        if now.size_bytes != before.size_bytes or not is_open(now):
            await self._show(now, again=True)

    # Lists and keys

    def on_virtual_table_highlighted(self, event: Highlighted) -> None:
        """The cursor of a list is what the panes to its right show."""
        name, row_id = event.table.id, event.row_id
        if row_id is None:
            return
        if name == "branches" and event.table.has_focus and row_id != self.branch:
            self.load(self._choose_soon(row_id), "commit")
        elif name == "commits" and event.table.has_focus and self._commit_rows:
            self.load(self._show_soon(self._commit_rows.seen[row_id]), "commit")
        elif name == "files" and row_id != self.path:
            self.path = row_id
            self.show_file()
        elif name == "changes" and event.table.has_focus:
            self.path = row_id
            self.tab = "diff"
            self.show_file()

    def on_virtual_table_loaded(self, event: Loaded) -> None:
        """What some kinds of files need to be shown is got ready when the first is in sight."""
        files = self.file_tree.files
        if event.table is self.file_tree and files is not None and not self._warm:
            self.load(self._get_ready(list(files.kinds.values())[:100]), "ready")

    async def _get_ready(self, paths: list[str]) -> None:
        for path in paths:
            self._warm = self._warm or await preview.warm(path)

    async def _choose_soon(self, branch: str) -> None:
        await asyncio.sleep(0.05)  # the cursor may go on at once
        await self._choose(branch)

    async def _show_soon(self, commit: CommitInfo) -> None:
        await asyncio.sleep(0.05)
        await self._show(commit)

    def on_virtual_table_opened(self, event: Opened) -> None:
        """Enter goes deeper: branch, commits, files, file."""
        if event.table.id == "branches":
            self.front("commits")
            self.table("commits").focus()
            self.looked(f"list commit {self.repo}@{event.row_id}")
        elif event.table.id == "commits":
            self.file_tree.focus()
            self.looked(f"list file {self.repo}@{event.row_id}:/")
        else:
            self.tab = "diff" if event.table.id == "changes" else self.tab
            self.path = event.row_id
            self.show_file()
            self.read()

    def read(self) -> None:
        """Into the file's pane."""
        self.add_class("-reading")
        self.preview.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "leave_pane":
            return self.pane_in_front() in ("preview", "changes")
        return super().check_action(action, parameters)

    def action_leave_pane(self) -> None:
        """Esc in what is read: back to the files."""
        self.remove_class("-reading")
        self.file_tree.focus()

    def filter_of(self) -> tuple[str, Callable[[str], None]] | None:
        table = self.table(name if (name := self.pane_in_front()) in _LISTS else "files")
        if table.id == "changes":
            return None

        return table.request.filter, table.sift


class _Head:
    """A branch's name and the commit it points to."""

    def __init__(self, branch_name: str, commit: CommitInfo | None) -> None:
        self.branch_name, self.commit = branch_name, commit


def _master_first(name: str) -> tuple[bool, str]:
    return name != "master", name
