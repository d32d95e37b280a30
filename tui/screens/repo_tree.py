"""The files of a commit as a tree of which only the pages in sight are known.

A folder that is open counts all its entries, but they are fetched a page at a time when they
come into sight, so one of fifty thousand opens as fast as one of five.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from pachybox.errors import NotFound
from tui.held import work_beside
from tui.shown import size
from tui.widgets.rows import Column, Page, Query, Row
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from pachybox.client import AsyncClient, FileInfo

FETCH = 500  # entries of one folder asked for at a time
FOUND = 2_000  # files that a filter shows at most
COLUMNS = (
    Column("name", "FILE", 16, grow=1, sort="name", keep=9, path=True),
    Column("size", "SIZE", 9, right=True, sort="size", keep=5),
)
_ROOT = "/"


class Folder:
    """An open folder: how many entries it has, those fetched, and which of them are open."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.total = 0
        self.pages: dict[int, tuple[FileInfo, ...]] = {}
        self.open: dict[int, Folder] = {}
        self.order: list[int] = []  # the keys of ``open``, ascending

    @property
    def count(self) -> int:
        """Rows below it."""
        return self.total + sum(folder.count for folder in self.open.values())

    def entry(self, index: int) -> FileInfo | None:
        """An entry that was fetched."""
        page = self.pages.get(index // FETCH, ())
        return page[index % FETCH] if index % FETCH < len(page) else None


class TreeRows:
    """Rows of the tree of ``place`` (``repo@ref``); ``changes`` marks paths with a sign."""

    def __init__(self, box: Callable[[], AsyncClient], place: str) -> None:
        self._box, self.place = box, place
        self.changes: Mapping[str, str] = {}
        self.kinds: dict[str, str] = {}  # a path of each suffix seen
        self._root = Folder(_ROOT)
        self._sorted: tuple[str, bool] = ("", False)
        self._stale = True

    def forget(self) -> None:
        """Fetch anew what is shown next; what is open stays open."""
        self._stale = True

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        if query.filter.strip():
            return await self._found(query.filter.strip(), offset, limit)
        sort = (query.sort, query.reverse)
        if self._stale or sort != self._sorted:
            self._sorted, self._stale = sort, False
            paths = {path for path in _opened(self._root) if path != _ROOT}
            self._root = Folder(_ROOT)
            await self._fetch(self._root, 0)
            await self._open_again(self._root, paths)
        rows = [
            self._row(folder, index, depth)
            for folder, index, depth in await self._window(offset, limit)
        ]
        return Page(self._root.count, [row for row in rows if row is not None])

    async def _found(self, text: str, offset: int, limit: int) -> Page:
        """Files anywhere below whose name has ``text`` in it, or matches it where it is a glob."""
        pattern = text if any(c in text for c in "*?[{") else f"**{text}*"
        rows: list[Row] = []
        async for info in self._box().glob_file(f"{self.place}:/{pattern.lstrip('/')}"):
            rows.append(self._line(info, info.path, ""))
            if len(rows) == FOUND:
                break
        return Page(len(rows), rows[offset : offset + limit], len(rows) == FOUND)

    async def _fetch(self, folder: Folder, page: int) -> None:
        if page in folder.pages:
            return
        word, reverse = self._sorted
        try:
            found = await self._box().page_file(
                f"{self.place}:{folder.path}",
                offset=page * FETCH,
                limit=FETCH,
                sort=word or "name",
                reverse=reverse,
            )
        except NotFound:
            if folder.path != _ROOT:
                raise
            folder.total, folder.pages[page] = 0, ()  # a commit without files has no root
            return
        folder.total, folder.pages[page] = found.total, found.rows

    async def _open_again(self, folder: Folder, paths: set[str]) -> None:
        """Open what was open, as far as it is on the pages fetched."""
        for index in range(min(folder.total, FETCH)):
            info = folder.entry(index)
            if info is not None and info.path in paths:
                await self._unfold(folder, index)
                await self._open_again(folder.open[index], paths)

    async def _window(self, offset: int, limit: int) -> list[tuple[Folder, int, int]]:
        """The entries at rows [offset, offset + limit), their pages fetched."""
        found: list[tuple[Folder, int, int]] = []
        for folder, first, last, depth in _stretches(self._root, offset, offset + limit):
            for page in range(first // FETCH, (last - 1) // FETCH + 1):
                await self._fetch(folder, page)
            found += [(folder, index, depth) for index in range(first, last)]
        return found

    def _row(self, folder: Folder, index: int, depth: int) -> Row | None:
        info = folder.entry(index)
        if info is None:
            return None
        sign = "v " if index in folder.open else "> " if info.is_dir else "  "
        name = info.path.rstrip("/").rpartition("/")[2] + ("/" if info.is_dir else "")
        return self._line(info, name, "  " * depth + sign)

    def _line(self, info: FileInfo, name: str, before: str) -> Row:
        self.kinds.setdefault(info.path.rpartition(".")[2], info.path)
        change = self.changes.get(info.path, "")
        style = {"+": "ok", "~": "warn"}.get(change, "")
        shown: str | Content = before + name
        if change:
            before = f"{before.rstrip()}{change} ".rjust(len(before))
            shown = before[-max(len(before), 2) :] + name
        return Row(info.path, (shown, size(info.size_bytes)), style)

    def _place_of(self, path: str) -> tuple[Folder, int] | None:
        folder = self._root
        while True:
            below: Folder | None = None
            for number, page in folder.pages.items():
                for at, info in enumerate(page):
                    if info.path == path:
                        return folder, number * FETCH + at
            for child in folder.open.values():
                if path.startswith(child.path):
                    below = child
            if below is None:
                return None
            folder = below

    @property
    def known(self) -> int:
        """Entries that were fetched and are kept."""
        return _known(self._root)

    def info(self, path: str) -> FileInfo | None:
        """An entry in sight or seen before."""
        place = self._place_of(path)
        return place[0].entry(place[1]) if place else None

    def is_open(self, path: str) -> bool:
        """Whether a folder is unfolded."""
        place = self._place_of(path)
        return place is not None and place[1] in place[0].open

    async def unfold(self, path: str) -> bool:
        """Show what is in a folder; False when that is no folder, or unfolded already."""
        place = self._place_of(path)
        if place is None or place[1] in place[0].open:
            return False
        info = place[0].entry(place[1])
        if info is None or not info.is_dir:
            return False
        await self._unfold(*place)
        return True

    async def _unfold(self, folder: Folder, index: int) -> None:
        info = folder.entry(index)
        assert info is not None
        child = Folder(info.path)
        await self._fetch(child, 0)
        if index not in folder.open:
            insort(folder.order, index)
        folder.open[index] = child

    def fold(self, path: str) -> bool:
        """Hide what is in a folder; False when it was hidden."""
        place = self._place_of(path)
        if place is None or place[1] not in place[0].open:
            return False
        folder, index = place
        del folder.open[index]
        folder.order.remove(index)
        return True

    async def reveal(self, path: str) -> bool:
        """Unfold all folders above ``path``, as far as they lie on first pages."""
        above, _, _ = path.rstrip("/").rpartition("/")
        at = ""
        for part in above.split("/")[1:]:
            at = f"{at}/{part}"
            if not self.is_open(f"{at}/") and not await self.unfold(f"{at}/"):
                return False
        return True


def _opened(folder: Folder) -> list[str]:
    found = [folder.path]
    for child in folder.open.values():
        found += _opened(child)
    return found


def _known(folder: Folder) -> int:
    own = sum(len(page) for page in folder.pages.values())
    return own + sum(_known(child) for child in folder.open.values())


def _stretches(
    folder: Folder, first: int, last: int, depth: int = 0
) -> list[tuple[Folder, int, int, int]]:
    """Rows [first, last) below a folder as (folder, from entry, to entry, depth), in order."""
    found: list[tuple[Folder, int, int, int]] = []
    row = at = 0  # the next row, and the entry it is

    def own(until: int) -> None:
        nonlocal row, at
        low, high = max(first - row, 0), min(last - row, until - at)
        if low < high:
            found.append((folder, at + low, at + high, depth))
        row, at = row + until - at, until

    for index in folder.order:
        own(index + 1)
        child = folder.open[index]
        if row < last and row + child.count > first:
            found += _stretches(child, first - row, last - row, depth + 1)
        row += child.count
        if row >= last:
            return found
    own(folder.total)
    return found


class Seeking(VirtualTable):
    """A list that puts its cursor on row ``wanted`` once that comes, unless a key comes first."""

    wanted = ""

    def on_virtual_table_loaded(self) -> None:
        """Rows came."""
        if self.wanted and self.show_row(self.wanted):
            self.wanted = ""

    def on_key(self) -> None:
        """The user goes elsewhere."""
        self.wanted = ""


class FileTree(Seeking):
    """The tree as a list pane: arrows, ``h`` and ``l``, Enter fold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "cursor_right", "unfold", show=False)  # no folder has logs
    ]

    @property
    def files(self) -> TreeRows | None:
        """Where its rows come from."""
        return self.rows if isinstance(self.rows, TreeRows) else None

    async def action_open(self) -> None:  # type: ignore[override]
        """A folder folds or unfolds; a file is opened."""
        path, files = self.cursor_id, self.files
        if path is None or files is None or not path.endswith("/"):
            super().action_open()
        elif not files.fold(path):
            self._unfolding(path)
        else:
            self.refresh_rows()

    def _unfolding(self, path: str) -> None:
        work_beside(self, self._unfold(path), group="unfold", exclusive=True)

    async def _unfold(self, path: str) -> None:
        files = self.files
        if files is not None and await files.unfold(path):
            self.refresh_rows()

    def action_cursor_right(self) -> None:
        """Unfold the folder under the cursor, or go into it."""
        path, files = self.cursor_id, self.files
        if path is None or files is None or not path.endswith("/"):
            return
        if files.is_open(path):
            self.action_cursor_down()
        else:
            self._unfolding(path)

    def action_cursor_left(self) -> None:
        """Fold the folder under the cursor, or go to the one it lies in."""
        path, files = self.cursor_id, self.files
        if path is None or files is None:
            return
        if files.fold(path):
            self.refresh_rows()
            return
        above = path.rstrip("/").rpartition("/")[0] + "/"
        if above != _ROOT:
            self.show_row(above)
