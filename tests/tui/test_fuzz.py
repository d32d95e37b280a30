"""Keys and clicks at random, over all views of a real box: nothing breaks, nothing is changed by
a slip. ``PACHYBOX_TEST_KEYS=10000`` presses more, ``PACHYBOX_TEST_SEED`` others."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.boxes import RealBox
from tests.tui.busy import Recorded, dump, fill
from tests.tui.keys_at_random import Pressed, answered, closing, fuzz, key_event
from tests.tui.pilot import Terminal, opened
from tui.widgets.confirm import Ask

KEY_COUNT = int(os.environ.get("PACHYBOX_TEST_KEYS", "200"))
SEED = int(os.environ.get("PACHYBOX_TEST_SEED", "7"))
pytestmark = pytest.mark.timeout(300 + KEY_COUNT)
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


async def quiet(t: Terminal) -> None:
    """Leave what is over the view, and wait until the view has come to rest."""
    for _ in range(4):
        t.app.post_message(key_event(t.app, "escape"))
        await answered(t)
    end = asyncio.get_running_loop().time() + 30
    while t.app.store.link.state != "live":
        assert asyncio.get_running_loop().time() < end, f"not live: {t.app.store.link}\n{t.text}"
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


@asynccontextmanager
async def started(box: RealBox, **more: Any) -> AsyncIterator[Terminal]:
    """The terminal on a box, which tells of its changes."""
    held: list[Pressed] = []

    def connect() -> Recorded:
        return Recorded(str(box.socket), lambda name, args: held[0].changes(name, args))

    class Known(Pressed):
        def __init__(self, *args: Any, **rest: Any) -> None:
            super().__init__(*args, **rest)
            held[:] = [self]

    async with AsyncExitStack() as open_now:
        t = await open_now.enter_async_context(opened(connect, kind=Known, **more))
        yield t
        async with closing(t):
            await open_now.aclose()


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
