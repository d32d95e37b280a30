"""The graph of pipelines as a pane: a cursor on nodes, live states, a set that stands out.

It is laid out when its nodes or lines change and never because of a state: a state repaints the
rows in which it shows. A large graph opens as a list beside the neighbourhood of the selected
node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui import shown
from tui.bindings import bindings
from tui.keymap import LIST
from tui.widgets.picture import (
    Item,
    Look,
    Picture,
    Piece,
    View,
    around,
    beside,
    narrow,
    node,
    width,
)
from tui.widgets.piece_view import PieceView

LARGE = 60
"""More nodes than this, or a picture wider than four screens, opens as a list."""
_LIST_MOST = 46  # columns of the list


_KEYS = {
    "cursor_down": "cursor_to('down')",
    "cursor_up": "cursor_to('up')",
    "cursor_left": "cursor_to('left')",
    "cursor_right": "cursor_to('right')",
    "sideways_left": "cursor_to('left')",
    "sideways_right": "cursor_to('right')",
    "top": "end(-1)",
    "bottom": "end(1)",
    "page_down": "page(1)",
    "page_up": "page(-1)",
    "half_down": "page(0.5)",
    "half_up": "page(-0.5)",
    "open": "open",
}


class Dag(PieceView):
    """See the module. ``cursor`` is the id of the selected node, "" before there is one."""

    DEFAULT_CSS = "Dag { overflow: auto auto; scrollbar-size-horizontal: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST, _KEYS)

    cursor: reactive[str] = reactive("", repaint=False)

    class Opened(Message):
        """Enter or a double click on a node."""

        def __init__(self, dag: Dag, node: str) -> None:
            super().__init__()
            self.dag, self.node = dag, node

        @property
        def control(self) -> Dag:
            """The graph."""
            return self.dag

    class Highlighted(Message):
        """The cursor is on another node."""

        def __init__(self, dag: Dag, node: str) -> None:
            super().__init__()
            self.dag, self.node = dag, node

        @property
        def control(self) -> Dag:
            """The graph."""
            return self.dag

    empty = reactive("")
    """What is written when there is no node."""

    def __init__(
        self,
        *,
        empty: str = "",
        ascii: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.set_reactive(Dag.empty, empty)
        self.view = View(ascii=ascii)
        self._items: dict[str, Item] = {}
        self._shown: list[str] = []  # of the list: all, or the set that stands out
        self._whole: Picture | None = None
        self._near: Picture | None = None
        self._chosen: bool | None = None  # what the user asked for: a list or not
        self._as_list = False

    # what is shown

    def set_graph(self, items: Iterable[Item]) -> None:
        """Show these nodes. Laid out anew only when they or their lines are others; the cursor
        stays on the same node while it is there."""
        found = {item.id: item for item in items}
        if found == self._items:
            return
        self._items = found
        self._whole = self._near = None
        self._arrange()
        if self.cursor not in found:
            self.cursor = self._first()
        self._list()

    def set_looks(self, looks: Mapping[str, Look]) -> None:
        """Show the nodes as they are now; paints what differs."""
        before, self.view.looks = self.view.looks, dict(looks)
        for name in self._items:
            if before.get(name) != looks.get(name):
                self._repaint(name)

    def highlight(self, nodes: Iterable[str] | None) -> None:
        """Let these nodes and the lines between them stand out; None: no such set."""
        lit = None if nodes is None else frozenset(nodes)
        if lit != self.view.lit:
            self.view.lit = lit
            self._list()
            self.refresh()

    @property
    def as_list(self) -> bool:
        """Whether it shows the list and a neighbourhood."""
        return self._as_list

    @property
    def nodes(self) -> frozenset[str]:
        """What is in the graph."""
        return frozenset(self._items)

    def _picture(self) -> Picture:
        if self._whole is None:
            self._whole = Picture(self._items.values())
            if 0 < self.scrollable_size.width < self._whole.layout.width:
                self._whole = Picture(map(narrow, self._items.values()))
        return self._whole

    def _neighbourhood(self) -> Picture:
        if self._near is None:
            self._near = Picture(around(self._items, self.cursor))
        return self._near

    def _arrange(self) -> None:
        """Settle whether it is a list, and how large what can be scrolled is."""
        as_list = self._chosen
        if as_list is None:
            wide = self.scrollable_size.width * 4
            as_list = len(self._items) > LARGE
            as_list = as_list or (bool(wide) and self._picture().layout.width > wide)
        self._as_list = as_list
        if as_list:
            self.virtual_size = Size(self.scrollable_size.width, len(self._shown))
        else:
            layout = self._picture().layout
            self.virtual_size = Size(layout.width, layout.height)
        self.refresh()

    def _list(self) -> None:
        lit = self.view.lit
        self._shown = [name for name in sorted(self._items) if lit is None or name in lit]
        if self._as_list:
            self.virtual_size = Size(self.scrollable_size.width, len(self._shown))

    def _first(self) -> str:
        if self._as_list:
            return next(iter(sorted(self._items)), "")
        return beside(self._picture().layout, "", "down")

    # painting

    def _list_width(self) -> int:
        longest = max((width(item) for item in self._items.values()), default=0)
        return min(longest, _LIST_MOST, max(10, self.scrollable_size.width // 2))

    def render_line(self, y: int) -> Strip:
        """A line of the widget."""
        across = self.scrollable_size.width
        if not self._items:
            lines = self.empty.split("\n")
            text = f"  {lines[y - 1]}" if 1 <= y <= len(lines) else ""
            return self.strip([Piece(shown.pad(text, across), "quiet")])
        left, top = self.scroll_offset
        if not self._as_list:
            return self.strip(self._picture().row(top + y, left, left + across, self.view))
        first = self._list_width()
        pieces = self._list_row(top + y, first)
        bar = "|" if self.view.ascii else "│"
        near, (x, up) = self._neighbourhood(), self._near_offset()
        pieces.append(Piece(f" {bar} ", "line"))
        pieces += near.row(y + up, x, x + max(0, across - first - 3), self.view)
        return self.strip(pieces)

    def _list_row(self, row: int, room: int) -> list[Piece]:
        if not 0 <= row < len(self._shown):
            return [Piece(" " * room, "line")]
        item = self._items[self._shown[row]]
        names = max(4, room - 3 - item.room if item.room else room - 2)
        pieces = node(item, self.view, name_width=names)
        used = sum(shown.columns(piece.text) for piece in pieces)
        return [*pieces, Piece(" " * (room - used), pieces[0].style)]

    def _near_offset(self) -> tuple[int, int]:
        """What is cut from the left and the top of the neighbourhood, to have the node in sight."""
        place = self._neighbourhood().layout.places.get(self.cursor)
        if place is None:
            return 0, 0
        room = max(1, self.scrollable_size.width - self._list_width() - 3)
        high = max(1, self.scrollable_size.height)
        layout = self._neighbourhood().layout
        x = place.x - (room - place.width) // 2 if layout.width > room else 0
        y = place.y - high // 2 if layout.height > high else 0
        return (
            max(0, min(x, layout.width - room)),
            max(0, min(y, layout.height - high)),
        )

    def _repaint(self, name: str) -> None:
        """Paint again the rows in which a node shows."""
        if not name or name not in self._items or not self.is_mounted:
            return
        rows: list[int] = []
        if not self._as_list:
            place = self._picture().layout.places.get(name)
            rows += [place.y - self.scroll_offset.y] if place else []
        else:
            if name in self._shown:
                rows.append(self._shown.index(name) - self.scroll_offset.y)
            place = self._neighbourhood().layout.places.get(name)
            rows += [place.y - self._near_offset()[1]] if place else []
        for row in rows:
            if 0 <= row < self.scrollable_size.height:
                self.refresh(Region(0, row, self.scrollable_size.width, 1))

    # moving

    def select(self, node: str) -> None:
        """Put the cursor on a node, if it is there, and bring it into sight."""
        if node in self._items:
            self.cursor = node

    def validate_cursor(self, cursor: str) -> str:
        """Nodes only."""
        return cursor if cursor in self._items else ""

    def watch_cursor(self, old: str, new: str) -> None:
        """The lines of both show otherwise now."""
        self.view.cursor = new
        self._near = None
        self.refresh()
        self._into_sight()
        if new:
            self.post_message(self.Highlighted(self, new))

    def _into_sight(self) -> None:
        if not self.size or not self.cursor:
            return
        if self._as_list:
            if self.cursor in self._shown:
                region = Region(0, self._shown.index(self.cursor), 1, 1)
                self.scroll_to_region(region, animate=False, force=True)
            return
        place = self._picture().layout.places[self.cursor]
        region = Region(place.x, place.y, place.width, 1)
        self.scroll_to_region(region, animate=False, force=True)

    def action_cursor_to(self, way: str) -> None:
        """Move: up and down to the nearest node there, left and right along lines."""
        if self._as_list and way in ("up", "down"):
            self._step(1 if way == "down" else -1)
        else:
            picture = self._neighbourhood() if self._as_list else self._picture()
            self.select(beside(picture.layout, self.cursor, way))

    def action_end(self, way: int) -> None:
        """To the first or the last node."""
        if self._as_list:
            self._step(way * len(self._shown))
        else:
            rows = [row for row in self._picture().layout.rows if row]
            if rows:
                self.select(rows[0][0].id if way < 0 else rows[-1][-1].id)

    def action_page(self, pages: float) -> None:
        """So many pages on."""
        rows = round(pages * max(1, self.scrollable_size.height - 1))
        if self._as_list:
            self._step(rows)
            return
        name = self.cursor
        for _ in range(abs(rows)):
            name = beside(self._picture().layout, name, "down" if rows > 0 else "up")
        self.select(name)

    def _step(self, rows: int) -> None:
        if self._shown:
            at = self._shown.index(self.cursor) if self.cursor in self._shown else 0
            self.select(self._shown[max(0, min(len(self._shown) - 1, at + rows))])

    def toggle_list(self) -> None:
        """The whole graph, or a list beside a neighbourhood."""
        self._chosen = not self._as_list
        self._arrange()
        self._list()
        self.call_after_refresh(self._into_sight)

    def action_open(self) -> None:
        """Open the selected node."""
        if self.cursor:
            self.post_message(self.Opened(self, self.cursor))

    def on_resize(self, event: Resize) -> None:
        """How much room words have, and what is too wide, depends on the screen."""
        self._whole = None
        self._arrange()
        self._list()
        self.call_after_refresh(self._into_sight)

    def on_focus(self) -> None:
        """The cursor looks otherwise where keys go to."""
        self._repaint(self.cursor)

    def on_blur(self) -> None:
        """The cursor looks otherwise where keys do not go to."""
        self._repaint(self.cursor)

    def on_click(self, event: Click) -> None:
        """Select what is clicked; twice opens it."""
        offset = event.get_content_offset(self)
        name = self._at(offset.x, offset.y) if offset is not None else ""
        if name:
            self.select(name)
            if event.chain == 2:
                self.action_open()

    def _at(self, x: int, y: int) -> str:
        left, top = self.scroll_offset
        if not self._as_list:
            return self._picture().at(left + x, top + y)
        first = self._list_width()
        if x < first:
            return self._shown[top + y] if top + y < len(self._shown) else ""
        cut, up = self._near_offset()
        return self._neighbourhood().at(x - first - 3 + cut, y + up)
