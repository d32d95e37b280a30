"""Keys and clicks at random: what is pressed, by whom it is noted, and what is told where it
breaks something."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.geometry import Size

from tests.tui.pilot import Terminal
from tui.app import PachyApp
from tui.keymap import KEYS
from tui.widgets.confirm import Ask, Question

_LONG = 1000
_STUCK_S = 60.0
SIZES = ((120, 40), (80, 24), (200, 60), (40, 10))

SAID = (
    "jobs", "repo", "raw", "raw@master:/a.csv", "raw@master:/deep", "copy", "logs ocr",
    "logs drops",
    "diff raw@master", "new pipeline", "edit copy", "ingest drops", "lineage raw@master", "theme",
    "theme nosuch", "nosuch thing", "list repo", "delete repo raw", "delete pipeline copy",
    "delete all", "pachybox delete file raw@open:/a.csv", "stop pipeline slow", "help", "notices",
    "logs slow since=1m", "inspect pipeline ocr", "pipeline joined", ":", "'", "raw@", "@", ":/",
)  # fmt: skip
_KEYS = sorted({key for one in KEYS for key in one.keys.split(",")})
_CHARACTERS = {
    "less_than_sign": "<", "greater_than_sign": ">", "question_mark": "?", "slash": "/",
    "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{",
    "right_curly_bracket": "}", "vertical_line": "|", "ampersand": "&", "apostrophe": "'",
    "semicolon": ";", "full_stop": ".", "comma": ",", "exclamation_mark": "!", "colon": ":",
    "minus": "-", "space": " ", "tab": "\t", "enter": "\r", "escape": "\x1b",
}  # fmt: skip
_OFTEN = ("enter", "enter", "escape", "tab", "j", "k", "down", "1", "2", "3", "4", "5", "6", "y")


class Pressed(PachyApp):
    """The terminal, which writes down in order what was confirmed and what was changed. It never
    ends, and stays at its box; unless ``confirms``, what would confirm a question does not reach
    it."""

    confirms = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.story: list[tuple[str, Any]] = []
        self.defects: list[str] = []
        self.pressed: list[str] = [""]

    def changes(self, name: str, args: tuple[Any, ...]) -> None:
        """A call that changes something is about to be made."""
        self.story.append((name, args))

    async def ask(self, question: Ask) -> str | None:
        answer = await super().ask(question)
        if answer is not None:
            self.story.append(("yes", (question, answer)))
        return answer

    def exit(self, *args: Any, **more: Any) -> None:
        if self.crash:
            super().exit(*args, **more)

    async def move(self, name: str) -> None:
        """There may be another box here, which is nobody's to try keys on."""

    def defect(self, error: Exception) -> None:
        self.defects.append("".join(traceback.format_exception(error)))
        super().defect(error)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent) and not event.is_forwarded:
            question = self.screen
            if isinstance(question, Question):
                question.quiet_since = question.open_since = 0.0  # no key is a repeated one
                if not self.confirms and _would_confirm(question._ask, event):
                    return
        await super().on_event(event)

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        """A key that waited for a view may come to a question that was opened meanwhile."""
        await self._arrived()
        if self._is_kept_from_it(events.Key(key, _CHARACTERS.get(key, key))):
            return True
        return await super()._check_bindings(key, priority)

    def on_key(self, event: events.Key) -> None:
        """So may one that went to what was below it."""
        if self._is_kept_from_it(event):
            event.prevent_default()

    def _is_kept_from_it(self, event: events.Key) -> bool:
        question = self.screen
        return (
            not self.confirms
            and isinstance(question, Question)
            and _would_confirm(question._ask, event)
        )


def _would_confirm(ask: Ask, event: events.InputEvent) -> bool:
    if ask.typed or ask.choices or ask.line is not None:
        if isinstance(event, events.Key):
            return event.key == "enter"
        return isinstance(event, events.MouseDown)
    return isinstance(event, events.Key) and event.character == ask.yes


def key_event(app: PachyApp, name: str) -> events.Key:
    character = _CHARACTERS.get(name) or (name if len(name) == 1 else None)
    event = events.Key(name, character)
    event.set_sender(app)
    return event


def _mouse(app: PachyApp, chance: random.Random) -> list[events.Event]:
    width, height = app.size
    x, y = chance.randrange(max(1, width)), chance.randrange(max(1, height))
    place = (None, x, y, 0, 0)
    flags = (False, False, False)
    wheel = chance.choice((events.MouseScrollDown, events.MouseScrollUp))
    if chance.random() < 0.3:
        return [wheel(*place, 0, *flags, x, y)]
    down = events.MouseDown(*place, 1, *flags, x, y)
    if chance.random() < 0.2:
        x, y = chance.randrange(max(1, width)), chance.randrange(max(1, height))
    move = events.MouseMove(None, x, y, 0, 0, 1, *flags, x, y)
    up = events.MouseUp(None, x, y, 0, 0, 1, *flags, x, y)
    once = [move, down, up] if chance.random() < 0.8 else [down, move, up]
    return once * chance.choice((1, 1, 2))


def _next(app: PachyApp, chance: random.Random) -> list[events.Event]:
    """A key, a click, or a line that is typed after a colon."""
    luck = chance.random()
    if luck < 0.12:
        return _mouse(app, chance)
    if luck < 0.15:
        names = ["colon", *chance.choice(SAID), "enter"]
    elif luck < 0.45:
        names = [chance.choice(_OFTEN)]
    elif luck < 0.55:
        names = [chance.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0789*~\u6f22")]
    else:
        names = [chance.choice(_KEYS)]
    return [key_event(app, name) for name in names]


async def fuzz(t: Terminal, keys: int, seed: int) -> None:
    """Press ``keys`` keys at random, most of them in bursts that the screen cannot follow."""
    app, chance = t.app, random.Random(seed)
    assert isinstance(app, Pressed)
    app.pressed = [f"seed {seed}"]
    sent = 0
    while sent < keys:
        for event in _next(app, chance):
            app.pressed.append(getattr(event, "key", type(event).__name__))
            app.post_message(event)
            sent += 1
            if keys > _LONG and sent % _LONG == 0:
                print(f"{time.strftime('%X')} seed {seed}: {sent} keys", file=sys.stderr)
        if chance.random() < 0.3:
            await answered(t)
        if chance.random() < 0.03:
            await loaded(t)
        if chance.random() < 0.005:
            size = Size(*chance.choice(SIZES))
            app.pressed.append(f"{size.width}x{size.height}")
            app.post_message(events.Resize(size, size))
        broken = list(filter(None, [*app.defects, app.crash]))
        assert not broken, cause(t, broken)
    await answered(t)


async def answered(t: Terminal) -> None:
    """Wait until all that was pressed has been handled: by the app, what has the focus, and
    the app. Tells what stands in the way. (The pilot's own pause waits for widgets that are
    gone.)"""
    for _ in range(3):
        handled = asyncio.Event()
        t.app.call_later(handled.set)
        try:
            await asyncio.wait_for(handled.wait(), _STUCK_S)
        except TimeoutError as e:
            raise AssertionError(cause(t, ["keys are no longer answered", *waiting()])) from e
    if isinstance(t.app, Pressed):
        t.app.pressed.append(f"[{type(t.app.screen).__name__}]")


async def loaded(t: Terminal) -> None:
    """Wait until the view has loaded what it shows, if that comes soon."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end and any(w.group == "load" for w in t.app.workers):
        await asyncio.sleep(0.01)  # between two looks at a condition


def cause(t: Terminal, stories: list[str]) -> str:
    """All that helps to find out: the last keys, the screen, the notices, the stories."""
    app = t.app
    assert isinstance(app, Pressed)
    stacks: Any = app._screen_stacks
    modes = [f"{mode}: {' > '.join(map(repr, stack))}" for mode, stack in stacks.items()]
    notices = [notice.whole for notice in app.notices.all[-5:]]
    try:
        screen = t.text
    except Exception:  # the screen may be what is broken
        screen = traceback.format_exc()
    parts = (*stories, app.pressed[0], " ".join(app.pressed[-60:]), *modes, *notices, screen)
    return "\n".join(filter(None, parts))


def waiting() -> list[str]:
    """What each task waits for that waits for more than its next message."""
    told = []
    for task in asyncio.all_tasks():
        if "_get_message" not in (line := f"{task.get_name()}: {' > '.join(_inside(task))}"):
            told.append(line)
    return told


@asynccontextmanager
async def closing(t: Terminal) -> AsyncIterator[None]:
    """While the terminal closes: one that does not close tells why."""
    here = asyncio.current_task()
    story: list[str] = []

    def late() -> None:
        story.extend(["it does not close", *waiting()])
        print(cause(t, story), file=sys.stderr)
        if here is not None:
            here.cancel()

    timer = asyncio.get_running_loop().call_later(_STUCK_S, late)
    try:
        yield
    except asyncio.CancelledError as e:
        if story:
            raise AssertionError("\n".join(story)) from e
        raise
    finally:
        timer.cancel()


def _inside(task: asyncio.Task[Any]) -> list[str]:
    """The functions in which a task waits, the outermost first."""
    found: list[str] = []
    waits: Any = task.get_coro()
    while waits is not None and hasattr(waits, "cr_code"):
        found.append(waits.cr_code.co_qualname)
        waits = waits.cr_await
    return [*found, str(waits)[:200]]
