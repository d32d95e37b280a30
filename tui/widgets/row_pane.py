"""Rows that are never all in memory, as a pane shows them: fetched by windows, a cursor, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.worker import Worker

from tui.held import work_beside
from tui.widgets import table_paint
from tui.widgets.columns import Placed, fitted, spread
from tui.widgets.pages import Pages
from tui.widgets.rows import PAGE, Column, LocalRows, Page, Query, Row, Rows, plain
from tui.widgets.selecting import Selecting
from tui.widgets.table_paint import GUTTER

SIDEWAYS = 8


class RowPane(Selecting, can_focus=True):
    """Rows of ``rows`` in ``columns``; ``VirtualTable`` gives it keys and messages.

    Loading, an error and an empty list are told in the pane itself. What is asked of the rows
    (filter and sort) is ``request``; whoever sets it shows it.
    """

    request: reactive[Query] = reactive(Query(), repaint=False)
    cursor: reactive[int] = reactive(0, repaint=False)

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Rows | None = None,
        *,
        empty: str = "",
        marks: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.can_mark = marks
        self.columns = tuple(columns)
        self.empty = empty
        self.rows: Rows | None = None
        self.problem = ""
        self._pages = Pages()
        self._marked: set[str] = set()
        self._row_id: str | None = None
        self._told: tuple[str | None] | None = None
        self.shift = 0
        self._asked = 0
        self._loader: Worker[None] | None = None
        self._strips: dict[int, Strip] = {}
        self._columns_placed: list[Placed] | None = None
        self._placed_width = 0
        self._restart = False
        self._take(rows)

    # ---- what others ask and set

    @property
    def total(self) -> int:
        """Rows in all under the present filter; 0 before the first came."""
        return max(self._pages.total, 0)

    @property
    def at_least(self) -> bool:
        """There may be more than ``total``."""
        return self._pages.at_least

    @property
    def loading_rows(self) -> bool:
        """No row has come yet, though some are awaited."""
        if isinstance(self.rows, LocalRows) and not self.rows.known:
            return True
        return self.rows is not None and self._pages.total < 0

    def row(self, index: int) -> Row | None:
        """The row at that place, where it was fetched."""
        return self._pages.row(index)

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor, where it was fetched."""
        return self._pages.row(self.cursor)

    @property
    def cursor_id(self) -> str | None:
        """Its id."""
        row = self.cursor_row
        return row.id if row else None

    @property
    def marked(self) -> frozenset[str]:
        """Ids of the marked rows, seen or not."""
        return frozenset(self._marked)

    def targets(self) -> list[str]:
        """What an action is about: the marked rows, else the one under the cursor."""
        return sorted(self._marked) or ([self.cursor_id] if self.cursor_id else [])

    def unmark(self) -> None:
        """No row is marked any more."""
        self._set_marks(set())

    def set_rows(self, rows: Rows | None) -> None:
        """Another list: cursor at its top, no marks."""
        self._take(rows)
        self._pages = Pages()
        self._row_id, self.cursor = None, 0
        self._set_marks(set())
        self._ask_again(restart=True)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Other columns for the same rows; a ``refresh_rows`` should follow."""
        self.columns = tuple(columns)
        self._take(self.rows)
        self._repaint()

    def refresh_rows(self) -> None:
        """Fetch again what is looked at. Cursor (by id), marks and place stay."""
        self._pages.expire()
        self._ask_again(restart=False)

    def show_row(self, row_id: str) -> bool:
        """Put the cursor on that row, where it is among those in memory."""
        for index, row in self._pages.rows():
            if row.id == row_id:
                self._move(index)
                return True
        return False

    def _take(self, rows: Rows | None) -> None:
        self.rows = rows
        if isinstance(rows, LocalRows):
            rows.columns = self.columns

    def watch_request(self) -> None:
        """Another filter or sort: from the top, with the cursor on its row if it is there."""
        self._pages.expire()
        self._ask_again(restart=True)

    # ---- fetching

    # ---- what is told

    def cursor_came(self, row_id: str | None) -> None:
        """The cursor is on another row; None where there is none."""

    def rows_came(self) -> None:
        """``total`` and what is shown may be others."""

    def marks_changed(self) -> None:
        """The set of marked rows is another."""

    def on_mount(self) -> None:
        self._load()

    def _ask_again(self, restart: bool) -> None:
        self._asked += 1
        self._restart = self._restart or restart
        self.problem = ""
        self._load()
        self.refresh()

    def _wanted(self) -> list[int]:
        """Pages to have: those in sight, the cursor's, and the next one."""
        if self._restart:
            return [0]
        first = self.scroll_offset.y
        last = max(first, first + self._height - 1)
        seen = list(range(first // PAGE, last // PAGE + 1))
        return [*seen, self.cursor // PAGE, seen[-1] + 1]

    @property
    def body_width(self) -> int:
        """Cells of a line, without the scroll bar."""
        return self.scrollable_size.width

    @property
    def _height(self) -> int:
        return max(self.size.height - 1, 1)

    def _load(self) -> None:
        """Have what is in sight fetched, unless a fetch is on (which looks again at its end)."""
        if self.rows is None or not self.is_attached or self.problem:
            return
        if self._loader is not None and not self._loader.is_finished:
            return
        if self._restart or self._pages.missing(self._wanted()) is not None:
            self._loader = work_beside(self, self._fetch())

    async def _fetch(self) -> None:
        while self.rows is not None and not self.problem:
            number = 0 if self._restart else self._pages.missing(self._wanted())
            if number is None:
                return
            asked = self._asked
            try:
                page = await self.rows.page(self.request, number * PAGE, PAGE)
            except Exception as problem:  # whatever a source raises is shown, never the end
                if asked == self._asked:
                    self.problem = str(problem) or type(problem).__name__
                    self.refresh()
                continue
            if asked == self._asked:
                self._came(number, page)

    def _came(self, number: int, page: Page) -> None:
        restart, self._restart = self._restart, False
        if restart:
            self._pages.clear()
        self._pages.put(number, page)
        self._strips.clear()
        height = self.total + 1
        if self.virtual_size.height != height:
            self.virtual_size = Size(0, height)
        self._follow_cursor(restart)
        self.rows_came()
        self.refresh()

    def _follow_cursor(self, restart: bool) -> None:
        """Keep the cursor on its row when that has another place, else within the list."""
        index = 0 if restart else min(self.cursor, max(self.total - 1, 0))
        top = self.scroll_offset.y
        seen = restart or top <= self.cursor < top + self._height
        row = self._pages.row(index)
        if self._row_id is not None and (row is None or row.id != self._row_id):
            moved = next((at for at, row in self._pages.rows() if row.id == self._row_id), None)
            if moved is not None:
                if top > 0 and not restart:  # at the top what is new is to be seen
                    self.scroll_to(y=top + moved - index, animate=False, force=True)
                index = moved
        if restart:
            self.scroll_to(y=0, animate=False, force=True)
        self._move(index, reveal=seen)

    # ---- the cursor

    def _move(self, index: int, reveal: bool = True) -> None:
        index = min(max(index, 0), max(self.total - 1, 0))
        if index != self.cursor:
            for line in (self.cursor, index):
                self._strips.pop(line, None)
                self.refresh_line(line + 1)
            self.cursor = index
            self._row_id = self.cursor_id
        if reveal:
            self._reveal()
        self._tell()
        self._load()

    def _reveal(self) -> None:
        top, height = self.scroll_offset.y, self._height
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def _tell(self) -> None:
        """Say where the cursor is, once, when that row is known."""
        row = self.cursor_row
        if row is None and self.total:
            return
        self._row_id = row.id if row else None
        if self._told != (self._row_id,):
            self._told = (self._row_id,)
            self.cursor_came(self._row_id)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load()

    def on_resize(self) -> None:
        self._repaint()
        self._reveal()
        self._load()

    def _set_marks(self, marks: set[str]) -> None:
        if marks != self._marked:
            self._marked = marks
            self._strips.clear()
            self.refresh()
            self.marks_changed()

    # ---- drawing

    def notify_style_update(self) -> None:
        """Styles are others: what was drawn is old."""
        super().notify_style_update()
        self._strips.clear()

    def _repaint(self) -> None:
        self._columns_placed = None
        self._strips.clear()
        self.refresh()

    def on_focus(self) -> None:
        self._strips.clear()
        self.refresh_line(self.cursor + 1)

    def on_blur(self) -> None:
        self.on_focus()

    def placed(self) -> list[Placed]:
        """The columns that are drawn."""
        width = self.body_width
        if self._columns_placed is None or self._placed_width != width:
            self._placed_width = width
            self._strips.clear()  # a scroll bar came or went
            self._columns_placed = (
                self._spread() if self.shift else fitted(self.columns, width - GUTTER)
            )
        return self._columns_placed

    def _spread(self) -> list[Placed]:
        longest = [cell_len(column.title) for column in self.columns]
        top = self.scroll_offset.y
        for index in range(top, top + self._height):
            row = self._pages.row(index)
            for at, cell in enumerate(row.cells if row else ()):
                longest[at] = max(longest[at], cell_len(plain(cell)))
        return spread(self.columns, longest)

    def render_line(self, y: int) -> Strip:
        """A line of the widget: the header, a row, or what there is to say instead."""
        if y == 0:
            return self.selectable(table_paint.header(self), 0)
        index = self.scroll_offset.y + y - 1
        if self.total == 0 or (self.problem and self.row(self.scroll_offset.y) is None):
            return table_paint.message(self, y - 2)
        if index >= self.total:
            return Strip.blank(self.body_width, self.rich_style)
        strip = self._strips.get(index)
        if strip is None:
            strip = self._strips[index] = table_paint.row(self, index)
        return self.selectable(strip, index + 1)

    def row_text(self, row: int) -> str | None:
        """The header is row 0."""
        if row == 0:
            return table_paint.header(self).text
        return table_paint.row(self, row - 1).text if self.row(row - 1) is not None else None
