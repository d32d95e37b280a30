"""A log at the box, as a log view reads it: windows, a search, and what is added."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pachybox.errors import NotReady, Unreachable
from tui.feed import Feed
from tui.widgets.log_source import LogLine, LogWindow

if TYPE_CHECKING:
    from pachybox.client.log_values import LogEntry, LogPart

_BATCH_S = 0.1
_AHEAD = 20_000  # lines that wait to be taken; beyond them the box waits
_AGAIN_S = 1.0
_DROPPED = re.compile(r"(\d+) bytes of output were dropped")


class BoxLog:
    """The log of one of: a ``pipeline``, a ``job``, a ``datum`` of either, an ``ingest``."""

    def __init__(
        self, feed: Feed, *, pipeline: str = "", job: str = "", datum: str = "", ingest: str = ""
    ) -> None:
        self._feed = feed
        self._lost: dict[int, int] = {}
        self._name: dict[str, Any] = {
            "pipeline": pipeline,
            "job": job,
            "datum": datum,
            "ingest": ingest,
        }

    @property
    def dropped(self) -> int:
        """Bytes that the box says it did not keep."""
        return sum(self._lost.values())

    def source(self, entry: LogEntry) -> str:
        """What a line says that it is from."""
        return entry.datum[:8] or entry.worker

    def line(self, entry: LogEntry) -> LogLine:
        """As the view takes it."""
        if not entry.user and (found := _DROPPED.match(entry.text)):
            self._lost[entry.at] = int(found[1])
        return LogLine(entry.time, entry.text, entry.level, self.source(entry), entry.at)

    def _window(self, part: LogPart) -> LogWindow:
        return LogWindow([self.line(one) for one in part.lines], part.start, part.end, part.size)

    async def tail(self, lines: int) -> LogWindow:
        """See ``LogSource``; so the rest."""
        return self._window(await self._feed.box.read_log(**self._name, lines=lines))

    async def top(self, lines: int) -> LogWindow:
        return await self.after(0, lines)

    async def before(self, at: int, lines: int) -> LogWindow:
        return self._window(await self._feed.box.read_log(**self._name, before=at, lines=lines))

    async def after(self, at: int, lines: int) -> LogWindow:
        return self._window(await self._feed.box.read_log(**self._name, after=at, lines=lines))

    async def find(self, pattern: str, after: int, back: bool) -> LogLine | None:
        try:
            re.compile(pattern)
            wanted, regex = f"(?i){pattern}", True
        except re.error:  # half typed: as the text it is
            wanted, regex = pattern, False
        found = await self._feed.box.find_log(
            **self._name, pattern=wanted, after=after, back=back, regex=regex
        )
        return self.line(found) if found else None

    async def follow(self, after: int) -> AsyncIterator[list[LogLine]]:
        """Batches of lines; goes on where it was when the box comes back."""
        pump = _Pump(self, after)
        try:
            while batch := await pump.take():
                yield batch
        finally:
            pump.close()

    async def entries(self, after: int) -> AsyncIterator[LogEntry]:
        """Single lines, over the loss of the box."""
        while True:
            try:
                async for entry in self._feed.box.follow_log(**self._name, after=after):
                    after = entry.at + 1
                    yield entry
                return
            except (Unreachable, NotReady):
                await asyncio.sleep(_AGAIN_S)


class _Pump:
    """Takes lines as they come and hands them on ten times a second."""

    def __init__(self, log: BoxLog, after: int) -> None:
        self._waiting: list[LogLine] = []
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._error: BaseException | None = None
        self._ended = False
        self._task = asyncio.create_task(self._run(log, after))

    async def _run(self, log: BoxLog, after: int) -> None:
        try:
            async for entry in log.entries(after):
                self._waiting.append(log.line(entry))
                self._came.set()
                if len(self._waiting) >= _AHEAD:
                    self._room.clear()
                    await self._room.wait()
        except Exception as e:  # handed to who takes
            self._error = e
        self._ended = True
        self._came.set()

    async def take(self) -> list[LogLine]:
        """What came; empty at the end of the log. Raises what ended the stream."""
        await self._came.wait()
        if not self._ended:
            await asyncio.sleep(_BATCH_S)
        batch, self._waiting = self._waiting, []
        self._room.set()
        if not self._ended:
            self._came.clear()
        if not batch and self._error is not None:
            raise self._error
        return batch

    def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
