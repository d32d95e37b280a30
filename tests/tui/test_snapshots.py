"""What is seen, on every kind of terminal; see ``tests.tui.snapshots``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.tui import canned
from tests.tui.canned import NOW
from tests.tui.fake import FakeBox
from tests.tui.pilot import Terminal, opened
from tests.tui.plain import PlainApp
from tests.tui.snapshots import SURFACES, Surface, compare, unfollowed
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.store import LOST, Link
from tui.widgets.chrome import Footer
from tui.widgets.confirm import Ask

LOST_LINK = Link(LOST, 0.0, "no box answers at /srv/box/run/box.sock", 5.0, NOW)
Steps = Callable[[Terminal], Awaitable[None]]


async def _view(t: Terminal) -> None:
    pass


async def _prompt(t: Terminal) -> None:
    await t.press("colon")
    await t.type("logs re")
    await t.sees("logs resize")


async def _palette(t: Terminal) -> None:
    await t.press("ctrl+p")
    await t.type("cl")
    await t.sees("clean")


async def _keys(t: Terminal) -> None:
    await t.press("question_mark")
    await t.sees("find a key")


async def _panel(t: Terminal) -> None:
    await t.press("f1")
    await t.sees("In this list")


async def _jump(t: Terminal) -> None:
    await t.press("ctrl+g")
    await t.until(lambda: t.app.screen is not t.app.view, "letters")


async def _zoom(t: Terminal) -> None:
    await t.press("z")
    await t.until(lambda: t.app.screen.maximized, "one pane")


async def _flip(t: Terminal) -> None:
    await t.press("vertical_line")


async def _done(t: Terminal) -> None:
    await t.press("D")
    await t.until(lambda: t.app.screen.query_one(Footer).command, "it was told")


async def _delete(t: Terminal) -> None:
    question = Ask("Delete repo raw?", "4 commits, 18 GB; used by clean, resize.", typed="raw",
                   command="delete repo raw")  # fmt: skip
    t.app.run_worker(t.app.ask(question))
    await t.sees("Type raw to do it")


async def _stop(t: Terminal) -> None:
    t.app.run_worker(t.app.ask(Ask("Stop resize@4f2a?", "38 of 120 datums are done.")))
    await t.sees("y does it")


async def _copy(t: Terminal) -> None:
    await t.press("y")
    await t.sees("Copy what?")


SCREENS: dict[str, Steps] = {
    "view": _view,
    "prompt": _prompt,
    "palette": _palette,
    "keys": _keys,
    "panel": _panel,
    "jump": _jump,
    "zoom": _zoom,
    "flip": _flip,
    "done": _done,
    "delete": _delete,
    "stop": _stop,
    "copy": _copy,
}


@pytest.mark.parametrize("surface", SURFACES, ids=[s.name for s in SURFACES])
@pytest.mark.parametrize("name", SCREENS)
async def test_the_frame_is_drawn_as_before(
    fake: FakeBox, name: str, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface.prepare(monkeypatch)
    async with opened(
        fake, size=surface.size, ascii_only=surface.ascii, clock=lambda: NOW, kind=PlainApp
    ) as t:
        await t.sees("lab-01", "clean@0000")
        await SCREENS[name](t)
        await compare(f"frame-{name}", surface, t)
        if surface.ascii:
            assert t.text.isascii()


@pytest.mark.parametrize("surface", SURFACES, ids=[s.name for s in SURFACES])
async def test_a_lost_box_is_drawn_as_before(
    fake: FakeBox, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface.prepare(monkeypatch)
    async with opened(
        fake, size=surface.size, ascii_only=surface.ascii, clock=lambda: NOW, kind=PlainApp
    ) as t:
        await t.sees("lab-01", "clean@0000")
        await unfollowed(t)
        t.app.store.set_link(LOST_LINK)
        await t.sees("box lost")
        await compare("frame-lost", surface, t)


VIEWS: dict[str, tuple[Place, str]] = {
    "home": (Place(HOME), "Needs attention"),
    "repos": (Place(REPO), "raw"),
    "repo": (Place(REPO, "raw", "master"), "README.md"),
    "pipelines": (Place(PIPELINE), "windows"),
    "pipeline": (Place(PIPELINE, "resize"), "reads clean@master"),
    "new": (Place(PIPELINE, pane="new"), "glob"),
    "jobs": (Place(JOB), "resize@4f2a9c01"),
    "job": (Place(JOB, "resize", canned.RUN), "/a/000.png"),
    "ingest": (Place(INGEST), "nightly"),
    "lineage": (Place(LINEAGE, "resize", canned.RUN), "resize"),
}


SCENES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "home-prompt": ("home", ("colon", *"repo"), "repo [NAME"),
    "repos-new": ("repos", ("n",), "New repo?"),
    "repos-copy": ("repos", ("y",), "Copy what?"),
    "repos-marked": ("repos", ("a", "b"), "9 marked"),
    "repo-diff": ("repo", ("j", "j", "d"), "diff from 3b90aa17"),
    "pipelines-delete": ("pipelines", ("D",), "Delete pipeline ocr?"),
    "new-resources": ("new", ("f3", "f3", "f3"), "memory"),
    "job-log": ("job", ("l",), "palette mode"),
    "ingest-new": ("ingest", ("n",), "What brings the data in?"),
}
"""A view, keys, and what is seen then."""


@pytest.mark.parametrize("surface", SURFACES, ids=[s.name for s in SURFACES])
@pytest.mark.parametrize("name", SCENES)
async def test_what_comes_over_a_view_is_drawn_as_before(
    fake: FakeBox, name: str, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface.prepare(monkeypatch)
    view, keys, seen = SCENES[name]
    place, word = VIEWS[view]
    async with opened(
        fake, start=place, size=surface.size, ascii_only=surface.ascii, clock=lambda: NOW
    ) as t:
        await t.sees("lab-01", word)
        await t.press(*keys)
        await t.sees(seen)
        await compare(name, surface, t)
        if surface.ascii:
            assert t.text.isascii()


@pytest.mark.parametrize("surface", SURFACES, ids=[s.name for s in SURFACES])
@pytest.mark.parametrize("name", VIEWS)
async def test_every_view_is_drawn_as_before(
    fake: FakeBox, name: str, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface.prepare(monkeypatch)
    place, word = VIEWS[name]
    async with opened(
        fake, start=place, size=surface.size, ascii_only=surface.ascii, clock=lambda: NOW
    ) as t:
        await t.sees("lab-01", word)
        await compare(name, surface, t)
        if surface.ascii:
            assert t.text.isascii()
