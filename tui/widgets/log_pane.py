"""The lines of a log on the screen: following, scrolling, layout, selection. See ``LogPane``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, ClassVar

from textual.cache import LRUCache
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer
from textual.worker import Worker

from tui.held import Held, work_beside
from tui.widgets import log_paint, log_text
from tui.widgets.log_feed import LogFeed
from tui.widgets.log_find import Found
from tui.widgets.log_source import LogSource
from tui.widgets.log_text import Look
from tui.widgets.ring import Shown

TICK = 0.1
AT_ONCE = 5000
"""Lines that are laid out in one go; more of them in parts, so that keys are still heard."""


class LogPane(ScrollView, can_focus=True):
    """A ring of a log's lines, painted ten times a second at most; its last row is the footer."""

    pane_kind = "text"
    ALLOW_SELECT = True
    DEFAULT_CSS = """
    LogPane {
        background: $surface; color: $foreground; overflow-x: hidden; overflow-y: scroll;
        height: 1fr; scrollbar-size-vertical: 1;
        & > .log-view--mark { color: $text-accent; text-style: bold; }
        & > .log-view--found { background: $warning; color: $background; }
        & > .log-view--current { text-style: bold reverse; }
        & > .log-view--footer { background: $panel; color: $text-muted; }
        & > .log-view--prompt { background: $panel; color: $foreground; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"log-view--{name}" for name in ("mark", "found", "current", "footer", "prompt")
    }

    follow: reactive[bool] = reactive(True)
    wrap: reactive[bool] = reactive(False, repaint=False)
    times: reactive[bool] = reactive(False, repaint=False)
    pretty: reactive[bool] = reactive(False, repaint=False)
    sources: reactive[bool] = reactive(False, repaint=False)
    """Whether each line says where it is from."""

    def __init__(
        self,
        source: LogSource | None = None,
        *,
        empty: str = "no lines yet",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.empty = empty
        self.window = "tail"
        self.found: Found | None = None
        self.only: Found | None = None
        self.prompt = ""
        """What is being typed, with the key that it is for; empty when nothing is."""
        self.note = ""
        """What the last key came to, in the footer."""
        self.feed: LogFeed | None = None
        self.marks: dict[int, str] = {}
        self._source = source
        self._shown = Shown()
        self.shift = 0
        self.since: datetime | None = None
        self._timer: Timer | None = None
        self._loader: Worker[None] | None = None
        self._moving = False
        self._laid: int | None = 0  # the number after the last; None while a layout is being made
        self._strips: LRUCache[tuple[int, int], Strip] = LRUCache(512)

    # ---- the source

    @property
    def source(self) -> LogSource | None:
        """What is shown."""
        return self._source

    def set_source(self, source: LogSource | None) -> None:
        """Show another log from its end on, followed. What is found and filtered stays."""
        self._source = source
        self.workers.cancel_node(self)
        self.marks, self.note, self.since, self.window = {}, "", None, "tail"
        self.feed = LogFeed(source, self._arrived) if source else None
        self.follow = True
        self.rebuild()
        if self.feed and self.is_attached:
            work_beside(self, self.feed.run())

    def on_mount(self) -> None:
        self.set_source(self._source)

    def _arrived(self) -> None:
        if self._timer is None and self.is_attached:
            self._timer = self.set_timer(TICK, self._flush)

    def _flush(self) -> None:
        """Show what came since the last time."""
        self._timer = None
        if self.feed is None:
            return
        after = self.feed.ring.next
        self.feed.take(hold=not self.follow)
        self._catch_up(after)

    def _catch_up(self, after: int) -> None:
        """Lines from number ``after`` on are new in the ring."""
        feed = self.feed
        assert feed is not None
        ring = feed.ring
        if self._laid is not None and after != self._laid:
            self.reloaded()  # another window was loaded meanwhile
            return
        if self.found:
            self.found.keep(ring)
            self.found.look(ring, after, ring.next)
        if self._laid is not None:
            self._add(self._shown, after, ring.next)
            self._laid = ring.next
        self.place(-self._shown.keep(ring.first, ring.next))

    def reloaded(self) -> None:
        """The ring holds other lines than before."""
        if self.found and self.feed:
            self.found.again(self.feed.ring)
        self.rebuild()

    # ---- layout

    @property
    def look(self) -> Look:
        """How lines are shown now."""
        return Look(self.body_width, self.wrap, self.times, self.pretty, self.sources)

    def _add(self, shown: Shown, start: int, end: int) -> None:
        feed = self.feed
        assert feed is not None
        look, only, since, marks = self.look, self.only, self.since, self.marks
        plain = not (look.wrap or look.pretty or only or since)
        start = max(start, feed.ring.first)
        lines = []
        for number, line in enumerate(feed.ring.span(start, end), start):
            height = 1
            if not plain:
                if since and line.time and line.time < since:
                    continue
                if only and not only.pattern.search(log_text.plain(line.text)):
                    continue
                height = log_text.height(line, look)
            lines.append((number, height + 1 if number in marks else height))
        shown.append(lines)

    def rebuild(self) -> None:
        """Lay all lines out anew; the line at the top stays there, or the end at the bottom."""
        self._strips.clear()
        feed = self.feed
        ring = feed.ring if feed else None
        if self.is_attached and self.text_selection:
            self.screen.clear_selection()
        if ring is None or len(ring) <= AT_ONCE or not (self.wrap or self.pretty):
            shown = Shown()
            if ring is not None:
                self._add(shown, ring.first, ring.next)
            self._swap(shown)
        else:
            self._laid = None
            work_beside(
                self, self._guarded(Held(self._rebuild_in_parts())), group="layout", exclusive=True
            )

    async def _rebuild_in_parts(self) -> None:
        feed = self.feed
        assert feed is not None
        shown, at = Shown(), feed.ring.first
        while at < feed.ring.next:
            end = min(at + AT_ONCE // 5, feed.ring.next)
            self._add(shown, at, end)
            at = end
            await asyncio.sleep(0)
        shown.keep(feed.ring.first, feed.ring.next)
        self._swap(shown)

    def _swap(self, shown: Shown) -> None:
        top = self.top_line()
        self._shown = shown
        self._laid = self.feed.ring.next if self.feed else 0
        if top is not None and not self.follow:
            self.place(to=shown.row(top) - shown.base)
        else:
            self.place()

    def top_line(self) -> int | None:
        """The number of the line at the top of the view."""
        found = self._shown.at(self._shown.base + self.scroll_offset.y)
        return found[0] if found else None

    @property
    def body_width(self) -> int:
        """Cells of a row, without the scroll bar."""
        return self.scrollable_size.width

    @property
    def body_height(self) -> int:
        """Rows for lines."""
        return max(1, self.size.height - 1)

    def bottom_line(self) -> int | None:
        """The number of the last line in sight."""
        rows = min(self.scroll_offset.y + self.body_height, self._shown.rows)
        found = self._shown.at(self._shown.base + rows - 1)
        return found[0] if found else None

    def show_line(self, number: int, top: bool = False) -> None:
        """Scroll so that the line is in sight with those around it, and stay there."""
        y = self._shown.row(number) - self._shown.base
        here = self.scroll_offset.y
        if top or not here <= y < here + self.body_height:
            y = y if top else max(0, y - self.body_height // 3)
            self.follow = False
            self.place(to=y)
        elif self.follow and self.body_height < self._shown.rows:
            self.follow = False
        self.refresh()

    def shift_to(self, shift: int) -> None:
        """Begin the lines at that cell."""
        self.shift = shift
        self.refresh()

    def redraw(self) -> None:
        """Paint all lines again."""
        self._strips.clear()
        self.refresh()

    def place(self, by: int = 0, to: int | None = None) -> None:
        """Fit the scroll bar to the rows; go to the end, or stay beside rows that went or came."""
        self._moving = True
        y = self.scroll_offset.y + by if to is None else to
        size = Size(0, self._shown.rows + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        if self.follow:
            y = self._shown.rows
        self.scroll_to(y=y, animate=False, force=True)
        self._moving = False
        self.refresh()

    def on_resize(self) -> None:
        if self.wrap or self.pretty:
            self.rebuild()
        self.place()

    def watch_wrap(self) -> None:
        self.shift = 0
        self.rebuild()

    def watch_times(self) -> None:
        self.rebuild()

    def watch_pretty(self) -> None:
        self.rebuild()

    def watch_sources(self) -> None:
        self.rebuild()

    @property
    def shown_lines(self) -> int:
        """Lines of the ring that are shown."""
        return self._shown.count

    # ---- moving

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._moving or self.feed is None or round(old_value) == round(new_value):
            return
        at_end = new_value >= self.max_scroll_y
        self.follow = at_end and self.feed.attached
        if self.follow:
            self.feed.new = 0
        if at_end and not self.feed.attached:
            self.load(self._more_below())
        elif new_value < self.body_height:
            self.load(self._more_above())

    def load(self, work: Coroutine[Any, Any, object], anyway: bool = False) -> None:
        """Fetch, one thing at a time; ``anyway``: in place of what is being fetched."""
        if self._loader is not None and not self._loader.is_finished:
            if not anyway:
                work.close()
                return
            self._loader.cancel()
        self._loader = work_beside(self, self._guarded(Held(work)))

    async def _guarded(self, work: Held[object]) -> None:
        try:
            await work
        except Exception as problem:  # whatever a source raises
            self.note = str(problem) or type(problem).__name__
        self.refresh()

    async def _more_above(self) -> None:
        assert self.feed is not None
        ring = self.feed.ring
        first = ring.first
        if not await self.feed.extend_up():
            return
        if self._laid is None:
            self.rebuild()
            return
        fresh = Shown()
        self._add(fresh, ring.first, first)
        rows = self._shown.prepend(fresh.lines())
        self._shown.keep(ring.first, ring.next)
        self._laid = ring.next
        if self.found:
            self.found.again(ring)
        self.place(rows)

    async def _more_below(self) -> None:
        assert self.feed is not None
        after = self.feed.ring.next
        if await self.feed.extend_down():
            self._catch_up(after)

    # ---- drawing

    def notify_style_update(self) -> None:
        """Styles are others: what was drawn is old."""
        super().notify_style_update()
        self._strips.clear()

    def selection_updated(self, selection: Selection | None) -> None:
        """The mouse marked a text."""
        self._strips.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A row of the widget: of a line, or the footer."""
        width, base = self.body_width, self.rich_style
        if y == self.size.height - 1:
            return log_paint.footer(self, width, base)
        row = self._shown.base + self.scroll_offset.y + y
        found = self._shown.at(row)
        if found is None:
            return log_paint.message(self, width, base) if y == 1 else Strip.blank(width, base)
        strip = self._strips.get(found)
        if strip is None:
            strip = self._strips[found] = log_paint.row(self, *found, row, base)
        return strip.crop_extend(self.shift, self.shift + width, base).apply_offsets(
            self.shift, row
        )

    def texts(self, number: int) -> list[str]:
        """The rows of a line, and of the mark that is set after it."""
        assert self.feed is not None
        rows = log_text.rows(self.feed.ring.line(number), self.look)
        mark = self.marks.get(number)
        return [*(row.plain for row in rows), *([mark] if mark else [])]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text: lines as they are, whatever rows they were wrapped into."""
        base = self._shown.base
        start, end = selection.start, selection.end
        first = max(start.y if start else base, base)
        last = min(end.y if end else base + self._shown.rows, base + self._shown.rows - 1)
        parts: list[str] = []
        for row in range(first, last + 1):
            found = self._shown.at(row)
            span = selection.get_span(row)
            if found is None or span is None:
                continue
            texts = self.texts(found[0])
            text = texts[found[1]] if found[1] < len(texts) else ""
            text = text[span[0] : None if span[1] == -1 else span[1]]
            joined = found[1] > 0 and bool(parts) and self.wrap and not self.pretty
            parts.append(text if joined or not parts else f"\n{text}")
        return ("".join(parts), "\n") if parts else None
