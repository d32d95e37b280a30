"""Mode 6: what came from what, up and down."""

from __future__ import annotations

import json

import pytest

from tests.boxes import RealBox
from tests.tui.pilot import opened
from tui.places import LINEAGE, Place
from tui.widgets.dag import Dag


def _pipeline(name: str, repo: str) -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo, "glob": "/*"}},
            "transform": {"cmd": ["sh", "-c", f"cp /pfs/{repo}/* /pfs/out"]},
        }
    )


@pytest.fixture(scope="module")
def chain(shared_box: RealBox) -> RealBox:
    """raw -> clean -> report, run once on two files."""
    client = shared_box.client
    client.create_repo("raw")
    client.create_pipelines(_pipeline("clean", "raw"))
    client.create_pipelines(_pipeline("report", "clean"))
    with client.put("raw@master") as put:
        put.data("/a", b"1")
        put.data("/b", b"2")
    client.wait_commit("report@master")
    return shared_box


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_run_shows_what_its_last_commit_came_from(
    chain: RealBox, size: tuple[int, int]
) -> None:
    async with opened(chain, start=Place(LINEAGE, "report", "master"), size=size) as t:
        await t.sees("report@", "clean@", "raw@", "2 datums")


async def test_down_shows_what_became_of_it_and_enter_goes_there(chain: RealBox) -> None:
    async with opened(chain, start=Place(LINEAGE, "raw", "master"), size=(120, 40)) as t:
        await t.sees("raw@master came from")
        await t.press("greater_than_sign")
        await t.sees("became", "clean@", "report@")
        await t.press("j", "enter")
        await t.until(lambda: t.app.current_mode == "job", "the job that made it")


async def test_runs_are_listed_and_filtered(chain: RealBox) -> None:
    async with opened(chain, start=Place(LINEAGE), size=(120, 40)) as t:
        head = chain.client.inspect_commit("raw@master").id
        await t.sees(head[:12], "raw")
        await t.press("slash")
        await t.type("nothing-like-it")
        await t.sees("nothing matches nothing-like-it")
        await t.press("escape")
        await t.until(lambda: "nothing matches" not in t.text, "all runs again")


async def test_the_run_stands_out_in_the_graph_and_enter_goes_to_its_commit(chain: RealBox) -> None:
    chain.client.create_repo("apart")
    chain.client.create_pipelines(_pipeline("other", "apart"))
    head = chain.client.inspect_commit("clean@master").id
    async with opened(chain, start=Place(LINEAGE, "clean", "master"), size=(120, 40)) as t:
        await t.sees(f"Run {head[:12]}: ", "apart", "other")
        graph = t.app.screen.query_one(Dag)
        await t.until(lambda: graph.view.lit, "a set stands out")
        assert graph.view.lit == {"repo:raw", "pipeline:clean", "pipeline:report"}
        assert graph.cursor == "pipeline:clean"
        graph.focus()
        await t.press("right", "enter")
        await t.until(lambda: t.app.current_mode == "repo", "the files of that commit")
        await t.sees("report", head[:4])


async def test_a_narrow_screen_has_no_graph(chain: RealBox) -> None:
    async with opened(chain, start=Place(LINEAGE, "clean", "master"), size=(80, 24)) as t:
        await t.sees("clean@")
        assert not t.app.screen.query_one(Dag).display


async def test_a_commit_that_is_not_there_is_said_to_be(chain: RealBox) -> None:
    async with opened(chain, start=Place(LINEAGE, "raw", "nosuch"), size=(120, 40)) as t:
        await t.sees("not found")


async def test_a_path_is_shown_as_it_is(chain: RealBox) -> None:
    path = "/[/red] [bold]x\ny"
    async with opened(chain, start=Place(LINEAGE, "raw", "master", path), size=(120, 40)) as t:
        await t.sees("raw@master:/[/red] [bold]x", "came from", ":/[/red] [bold]x")
