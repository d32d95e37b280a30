"""What holds on every screen: places, back, notices, boxes over views, themes, memory."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from textual.color import Color

from tests.tui.fake import FakeBox
from tests.tui.pilot import opened
from tui import clipboard
from tui.places import HOME, JOB, MODES, REPO, Place, split
from tui.theme import FIRST, TERMINAL, THEMES, begin
from tui.widgets.confirm import Ask, Question

GROUNDS = ("background", "surface", "panel", "boost")
TEXTS = ("foreground", "text-muted", *(f"text-{c}" for c in
         ("primary", "secondary", "warning", "error", "success", "accent")))  # fmt: skip


def luminance(colour: Color) -> float:
    """As WCAG 2 defines it."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Color, other: Color) -> float:
    """From 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", [name for name in THEMES if name != TERMINAL])
def test_every_text_of_a_theme_stands_out_from_all_it_lies_on(name: str) -> None:
    colours = THEMES[name].to_color_system().generate()
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [
        ("block-cursor-foreground", "block-cursor-background"),
        ("block-cursor-blurred-foreground", "block-cursor-blurred-background"),
        ("background", "warning"),
    ]
    low = {
        pair: round(ratio, 2)
        for pair in pairs
        if (ratio := contrast(*(Color.parse(colours[part]) for part in pair))) < 4.5
    }
    assert low == {}


def test_there_are_five_themes_and_the_terminals_own_for_eight_colours() -> None:
    assert len(THEMES) == 6
    assert begin(None) == begin(256) == FIRST
    assert begin(8) == TERMINAL


def test_names_are_read_in_their_parts() -> None:
    assert split("raw@master:/a b") == ("raw", "master", "/a b")
    assert split("raw") == ("raw", "", "")
    assert split("raw:a") == ("raw", "", "/a")
    for text in ("raw@master:/a", "raw@4f2a", "raw"):
        assert str(Place(REPO, *split(text))) == text
    assert str(Place(REPO)) == "repo"


async def test_the_numbers_go_to_the_modes_and_the_trail_leads_back(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        for number, mode in enumerate(MODES, 1):
            await t.press(str(number))
            await t.until(lambda mode=mode: t.app.current_mode == mode, mode)
        await t.press("minus")
        await t.until(lambda: t.app.current_mode == MODES[-2], "the view before")
        await t.press("minus")
        await t.until(lambda: t.app.current_mode == MODES[-1], "and there again")


async def test_q_leaves_at_a_modes_first_view_and_esc_does_not(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.press("escape", "escape")
        await t.sees("lab-01")
        await t.press("q")
        await t.until(lambda: not t.app.is_running or t.app.return_value == 0, "it ended")
    assert t.app.return_value == 0


async def test_ctrl_c_never_leaves_but_says_what_does(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("ctrl+c")
        await t.sees("q goes back and out; ctrl+q quits")
        assert t.app.is_running


async def test_a_notice_is_kept_with_its_detail_and_copied_whole(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        t.app.notice("it failed", error=True, detail="line one\nline two")
        await t.sees("it failed  (! more)")
        await t.press("exclamation_mark")
        await t.sees("Notices", "line two")
        await t.press("enter")
        await t.until(lambda: "line one\nline two" in t.app.clipboard, "it is on the clipboard")


async def test_an_error_of_a_worker_or_a_handler_is_a_notice(fake: FakeBox) -> None:
    async def fails() -> None:
        raise LookupError("no such drawer")

    def breaks() -> None:
        raise LookupError("no such shelf")

    async with opened(fake, errors=True) as t:
        view = await t.until(lambda: t.app.view, "a view")
        view.load(fails())
        await t.sees("internal error: LookupError('no such drawer')")
        t.app.call_later(breaks)
        await t.sees("internal error: LookupError('no such shelf')")
        assert "Traceback" in t.app.notices.all[0].detail
        assert t.app.is_running


async def test_an_error_that_comes_again_and_again_ends_the_terminal_with_its_story(
    fake: FakeBox,
) -> None:
    def breaks() -> None:
        raise LookupError("no such shelf")

    async with opened(fake, errors=True) as t:
        await t.sees("lab-01")
        for _ in range(8):
            t.app.call_later(breaks)
        await t.until(lambda: t.app.crash, "it gave up")
        assert "no such shelf" in t.app.crash
        t.app.crash = ""
    assert t.app.return_code == 1


async def test_what_is_too_long_for_the_clipboard_is_in_a_file(fake: FakeBox) -> None:
    text = "x" * (clipboard.LIMIT + 1)
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.app.copy("short")
        assert t.app.clipboard == "short"
        await t.app.copy(text)
        said = t.app.notices.all[0].text
        path = Path(said.rpartition(" ")[2])
        try:
            assert path.read_text() == text
            assert path.stat().st_mode & 0o077 == 0
        finally:
            path.unlink()


async def test_freezing_holds_the_picture_and_is_shown(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("F")
        await t.sees("frozen")
        assert t.app.frozen
        await t.press("F")
        await t.until(lambda: not t.app.frozen, "it is live")


async def test_a_question_is_not_answered_by_the_repeat_of_its_key(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        asked = asyncio.ensure_future(_ask(t.app, Ask("Stop it?", "It will stop.", yes="y")))
        await t.sees("Stop it?")
        question = t.app.screen
        assert isinstance(question, Question)
        question.quiet_since = time.monotonic() + 3600  # as if no time went by
        await t.press("y", "q", "1", "enter")
        assert not asked.done()
        await t.confirm("y")
        assert await asked == "y"
        again = asyncio.ensure_future(_ask(t.app, Ask("Stop it?", yes="y")))
        await t.sees("Stop it?")
        await t.press("escape")
        assert await again is None
        assert t.app.current_mode == HOME


async def _ask(app: object, question: Ask) -> str | None:
    answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        answer.set_result(await app.ask(question))  # type: ignore[attr-defined]

    app.run_worker(ask())  # type: ignore[attr-defined]
    return await answer


async def test_the_keys_stand_beside_the_view_and_go_again(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("f1")
        await t.sees("Everywhere", "g Home", "first")
        await t.press("f1")
        await t.until(lambda: "Everywhere" not in t.text, "the panel is gone")


async def test_theme_and_last_view_are_remembered(fake: FakeBox, tmp_path: Path) -> None:
    kept = tmp_path / "tui.json"
    async with opened(fake, choices=kept) as t:
        t.app.colours("paper")
        await t.press("4")
        await t.until(lambda: t.app.current_mode == JOB, "jobs")
        await t.until(lambda: JOB in t.app.remembered("view"), "it is kept")
    async with opened(fake, choices=kept, start=None) as t:
        await t.until(lambda: t.app.current_mode == JOB, "jobs again")
        assert t.app.theme == "paper"


async def test_a_broken_memory_is_no_memory(fake: FakeBox, tmp_path: Path) -> None:
    kept = tmp_path / "tui.json"
    kept.write_text('{"view": "{", "theme": "neon", "history": "7"}')
    async with opened(fake, choices=kept, start=None) as t:
        await t.sees("lab-01")
        assert t.app.current_mode == HOME
        assert t.app.theme == FIRST


async def test_ascii_only_shows_nothing_else(fake: FakeBox) -> None:
    async with opened(fake, ascii_only=True) as t:
        await t.sees("lab-01", "* live")
        for key in ("question_mark", "escape", "ctrl+p", "escape", "colon", "escape", "2", "4"):
            await t.press(key)
            await t.pilot.pause()
            assert t.text.isascii(), [c for c in t.text if not c.isascii()]


async def test_resizing_to_nothing_and_back_breaks_nothing(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        for size in ((40, 10), (20, 3), (200, 60), (1, 1), (80, 24)):
            await t.pilot.resize_terminal(*size)
            await t.pilot.pause()
        await t.sees("lab-01")


async def test_an_event_is_told_to_the_view_as_topics(fake: FakeBox) -> None:
    async with opened(fake) as t:
        view = await t.until(lambda: t.app.view, "a view")
        await t.sees("lab-01")
        seen: set[str] = set()
        view.changed = seen.update  # type: ignore[method-assign]
        fake.push("commit.finished", repo="raw", id="4f2a")
        await t.until(lambda: {"repo", "repo:raw", "commit"} <= seen, "topics")


async def test_the_path_at_the_top_and_the_footer_take_clicks(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("? keys")
        y = t.app.size.height - 1
        await t.pilot.click(offset=(t.lines()[y].index("? keys"), y))
        await t.sees("find a key")
        await t.press("escape")
