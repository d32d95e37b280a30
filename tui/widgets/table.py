"""A table on rows that are never all in memory: a million open like ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.worker import Worker

from tui import glyphs
from tui.bindings import bindings
from tui.held import work_beside
from tui.keymap import LIST
from tui.widgets import table_messages, table_paint
from tui.widgets.columns import Placed, fitted, gap, spread
from tui.widgets.pages import Pages
from tui.widgets.panes import pane_of
from tui.widgets.rows import PAGE, Column, LocalRows, Page, Query, Row, Rows, plain
from tui.widgets.rows import Cell as Cell
from tui.widgets.table_paint import GUTTER

SIDEWAYS = 8


class VirtualTable(ScrollView, can_focus=True):
    """Rows of ``rows`` in ``columns``, by windows of a page; see the messages it posts.

    Loading, an error and an empty list are told in the table itself. What is asked of the rows
    (filter and sort) is ``request``; whoever sets it shows it.
    """

    pane_kind = "list"
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    VirtualTable {
        background: $surface; color: $foreground; overflow-x: hidden; overflow-y: auto;
        height: 1fr; scrollbar-size-vertical: 1;
        & > .virtual-table--header { text-style: bold; color: $text-muted; }
        & > .virtual-table--cursor { background: $block-cursor-blurred-background; }
        &:focus > .virtual-table--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
        & > .virtual-table--marked { color: $text-accent; text-style: bold; }
        & > .virtual-table--message { color: $text-muted; }
        STATES
    }
    """.replace("STATES", "\n".join(f"& > {rule}" for rule in glyphs.RULES.splitlines()))
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"virtual-table--{name}" for name in ("header", "cursor", "marked", "message")
    } | glyphs.CLASSES
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST)

    request: reactive[Query] = reactive(Query(), repaint=False)
    cursor: reactive[int] = reactive(0, repaint=False)

    Highlighted: TypeAlias = table_messages.Highlighted
    Opened: TypeAlias = table_messages.Opened
    Marked: TypeAlias = table_messages.Marked
    Loaded: TypeAlias = table_messages.Loaded

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
        self.post_message(self.Loaded(self))
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
            self.post_message(self.Highlighted(self, self._row_id))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load()

    def on_resize(self) -> None:
        self._repaint()
        self._reveal()
        self._load()

    def action_cursor_down(self) -> None:
        """One row down."""
        self._move(self.cursor + 1)

    def action_cursor_up(self) -> None:
        """One row up."""
        self._move(self.cursor - 1)

    def action_page_down(self) -> None:
        """A page down."""
        self._move(self.cursor + self._height)

    def action_page_up(self) -> None:
        """A page up."""
        self._move(self.cursor - self._height)

    def action_half_down(self) -> None:
        """Half a page down."""
        self._move(self.cursor + self._height // 2)

    def action_half_up(self) -> None:
        """Half a page up."""
        self._move(self.cursor - self._height // 2)

    def action_top(self) -> None:
        """To the first row."""
        self._move(0)

    def action_bottom(self) -> None:
        """To the last row."""
        self._move(self.total - 1)

    def action_sideways_left(self) -> None:
        """Sideways to the left; at its end columns are fitted to the width again."""
        self.shift = max(0, self.shift - SIDEWAYS)
        self._repaint()

    def action_sideways_right(self) -> None:
        """Sideways to the right, over all columns at their whole width."""
        whole = sum(placed.width + gap(self.body_width - GUTTER) for placed in self._spread())
        if whole - self.shift > self.body_width - GUTTER:
            self.shift += SIDEWAYS
            self._repaint()

    def action_cursor_left(self) -> None:
        """The same as sideways: a table has nothing to fold."""
        self.action_sideways_left()

    def action_cursor_right(self) -> None:
        """The same as sideways."""
        self.action_sideways_right()

    # ---- marks, filter, sort, open

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where no verb takes many rows, none is marked."""
        return self.can_mark or action not in ("mark", "mark_all")

    def sift(self, text: str) -> None:
        """Show the rows that a filter lets through; its pane says which."""
        self.request = self.request._replace(filter=text)
        if (pane := pane_of(self)) is not None:
            pane.border_subtitle = Content(f"/{text}") if text else ""

    def _set_marks(self, marks: set[str]) -> None:
        if marks != self._marked:
            self._marked = marks
            self._strips.clear()
            self.refresh()
            self.post_message(self.Marked(self))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or no longer; the cursor goes on."""
        if self.cursor_id is not None:
            self._set_marks(self._marked ^ {self.cursor_id})
            self.action_cursor_down()

    def action_mark_all(self) -> None:
        """Mark the rows in memory under this filter; none where all are marked."""
        shown = {row.id for _, row in self._pages.rows()}
        self._set_marks(self._marked - shown if shown <= self._marked else self._marked | shown)

    def _sort_by(self, step: int) -> None:
        words = [column.sort for column in self.columns if column.sort]
        if not words:
            return
        here = words.index(self.request.sort) if self.request.sort in words else -(step < 0)
        start = here if self.request.sort in words else here - step * (step > 0)
        self.request = self.request._replace(sort=words[(start + step) % len(words)], reverse=False)

    def action_sort_left(self) -> None:
        """Sort by the next column to the left that can be sorted by."""
        self._sort_by(-1)

    def action_sort_right(self) -> None:
        """Sort by the next to the right."""
        self._sort_by(1)

    def action_sort_reverse(self) -> None:
        """Sort the other way round."""
        self.request = self.request._replace(reverse=not self.request.reverse)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.cursor_id is not None:
            self.post_message(self.Opened(self, self.cursor_id))

    def on_click(self, event: events.Click) -> None:
        """A click goes to the row, a second one opens it; on the header it sorts."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            self._click_header(offset.x)
            return
        index = self.scroll_offset.y + offset.y - 1
        if index < self.total:
            self._move(index)
            if event.chain == 2:
                self.action_open()

    def _click_header(self, x: int) -> None:
        at = GUTTER - self.shift
        for placed in self.placed():
            if at <= x < at + placed.width and placed.column.sort:
                same = placed.column.sort == self.request.sort
                self.request = self.request._replace(
                    sort=placed.column.sort, reverse=same and not self.request.reverse
                )
            at += placed.width + gap(self.body_width - GUTTER)

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
            return table_paint.header(self)
        index = self.scroll_offset.y + y - 1
        if self.total == 0 or (self.problem and self.row(self.scroll_offset.y) is None):
            return table_paint.message(self, y - 2)
        if index >= self.total:
            return Strip.blank(self.body_width, self.rich_style)
        strip = self._strips.get(index)
        if strip is None:
            strip = self._strips[index] = table_paint.row(self, index)
        return strip
