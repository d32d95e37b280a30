"""Rows and logs in memory, for the widgets' tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from tui.widgets.log import LogLine, LogWindow
from tui.widgets.rows import Column, Page, Query, Row

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def line(number: int, text: str = "", level: str = "", source: str = "") -> LogLine:
    """A line a second, 100 bytes each."""
    time = START + timedelta(seconds=number)
    return LogLine(time, text or f"line {number}", level, source, number * 100)


class MemoryLog:
    """A log of lines that are 100 bytes each; ``write`` adds to it, ``close`` ends it."""

    def __init__(self, count: int = 0, texts: dict[int, str] | None = None) -> None:
        self.lines = [line(number, (texts or {}).get(number, "")) for number in range(count)]
        self.asked: list[str] = []
        self.lost = False
        self.dropped = 0
        self._more = asyncio.Event()
        self._closed = False

    def write(self, *texts: str) -> None:
        self.lines += [line(number, text) for number, text in enumerate(texts, len(self.lines))]
        self._more.set()

    def close(self) -> None:
        self._closed = True
        self._more.set()

    def _window(self, start: int, end: int) -> LogWindow:
        if self.lost:
            raise ConnectionError("no box answers; start it with: pachybox up")
        start, end = max(start, 0), min(end, len(self.lines))
        return LogWindow(self.lines[start:end], start * 100, end * 100, len(self.lines) * 100)

    async def tail(self, lines: int) -> LogWindow:
        self.asked.append("tail")
        return self._window(len(self.lines) - lines, len(self.lines))

    async def top(self, lines: int) -> LogWindow:
        self.asked.append("top")
        return self._window(0, lines)

    async def before(self, at: int, lines: int) -> LogWindow:
        end = -(-at // 100)
        self.asked.append("before")
        return self._window(end - lines, end)

    async def after(self, at: int, lines: int) -> LogWindow:
        start = -(-at // 100)
        self.asked.append("after")
        return self._window(start, start + lines)

    async def follow(self, after: int) -> AsyncIterator[list[LogLine]]:
        at = -(-after // 100)
        while True:
            if self.lost:
                raise ConnectionError("no box answers; start it with: pachybox up")
            if at < len(self.lines):
                yield self.lines[at:]
                at = len(self.lines)
            elif self._closed:
                return
            else:
                self._more.clear()
                await self._more.wait()

    async def find(self, pattern: str, after: int, back: bool) -> LogLine | None:
        self.asked.append("find")
        lines = [one for one in self.lines if (one.at < after) == back]
        found = [one for one in lines if re.search(pattern, one.text, re.IGNORECASE)]
        return (found[-1] if back else found[0]) if found else None


COLUMNS = (
    Column("id", "ID", 8, keep=9, sort="id"),
    Column("input", "INPUT", 12, grow=1, keep=7, sort="input"),
    Column("state", "STATE", 8, keep=5, sort="state"),
    Column("size", "SIZE", 8, right=True, keep=1, sort="size"),
)


class Endless:
    """As many rows as asked for, made when they are looked at; remembers what was fetched."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.first = 0
        self.asked: list[tuple[Query, int]] = []
        self.problem: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        self.asked.append((query, offset))
        await self.gate.wait()
        if self.problem:
            raise self.problem
        numbers = range(offset, min(self.total, offset + limit))
        return Page(self.total, [self.row(self.first + number) for number in numbers])

    def row(self, number: int) -> Row:
        return Row(f"r{number}", (f"r{number}", f"/a/{number}.png", "success", f"{number}"))
