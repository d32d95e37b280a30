"""From a log at the box into the ring: windows of it, and what comes while one looks."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable

from pachybox.errors import Denied, NotFound
from tui.widgets.log_source import LogLine, LogSource, LogWindow
from tui.widgets.ring import Ring

FIRST, MORE = 1000, 2000
"""Lines that are fetched at first, and when one scrolls on."""
WAITS = (1.0, 2.0, 5.0, 10.0)
"""Seconds before following again, the last of them for ever."""


class LogFeed:
    """A ring on a source. ``arrived`` is told when lines came, ``take`` puts them into the ring."""

    def __init__(self, source: LogSource, arrived: Callable[[], None]) -> None:
        self.source = source
        self.ring = Ring()
        self.attached = False
        """The ring ends where the log ends, so that new lines join it."""
        self.new = 0
        """Lines that came since the reader paused."""
        self.start = 0
        """The byte at which the ring begins."""
        self.begin = 0
        """The byte at which the log begins: what lay before was removed."""
        self.size = 0
        self.state = "loading"
        self.problem = ""
        self._arrived = arrived
        self._pending: list[LogLine] = []
        self._seen = -1  # the offset of the last line that came by following

    @property
    def whole(self) -> bool:
        """The ring holds all of the log."""
        return self.at_begin and self.attached

    @property
    def at_begin(self) -> bool:
        """There is nothing before the ring."""
        return self.start <= self.begin

    @property
    def last(self) -> int:
        """The offset of the last line in the ring."""
        return self.ring.line(self.ring.next - 1).at if len(self.ring) else -1

    def number(self, at: int) -> int | None:
        """The number of the line at that offset, where it is in the ring."""
        ring = self.ring
        number = ring.first + bisect_left(
            range(len(ring)), at, key=lambda index: ring.line(ring.first + index).at
        )
        return number if number < ring.next and ring.line(number).at == at else None

    async def load_tail(self, lines: int = FIRST) -> None:
        """The end of the log, whatever was in the ring."""
        self._fill(await self.source.tail(lines))

    async def load_top(self, lines: int = FIRST) -> None:
        """Its begin."""
        window = await self.source.top(lines)
        self.begin = window.start
        self._fill(window)

    async def load_around(self, at: int, lines: int = FIRST) -> None:
        """The lines on both sides of offset ``at``."""
        before = await self.source.before(at, lines)
        after = await self.source.after(at, lines)
        self._fill(after._replace(lines=before.lines + after.lines, start=before.start))

    def _fill(self, window: LogWindow) -> None:
        self.ring.replace(window.lines)
        kept = len(self.ring) == len(window.lines)
        self.start = window.start if kept else self.ring.line(self.ring.first).at
        self._note(window)
        self._attach(window)

    def _note(self, window: LogWindow) -> None:
        self.size = max(self.size, window.size)

    def _attach(self, window: LogWindow) -> None:
        """The ring ends with the window: is that the log's end, with all that was told since?"""
        self.attached = window.end >= window.size and self.last >= self._seen
        if self.attached:
            self._seen, self.new = max(self._seen, self.last), 0

    async def extend_up(self, lines: int = MORE) -> int:
        """Lines before the ring join it; how many."""
        if self.at_begin:
            return 0
        window = await self.source.before(self.start, lines)
        if not window.lines:
            self.begin = self.start
            return 0
        if self.ring.prepend(window.lines):
            self.attached = False
        self.start = window.start
        return len(window.lines)

    async def extend_down(self, lines: int = MORE) -> int:
        """Lines after the ring join it; how many."""
        if self.attached:
            return 0
        last = self.last
        window = await self.source.after(max(last, 0), lines + 1)
        fresh = [line for line in window.lines if line.at > last]
        self._append(fresh)
        self._note(window)
        self._attach(window)
        return len(fresh)

    def _append(self, lines: list[LogLine]) -> None:
        if self.ring.append(lines):
            self.start = self.ring.line(self.ring.first).at

    async def run(self) -> None:
        """Show the end, then follow, over each loss of the box, until the log ends."""
        tries = 0
        while True:
            try:
                if self.state == "loading":
                    await self.load_tail()
                self.state = "live"
                self._arrived()
                first = max(self._seen, self.last)
                async for lines in self.source.follow(max(first, 0)):
                    tries = 0
                    fresh = [line for line in lines if line.at < 0 or line.at > self._seen]
                    if fresh:
                        self._seen = max(self._seen, fresh[-1].at)
                        self._pending += fresh
                        self._arrived()
                self.state = "ended"
                break
            except NotFound as problem:
                self.state = f"gone: {problem}"
                break
            except Denied as problem:  # it stays so, however often one asks
                self.state, self.problem = "refused", str(problem)
                break
            except Exception as problem:  # a lost box is a state, whatever it raises
                if self.state != "loading":
                    self.state = "lost"
                self.problem = str(problem) or type(problem).__name__
                self._arrived()
                await asyncio.sleep(WAITS[min(tries, len(WAITS) - 1)])
                tries += 1
        self._arrived()

    def take(self, hold: bool) -> None:
        """Put what came into the ring. ``hold``: a reader looks at what would be pushed out."""
        lines, self._pending = self._pending, []
        if not lines:
            return
        self.size = max(self.size, lines[-1].at + len(lines[-1].text) + 1)
        if hold:
            self.new += len(lines)
            if len(self.ring) + len(lines) > self.ring.capacity:
                self.attached = False
        if self.attached:
            last = self.last  # a window that was loaded meanwhile may hold some of them
            self._append([line for line in lines if line.at < 0 or line.at > last])
