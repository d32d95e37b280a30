"""Logs in the terminal: 10,000 lines a second for a minute, and a file of 200 MB."""

from __future__ import annotations

import asyncio
import mmap
import resource
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from textual.widgets import Log

from benchmarks.harness import Row, below, fresh, label, note, report, scaled
from benchmarks.tui import Painted, high, lags, memory_mb, opened, painted, press, shown
from tui.widgets.log import LogLine, LogView, LogWindow

PER_SECOND, SECONDS, PEER_SECONDS = 10_000, 60, 10
BATCH_S = 0.02
FILE_MB = 200
TEXT = "INFO  open /pfs/clean/2026/07/cam3/000017.png took 0.012 s and 4.1 MB of 12 MB in all"


class Steady:
    """A log to which so many lines a second are added."""

    def __init__(self) -> None:
        self.written = 0
        self.until = float("inf")
        self.dropped = 0

    def _window(self) -> LogWindow:
        return LogWindow([], 0, 0, 0)

    async def tail(self, lines: int) -> LogWindow:
        """See ``LogSource``."""
        return self._window()

    async def top(self, lines: int) -> LogWindow:
        """None: nothing is read back."""
        return self._window()

    async def before(self, at: int, lines: int) -> LogWindow:
        """None."""
        return self._window()

    async def after(self, at: int, lines: int) -> LogWindow:
        """None."""
        return self._window()

    async def find(self, pattern: str, after: int, back: bool) -> LogLine | None:
        """None."""
        return None

    async def follow(self, after: int) -> AsyncIterator[list[LogLine]]:
        """What is due at the rate, every 20 ms."""
        start = time.perf_counter()
        while (now := time.perf_counter()) < self.until:
            due = int((now - start) * PER_SECOND)
            stamp = datetime.now(UTC)
            lines = [
                LogLine(stamp, f"{TEXT} {number}", "info", "w1", number * 100)
                for number in range(self.written, due)
            ]
            self.written = due
            if lines:
                yield lines
            await asyncio.sleep(BATCH_S)


class FileLog:
    """A file of lines at hand."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = len(self._map)
        self.dropped = 0

    def _lines(self, start: int, end: int) -> LogWindow:
        lines, at = [], start
        for raw in self._map[start:end].splitlines(keepends=True):
            lines.append(LogLine(None, raw.decode().rstrip("\n"), at=at))
            at += len(raw)
        return LogWindow(lines, start, end, self.size)

    def _back(self, end: int, lines: int) -> int:
        at = end
        for _ in range(lines + 1):
            at = self._map.rfind(b"\n", 0, at)
            if at < 0:
                return 0
        return at + 1

    async def tail(self, lines: int) -> LogWindow:
        """See ``LogSource``."""
        return await self.before(self.size, lines)

    async def top(self, lines: int) -> LogWindow:
        """Lines from the begin."""
        return await self.after(0, lines)

    async def before(self, at: int, lines: int) -> LogWindow:
        """Lines that end at ``at``."""
        return self._lines(self._back(at, lines), at)

    async def after(self, at: int, lines: int) -> LogWindow:
        """Lines from ``at`` on."""
        end = at
        for _ in range(lines):
            found = self._map.find(b"\n", end)
            if found < 0:
                return self._lines(at, self.size)
            end = found + 1
        return self._lines(at, end)

    async def find(self, pattern: str, after: int, back: bool) -> LogLine | None:
        """By a process of its own, as the box is one: the first of the whole file."""
        grep = await asyncio.create_subprocess_exec(
            "grep", "-ibm1", "-E", pattern, self._file.name, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await grep.communicate()
        at = said.partition(b":")[0]
        return (await self.after(int(at), 1)).lines[0] if at else None

    async def follow(self, after: int) -> AsyncIterator[list[LogLine]]:
        """Nothing comes."""
        return
        yield []


def processor_s() -> float:
    """Processor seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def steady() -> float:
    """10,000 lines a second: processor, lag, keys, memory. Gives the share of a core."""
    seconds = max(3, scaled(SECONDS))
    async with shown() as app:
        before = memory_mb()
        log = Steady()
        view = LogView(log)
        await opened(app, view, lambda: log.written > 0)
        used, start, keys = processor_s(), time.perf_counter(), []
        async with lags() as late:
            while time.perf_counter() - start < seconds:
                await asyncio.sleep(0.25)
                keys.append(await press(app, "L"))
                keys.append(await press(app, "H"))
        share = (processor_s() - used) / (time.perf_counter() - start)
        name = f"log of {label(PER_SECOND)} lines/s"
        below(f"{name}: of a core", 100 * share, "%", 40)
        below(f"{name}: lag of the loop, 99 of 100", 1000 * high(late, 99), "ms", 100)
        below(f"{name}: key to paint, 99 of 100", 1000 * high(keys, 99), "ms", 100)
        below(f"{name}: memory", memory_mb(), "MB", 120, f"{memory_mb() - before:.0f} MB of it")
        log.until = 0.0
        assert view.feed is not None
        while view.feed.state != "ended":
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        missing = log.written * 100 - 100 - view.feed.last
        below(f"{name}: lines missing at the end", missing / 100, "lines", 0)
    return share


async def peer(ours: float) -> None:
    """Textual's own Log, written to ten times a second."""
    async with shown() as app:
        log = Log(max_lines=50_000)
        await app.mount(log)
        used, start, written = processor_s(), time.perf_counter(), 0
        seconds = max(2, scaled(PEER_SECONDS))
        async with lags() as late:
            while (now := time.perf_counter() - start) < seconds:
                due = int(now * PER_SECOND)
                log.write_lines([f"{TEXT} {number}" for number in range(written, due)])
                written = due
                await asyncio.sleep(0.1)
        share = (processor_s() - used) / (time.perf_counter() - start)
        report(
            Row(
                f"Textual's Log of {label(PER_SECOND)} lines/s: of a core",
                100 * share,
                "%",
                f"the log above {100 * ours:.0f} %",
                share / ours,
            )
        )
        lag = 1000 * high(late, 99)
        report(Row("Textual's Log: lag of the loop, 99 of 100", lag, "ms"))


async def searched(app: Painted, view: LogView, pattern: str) -> float:
    """Seconds from Enter until the line is on the screen."""
    view.seek("")
    await asyncio.sleep(0.05)
    start = time.perf_counter()
    view.seek(pattern)
    return await painted(app, start, lambda: bool(view.found and view.found.current is not None))


async def large() -> None:
    """A file of 200 MB: its end, its begin, its end again, and a line in its middle."""
    size = scaled(FILE_MB * 1_000_000, 1_000_000)
    path = fresh("log") / "large.log"
    with path.open("w") as file:
        number = 0
        while file.tell() < size:
            number += 1
            for step in range(10_000):
                file.write(f"{TEXT} {number * 10_000 + step}\n")
    half = number // 2 * 10_000 + 17
    name = f"log of {size / 1e6:.0f} MB"
    async with shown() as app:
        log = FileLog(path)
        view = LogView(log)
        first = await opened(app, view, lambda: bool(view.feed and len(view.feed.ring)))
        below(f"{name}: first screen", first, "s", 0.5)
        start = time.perf_counter()
        await press(app, "g")
        await painted(app, start, lambda: bool(view.feed and view.feed.start == 0))
        start = time.perf_counter()
        await press(app, "G")
        end = await painted(app, start, lambda: bool(view.feed and view.feed.attached))
        below(f"{name}: to its end (G)", end, "s", 1)
        await press(app, "g")
        async with lags() as late:
            found = await searched(app, view, f"in all {half}$")
        below(f"{name}: find in its middle", found, "s", 1)
        below(f"{name}: longest lag meanwhile", 1000 * max(late, default=0.0), "ms", 100)


def main() -> None:
    """Print the rows."""
    ours = asyncio.run(steady())
    note("Textual's Log")
    asyncio.run(peer(ours))
    note("a large file")
    asyncio.run(large())


if __name__ == "__main__":
    main()
