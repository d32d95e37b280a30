"""The terminal closes: out of every view and box, and while one opens or goes away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from textual import events
from textual.screen import Screen
from textual.widgets import Static

from tests.tui.fake import FakeBox
from tests.tui.keys_at_random import Pressed, answered, closing, key_event
from tests.tui.pilot import opened
from tui.places import HOME, INGEST, JOB, LINEAGE, MODES, PIPELINE, REPO, Place
from tui.screens.help import Help
from tui.widgets.confirm import Ask, Question

OPENS = [
    *((Place(mode), ()) for mode in MODES),
    (Place(HOME), ("colon", "j", "o")),
    (Place(REPO), ("ctrl+p",)),
    (Place(JOB), ("question_mark",)),
    (Place(PIPELINE), ("f1", "exclamation_mark")),
    (Place(HOME), ("ctrl+g",)),
    (Place(REPO), ("enter", "slash", "a")),
    (Place(PIPELINE), ("n", "f6")),
    (Place(PIPELINE), ("enter", "D")),
    (Place(JOB), ("enter", "x")),
    (Place(INGEST), ("n",)),
    (Place(LINEAGE), ("y",)),
    (Place(HOME), ("2", "enter", "3", "enter", "4", "enter", "escape", "1")),
]


@pytest.mark.parametrize("waits", [True, False], ids=["at rest", "at once"])
@pytest.mark.parametrize(("place", "keys"), OPENS, ids=lambda one: str(one))
async def test_it_closes_out_of_every_view_and_box(
    fake: FakeBox, place: Place, keys: tuple[str, ...], waits: bool
) -> None:
    async with AsyncExitStack() as open_now:
        t = await open_now.enter_async_context(opened(lambda: fake, start=place, kind=Pressed))
        for key in keys:
            t.app.post_message(key_event(t.app, key))
            if waits:
                await answered(t)
        async with closing(t):
            t.app.post_message(key_event(t.app, "ctrl+q"))
            await open_now.aclose()
    assert not t.app.is_running


async def test_who_waits_for_a_screen_to_go_and_is_cancelled_takes_nothing_along(
    fake: FakeBox,
) -> None:
    going, may_go = asyncio.Event(), asyncio.Event()

    class Slow(Screen[None]):
        gone = False

        async def on_unmount(self) -> None:
            going.set()
            await may_go.wait()  # as a view that has much to put away
            self.gone = True

    async with opened(lambda: fake, kind=Pressed) as t:
        screen = Slow()
        await t.app.push_screen(screen)

        async def leave() -> None:
            await t.app.pop_screen()

        worker = t.app.beside(leave(), "leave")
        await going.wait()
        worker.cancel()
        while not worker.is_finished:
            await asyncio.sleep(0)
        may_go.set()
        await t.until(lambda: screen.gone, "the screen has put away all")
        await t.until(lambda: screen not in t.app._registry, "nothing of it stays")
        await answered(t)  # the app's loop goes on


async def test_keys_typed_while_another_mode_opens_act_there(fake: FakeBox) -> None:
    async with opened(lambda: fake) as t:
        await t.sees("live")
        for key in ("2", "3", "question_mark"):
            t.app.post_message(key_event(t.app, key))
        await t.until(lambda: type(t.app.screen).__name__ == "Help", "the keys are shown")
        assert t.app.current_mode == PIPELINE


async def test_keys_typed_while_a_view_opens_act_in_it(fake: FakeBox) -> None:
    async with opened(lambda: fake, start=Place(PIPELINE), kind=Pressed) as t:
        await t.sees("live", "resize")
        for key in ("enter", "right_square_bracket", "left_square_bracket", "tab", "n"):
            t.app.post_message(key_event(t.app, key))
        await t.until(
            lambda: [type(s).__name__ for s in t.app.screen_stack][1:2] == ["PipelineDetail"],
            "it is open",
        )
        assert not t.app.defects


async def test_a_box_below_another_takes_that_one_not_along(fake: FakeBox) -> None:
    async with opened(lambda: fake, kind=Pressed) as t:
        t.app.post_message(key_event(t.app, "question_mark"))
        below = await t.until(lambda: isinstance(t.app.screen, Help) and t.app.screen, "keys")
        asking = t.app.beside(t.app.ask(Ask("Sure?")), "ask")
        above = await t.until(lambda: isinstance(t.app.screen, Question) and t.app.screen, "it")
        below.dismiss(None)  # as when an Enter was on its way
        await answered(t)
        assert t.app.screen is above
        t.app.post_message(key_event(t.app, "escape"))
        await t.until(lambda: t.app.screen is below, "the box below is in front again")
        t.app.post_message(key_event(t.app, "escape"))
        await t.until(lambda: len(t.app.screen_stack) == 1, "both are left")
        assert asking.result is None


async def test_a_click_on_what_has_just_gone_does_nothing(fake: FakeBox) -> None:
    async with opened(lambda: fake, kind=Pressed) as t:
        words = Static("words")
        await t.app.screen.mount(words)
        await t.sees("words")
        region = words.region
        words._detach()  # as it is between its end and the next time that all is laid out
        place = (None, region.x, region.y, 0, 0, 1, False, False, False, region.x, region.y)
        t.app.screen._forward_event(events.MouseDown(*place))
        words._attach(t.app.screen)
