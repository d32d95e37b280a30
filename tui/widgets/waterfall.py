"""The timing of a job as a pane of three tabs: waterfall, by phase, slowest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui import shown
from tui.bindings import bindings
from tui.keymap import LIST
from tui.widgets.picture import Piece
from tui.widgets.piece_view import PIECE_KEYS, PieceView
from tui.widgets.timing import Row, by_phase, slowest, waterfall

if TYPE_CHECKING:
    from pachybox.client.page_values import JobTiming

TABS = ("waterfall", "by-phase", "slowest")
_MAKERS = {
    "waterfall": waterfall,
    "by-phase": by_phase,
    "slowest": slowest,
}


class Waterfall(PieceView):
    """See the module. The first line has the tabs; ``tab`` is the name of the one in front."""

    DEFAULT_CSS = "Waterfall { overflow: hidden auto; scrollbar-gutter: stable; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST, PIECE_KEYS)

    tab: reactive[str] = reactive(TABS[0], repaint=False)
    cursor: reactive[int] = reactive(0, repaint=False)

    class Opened(Message):
        """Enter or a double click on a datum."""

        def __init__(self, pane: Waterfall, datum: str) -> None:
            super().__init__()
            self.pane, self.datum = pane, datum

        @property
        def control(self) -> Waterfall:
            """The pane."""
            return self.pane

    def __init__(
        self, *, ascii: bool = False, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._ascii = ascii
        self._timing: JobTiming | None = None
        self._why = "loading ..."
        self._rows: list[Row] = []

    def set_timing(self, timing: JobTiming | None) -> None:
        """Show this; None while it is being read. Cursor and tab stay."""
        if timing != self._timing:
            self._timing = timing
            self._make()

    def say(self, why: str) -> None:
        """Why there is none."""
        self._timing, self._why = None, why
        self._make()

    def turn(self, tabs: int) -> None:
        """So many tabs to the right."""
        self.tab = TABS[(TABS.index(self.tab) + tabs) % len(TABS)]

    def watch_tab(self) -> None:
        """Another picture of the same."""
        self.cursor = 0
        self.scroll_to(y=0, animate=False)
        self._make()

    def _make(self) -> None:
        width = self.scrollable_size.width
        if self._timing is None:
            self._rows = [Row((Piece(self._why, "quiet"),))]
        else:
            self._rows = _MAKERS[self.tab](self._timing, width, ascii=self._ascii)
        self.virtual_size = Size(width, len(self._rows) + 1)
        self.cursor = min(self.cursor, len(self._rows) - 1)
        self.refresh()

    def on_resize(self) -> None:
        """The axis of time is as wide as the pane, once that has its new size."""
        self.call_after_refresh(self._make)

    # painting

    def render_line(self, y: int) -> Strip:
        """The tabs, or a row."""
        if y == 0:
            parts = [(f"[{t}]" if t == self.tab else f" {t} ", t == self.tab) for t in TABS]
            pieces = [Piece(text, "tab" if on else "quiet") for text, on in parts]
            return self.strip(pieces)
        at = self.scroll_offset.y + y - 1
        row = self._rows[at] if at < len(self._rows) else Row(())
        return self.strip(row.pieces, here=at == self.cursor and bool(row.datum))

    # moving

    @property
    def datum(self) -> str:
        """The datum under the cursor; "" where there is none."""
        return self._rows[self.cursor].datum if 0 <= self.cursor < len(self._rows) else ""

    def validate_cursor(self, cursor: int) -> int:
        """Within the rows."""
        return max(0, min(cursor, len(self._rows) - 1))

    def watch_cursor(self) -> None:
        """Keep it in sight."""
        self.refresh()
        if self.size:
            region = Region(0, self.cursor, 1, 2)  # the line of tabs takes one
            self.scroll_to_region(region, animate=False, force=True)

    def action_cursor_down(self) -> None:
        """To the next datum."""
        self._move(1)

    def action_cursor_up(self) -> None:
        """To the datum before."""
        self._move(-1)

    def _move(self, rows: int) -> None:
        """So many rows on, and further to where a datum is."""
        step = 1 if rows > 0 else -1
        at = max(0, min(self.cursor + rows, len(self._rows) - 1))
        while 0 <= at < len(self._rows) and not self._rows[at].datum:
            at += step
        self.cursor = at if 0 <= at < len(self._rows) else self.cursor + rows

    def action_top(self) -> None:
        """To the first row."""
        self.cursor = 0

    def action_bottom(self) -> None:
        """To the last row."""
        self.cursor = len(self._rows) - 1

    def action_half_down(self) -> None:
        """Half a page down."""
        self._move(max(1, self.scrollable_size.height // 2))

    def action_half_up(self) -> None:
        """Half a page up."""
        self._move(-max(1, self.scrollable_size.height // 2))

    def action_page_down(self) -> None:
        """A page down."""
        self._move(max(1, self.scrollable_size.height - 1))

    def action_page_up(self) -> None:
        """A page up."""
        self._move(-max(1, self.scrollable_size.height - 1))

    def action_open(self) -> None:
        """Open the datum under the cursor."""
        if self.datum:
            self.post_message(self.Opened(self, self.datum))

    def on_click(self, event: Click) -> None:
        """A tab, or a row; twice opens its datum."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            end = 0
            for name in TABS:
                end += shown.columns(name) + 2
                if offset.x < end:
                    self.tab = name
                    return
            return
        self.cursor = self.scroll_offset.y + offset.y - 1
        if event.chain == 2:
            self.action_open()
