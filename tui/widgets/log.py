"""A view of a log with all that one does to read it. See ``LogView``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from textual import events
from textual.binding import BindingType

from tui.bindings import bindings
from tui.keymap import TEXT
from tui.widgets.log_feed import FIRST
from tui.widgets.log_find import Found
from tui.widgets.log_pane import LogPane
from tui.widgets.log_source import LogLine as LogLine
from tui.widgets.log_source import LogSource as LogSource
from tui.widgets.log_source import LogWindow as LogWindow

SIDEWAYS = 8
_MORE_ONLY = 10_000
MINUTE = timedelta(minutes=1)
WINDOWS: dict[str, timedelta | None] = {
    "tail": None,
    "head": None,
    "1m": MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "1h": 60 * MINUTE,
    "all": None,
}


class LogView(LogPane):
    """The lines of a ``LogSource``, of which the last or those looked at are in memory.

    It follows the end until one scrolls up, and again once one is back there. ``/`` finds in the
    whole log, ``&`` shows matching lines of those in memory; where these are few, of as many lines
    before them as there is room for.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(TEXT)

    # ---- moving

    def _go(self, rows: int) -> None:
        self.note = ""
        self.scroll_to(y=self.scroll_offset.y + rows, animate=False, force=True)

    def action_scroll_down(self) -> None:
        """A row down."""
        self._go(1)

    def action_scroll_up(self) -> None:
        """A row up."""
        self._go(-1)

    def action_half_down(self) -> None:
        """Half a page down."""
        self._go(self.body_height // 2)

    def action_half_up(self) -> None:
        """Half a page up."""
        self._go(-(self.body_height // 2))

    def action_page_down(self) -> None:
        """A page down."""
        self._go(self.body_height)

    def action_page_up(self) -> None:
        """A page up."""
        self._go(-self.body_height)

    def action_scroll_left(self) -> None:
        """Sideways to the left."""
        self.shift_to(max(0, self.shift - SIDEWAYS))

    def action_scroll_right(self) -> None:
        """Sideways to the right, where lines are not wrapped."""
        if not self.wrap:
            self.shift_to(self.shift + SIDEWAYS)

    def action_scroll_home(self) -> None:
        """To the begin of the log."""
        self.note = ""
        if self.feed is None:
            return
        if self.feed.at_begin:
            self.follow = False
            self.place(to=0)
        else:
            self.load(self._top(), anyway=True)

    async def _top(self) -> None:
        assert self.feed is not None
        await self.feed.load_top()
        self.follow = False
        self.reloaded()
        self.place(to=0)

    def action_scroll_end(self) -> None:
        """To the end of the log, and follow."""
        self.note = ""
        if self.feed is None:
            return
        if self.feed.attached:
            self._follow_now()
        else:
            self.load(self._tail(FIRST), anyway=True)

    async def _tail(self, lines: int) -> None:
        assert self.feed is not None
        await self.feed.load_tail(lines)
        self.follow = True
        self.reloaded()

    def _follow_now(self) -> None:
        assert self.feed is not None
        self.feed.new = 0
        self.follow = True
        self.place()

    # ---- how it is shown

    def action_follow(self) -> None:
        """Follow the end, or stay here."""
        if self.follow:
            self.follow = False
        else:
            self.action_scroll_end()

    def action_wrap(self) -> None:
        """Wrap long lines, or not."""
        self.wrap = not self.wrap

    def action_times(self) -> None:
        """Show when each line was written, or not."""
        self.times = not self.times

    def action_pretty(self) -> None:
        """Lay JSON out, or not."""
        self.pretty = not self.pretty

    def action_window(self) -> None:
        """The next window of time."""
        names = list(WINDOWS)
        self.show_window(names[(names.index(self.window) + 1) % len(names)])

    def show_window(self, name: str) -> None:
        """``tail``, ``head``, ``all``, or the last of time: ``1m``, ``5m``, ``15m``, ``1h``."""
        self.window, self.note, self.since = name, "", None
        if self.feed is None:
            return
        if name == "head":
            self.load(self._top(), anyway=True)
        elif name == "tail":
            self.load(self._tail(FIRST), anyway=True)
        else:
            self.load(self._back(WINDOWS[name]), anyway=True)

    async def _back(self, span: timedelta | None) -> None:
        """Lines of the last ``span`` of the log's time; as many as there is room for if None."""
        feed = self.feed
        assert feed is not None
        await feed.load_tail(FIRST)
        last = next((line.time for line in reversed(list(feed.ring)) if line.time), None)
        since = last - span if span and last else None
        while len(feed.ring) < feed.ring.capacity:
            first = feed.ring.line(feed.ring.first).time if len(feed.ring) else None
            if since and first and first < since:
                break
            if not await feed.extend_up(min(10_000, feed.ring.capacity - len(feed.ring))):
                break
        self.since, self.follow = since, True
        self.reloaded()

    # ---- time and marks

    def action_minute_back(self) -> None:
        """To the line of a minute before."""
        self.load(self._minute(-1), anyway=True)

    def action_minute_on(self) -> None:
        """To the line of a minute later."""
        self.load(self._minute(1), anyway=True)

    async def _minute(self, step: int) -> None:
        feed = self.feed
        if feed is None or not len(feed.ring):
            return
        here = feed.ring.next - 1 if self.follow else self.top_line()
        start = self._time(here, -1) if here is not None else None
        if here is None or start is None:
            self.note = "these lines have no time"
            return
        target = start + step * MINUTE
        if step > 0:
            while (number := self._first_from(here, target)) is None:
                if not await feed.extend_down():
                    self.action_scroll_end()
                    return
                self.reloaded()
            self.show_line(number)
            return
        while (self._time(feed.ring.first, 1) or target) > target and await feed.extend_up(10_000):
            if not feed.ring.first <= here < feed.ring.next:
                here = feed.ring.next
        self.reloaded()
        self.show_line(self._last_until(here, target), top=True)

    def _time(self, number: int, step: int) -> datetime | None:
        """When line ``number`` was written, or the next that way whose time is known."""
        assert self.feed is not None
        ring = self.feed.ring
        while ring.first <= number < ring.next:
            if time := ring.line(number).time:
                return time
            number += step
        return None

    def _first_from(self, here: int, target: datetime) -> int | None:
        assert self.feed is not None
        ring = self.feed.ring
        for number, line in enumerate(ring.span(here, ring.next), max(here, ring.first)):
            if line.time and line.time >= target:
                return number
        return None

    def _last_until(self, here: int, target: datetime) -> int:
        assert self.feed is not None
        ring = self.feed.ring
        for number in range(min(here, ring.next) - 1, ring.first - 1, -1):
            time = ring.line(number).time
            if time and time <= target:
                return number
        return ring.first

    def action_set_mark(self) -> None:
        """A mark after the last line in sight, with the time of day."""
        number = self.bottom_line()
        if number is not None:
            self.marks[number] = f"── mark {datetime.now().astimezone():%H:%M:%S} ──"
            self.rebuild()

    def action_next_mark(self) -> None:
        """To the next mark, after the last to the first."""
        here = self.bottom_line()
        marks = sorted(self.marks)
        if not marks or here is None:
            self.note = "no mark is set (m)"
            self.refresh()
            return
        number = next((mark for mark in marks if mark > here), marks[0])
        assert self.feed is not None
        if self.feed.ring.first <= number < self.feed.ring.next:
            self.show_line(number)
        else:
            self.note = "that mark's line is no longer in memory"
            self.refresh()

    # ---- finding

    def action_find(self) -> None:
        """Type what is to be found."""
        self._type("/")

    def action_only(self) -> None:
        """Type what the lines shown are to match; nothing: all lines."""
        self._type("&")

    def _type(self, prompt: str) -> None:
        self.note, self.prompt = "", prompt
        self.refresh()

    async def _on_key(self, event: events.Key) -> None:
        if not self.prompt:
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.prompt = ""
        elif event.key == "enter":
            kind, text, self.prompt = self.prompt[0], self.prompt[1:], ""
            self.seek(text) if kind == "/" else self.show_only(text)
        elif event.key == "backspace":
            self.prompt = self.prompt[:-1]
        elif event.key == "ctrl+u":
            self.prompt = self.prompt[:1]
        elif event.character and event.is_printable:
            self.prompt += event.character
        self.refresh()

    async def _on_paste(self, event: events.Paste) -> None:
        if self.prompt:
            event.stop()
            self.prompt += event.text.partition("\n")[0]
            self.refresh()

    def on_blur(self) -> None:
        self.prompt = ""

    def show_only(self, text: str) -> None:
        """Only lines that the pattern is found in; all where it is empty."""
        self.only = Found(text) if text else None
        self.rebuild()
        if self.only is not None:
            self.load(self._gather(self.only), anyway=True)

    async def _gather(self, only: Found) -> None:
        """Fetch what lies before, until matching lines fill the view."""
        feed = self.feed
        assert feed is not None
        while only is self.only and self._shown.rows < self.body_height:
            room = feed.ring.capacity - len(feed.ring)
            if room <= 0 or not await feed.extend_up(min(_MORE_ONLY, room)):
                return
            self.reloaded()

    def seek(self, text: str) -> None:
        """Find the pattern, from the top of the view on; nothing is marked where it is empty."""
        self.found = Found(text) if text else None
        self.redraw()
        if self.found and self.feed:
            self.found.again(self.feed.ring)
            here = self.top_line()
            self._step(self.feed.ring.first if here is None else here, back=False, first=True)

    def action_find_next(self) -> None:
        """To the next line that the pattern is found in."""
        self._from_here(back=False)

    def action_find_previous(self) -> None:
        """To the one before."""
        self._from_here(back=True)

    def _from_here(self, back: bool) -> None:
        self.note = ""
        if not self.found or not self.feed:
            self.note = "nothing to find yet (/)"
            self.refresh()
            return
        here = self.found.current
        if here is None:
            here = self.top_line()
        self._step(self.feed.ring.first if here is None else here, back)

    def _step(self, here: int, back: bool, first: bool = False) -> None:
        assert self.found is not None
        number = self.found.step(here, back, inclusive=first)
        if number is not None:
            self._show_found(number)
        else:
            self.note = "searching the whole log ..."
            self.load(self._beyond(self.found, back), anyway=True)
            self.refresh()

    def _show_found(self, number: int) -> None:
        assert self.found is not None
        self.found.current = number
        self.redraw()
        self.show_line(number)

    async def _beyond(self, found: Found, back: bool) -> None:
        """Search what is not in memory, and from the other end on when there is nothing more."""
        feed = self.feed
        assert feed is not None
        line = None
        if back and not feed.at_begin:
            line = await feed.source.find(found.text, feed.start, True)
        elif not back and not feed.attached:
            line = await feed.source.find(found.text, feed.last + 1, False)
        self.note = ""
        if line is None:
            self.note = "from the end" if back else "from the begin"
            line = await feed.source.find(found.text, feed.size + 1 if back else 0, back)
        if found is not self.found:
            return
        if line is None:
            self.note = "not found"
            return
        number = feed.number(line.at)
        if number is None:
            await feed.load_around(line.at)
            self.follow = False
            self.reloaded()
            number = feed.number(line.at)
        if number is not None:
            found.add(number)
            self._show_found(number)
