"""A table on rows that are never all in memory: a million open like ten. Its keys."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from textual import events
from textual.binding import BindingType
from textual.content import Content

from tui.bindings import bindings
from tui.keymap import LIST
from tui.widgets import table_messages
from tui.widgets.columns import gap
from tui.widgets.panes import pane_of
from tui.widgets.row_pane import RowPane
from tui.widgets.table_paint import GUTTER

SIDEWAYS = 8


class VirtualTable(RowPane):
    """Rows in columns, by windows of a page; see the messages it posts."""

    pane_kind = "list"
    margin = GUTTER
    DEFAULT_CSS = """
    VirtualTable {
        background: $surface; color: $foreground; overflow-x: hidden; overflow-y: auto;
        height: 1fr; scrollbar-size-vertical: 1;
        & > .virtual-table--cursor { background: $block-cursor-blurred-background; }
        &:focus > .virtual-table--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"virtual-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST)

    Highlighted: TypeAlias = table_messages.Highlighted
    Opened: TypeAlias = table_messages.Opened
    Marked: TypeAlias = table_messages.Marked
    Loaded: TypeAlias = table_messages.Loaded

    def cursor_came(self, row_id: str | None) -> None:
        self.post_message(self.Highlighted(self, row_id))

    def rows_came(self) -> None:
        self.post_message(self.Loaded(self))

    def marks_changed(self) -> None:
        self.post_message(self.Marked(self))

    # ---- moving

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
