"""The text pane of the repo view: tabs on top, a preview's lines below, drawn as they are seen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

from tui.bindings import bindings
from tui.keymap import LIST, TEXT
from tui.places import Place
from tui.preview import Line, Text
from tui.screens.repo_draw import Lines, TextLines, TreeLines
from tui.screens.repo_entries import EntryLines
from tui.widgets.cells import safe
from tui.widgets.filter_bar import FilterBar
from tui.widgets.text_pane import READING

_ACTIONS = {"scroll_down": "down", "scroll_up": "up", "scroll_home": "top", "scroll_end": "bottom"}
_ACTIONS |= {"scroll_left": "sideways(-8)", "scroll_right": "sideways(8)"}


if TYPE_CHECKING:
    from textual.css.styles import RulesMap


class Pane(ScrollView, can_focus=True):
    """Shows ``Lines`` under a line of tabs. Trees and entries have a cursor, text scrolls."""

    pane_kind = "text"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(TEXT, {id: _ACTIONS.get(id, id) for id in (*READING, "only")}),
        *bindings(LIST, ("open",)),
        Binding("right", "unfold", "unfold, or to the right", show=False),
        Binding("left", "fold", "fold, or to the left", show=False),
    ]
    DEFAULT_CSS = """
    Pane {
        background: $surface; color: $foreground; text-wrap: nowrap; height: 1fr;
        overflow-x: auto; overflow-y: auto; scrollbar-size: 1 1;
        & > .pane--head { text-style: bold; color: $text-muted; }
        & > .pane--note { color: $text-warning; }
        & > .pane--tab { color: $text-muted; }
        & > .pane--front { color: $text-accent; text-style: bold; }
        & > .pane--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        & > .pane--found { background: $warning-muted; color: $text-warning; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("pane--head", "pane--note", "pane--tab", "pane--front", "pane--cursor", "pane--found")
    }

    class Tabbed(Message):
        """Another tab was asked for."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    class More(Message):
        """More of the file is to be shown."""

    class Chosen(Message):
        """Enter on a line that leads somewhere."""

        def __init__(self, place: Place) -> None:
            super().__init__()
            self.place = place

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.tabs: tuple[str, ...] = ()
        self.tab = ""
        self.pattern = ""
        self._only = False
        self._wrap = False
        self._text: Text | None = None
        self._lines: Lines = TextLines(Text(()))
        self._notes: tuple[str, ...] = ()
        self._shown: list[int] | None = None  # lines that match, with ``only``
        self._cursor = 0
        self._strips: dict[int, Strip] = {}

    # What is shown

    def put(self, lines: Lines | Text, notes: tuple[str, ...] = (), *, stay: bool = False) -> None:
        """Show these lines from the top, or where one was when they ``stay`` the same file's."""
        self._text = lines if isinstance(lines, Text) else None
        self._lines = self._made(lines) if isinstance(lines, Text) else lines
        self._notes = notes
        if not stay:
            self._only, self.pattern, self._cursor = False, "", 0
            self.scroll_to(0, 0, animate=False)
        self._sift()

    def say(self, text: str) -> None:
        """Show one line of what there is to say."""
        self.put(Text((text,)))

    def put_tabs(self, tabs: tuple[str, ...], tab: str) -> None:
        """The tabs, and which is in front."""
        self.tabs, self.tab = tabs, tab
        self.refresh()

    def _made(self, text: Text) -> TextLines:
        return TextLines(text, self.size.width if self._wrap else 0)

    @property
    def cells(self) -> tuple[int, int]:
        """How much room a picture has."""
        return max(self.size.width, 20), max(self.size.height - 2, 5)

    def _sift(self) -> None:
        self._strips.clear()
        self._shown = None
        if self._only and (match := self._match()):
            height = self._lines.height
            self._shown = [y for y in range(height) if match.search(self._lines.plain(y))]
        self._cursor = min(self._cursor, max(self._count - 1, 0))
        self.virtual_size = Size(self._lines.width, self._count + len(self._heads()))
        self.refresh()

    @property
    def _count(self) -> int:
        return self._lines.height if self._shown is None else len(self._shown)

    @property
    def _has_cursor(self) -> bool:
        return isinstance(self._lines, TreeLines | EntryLines)

    def _line_at(self, row: int) -> int:
        return row if self._shown is None else self._shown[row]

    # Moving

    @property
    def _room(self) -> int:
        return max(self.size.height - len(self._heads()), 1)

    def _by(self, rows: int) -> None:
        if not self._has_cursor:
            self.scroll_to(y=self.scroll_offset.y + rows, animate=False)
            return
        self._go(self._cursor + rows)

    def _go(self, row: int) -> None:
        """To a row: the cursor where there is one, else it comes into sight."""
        row = min(max(row, 0), max(self._count - 1, 0))
        top = self.scroll_offset.y
        if row < top or row >= top + self._room:
            y = row if row < top else row - self._room + 1
            self.scroll_to(y=y if self._has_cursor else max(row - 3, 0), animate=False)
        if self._has_cursor:
            self._strips.pop(self._cursor, None)
            self._strips.pop(row, None)
            self._cursor = row
        self.refresh()

    def action_down(self) -> None:
        """A line down."""
        self._by(1)

    def action_up(self) -> None:
        """A line up."""
        self._by(-1)

    def action_half_down(self) -> None:
        """Half a page down."""
        self._by(self._room // 2)

    def action_half_up(self) -> None:
        """Half a page up."""
        self._by(-(self._room // 2))

    def action_page_down(self) -> None:
        """A page down."""
        self._by(self._room)

    def action_page_up(self) -> None:
        """A page up."""
        self._by(-self._room)

    def action_top(self) -> None:
        """To the begin."""
        self._by(-self.virtual_size.height)

    def action_bottom(self) -> None:
        """To the end."""
        self._by(self.virtual_size.height)

    def action_sideways(self, cells: int) -> None:
        """To the left or right."""
        self.scroll_to(x=self.scroll_offset.x + cells, animate=False)

    def action_unfold(self) -> None:
        """Unfold a node; text goes to the right."""
        lines = self._lines
        if not isinstance(lines, TreeLines):
            self.action_sideways(8)
        elif lines.height and not lines.toggle(self._cursor, True):
            self._by(1)
        else:
            self._sift()

    def action_fold(self) -> None:
        """Fold a node, or go to the one that holds it; text goes to the left."""
        lines = self._lines
        if not isinstance(lines, TreeLines):
            self.action_sideways(-8)
        elif lines.height and not lines.toggle(self._cursor, False):
            self._go(lines.above(self._cursor))
        else:
            self._sift()

    def action_open(self) -> None:
        """A node folds or unfolds, an entry leads to its place; else more of the file is shown."""
        lines = self._lines
        if isinstance(lines, TreeLines) and lines.height and lines.toggle(self._cursor):
            self._sift()
        elif isinstance(lines, EntryLines):
            if lines.height and (place := lines.place(self._line_at(self._cursor))):
                self.post_message(self.Chosen(place))
        else:
            self.post_message(self.More())

    # Finding

    def action_find(self) -> None:
        """Open the bar and go to the first match as one types."""
        self.screen.query_one(FilterBar).open(self.pattern, self._look_for)

    def _look_for(self, pattern: str) -> None:
        self.pattern = pattern
        self._only = self._only and bool(pattern)
        self._sift()
        self._seek(self._cursor if self._has_cursor else self.scroll_offset.y, 1)

    def _match(self) -> re.Pattern[str] | None:
        if not self.pattern:
            return None
        flags = re.IGNORECASE if self.pattern.islower() else re.NOFLAG
        try:
            return re.compile(self.pattern, flags)
        except re.error:
            return re.compile(re.escape(self.pattern), flags)

    def _seek(self, row: int, step: int) -> None:
        """Go to the first row from ``row`` on, or back from it, that matches, round the end."""
        match, count = self._match(), self._count
        if match is None or not count:
            return
        for n in range(count):
            at = (row + n * step) % count
            if match.search(self._lines.plain(self._line_at(at))):
                self._found_at = at
                self._go(at)
                return

    _found_at = 0

    def action_find_next(self) -> None:
        """To the next match."""
        self._seek(self._found_at + 1, 1)

    def action_find_previous(self) -> None:
        """To the match before."""
        self._seek(self._found_at - 1, -1)

    def action_only(self) -> None:
        """Show the lines that match and no others; again: all."""
        self._only = bool(self.pattern) and not self._only
        self._sift()

    def action_wrap(self) -> None:
        """Wrap long lines of text, or no longer."""
        self._wrap = not self._wrap
        if self._text is not None:
            self._lines = self._made(self._text)
            self._sift()

    # Drawing

    def _heads(self) -> list[tuple[str, str]]:
        """Lines that stay on top: (component, text); the tabs are drawn by themselves."""
        heads = [("tabs", "")] if self.tabs else []
        heads += [("note", note) for note in self._notes]
        return heads + [("head", line) for line in self._lines.head]

    def notify_style_update(self) -> None:
        """Styles are others: what was drawn is old."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self) -> None:
        """Wrapped lines have another width."""
        if self._wrap and self._text is not None:
            self._lines = self._made(self._text)
        self._sift()

    def on_focus(self) -> None:
        """The cursor is drawn in the pane that has the focus."""
        self._strips.clear()
        self.refresh()

    def on_blur(self) -> None:
        """See ``on_focus``."""
        self.on_focus()

    def on_click(self, event: events.Click) -> None:
        """A click on a tab shows it, one on a line puts the cursor there, a second one opens it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0 and self.tabs:
            at = 1
            for tab in self.tabs:
                if at <= offset.x < at + len(tab) + 2:
                    self.post_message(self.Tabbed(tab))
                at += len(tab) + 3
            return
        row = self.scroll_offset.y + offset.y - len(self._heads())
        if self._has_cursor and 0 <= row < self._count:
            self._go(row)
            if event.chain == 2:
                self.action_open()

    def _component(self, name: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"pane--{name}", partial=True)

    def render_line(self, y: int) -> Strip:
        """A line of the widget."""
        width, base, heads = self.size.width, self.rich_style, self._heads()
        x = self.scroll_offset.x
        if y < len(heads):
            name, text = heads[y]
            if name == "tabs":
                return self._tab_line().crop_extend(0, width, base)
            start = x if name == "head" else 0
            strip = Strip([Segment(safe(text), self._component(name))])
            return strip.crop_extend(start, start + width, base)
        row = self.scroll_offset.y + y - len(heads)
        if row >= self._count:
            return Strip.blank(width, base)
        strip = self._strips.get(row) or self._draw(row, base)
        self._strips[row] = strip
        return strip.crop_extend(x, x + width, base)

    def _draw(self, row: int, base: Style) -> Strip:
        y = self._line_at(row)
        if self._has_cursor and row == self._cursor and self.has_focus:
            style = base + self.get_component_rich_style("pane--cursor", partial=True)
            return Strip([Segment(safe(self._lines.plain(y)), style)]).extend_cell_length(
                self.size.width, style
            )
        if (match := self._match()) and match.search(plain := self._lines.plain(y)):
            return self._marked(plain, match, base)
        return self._lines.draw(y, base, self._paint)

    def _marked(self, plain: str, match: re.Pattern[str], base: Style) -> Strip:
        found, at, segments = self._component("found"), 0, []
        for hit in match.finditer(plain):
            if hit.end() > hit.start():
                segments.append(Segment(safe(plain[at : hit.start()]), base))
                segments.append(Segment(safe(hit[0]), found))
                at = hit.end()
        return Strip([*segments, Segment(safe(plain[at:]), base)])

    def _paint(self, line: Line, base: Style) -> Strip:
        if isinstance(line, str):
            return Strip([Segment(safe(line), base)])
        if not line.plain:
            return Strip([])
        options = RenderOptions(self._get_style, cast("RulesMap", self.styles))
        strips = line.render_strips(len(line.plain) * 2, 1, self.visual_style, options)
        return strips[0] if strips else Strip([])

    def _tab_line(self) -> Strip:
        parts = [Segment(" ", self.rich_style)]
        for tab in self.tabs:
            front = tab == self.tab
            text = f"[{tab}] " if front else f" {tab}  "
            parts.append(Segment(text, self._component("front" if front else "tab")))
        return Strip(parts)
