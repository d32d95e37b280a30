"""A walk through every view, dialog and form, with the box that is not there."""

from __future__ import annotations

import time

import pytest

from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import Terminal, opened
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.widgets.chrome import Footer
from tui.widgets.log import LogView

WALK: list[tuple[Place | str, str]] = [
    (Place(HOME), "Needs attention"),
    ("colon", "a name, repo@branch"),
    ("escape", "Needs attention"),
    ("ctrl+p", "go to a thing"),
    ("escape", "Needs attention"),
    ("question_mark", "find a key"),
    ("escape", "Needs attention"),
    ("f1", "Everywhere"),
    ("f1", "Needs attention"),
    ("ctrl+g", "Pipelines 7"),
    ("escape", "Needs attention"),
    ("v", "clean"),
    (Place(REPO), "Repos 9"),
    ("n", "New repo?"),
    ("escape", "Repos 9"),
    ("y", "Copy what?"),
    ("escape", "Repos 9"),
    (Place(REPO, "raw", "master"), "README.md"),
    ("d", "a folder has no difference"),
    ("j", "README.md"),
    ("d", "[diff]"),
    ("greater_than_sign", "used by"),
    ("escape", "README.md"),
    (Place(PIPELINE), "windows"),
    ("r", "Run ocr again?"),
    ("escape", "windows"),
    (Place(PIPELINE, "resize"), "reads clean@master"),
    ("o", "python:3.12-slim"),
    ("escape", "reads clean@master"),
    ("e", "glob"),
    ("escape", "glob"),
    (Place(PIPELINE, pane="new"), "1 input"),
    ("f3", "2 code"),
    ("f3", "3 output"),
    ("f3", "4 resources"),
    ("f3", "5 review"),
    (Place(JOB), "resize@4f2a9c01"),
    ("x", "Stop job"),
    ("escape", "resize@4f2a9c01"),
    (Place(JOB, "resize", canned.RUN), "/a/000.png"),
    ("l", "palette mode"),
    ("tab", "/a/000.png"),
    (Place(INGEST), "nightly"),
    ("n", "What brings the data in?"),
    ("escape", "nightly"),
    (Place(LINEAGE, "resize", canned.RUN), "resize"),
]
"""Where one goes or what is pressed, and what is seen then."""


def footer(t: Terminal) -> set[str]:
    """The names of the keys that the footer shows."""
    view = t.app.view
    assert view is not None
    return {key.name for key, _ in view.query_one(Footer)._keys()}


async def test_every_view_opens_and_shows_the_keys_that_act_in_it(fake: FakeBox) -> None:
    begun = time.process_time()
    async with opened(fake) as t:
        await t.sees("lab-01")
        for step, seen in WALK:
            if isinstance(step, str):
                await t.press(step)
            else:
                while len(t.app.screen_stack) > 1:
                    await t.app.pop_screen()
                t.app.visit(step)
            await t.sees(seen)
            view = t.app.view
            if view is None or view is not t.app.screen or view.is_form:
                continue
            here = {key.name for key in t.app.keys_here(view)}
            assert footer(t) <= here, step
            assert ("text.follow" in here) == isinstance(view.focused, LogView), step
            for name in (name for name in here if name.startswith("view.")):
                assert hasattr(view, f"do_{name.removeprefix('view.')}"), (step, name)
    assert time.process_time() - begun < 60


async def test_what_is_marked_is_deleted_one_by_one_each_when_its_name_was_typed(
    fake: FakeBox,
) -> None:
    async with opened(fake, start=Place(REPO)) as t:
        await t.sees("Repos 9")
        await t.press("b")
        await t.sees("nothing is marked")
        await t.press("space", "space", "b")
        await t.sees("2 marked: what to do?")
        await t.confirm("enter")
        await t.sees("Delete repo clean?")
        await t.confirm(*"clean", "enter")
        await t.sees("Delete repo mqtt?")
        await t.press("escape")
        await t.until(lambda: fake.changed() == ["delete_repo"], "one is deleted")


@pytest.mark.parametrize(("key", "what"), [("enter", "clean"), ("down", "▤ clean")])
async def test_the_name_or_the_row_of_what_the_cursor_is_on_is_copied(
    fake: FakeBox, key: str, what: str
) -> None:
    async with opened(fake, start=Place(REPO)) as t:
        await t.sees("Repos 9")
        await t.press("y")
        await t.sees("Copy what?")
        await t.confirm(key, *(["enter"] if key != "enter" else []))
        await t.until(lambda: t.app.clipboard.startswith(what), "it is copied")


async def test_only_lists_that_verbs_act_on_are_marked(fake: FakeBox) -> None:
    async with opened(fake, start=Place(REPO, "raw", "master")) as t:
        await t.sees("README.md")
        view = t.app.view
        assert view is not None
        assert {"list.mark", "view.bulk"} <= view.acting()
        view.query_one("#branches").focus()
        await t.until(lambda: not {"list.mark", "view.bulk"} & view.acting(), "no marks there")
