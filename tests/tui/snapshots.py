"""Screens as text files: ``snapshots/NAME-SURFACE.txt`` holds what is seen, and which style each
run of columns has.

``PACHYBOX_SNAPSHOTS=write pytest tests/tui/test_snapshots.py`` writes them anew; look at the
difference before it is kept.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.style import Style
from textual.strip import Strip

from tests.tui.pilot import Terminal
from tui.store import LIVE, Link

FOLDER = Path(__file__).parent / "snapshots"
WRITE = os.environ.get("PACHYBOX_SNAPSHOTS") == "write"
RESTS = 8  # looks at the same screen, after which it is taken to rest
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Surface(NamedTuple):
    """A terminal to draw on."""

    name: str
    size: tuple[int, int]
    env: tuple[tuple[str, str], ...] = ()
    styles: bool = False
    ascii: bool = False

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        """Its environment."""
        for name, value in self.env:
            if value:
                patch.setenv(name, value)
            else:
                patch.delenv(name, raising=False)


SURFACES = (
    Surface("80x24", (80, 24)),
    Surface("120x40", (120, 40), styles=True),
    Surface("200x60", (200, 60)),
    Surface("8-colours", (80, 24), (("TERM", "xterm"), ("COLORTERM", "")), styles=True),
    Surface("no-colour", (80, 24), (("NO_COLOR", "1"),), styles=True),
    Surface("ascii", (80, 24), ascii=True),
)


async def unfollowed(t: Terminal) -> None:
    """Nothing more comes from the box by itself."""
    followers = [worker for worker in t.app.workers if worker.group == "feed"]
    for worker in followers:
        worker.cancel()
    await t.until(lambda: not any(w.is_running for w in followers), "nobody follows")


async def held(t: Terminal) -> None:
    """Have what is of the moment be always the same."""
    app = t.app
    await unfollowed(t)
    if app.store.link.state == LIVE:
        app.store.set_link(Link(LIVE, 4.0))
    while len(app.store.loads) > 1:  # how many there are is of the moment
        app.store.loads.pop()
    if app.view is not None:
        app.view.renew()


async def rests(t: Terminal) -> None:
    """Wait until the screen has come to rest."""
    seen: list[str] = []

    def same() -> bool:
        seen.append(t.text)
        return len(seen) > RESTS and len(set(seen[-RESTS:])) == 1

    await t.until(same, "the screen rests")


def drawn(t: Terminal, *, styles: bool) -> str:
    """The screen as the file has it."""
    strips: list[Strip] = t.app.screen._compositor.render_strips()
    lines = ["".join(s.text for s in strip if not s.control).rstrip() for strip in strips]
    if styles:
        lines += ["", *_styles(strips)]
    return "\n".join(lines) + "\n"


def _styles(strips: Iterable[Strip]) -> list[str]:
    letters: dict[str, str] = {}
    rows = []
    for strip in strips:
        runs: list[tuple[str, int]] = []
        for segment in strip:
            if not segment.text or segment.control:
                continue
            style = _style(segment.style)
            letter = letters.setdefault(style, _LETTERS[len(letters) % len(_LETTERS)])
            if runs and runs[-1][0] == letter:
                runs[-1] = (letter, runs[-1][1] + segment.cell_length)
            else:
                runs.append((letter, segment.cell_length))
        rows.append(" ".join(f"{letter}{length}" for letter, length in runs))
    folded: list[str] = []
    for number, row in enumerate(rows):
        if number and row == rows[number - 1]:
            continue
        folded.append(f"{number:>3} {row}")
    return [*(f"{letter} {style}" for style, letter in letters.items()), *folded]


def _style(style: Style | None) -> str:
    if style is None:
        return "-"
    colour = style.color.name if style.color else "-"
    ground = style.bgcolor.name if style.bgcolor else "-"
    more = [w for w in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, w)]
    return " ".join([colour, "on", ground, *more])


async def compare(name: str, surface: Surface, t: Terminal) -> None:
    """Wait until the screen rests and is as the file has it, or fail with the difference; write the
    file when that is asked for."""
    path = FOLDER / f"{name}-{surface.name}.txt"
    await held(t)
    if WRITE:
        await rests(t)
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn(t, styles=surface.styles))
        return
    old = path.read_text() if path.exists() else ""
    now, times = "", 0

    def same() -> bool:
        nonlocal now, times
        now = drawn(t, styles=surface.styles)
        times = times + 1 if now == old else 0
        return times == RESTS

    try:
        await t.until(same, "the screen is as the file has it")
    except AssertionError:
        lines = difflib.unified_diff(
            old.splitlines(), now.splitlines(), path.name, "now", lineterm="", n=1
        )
        pytest.fail("\n".join(lines), pytrace=False)
