"""The terminal with tokens that may see or do little: what is theirs is shown, the rest is said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from pachybox.client import AsyncClient
from pachybox.client.contexts import Settings
from tests.boxes import RealBox, eventually
from tests.tui.pilot import Terminal, opened
from tui import run
from tui.places import HOME, INGEST, JOB, PIPELINE, REPO, Place

ROLES = {"reader": ("reader", ()), "one": ("reader", ("mine", "bad"))}
Open = Callable[..., AbstractAsyncContextManager[Terminal]]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box that speaks TLS. Pipeline ``bad`` of ``mine`` and ``other`` of ``hidden`` fail, a
    source each feeds the repos."""
    made = RealBox(tmp_path_factory.mktemp("refused") / "home")
    made.cli("cert", "localhost", "127.0.0.1")
    client = made.start().client
    for name, repo in (("bad", "mine"), ("other", "hidden")):
        client.create_repo(repo)
        client.put_file(f"{repo}@master:/f", b"x")
        client.create_ingest({"name": f"to-{repo}", "to": f"{repo}@fed", "push": {}})
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo, "glob": "/"}},
            "transform": {"cmd": ["false"]},
            "datum_tries": 1,
        }
        client.create_pipelines(json.dumps(spec))
    for name in ("bad", "other"):
        eventually(lambda n=name: job_of(made, n)[1] == "JOB_FAILURE", name)  # type: ignore[misc]
    yield made
    made.stop()


def job_of(box: RealBox, pipeline: str) -> tuple[str, str]:
    """The id and state of its newest job."""
    (found,) = box.client.list_job(pipeline)
    return found.id, found.state


@pytest.fixture(scope="module")
def tokens(box: RealBox) -> dict[str, str]:
    made = {n: box.client.create_token(n, role, repos=r) for n, (role, r) in ROLES.items()}
    return {**made, "nobody": "pb_nobody"}


@pytest.fixture
def by(box: RealBox, tokens: dict[str, str]) -> Open:
    """Opens the terminal with a token, over TLS."""

    @asynccontextmanager
    async def open_(name: str, place: Place = Place(HOME)) -> AsyncIterator[Terminal]:  # noqa: B008
        address, ca = box.client.status().address, str(box.home / "tls/ca.pem")
        made = lambda: AsyncClient(address, token=tokens[name], ca=ca)  # noqa: E731
        async with opened(made, start=place, size=(150, 40)) as terminal:
            yield terminal

    return open_


async def test_who_is_bound_sees_the_sources_and_troubles_of_what_is_theirs(by: Open) -> None:
    async with by("one") as t:
        await t.sees("failed, 1 of 1", "to-mine", "this token may not see it")
        assert "mem 0" not in t.text
        await t.press("5")
        await t.sees("Ingest 1", "to-mine")
        for hidden in ("other", "hidden"):
            assert hidden not in t.text
    async with by("one", Place(INGEST, "to-mine")) as t:
        await t.sees("Ingest > to-mine")


async def test_what_is_not_theirs_says_so_and_is_asked_for_once(box: RealBox, by: Open) -> None:
    id = job_of(box, "other")[0]
    async with by("one", Place(JOB, "other", id, pane="logs")) as t:
        await t.sees("on pipeline:other")
        await t.until(lambda: t.text.count("not authorized") == 4, "each pane says so")
        await t.sees("refused")
        assert "loading" not in t.text
        assert "nothing was written" not in t.text
    async with by("one", Place(REPO, "hidden")) as t:
        await t.sees("on repo:hidden")
        assert "no branches yet" not in t.text
    async with by("one", Place(PIPELINE, "other")) as t:
        await t.sees("on pipeline:other")
    async with by("one", Place(JOB)) as t:
        await t.sees("needs the role reader on the whole box")


async def test_a_refused_action_says_why(box: RealBox, by: Open) -> None:
    async with by("reader", Place(REPO)) as t:
        await t.sees("hidden")
        await t.press("n")
        await t.sees("New repo?")
        await t.type("more")
        await t.confirm("enter")
        await t.sees("on repo:more")
        assert not box.client.repo_exists("more")
    async with by("reader", Place(PIPELINE, "bad")) as t:
        await t.sees("failure")
        await t.press("D")
        await t.confirm("y")
        await t.sees("role writer")


async def test_a_token_that_is_not_let_in_is_told_and_not_shown_again_and_again(by: Open) -> None:
    async with by("nobody") as t:
        await t.sees("The box does not let this token in.", "ctrl+r")
        await t.until(
            lambda: 20 < t.app.store.link.retry_s < 29, "it waits, though the box is there"
        )


def test_a_place_is_found_over_tls(box: RealBox, tokens: dict[str, str]) -> None:
    from tui.boxes import here

    address, ca = box.client.status().address, str(box.home / "tls/ca.pem")
    fields = {"address": address, "token": tokens["one"], "ca": ca}
    Settings.load().put_context("far", fields)
    Settings.load().activate("far")
    assert run._names(here()) != run.Names()
