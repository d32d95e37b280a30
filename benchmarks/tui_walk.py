"""A walk through all modes of the terminal on a box with the demo: how long the loop is held."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.harness import Box, Row, note, report, running
from benchmarks.tui import SIZE, high, lags
from pachybox.client import AsyncClient
from tui.app import PachyApp
from tui.choices import Choices
from tui.store import LIVE

STEP_MS, OPENING_MS = 50.0, 250.0
"""What a key may take, and what a mode, a box or the palette may that is opened."""
OPENING = ("1", "2", "3", "4", "5", "6", "enter", "escape", "colon", "ctrl+p", "question_mark")
WALK = (
    *("2", "j", "j", "enter", "tab", "j", "escape", "escape"),
    *("3", "j", "k", "enter", "tab", "j", "escape"),
    *("4", "j", "j", "enter", "j", "tab", "j", "escape", "escape"),
    *("5", "j", "k", "tab", "j", "6", "j", "tab", "j"),
    *("colon", "r", "a", "w", "escape", "ctrl+p", "s", "escape", "question_mark", "escape", "1"),
)


async def walk(box: Box) -> list[tuple[str, float]]:
    """Milliseconds for which the loop was held at most, after each key."""
    socket = str(box.home / "run" / "box.sock")
    app = PachyApp(lambda: AsyncClient(socket), choices=Choices(Path("/dev/null/none")))
    held: list[tuple[str, float]] = []
    async with app.run_test(size=SIZE) as pilot, lags() as late:
        while app.store.link.state != LIVE:
            await asyncio.sleep(0.01)
        for key in WALK:
            late.clear()
            await pilot.press(key)
            await asyncio.sleep(0.3)  # what comes of it
            held.append((key, 1000 * max(late, default=0.0)))
    return held


def main() -> None:
    """Print the rows, and the keys that held it longer than they may."""
    with running("walk in the terminal") as box, box.client() as client:
        client.create_demo()
        while not client.page_job(pipeline="report", states=("JOB_SUCCESS",)).total:
            time.sleep(0.2)
        held = asyncio.run(walk(box))
    for name, limit, some in (
        ("a key holds the loop", STEP_MS, [ms for key, ms in held if key not in OPENING]),
        (
            "opening a view or a box holds it",
            OPENING_MS,
            [ms for key, ms in held if key in OPENING],
        ),
    ):
        report(Row(name, high(some, 95), "ms", f"p95; at most {max(some):.0f}, goal {limit:.0f}"))
    for key, ms in held:
        if ms > (OPENING_MS if key in OPENING else STEP_MS):
            note(f"{key} held it for {ms:.0f} ms")


if __name__ == "__main__":
    main()
