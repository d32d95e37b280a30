"""Pipelines are listed, looked into and ordered about."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.client import Client
from tests.boxes import RealBox, eventually
from tests.tui.pilot import opened
from tui.places import PIPELINE, Place
from tui.screens.pipeline import Pipelines
from tui.screens.pipeline_detail import PipelineDetail
from tui.widgets.chrome import Footer

pytestmark = pytest.mark.box("shared")

SPEC = """\
pipeline: {{name: {name}}}
input: {{pfs: {{repo: {repo}, glob: "{glob}"}}}}
transform: {{cmd: [sh, -c, "{cmd}"]}}
"""


def made(
    client: Client,
    name: str,
    repo: str = "raw",
    *,
    glob: str = "/*",
    cmd: str = "echo seen $raw; cp -r /pfs/raw/* /pfs/out",
    update: bool = False,
) -> None:
    """A pipeline that runs ``cmd``."""
    text = SPEC.format(name=name, repo=repo, glob=glob, cmd=cmd)
    client.create_pipelines(text, update=update)


def filled(client: Client, repo: str = "raw") -> None:
    """A repo of three files."""
    client.create_repo(repo)
    with client.commit(f"{repo}@master") as commit:
        for n in range(3):
            commit.put_file(f"/{n}.txt", b"x" * (n + 1))


def ran(client: Client, name: str) -> None:
    """Wait for its first job."""
    eventually(lambda: client.inspect_pipeline(name).last_job_state == "JOB_SUCCESS", "it ran")


async def test_the_list_is_live_and_trouble_is_first(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "alpha")
    ran(client, "alpha")
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.sees("Pipelines 1", "alpha", "raw@master", "success")
        made(client, "zeta", cmd="exit 3")
        await t.sees("Pipelines 2", "zeta", "failure")
        view = t.app.view
        assert isinstance(view, Pipelines)
        await t.until(lambda: view.table.cursor_row is not None, "rows")
        rows = [row for row in t.lines() if "alpha" in row or "zeta" in row]
        assert "zeta" in rows[0]
        await t.press("slash")
        await t.type("alpha")
        await t.until(lambda: "zeta" not in t.text, "filtered")
        await t.press("enter", "enter")
        await t.sees("Pipelines > alpha")


async def test_an_empty_list_says_what_to_do(box: RealBox) -> None:
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.sees("no pipelines yet: n makes one")


async def test_a_pipeline_shows_spec_versions_jobs_logs_and_figures(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    ran(client, "copy")
    made(client, "copy", glob="/", update=True)
    async with opened(box, start=Place(PIPELINE, "copy")) as t:
        await t.sees("Pipelines > copy", "v2", "reads raw@master", "glob: /", "success")
        await t.press("right_square_bracket")
        await t.sees("[versions]", "v1", "the first", "input.pfs.glob")
        await t.press("g", "d")
        await t.sees("v1 -> v2", "-    glob: /*", "+    glob: /")
        other = "<(pachybox extract pipeline copy.2)"
        said = f"extract pipeline copy.1 | diff -u - {other}"  # the footer cuts it
        await t.until(lambda: t.app.screen.query_one(Footer).command == said, "the command line")
        await t.press("right_square_bracket")
        await t.sees("seen /pfs/raw")
        await t.press("right_square_bracket")
        await t.sees("jobs      2; of the last 2", "datums", "process", "slowest datums")


async def test_a_job_is_opened_in_its_own_mode(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    ran(client, "copy")
    async with opened(box, start=Place(PIPELINE, "copy")) as t:
        await t.sees("success")
        await t.press("enter")
        await t.until(lambda: t.app.current_mode == "job", "the mode of jobs")


async def test_it_is_paused_resumed_run_again_and_shown_whole(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    ran(client, "copy")
    async with opened(box, start=Place(PIPELINE, "copy")) as t:
        await t.sees("Pipelines > copy", "running")
        await t.press("s")
        await t.sees("$ pachybox stop pipeline copy", "paused")
        await t.press("s")
        await t.sees("$ pachybox start pipeline copy", "running")
        await t.press("r")
        await t.sees("Run copy again?", "reprocess every datum")
        await t.confirm("down", "down", "enter")
        await t.sees("$ pachybox rerun pipeline copy --re")
        eventually(lambda: len(list(client.list_job("copy"))) >= 2, "a job more")
        await t.press("t")
        await t.sees("copy has no cron input")
        await t.press("o")
        await t.sees("copy, spec", "salt:", "$ pachybox extract pipeline copy -o yaml")
        await t.press("escape")
        await t.until(lambda: isinstance(t.app.view, PipelineDetail), "back")


async def test_a_cron_ticks_at_once(box: RealBox) -> None:
    client = box.client
    client.create_pipelines(
        "pipeline: {name: clock}\ninput: {cron: {name: tick, spec: '@never'}}\n"
        "transform: {cmd: ['true']}\n"
    )
    async with opened(box, start=Place(PIPELINE, "clock")) as t:
        await t.sees("cron")
        await t.press("t")
        await t.sees("$ pachybox run cron clock")
    eventually(lambda: len(list(client.list_file("clock_tick@master:/"))) == 1, "a tick")


async def test_a_running_job_is_stopped_after_a_question(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "slow", cmd="sleep 600")
    async with opened(box, start=Place(PIPELINE, "slow")) as t:
        await t.until(
            lambda: "running" in "".join(line for line in t.lines()[2:8]) and "0/3" in t.text,
            "it runs",
        )
        await t.press("x")
        await t.sees("Stop job slow@")
        await t.confirm("x")  # the key that asks does not confirm
        await t.confirm("s")
        await t.sees("$ pachybox stop job slow@", "killed")


async def test_deleting_names_the_readers_and_wants_the_name(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    ran(client, "copy")
    async with opened(box, start=Place(PIPELINE, "copy")) as t:
        await t.sees("Pipelines > copy", "6B")
        await t.press("D")
        await t.sees("Delete pipeline copy?", "Nothing reads its output", "Type copy")
        await t.confirm("y", "enter")
        assert client.inspect_pipeline("copy").name == "copy"
        await t.press("backspace")
        await t.type("copy")
        await t.confirm("enter")
        await t.sees("no pipelines yet")
    assert not list(client.list_pipeline())


async def test_what_is_read_stays_and_says_by_whom(box: RealBox) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    made(client, "after", "copy", cmd="true")
    async with opened(box, start=Place(PIPELINE, "copy")) as t:
        await t.sees("Pipelines > copy")
        await t.press("D")
        await t.sees("read by after")
        await t.press("escape")
        await t.press("greater_than_sign")
        await t.sees("Pipelines > after")
        await t.press("less_than_sign")
        await t.sees("Pipelines > copy")


async def test_read_only_refuses_with_the_reason(box: RealBox) -> None:
    filled(box.client)
    made(box.client, "copy")
    async with opened(box, start=Place(PIPELINE, "copy"), read_only=True) as t:
        await t.sees("Pipelines > copy")
        for key in ("s", "D", "r", "e"):
            await t.press(key)
            await t.sees("read-only")


async def test_all_sizes_show_what_is_needed(box: RealBox, tmp_path: Path) -> None:
    client = box.client
    filled(client)
    made(client, "copy")
    ran(client, "copy")
    for size in ((80, 24), (200, 60)):
        async with opened(box, start=Place(PIPELINE, "copy"), size=size) as t:
            await t.sees("Pipelines > copy", "[jobs]", "success")
            if size[0] < 100:
                assert "glob:" not in t.text
                await t.press("right_square_bracket", "right_square_bracket")
            await t.sees("[spec]", "glob: /*")
