"""ctrl+p and ``?``: all verbs and names by their words."""

from __future__ import annotations

import time

from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import opened
from tui.keymap import APP, OF
from tui.places import JOB, PIPELINE
from tui.widgets.picker import MOST, Hit, best


def test_words_that_begin_so_come_first_and_letters_in_order_last() -> None:
    hits = [Hit(text, text) for text in ("xxresizexx", "big resize", "resize", "r e size", "none")]
    assert [hit.id for hit in best("resize", hits)][:3] == ["resize", "big resize", "xxresizexx"]
    assert [hit.id for hit in best("rsz", [Hit("resize", "resize")])] == ["resize"]
    assert best("qq", hits) == []
    assert [hit.id for hit in best("big re", hits)] == ["big resize"]


def test_of_many_names_two_hundred_are_shown_and_typing_stays_quick() -> None:
    hits = [Hit(str(n), f"pipeline-{n}") for n in range(10_000)]
    took = []
    for _ in range(3):  # one of them without a look for cycles in between
        begun = time.thread_time()
        assert len(best("line", hits)) == MOST
        took.append(time.thread_time() - begun)
    assert min(took) < 0.5


async def test_the_palette_goes_to_a_name(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("ctrl+p")
        await t.sees("a verb, a name", "jobs, datums and logs")
        await t.type("windows")
        await t.sees("windows", "pipeline", "repo")
        await t.press("enter")
        await t.until(lambda: t.app.current_mode == PIPELINE, "the pipeline")


async def test_the_palette_does_a_verb(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("ctrl+p")
        await t.type("freeze")
        await t.press("enter")
        await t.until(lambda: t.app.frozen, "frozen")


async def test_the_palette_asks_the_box_for_names_that_begin_so(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("ctrl+p")
        await t.type("raw@master:/2024/07/cam")
        await t.sees("cam3.csv", "cam3.jpg")


async def test_many_pipelines_are_no_burden_to_the_palette() -> None:
    many = [{**canned.PIPELINES[0], "name": f"p{n}"} for n in range(500)]
    async with opened(FakeBox(canned.summary(pipelines=many))) as t:
        await t.sees("lab-01")
        await t.press("ctrl+p")
        await t.type("p499")
        await t.sees("p499")


async def test_help_shows_every_key_that_acts_here_and_does_the_chosen_one(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("question_mark")
        await t.sees("Keys", "find a key; Enter does it")
        shown = [hit.text + hit.beside for hit in t.app.screen.hits()]  # type: ignore[attr-defined]
        for key in OF[APP].values():
            assert any(key.all_shown in text and key.help in text for text in shown), key.name
        await t.type("jobs, datums")
        await t.press("enter")
        await t.until(lambda: t.app.current_mode == JOB, "jobs")


async def test_a_verb_that_cannot_be_done_says_why_and_is_not_hidden(fake: FakeBox) -> None:
    async with opened(fake, read_only=True) as t:
        view = await t.until(lambda: t.app.view, "a view")
        view.do_delete = lambda: None
        await t.sees("lab-01")
        await t.press("question_mark")
        await t.type("delete")
        await t.sees("delete (asks)", "read-only")
        await t.press("enter")
        await t.sees("started with --read-only")
