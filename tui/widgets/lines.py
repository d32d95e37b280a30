"""A short list as a pane: a line an entry, without a header; paints the lines that changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.bindings import bindings
from tui.keymap import LIST
from tui.widgets.filters import matcher
from tui.widgets.picture import Piece
from tui.widgets.piece_view import PIECE_KEYS, PieceView
from tui.widgets.selecting import Selecting


class Entry(NamedTuple):
    """A line; ``id`` is what it is of."""

    id: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The line without its styles."""
        return "".join(piece.text for piece in self.pieces)


class Lines(PieceView, Selecting):
    """See the module. ``cursor`` stays on its entry when others come or go."""

    ALLOW_SELECT = True
    DEFAULT_CSS = "Lines { overflow: hidden auto; scrollbar-gutter: stable; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST, PIECE_KEYS)

    cursor: reactive[int] = reactive(0, repaint=False)

    class Opened(Message):
        """Enter or a double click on an entry."""

        def __init__(self, lines: Lines, id: str) -> None:
            super().__init__()
            self.lines, self.id = lines, id

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    class Highlighted(Message):
        """The cursor is on another entry."""

        def __init__(self, lines: Lines, id: str) -> None:
            super().__init__()
            self.lines, self.id = lines, id

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    def __init__(
        self, *, empty: str = "", id: str | None = None, classes: str | None = None
    ) -> None:
        """``empty`` is what is written when there is nothing."""
        super().__init__(id=id, classes=classes)
        self._empty = empty
        self._all: list[Entry] = []
        self._shown: list[Entry] = []
        self.filter = ""

    def set_entries(self, entries: Iterable[Entry]) -> None:
        """Show these; the cursor stays on the same one."""
        self._all = list(entries)
        self._choose()

    def set_filter(self, text: str) -> None:
        """Show those that match only (as in a table: regex, !without, ~fuzzy)."""
        self.filter = text
        self._choose()

    def set_empty(self, text: str) -> None:
        """What is written when there is nothing."""
        if text != self._empty:
            self._empty = text
            self.refresh()

    @property
    def entries(self) -> list[Entry]:
        """What is shown."""
        return self._shown

    @property
    def chosen(self) -> str:
        """The id under the cursor; "" where there is none."""
        return self._shown[self.cursor].id if self.cursor < len(self._shown) else ""

    def _choose(self) -> None:
        match = matcher(self.filter, ["text"]) if self.filter.strip() else None
        before, at = self._shown, self.chosen
        self._shown = [e for e in self._all if match is None or match([e.text])]
        self.virtual_size = Size(self.scrollable_size.width, len(self._shown))
        places = {entry.id: i for i, entry in enumerate(self._shown)}
        moved = places.get(at, min(self.cursor, max(0, len(self._shown) - 1)))
        if len(before) != len(self._shown):
            self.refresh()
        else:
            for row, (old, new) in enumerate(zip(before, self._shown, strict=True)):
                if old != new:
                    self._repaint(row)
        if moved != self.cursor:
            self.cursor = moved
        elif at != self.chosen:
            self.post_message(self.Highlighted(self, self.chosen))

    def on_resize(self) -> None:
        """Lines are cut at the pane's edge."""
        self.virtual_size = Size(self.scrollable_size.width, len(self._shown))

    def on_focus(self) -> None:
        """The cursor looks otherwise where keys go to."""
        self._repaint(self.cursor)

    def on_blur(self) -> None:
        """The cursor looks otherwise where keys do not go to."""
        self._repaint(self.cursor)

    def render_line(self, y: int) -> Strip:
        """A line of the widget."""
        if not self._shown:
            text = "nothing matches" if self._all else self._empty
            lines = text.split("\n")
            return self.strip([Piece(f" {lines[y]}" if y < len(lines) else "", "quiet")])
        row = self.scroll_offset.y + y
        if row >= len(self._shown):
            return self.strip([])
        return self.selectable(self.strip(self._shown[row].pieces, here=row == self.cursor), row)

    def row_text(self, row: int) -> str | None:
        """An entry's line."""
        return self.strip(self._shown[row].pieces).text if row < len(self._shown) else None

    def _repaint(self, row: int) -> None:
        y = row - self.scroll_offset.y
        if 0 <= y < self.scrollable_size.height:
            self.refresh(Region(0, y, self.scrollable_size.width, 1))

    def validate_cursor(self, cursor: int) -> int:
        """Within the entries."""
        return max(0, min(cursor, len(self._shown) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Paint both, and keep it in sight."""
        self._repaint(old)
        self._repaint(new)
        if self.size:
            self.scroll_to_region(Region(0, new, 1, 1), animate=False, force=True)
        self.post_message(self.Highlighted(self, self.chosen))

    def action_cursor_down(self) -> None:
        """To the next."""
        self.cursor += 1

    def action_cursor_up(self) -> None:
        """To the one before."""
        self.cursor -= 1

    def action_top(self) -> None:
        """To the first."""
        self.cursor = 0

    def action_bottom(self) -> None:
        """To the last."""
        self.cursor = len(self._shown) - 1

    def action_half_down(self) -> None:
        """Half a page down."""
        self.cursor += max(1, self.scrollable_size.height // 2)

    def action_half_up(self) -> None:
        """Half a page up."""
        self.cursor -= max(1, self.scrollable_size.height // 2)

    def action_page_down(self) -> None:
        """A page down."""
        self.cursor += max(1, self.scrollable_size.height)

    def action_page_up(self) -> None:
        """A page up."""
        self.cursor -= max(1, self.scrollable_size.height)

    def action_open(self) -> None:
        """Open what is under the cursor."""
        if self.chosen:
            self.post_message(self.Opened(self, self.chosen))

    def on_click(self, event: Click) -> None:
        """Select what is clicked; twice opens it."""
        offset = event.get_content_offset(self)
        if offset is None or self.scroll_offset.y + offset.y >= len(self._shown):
            return
        self.cursor = self.scroll_offset.y + offset.y
        if event.chain == 2:
            self.action_open()
