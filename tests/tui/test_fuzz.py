"""Keys and clicks at random, over all views of a real box: nothing breaks, nothing is changed by
a slip. ``PACHYBOX_TEST_KEYS=10000`` presses more, ``PACHYBOX_TEST_SEED`` others."""

from __future__ import annotations

import asyncio
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.geometry import Size

from tests.boxes import RealBox
from tests.tui.busy import Recorded, dump, fill
from tests.tui.pilot import Terminal, opened
from tui.app import PachyApp
from tui.keymap import KEYS
from tui.widgets.confirm import Ask, Question

KEY_COUNT = int(os.environ.get("PACHYBOX_TEST_KEYS", "200"))
SEED = int(os.environ.get("PACHYBOX_TEST_SEED", "7"))
SIZES = ((120, 40), (80, 24), (200, 60), (40, 10))

ONE_KEY = {
    "run_cron": "a tick: what it brings is a new commit",
    "run_ingest": "the same of a source",
    "pause_ingest": "s again resumes",
    "resume_ingest": "s again pauses",
    "stop_pipeline": "pauses; s again resumes, and where a job runs it asks",
    "start_pipeline": "s again pauses",
    "rerun_pipeline": "a new job; what was done stays",
    "restart_datum": "a datum that runs is tried again; nothing that was done is lost",
    "run_trial": "one datum, and nothing is kept of it",
    "create_demo": "offered by an empty box alone, and taken away by: demo --remove",
}
"""What may change something without a question: it loses nothing, and can be undone."""

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
    ends; unless ``confirms``, what would confirm a question does not reach it."""

    confirms = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.story: list[tuple[str, Any]] = []
        self.defects: list[str] = []

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

    def defect(self, error: Exception) -> None:
        import traceback

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


def _would_confirm(ask: Ask, event: events.InputEvent) -> bool:
    if ask.typed or ask.choices or ask.line is not None:
        if isinstance(event, events.Key):
            return event.key == "enter"
        return isinstance(event, events.MouseDown)
    return isinstance(event, events.Key) and event.character == ask.yes


def _key(app: PachyApp, name: str) -> events.Key:
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
    return [_key(app, name) for name in names]


async def fuzz(t: Terminal, keys: int, seed: int) -> None:
    """Press ``keys`` keys at random, some sooner after each other than the screen can follow."""
    app, chance = t.app, random.Random(seed)
    assert isinstance(app, Pressed)
    done: list[str] = []
    sent = 0
    while sent < keys:
        for event in _next(app, chance):
            done.append(getattr(event, "key", type(event).__name__))
            app.post_message(event)
            sent += 1
        if chance.random() < 0.4:
            await answered(t, done)
        if chance.random() < 0.05:
            await asyncio.sleep(0.05)  # answers of the box come between two keys
        if chance.random() < 0.005:
            size = Size(*chance.choice(SIZES))
            app.post_message(events.Resize(size, size))
        story = "\n".join(app.defects)
        assert not app.defects, f"{story}\nseed {seed}, after {' '.join(done[-60:])}"
        assert not app.crash, f"{app.crash}\nseed {seed}, after {' '.join(done[-60:])}"
    await answered(t, done)


async def answered(t: Terminal, done: list[str]) -> None:
    """Wait until all that was pressed has been handled; tells what stands in the way. (The
    pilot's own pause waits for widgets that are gone.)"""
    handled = asyncio.Event()
    t.app.call_later(handled.set)
    try:
        await asyncio.wait_for(handled.wait(), 30)
    except TimeoutError as e:
        pumps = [task for task in asyncio.all_tasks() if "message pump" in task.get_name()]
        told = [f"{task.get_name()}: {' > '.join(_inside(task))}" for task in pumps]
        stuck = "\n".join(line for line in told if "_get_message" not in line)
        raise AssertionError(f"{stuck}\nafter {' '.join(done[-60:])}\n{t.text}") from e


def _inside(task: asyncio.Task[Any]) -> list[str]:
    """The functions in which a task waits, the outermost first."""
    found: list[str] = []
    waits: Any = task.get_coro()
    while waits is not None and hasattr(waits, "cr_code"):
        found.append(waits.cr_code.co_qualname)
        waits = waits.cr_await
    return [*found, str(waits)[:200]]


async def quiet(t: Terminal) -> None:
    """Leave what is over the view, and wait until the view has come to rest."""
    for _ in range(4):
        t.app.post_message(_key(t.app, "escape"))
        await answered(t, [])
    end = asyncio.get_running_loop().time() + 30
    while t.app.store.link.state != "live":
        assert asyncio.get_running_loop().time() < end, "it is not live"
        await asyncio.sleep(0.02)  # between two looks at a condition


@pytest.fixture(scope="module")
def busy(shared_box: RealBox, tmp_path_factory: pytest.TempPathFactory) -> RealBox:
    return fill(shared_box, tmp_path_factory.mktemp("in"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is saved here, and editors change nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("VISUAL", "EDITOR", "PAGER"):
        monkeypatch.setenv(name, "true")


def started(box: RealBox, **more: Any) -> Any:
    """The terminal on a box, which tells of its changes."""
    held: list[Pressed] = []

    def connect() -> Recorded:
        return Recorded(str(box.socket), lambda name, args: held[0].changes(name, args))

    class Known(Pressed):
        def __init__(self, *args: Any, **rest: Any) -> None:
            super().__init__(*args, **rest)
            held[:] = [self]

    return opened(connect, kind=Known, **more)


async def test_keys_at_random_break_nothing_and_change_nothing_that_is_not_confirmed(
    busy: RealBox,
) -> None:
    before = await asyncio.to_thread(dump, busy)
    async with started(busy) as t:
        await t.sees("live")
        await fuzz(t, KEY_COUNT, SEED)
        await quiet(t)
        story = t.app.story
    after = await asyncio.to_thread(dump, busy)
    made = {name for name, _ in story}
    assert made <= set(ONE_KEY), {name: [a for n, a in story if n == name] for name in made}
    lost = {key: (was, after.get(key)) for key, was in before.items() if after.get(key) != was}
    assert all(key.startswith(("running ", "paused ")) for key in lost), lost
    new = {key.partition(" ")[0] for key in after.keys() - before.keys()}
    assert new <= {"commit", "job"}, new
    assert not new or made - {"pause_ingest", "resume_ingest", "stop_pipeline"}, new


async def test_keys_at_random_change_nothing_at_all_in_read_only_mode(busy: RealBox) -> None:
    before = await asyncio.to_thread(dump, busy)
    async with started(busy, read_only=True) as t:
        t.app.confirms = True
        await t.sees("live")
        await fuzz(t, KEY_COUNT, SEED + 1)
        await quiet(t)
        assert [name for name, _ in t.app.story if name != "yes"] == []
    assert await asyncio.to_thread(dump, busy) == before


async def test_where_questions_are_answered_only_what_was_asked_is_done(
    box: RealBox, tmp_path: Path
) -> None:
    await asyncio.to_thread(fill, box, tmp_path / "in")
    async with started(box) as t:
        t.app.confirms = True
        await t.sees("live")
        await fuzz(t, KEY_COUNT, SEED + 2)
        await quiet(t)
        story = t.app.story
    asked: list[tuple[Ask, str]] = []
    for name, args in story:
        if name == "yes":
            asked.append(args)
        elif name not in ONE_KEY:
            assert asked, f"{name}{args} was done without a question"
            if re.match("delete|drop|squash|stop|clear", name):
                named = [q for q, _ in asked if str(args[0]) in f"{q.command} {q.title} {q.text}"]
                assert named, f"{name}{args} was done, and asked was {asked[-3:]}"
