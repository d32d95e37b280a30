"""The terminal under test: opened on a real box or the fake, driven by keys, read as text."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from pachybox.cli.app import find
from pachybox.cli.command import build
from pachybox.cli.table import commands
from pachybox.client import AsyncClient
from tests.boxes import RealBox
from tui.app import PachyApp
from tui.choices import Choices
from tui.places import HOME, Place
from tui.screens.view import View
from tui.widgets.confirm import Question

T = TypeVar("T")


class Terminal:
    """An open app: ``press`` keys, read ``text`` or ``lines``, wait ``until`` something is so."""

    def __init__(self, app: PachyApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """Keys by Textual's names, one after the other."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """The characters of a text as keys, as fast as they are taken: all that was printable so
        far is sent at once, as a terminal sends a burst, a key with a name of its own waits."""
        driver = self.app._driver
        assert driver is not None
        for part in re.split(r"([\n\t])", text):
            if part in _ALONE:
                await self.press(_ALONE[part])
                continue
            for c in part:
                key = Key(_character_to_key(c), c)
                key.set_sender(self.app)
                driver.send_message(key)
            await self.pilot.pause()

    async def confirm(self, *keys: str) -> None:
        """Answer a question, later than a repeated key would."""
        question = await self.until(lambda: self._question, "a question is asked")
        question.quiet_since = question.open_since = 0.0
        await self.press(*keys)

    @property
    def _question(self) -> Question | None:
        screen = self.app.screen
        return screen if isinstance(screen, Question) else None

    def lines(self) -> list[str]:
        """The screen's rows as plain text."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(s.text for s in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        """The screen as plain text."""
        return "\n".join(self.lines())

    async def until(self, look: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
        """Wait until ``look`` is true-ish, and return that; fails with the screen otherwise."""
        end = time.monotonic() + timeout_s
        pause = 0.02
        while True:
            await self.pilot.pause()
            if found := look():
                return found
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout_s} s: {what}\n{self.text}")
            await asyncio.sleep(pause)  # between two looks at a condition
            pause = min(pause * 1.3, 0.1)

    async def sees(self, *words: str, timeout_s: float = 30.0) -> None:
        """Wait until all ``words`` are on the screen."""

        def seen() -> bool:
            text = self.text
            return all(w in text for w in words)

        await self.until(seen, f"{words}", timeout_s)


_ALONE = {"\n": "enter", "\t": "tab"}


@asynccontextmanager
async def opened(
    box: RealBox | Callable[[], Any],
    *,
    start: Place = Place(HOME),  # noqa: B008 - frozen
    size: tuple[int, int] = (120, 40),
    choices: Path | None = None,
    errors: bool = False,
    kind: type[PachyApp] = PachyApp,
    **options: Any,
) -> AsyncIterator[Terminal]:
    """The app on a box (or on what a callable gives as its client), live. A defect that was told
    in a notice fails the test, unless ``errors`` are expected."""
    connect = (lambda: AsyncClient(str(box.socket))) if isinstance(box, RealBox) else box
    kept = Choices(choices or Path("/dev/null/tui.json"))
    app = kind(connect, start=start, choices=kept, **options)
    shown: set[str] = set()
    renew = View.renew

    def noted(view: View, command: str | None = None) -> None:
        shown.update([command] if command else [])
        renew(view, command)

    with patch.object(View, "renew", noted):
        async with app.run_test(size=size, notifications=True) as pilot:
            terminal = Terminal(app, pilot)
            await terminal.until(lambda: app.view is not None, "a view is in front")
            yield terminal
            assert not app.crash, app.crash
            told = [n.whole for n in app.notices.all if n.text.startswith("internal error")]
            assert errors or not told, "\n".join(told)
    wrong = [why for line in sorted(shown) if (why := refused(line))]
    assert not wrong, "\n".join(wrong)


def refused(line: str) -> str:
    """Why a line that was shown after ``pachybox`` is none of the command line's; "" if it is.
    What other programs do with what it prints is not looked at."""
    lexer = shlex.shlex(f"pachybox {line}", posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) - set("();<>|&"):
            words.append(word)
        elif words[:1] == ["pachybox"] and (why := _refused(words[1:])):
            return f"{line}: {why}"
        else:
            words = []
    return ""


def _refused(words: list[str]) -> str:
    name, rest = find(words, commands())
    if not name:
        return "no such command"
    module, summary = commands()[name]
    command = import_module(f"pachybox.cli.{module}").COMMANDS[name]
    try:
        build(name, summary, command).parse_args(rest)
    except SystemExit:
        return f"{name} does not take {rest}"
    return ""
