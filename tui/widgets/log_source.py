"""What a log view reads from: a log that lies at the box, seen through windows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple, Protocol


class LogLine(NamedTuple):
    """A line. ``at`` is its byte offset in its log, which grows from line to line."""

    time: datetime | None
    text: str
    level: str = ""
    source: str = ""
    at: int = -1


class LogWindow(NamedTuple):
    """Lines that lie beside each other: bytes [start, end) of a log of ``size`` bytes."""

    lines: list[LogLine]
    start: int
    end: int
    size: int


class LogSource(Protocol):
    """A log. The file at the box is the truth; what is raised is shown in the view."""

    @property
    def dropped(self) -> int:
        """Bytes that were never kept, since the log was over its bound, as far as it is known."""
        ...

    async def tail(self, lines: int) -> LogWindow:
        """The last lines."""
        ...

    async def top(self, lines: int) -> LogWindow:
        """The first lines."""
        ...

    async def before(self, at: int, lines: int) -> LogWindow:
        """The last lines that begin before ``at``."""
        ...

    async def after(self, at: int, lines: int) -> LogWindow:
        """The first lines that begin at ``at`` or later."""
        ...

    def follow(self, after: int) -> AsyncIterator[list[LogLine]]:
        """Lines that begin at ``after`` or later, as they come; ends with the log."""
        ...

    async def find(self, pattern: str, after: int, back: bool) -> LogLine | None:
        """The first line at ``after`` or later (the last before it) that the pattern is found in;
        upper and lower case are alike."""
        ...
