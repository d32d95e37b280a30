"""The repos of the box: the first view of its mode."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.keymap import Key
from tui.places import REPO, Place
from tui.screens.bulk import Bulk
from tui.screens.repo_rows import REPOS, repo_row
from tui.screens.repo_tree import Seeking
from tui.shown import count, size
from tui.widgets.confirm import Ask
from tui.widgets.rows import LocalRows
from tui.widgets.table_messages import Opened


class Repos(Bulk):
    """All repos, one a row."""

    mode: ClassVar[str] = REPO
    bulk_ids: ClassVar[tuple[str, ...]] = ("delete",)
    footer_ids: ClassVar[tuple[str, ...]] = ("list.open", "view.new", "view.delete", "view.filter")

    def __init__(self) -> None:
        super().__init__()
        self._rows = LocalRows(known=False)

    def body(self) -> ComposeResult:
        with Vertical(classes="body"):
            yield Seeking(
                REPOS,
                self._rows,
                empty="no repos yet; n makes one, or: pachybox create repo NAME",
                id="repos",
                classes="pane",
            )

    @property
    def _table(self) -> Seeking:
        return self.query_one("#repos", Seeking)

    def on_mount(self) -> None:
        """The list has the keys."""
        self._table.border_title = "Repos"
        self._table.focus()

    def crumbs(self) -> list[str]:
        return ["Repos"]

    def show(self, place: Place) -> None:
        from tui.screens.repo_view import RepoView

        self.app.push_screen(RepoView(place))

    def changed(self, topics: frozenset[str]) -> None:
        if topics & {"repo", "branch", "commit", "reset", "summary"}:
            self.reload()

    def reload(self) -> None:
        self.load(self._load())

    async def _load(self) -> None:
        box, now = self.frame.feed.box, self.frame.store.now
        summary = self.frame.store.summary
        made = {p.name for p in summary.pipelines} if summary else set()
        rows = []
        async for repo in box.list_repo(all_projects=True):
            row = repo_row(repo, now, self.frame.ascii_only)
            if row.id in made:
                row = row._replace(cells=(*row.cells[:4], "pipeline", row.cells[5]))
            rows.append(row)
        self._rows.set(sorted(rows, key=lambda row: row.id))
        self._table.border_title = f"Repos {count(len(rows))}"
        self._table.refresh_rows()

    def on_virtual_table_opened(self, event: Opened) -> None:
        """Into the repo."""
        self.frame.told(f"list branch {event.row_id}")
        self.frame.visit(Place(REPO, event.row_id))

    def why_not(self, key: Key) -> str:
        if key.id in ("delete", "copy", "downstream") and not self._table.cursor_id:
            return "there is no repo"
        return ""

    async def do_new(self) -> None:
        """Make a repo."""
        name = await self.ask(Ask("New repo?", line="", hint="its name; Esc leaves"))
        if name and (name := name.strip()):
            await self.frame.feed.box.create_repo(name)
            self.frame.told(f"create repo {name}")
            self._table.wanted = name
            await self._load()

    async def do_delete(self) -> None:
        """Delete the marked repos, or the one under the cursor, each once its name was typed."""
        for name in self._table.targets():
            await self._delete(name)
        await self._load()

    async def _delete(self, name: str) -> None:
        box = self.frame.feed.box
        info, users = await box.inspect_repo(name), await box.repo_users(name)
        commits = await box.page_commit(name, limit=1)
        text = f"{count(commits.total)} commits, {size(info.size_bytes)}"
        text += f"; used by {len(users)} pipelines: {', '.join(users)}." if users else "."
        force = " -f" if users else ""
        command = f"delete repo {name}{force}"
        answer = await self.ask(Ask(f"Delete repo {name}?", text, typed=name, command=command))
        if answer == name:
            await box.delete_repo(name, force=bool(users))
            self.frame.told(command)
            self.frame.notice(f"deleted repo {name}")

    def named(self) -> list[tuple[str, str]]:
        """The repo's name."""
        return [("name", self._table.cursor_id or "")]

    async def do_downstream(self) -> None:
        """Its branches, with who uses it in front."""
        self.frame.visit(Place(REPO, self._table.cursor_id or "", pane="used by"))
