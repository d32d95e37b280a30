"""``:``: what may be typed, how it is completed, where it leads."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from textual.events import Key
from textual.widgets import Input

from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import Terminal, opened
from tui.commands import (
    USAGE,
    Act,
    Colours,
    Go,
    Names,
    Order,
    Run,
    ToBox,
    Unclear,
    complete,
    names_of,
    read,
)
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.screens.prompt import Prompt

NAMES = Names(
    repos=("raw", "clean", "resize"),
    pipelines=("clean", "resize"),
    ingests=("mqtt",),
    jobs=("resize@4f2a9c01",),
    branches={"raw": ("master", "staging"), "clean": ("master",), "resize": ("feed",)},
    boxes=("lab", "local"),
    themes=("paper", "pachybox"),
)


def place(mode: str, name: str = "", ref: str = "", path: str = "", pane: str = "") -> Go:
    return Go(Place(mode, name, ref, path, pane))


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("", place(HOME)),
        ("repo", place(REPO)),
        ("jobs", place(JOB)),
        ("crons", place(INGEST)),
        ("raw", place(REPO, "raw")),
        ("resize", place(PIPELINE, "resize")),
        ("repo resize", place(REPO, "resize")),
        ("mqtt", place(INGEST, "mqtt")),
        ("raw@staging", place(REPO, "raw", "staging")),
        ("raw:/a/b.csv", place(REPO, "raw", "master", "/a/b.csv")),
        ("raw@master:/a b.csv", place(REPO, "raw", "master", "/a b.csv")),
        ("resize@4f2a", place(JOB, "resize", "4f2a")),
        ("resize@feed", place(REPO, "resize", "feed")),
        ("4f2a9c01", place(JOB, "resize", "4f2a9c01")),
        ("lineage raw@master:/a", place(LINEAGE, "raw", "master", "/a")),
        ("logs resize", place(JOB, "resize", pane="logs")),
        ("logs mqtt", place(INGEST, "mqtt", pane="logs")),
        ("logs resize@4f2a since=15m", Go(Place(JOB, "resize", "4f2a", "", "logs",
                                                (("since", "15m"),)))),
        ("new pipeline", place(PIPELINE, pane="new")),
        ("edit resize", place(PIPELINE, "resize", pane="edit")),
        ("diff raw@master raw@staging", Go(Place(REPO, "raw", "master", "", "diff",
                                                 (("other", "raw@staging"),)))),
        ("box", ToBox("")),
        (":box lab", ToBox("lab")),
        ("theme paper", Colours("paper")),
        ("quit", Act("app.quit")),
        ("status", Run(("status",), False)),
        ("create repo new", Run(("create", "repo", "new"), True)),
    ],
)  # fmt: skip
def test_a_line_is_an_order(line: str, order: Order) -> None:
    assert read(line, NAMES) == order


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("list repo", place(REPO)),
        ("list repos", place(REPO)),
        ("list branch raw", place(REPO, "raw")),
        ("list commit raw@master", place(REPO, "raw", "master")),
        ("list file raw@master:/a", place(REPO, "raw", "master", "/a")),
        ("list job -p resize", place(JOB, "resize")),
        ("list datum resize@4f2a", place(JOB, "resize", "4f2a")),
        ("inspect pipeline resize", place(PIPELINE, "resize")),
        ("inspect job resize@4f2a", place(JOB, "resize", "4f2a")),
        ("edit pipeline resize", place(PIPELINE, "resize", pane="edit")),
        ("create pipeline", place(PIPELINE, pane="new")),
        ("logs -p resize -f", place(JOB, "resize", pane="logs")),
        ("logs --ingest mqtt", place(INGEST, "mqtt", pane="logs")),
        ("logs --job resize@4f2a --datum 7b", Go(Place(JOB, "resize", "4f2a", "", "logs",
                                                       (("datum", "7b"),)))),
        ("diff file raw@master raw@staging", Go(Place(REPO, "raw", "master", "", "diff",
                                                      (("other", "raw@staging"),)))),
        ("list repo --raw", Run(("list", "repo", "--raw"), False)),
        ("list job --bogus", Run(("list", "job", "--bogus"), False)),
        ("delete repo 'my repo'", Run(("delete", "repo", "my repo"), True)),
        ("stop job resize@4f2a", Run(("stop", "job", "resize@4f2a"), True)),
        ("create pipeline -f a.yaml", Run(("create", "pipeline", "-f", "a.yaml"), True)),
    ],
)  # fmt: skip
def test_a_pasted_command_line_shows_what_it_would_print_or_is_run(line: str, order: Order) -> None:
    assert read(f"pachybox {line}", NAMES) == order
    assert read(f" $ pachybox {line} ", NAMES) == order


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("resz", "did you mean resize"),
        ("rpeo", "did you mean repo"),
        ("box lob", "no box lob; did you mean lab?"),
        ("box x", "there are: lab, local"),
        ("theme neon", "no theme neon"),
        ("raw2@master", "'raw2@master' is not known"),
        ("logs", USAGE["logs"]),
        ("pachybox lst repo", "'lst repo' is not known; did you mean"),
        ("pachybox dev x", "wants a terminal of its own"),
        ("what is this", "is not known"),
    ],
)
def test_what_is_not_known_gets_a_hint(line: str, said: str) -> None:
    with pytest.raises(Unclear, match=re.escape(said)):
        read(line, NAMES)


def test_any_line_is_an_order_or_unclear() -> None:
    for line in (
        "'",
        '"a',
        "@",
        ":",
        "@:/",
        "pachybox",
        "$",
        "a@b@c:d:e",
        "\x00",
        "логи",
        "- -- =",
    ):
        with suppress(Unclear):
            read(line, NAMES)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("re", "repo"),
        ("raw@", "raw@master"),
        ("raw@s", "raw@staging"),
        ("logs re", "logs resize"),
        ("logs resize s", "logs resize since=1m"),
        ("job r", "job resize@4f2a9c01"),
        ("box l", "box lab"),
        ("theme pap", "theme paper"),
        ("pachybox list pip", "pachybox list pipeline"),
        ("inspect repo ra", "inspect repo raw"),
    ],
)
def test_a_line_is_completed_by_what_there_is(line: str, first: str) -> None:
    assert complete(line, NAMES)[0] == first


def test_every_first_word_with_a_usage_is_understood() -> None:
    for word, usage in USAGE.items():
        assert usage.startswith(word)
        if word in ("logs", "diff", "edit"):  # of what?
            with pytest.raises(Unclear, match=re.escape(usage)):
                read(word, NAMES)
        else:
            read(word, NAMES)


async def typed(t: Terminal, line: str) -> None:
    """Type a line into the prompt and send it off."""
    await t.press("colon")
    await t.sees("─ : ─")
    await t.type(line)
    await t.press("enter")


async def test_a_name_leads_to_its_place(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await typed(t, "jobs")
        await t.until(lambda: t.app.current_mode == JOB, "jobs")
        await typed(t, "theme paper")
        await t.until(lambda: t.app.theme == "paper", "another theme")


async def test_tab_takes_what_stands_in_grey_and_names_of_the_box_are_found(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("colon")
        await t.type("repo raw@master:/2024/07/")
        await t.sees("raw@master:/2024/07/cam3.csv", "repo [NAME")
        await t.press("tab")
        await t.press("enter")
        await t.until(lambda: t.app.current_mode == REPO, "the repo")


async def test_what_was_typed_comes_back_also_another_day(fake: FakeBox, tmp_path: Path) -> None:
    kept = tmp_path / "tui.json"
    async with opened(fake, choices=kept) as t:
        await t.sees("lab-01")
        await typed(t, "jobs")
        await typed(t, "jobless")
        await t.sees("'jobless' is not known; did you mean jobs")
    assert json.loads(json.loads(kept.read_text())["history"]) == ["jobs", "jobless"]
    async with opened(fake, choices=kept) as t:
        await t.sees("lab-01")
        await t.press("colon", "up")
        await t.sees("jobless")
        await t.press("up", "enter")
        await t.until(lambda: t.app.current_mode == JOB, "jobs")


async def test_esc_leaves_the_prompt_and_letters_in_it_are_not_keys(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("colon", "2", "q", "F", "escape")
        await t.until(lambda: t.app.screen is t.app.view, "back")
        assert t.app.current_mode == HOME
        assert not t.app.frozen


async def test_a_command_that_changes_something_is_asked_about_and_refused_when_read_only(
    fake: FakeBox,
) -> None:
    async with opened(fake, read_only=True) as t:
        await t.sees("lab-01")
        await typed(t, "delete repo raw")
        await t.sees("delete repo raw: read-only")
    async with opened(fake) as t:
        await t.sees("lab-01")
        await typed(t, "delete repo raw")
        await t.sees("Run delete?", "$ pachybox delete repo raw")
        await t.press("escape")
        await t.until(lambda: t.app.screen is t.app.view, "nothing was done")


async def test_a_command_that_no_view_shows_is_run_and_shown(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await typed(t, "pachybox version --client-only")
        await t.sees("$ pachybox version --client-only", "0.")
        await t.press("escape")
        await t.sees("lab-01")


def test_the_names_are_those_of_the_summary() -> None:
    names = names_of(canned.summary())
    assert "raw" in names.repos
    assert "staging" in names.branches["raw"]
    assert f"ocr@{canned.BAD}" in names.jobs
    assert set(names.things) >= {"raw", "clean", "mqtt", "nightly"}


async def test_what_is_typed_before_the_prompt_is_drawn_is_not_lost(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        t.app.action_prompt()
        for key in (*"jobs", "enter"):
            t.app.post_message(Key(key, key if len(key) == 1 else "\r"))
        await t.until(lambda: t.app.current_mode == "job", "it went there")


async def test_a_line_is_not_lost_that_comes_with_its_colon_at_once(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.type(":jobs")
        await t.until(lambda: isinstance(t.app.screen, Prompt), "the prompt is there")
        await t.until(lambda: t.app.screen.query_one(Input).value == "jobs", "the line is in it")
        await t.press("enter")
        await t.until(lambda: t.app.current_mode == JOB, "it went there")
