"""The way to the box: lost, counted down, found again; wrong addresses, wrong answers."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import AsyncClient
from tests.boxes import RealBox, free_port
from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.hostile import Hostile, garbage, http
from tests.tui.pilot import opened
from tui import feed
from tui.places import JOB, REPO, Place
from tui.sound import unsound
from tui.store import LIVE, LOST
from tui.widgets.chrome import Banner


async def test_a_killed_box_is_told_and_found_again_before_the_pause_is_over(
    box: RealBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How soon, benchmarks/tui_home.py says; here, by what is set."""
    assert feed._BEAT_S + feed._ANSWER_S < 3.0
    monkeypatch.setattr(feed, "_PAUSES_S", (500.0,))
    box.client.create_repo("kept")
    async with opened(box) as t:
        await t.sees("live")
        store = t.app.store
        assert store.summary is not None
        box.kill()
        await t.sees("box lost:", "again in")
        view = t.app.view
        assert view is not None
        assert view.has_class("-lost")
        assert [repo.name for repo in store.summary.repos] == ["kept"]
        await t.press("2", "colon", "escape")  # all goes on
        await asyncio.to_thread(box.start)
        await t.until(lambda: store.link.state == LIVE, "live again")
        await t.until(lambda: "box lost" not in t.text, "the banner is gone")
        box.client.create_repo("another")
        await t.until(lambda: len(store.summary.repos) == 2 if store.summary else 0, "news")


async def test_a_box_that_hangs_is_lost_too(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("live")
        fake.hang()
        await t.sees("box lost: no answer within 1 s")
        fake.recover()
        await t.until(lambda: t.app.store.link.state == LIVE, "live again")


async def test_the_pauses_grow_to_ten_seconds_and_ctrl_r_ends_one(
    fake: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert feed._PAUSES_S == (1.0, 2.0, 5.0, 10.0)
    monkeypatch.setattr(feed, "_PAUSES_S", (1.0, 2.0, 50.0))
    async with opened(fake) as t:
        await t.sees("live")
        fake.fail()
        for pause in ("1 s", "2 s", "50 s"):
            await t.sees(f"again in {pause}")
        fake.recover()
        await t.press("ctrl+r")
        await t.until(lambda: t.app.store.link.state == LIVE, "live again")


@pytest.mark.parametrize("kind", ["socket", "port"])
async def test_a_wrong_address_shows_what_can_be_done(tmp_path: Path, kind: str) -> None:
    nowhere = str(tmp_path / "no.sock") if kind == "socket" else f"http://127.0.0.1:{free_port()}"
    async with opened(lambda: AsyncClient(nowhere)) as t:
        await t.sees("No box answers.", nowhere, "try now", "again in")
        assert t.app.view is not None
        await t.press("4")
        await t.sees("No box answers.")


async def test_an_address_that_says_nothing_shows_so_before_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui.feed._ANSWER_S", 3.0)  # that both are seen on a busy machine too
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nowhere = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with opened(lambda: AsyncClient(nowhere)) as t:
            await t.sees("no answer yet")
            view = t.app.view
            assert view is not None
            assert view.has_class("-never")
            said = view.query_one(Banner).render().plain
            assert said.startswith(f"No box answers.\n\n{nowhere}\nno answer yet\n\ntrying now")
            await t.sees("No box answers.", "no answer within 3 s", "again in")


async def test_a_box_that_comes_up_later_is_seen(tmp_path: Path) -> None:
    late = RealBox(tmp_path / "home")
    async with opened(late) as t:
        await t.sees("No box answers.")
        await asyncio.to_thread(late.start)
        try:
            await t.until(lambda: t.app.store.link.state == LIVE, "live", 20)
            await t.until(lambda: "No box answers" not in t.text, "the view is there")
        finally:
            await asyncio.to_thread(late.stop)


@pytest.fixture
def hostile() -> Iterator[list[Hostile]]:
    """Servers to close."""
    made: list[Hostile] = []
    yield made
    for one in made:
        one.close()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_answered_the_terminal_stays(hostile: list[Hostile], seed: int) -> None:
    chance = random.Random(seed)
    server = Hostile(
        lambda path: (
            http(b"ok") if path == "/healthz" and chance.random() < 0.8
            else garbage(chance, canned.SUMMARY)
        )
    )  # fmt: skip
    hostile.append(server)

    def connect() -> AsyncClient:
        return AsyncClient(server.address, patience_s=0.1, timeout_s=0.5)

    async with opened(connect, start=Place(REPO, "raw", "master"), errors=True) as t:
        for number in range(40):
            await t.press("ctrl+r", str(number % 6 + 1))
            await t.pilot.pause(0.01)
        asked = server.asked
        assert asked > 20
        await t.press("ctrl+r")
        await t.until(lambda: server.asked > asked, "it asks on")
        assert t.app.is_running
        assert not t.app.crash


async def test_events_that_make_no_sense_are_a_lost_box_and_no_more(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("live")
        for data in (None, [], "x", {"repo": [1]}, {"project": {}}, {"repo": None, "job": 7}):
            for queue in fake.followers:
                queue.put_nowait(fake.event("repo.created", data))
        await t.until(lambda: t.app.store.link.state == LIVE and fake.greeted > 1, "greeted anew")
        assert t.app.is_running


async def test_places_and_filters_are_kept_while_the_box_is_away(fake: FakeBox) -> None:
    async with opened(fake, start=Place(JOB)) as t:
        await t.sees("live")
        before = t.app.view
        fake.fail()
        await t.sees("box lost")
        fake.recover()
        await t.until(lambda: t.app.store.link.state == LIVE, "live again")
        assert t.app.view is before


def test_a_summary_is_checked_to_its_depths() -> None:
    assert unsound(canned.summary()) == ""
    assert unsound(canned.summary(name=7)) == "name."
    assert unsound(canned.summary(pipelines=[{"name": [], "inputs": ["a@b"]}])) == (
        "pipelines[].name."
    )
    assert unsound(canned.summary(pipelines=[{"name": "a", "inputs": [3]}])) == (
        "pipelines[].inputs[]."
    )
    assert unsound(canned.summary(machine={"cpu": float("nan")})) == "machine.cpu."


async def test_the_link_is_lost_and_told_for_a_summary_of_the_wrong_kind(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("live")
        fake.now = canned.summary(repos=[{"name": 7}])
        await t.press("ctrl+r")
        await t.sees("box lost: the box's answer is not understood: repos[].name.")
        assert t.app.store.link.state == LOST
