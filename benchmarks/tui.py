"""A screen of 120x40 without a terminal, and clocks for what is painted on it.

What a terminal would get is made and counted, then thrown away.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual._compositor import CompositorUpdate
from textual.app import App
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget

SIZE = (120, 40)


class Painted(App[None]):
    """An app that knows when it painted last."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.bytes = 0

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, renderable)
        if isinstance(renderable, CompositorUpdate):
            self.bytes += len(renderable.render_segments(self.console))
            self.at = time.perf_counter()


@asynccontextmanager
async def shown() -> AsyncIterator[Painted]:
    """An empty app that runs."""
    app = Painted()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        yield app


async def opened(app: Painted, widget: Widget, ready: Callable[[], bool]) -> float:
    """Seconds from making the widget part of the screen until it is painted with its data."""
    start = time.perf_counter()
    await app.mount(widget)
    widget.focus()
    return await painted(app, start, ready)


async def painted(app: Painted, start: float, ready: Callable[[], bool]) -> float:
    """Seconds from ``start`` until the first paint after which it is ready."""
    while not (app.at > start and ready()):
        await asyncio.sleep(0.0005)
    if app.at <= start:
        raise AssertionError("nothing was painted")
    seen = app.at
    while app.at == seen and time.perf_counter() - seen < 0.02:
        await asyncio.sleep(0.001)
    return app.at - start


async def press(app: Painted, key: str) -> float:
    """Seconds from a key until what it does is painted."""
    start = time.perf_counter()
    character = key if len(key) == 1 else None
    app.post_message(Key(key, character))
    while app.at <= start:
        await asyncio.sleep(0.0002)
    return app.at - start


def high(values: list[float], share: int) -> float:
    """The percentile ``share`` of the values."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


@asynccontextmanager
async def lags() -> AsyncIterator[list[float]]:
    """Seconds by which a task that sleeps 5 ms over and over wakes too late."""
    late: list[float] = []

    async def probe() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - start - 0.005)

    task = asyncio.create_task(probe())
    try:
        yield late
    finally:
        task.cancel()


def memory_mb() -> float:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
