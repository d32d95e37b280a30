"""Mode 5: sources with what they do, and their verbs."""

from __future__ import annotations

import json

import pytest

from pachybox.client.view_values import Summary
from tests.boxes import RealBox
from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import opened
from tui.places import INGEST, Place
from tui.widgets.spec_editor import SpecEditor

PIPELINE = {
    "pipeline": {"name": "hourly"},
    "input": {"cron": {"name": "tick", "spec": "@every 1h"}},
    "transform": {"cmd": ["sh", "-c", "echo ticked; echo 1 > /pfs/out/one"]},
}


@pytest.fixture(scope="module")
def sources(shared_box: RealBox, tmp_path_factory: pytest.TempPathFactory) -> RealBox:
    """A cron, a watched folder and a post."""
    client = shared_box.client
    client.create_repo("raw")
    client.create_pipelines(json.dumps(PIPELINE))
    folder = tmp_path_factory.mktemp("in")
    (folder / "one.csv").write_text("a,b\n1,2\n")
    watch = {"path": str(folder), "settle": "0s"}
    client.create_ingest({"name": "drops", "to": "raw@master", "watch": watch})
    client.create_ingest({"name": "posts", "to": "raw@posts", "push": {}})
    return shared_box


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_every_source_is_a_row_with_its_kind_and_its_next_time(
    sources: RealBox, size: tuple[int, int]
) -> None:
    async with opened(sources, start=Place(INGEST), size=size) as t:
        await t.sees("hourly_tick", "drops", "posts", "Ingest 3")
        row = next(line for line in t.lines()[2:] if "hourly_tick" in line)
        assert "cron" in row
        assert "59m" in row or "1h" in row, row


async def test_a_tick_runs_now_and_the_line_that_does_it_is_shown(sources: RealBox) -> None:
    async with opened(sources, start=Place(INGEST, "hourly_tick"), size=(160, 40)) as t:
        await t.sees("hourly_tick", "from     @every 1h")
        before = len(list(sources.client.list_job("hourly")))
        await t.press("t")
        await t.sees("$ pachybox run ingest hourly_tick")
        await t.until(
            lambda: len(list(sources.client.list_job("hourly"))) > before, "a job of the tick"
        )
        await t.sees("ticked")  # what its code printed, in the log beside


async def test_pause_and_resume_with_one_key(sources: RealBox) -> None:
    async with opened(sources, start=Place(INGEST, "posts"), size=(160, 40)) as t:
        await t.sees("to       raw@posts")
        await t.press("s")
        await t.sees("paused")
        assert sources.client.inspect_ingest("posts").paused
        await t.press("s")
        await t.until(lambda: not sources.client.inspect_ingest("posts").paused, "resumed")
        await t.sees("$ pachybox resume ingest posts")


async def test_deleting_asks_and_escape_keeps(sources: RealBox) -> None:
    spec = {"name": "gone", "to": "raw@gone", "push": {}}
    sources.client.create_ingest(spec)
    async with opened(sources, start=Place(INGEST, "gone"), size=(160, 40)) as t:
        await t.sees("to       raw@gone")
        await t.press("D")
        await t.sees("Delete source gone?")
        await t.press("escape")
        await t.until(lambda: "Delete source gone?" not in t.text, "the question is gone")
        assert sources.client.inspect_ingest("gone").name == "gone"
        await t.press("D")
        await t.sees("Delete source gone?")
        await t.confirm("y")
        await t.until(
            lambda: "gone" not in [i.name for i in sources.client.list_ingest()], "deleted"
        )


async def test_a_cron_cannot_be_deleted_here_and_says_whose_it_is(sources: RealBox) -> None:
    async with opened(sources, start=Place(INGEST, "hourly_tick"), size=(160, 40)) as t:
        await t.sees("from     @every 1h")
        await t.press("D")
        await t.sees("belongs to pipeline hourly")


async def test_a_new_source_is_written_and_what_is_wrong_is_marked(sources: RealBox) -> None:
    async with opened(sources, start=Place(INGEST), size=(80, 24)) as t:
        await t.sees("Ingest 3")
        await t.press("n")
        await t.sees("What brings the data in?")
        await t.press("down")  # past watch
        await t.confirm("enter")
        await t.sees("push:", "No problems", "ctrl+s")
        editor = t.app.screen.query_one("#spec", SpecEditor)
        editor.become(editor.text.replace("push:", "psuh:").replace("name: posts", "name: made"))
        await t.sees("3:1", "unknown field", 'did you mean "push"')
        await t.press("ctrl+s")
        await t.sees("1 to correct")
        assert editor.cursor_location == (2, 0)
        editor.become(editor.text.replace("psuh:", "push:"))
        await t.sees("No problems")
        await t.press("ctrl+s")
        await t.sees("$ pachybox create ingest")
    assert sources.client.inspect_ingest("made").kind == "push"
    sources.client.delete_ingest("made")


async def test_a_change_is_shown_and_a_stale_one_is_refused(sources: RealBox) -> None:
    spec = {"name": "old", "to": "raw@old", "push": {}}
    sources.client.create_ingest(spec)
    async with opened(sources, start=Place(INGEST, "old"), size=(160, 40)) as t:
        await t.sees("to       raw@old")
        await t.press("e")
        await t.sees("Spec (yaml)", "name: old")
        editor = t.app.screen.query_one("#spec", SpecEditor)
        editor.become(editor.text + "description: mine\n")
        sources.client.create_ingest({**spec, "description": "theirs"}, update=True)
        await t.sees("No problems")
        await t.press("ctrl+s")
        await t.sees("old was changed meanwhile", "-description: theirs", "+description: mine")
        await t.confirm("escape")
        assert sources.client.inspect_ingest("old").spec["description"] == "theirs"
        await t.press("escape")
        await t.sees("draft kept")
        await t.press("e")
        await t.sees("A draft was kept?")
        await t.press("down")
        await t.confirm("enter")
        await t.sees("description: theirs")
        editor = t.app.screen.query_one("#spec", SpecEditor)
        editor.become(editor.text.replace("theirs", "both"))
        await t.press("ctrl+s")
        await t.sees("Update old?", "-description: theirs", "+description: both")
        await t.confirm("y")
        await t.sees("$ pachybox update ingest -f")
    assert sources.client.inspect_ingest("old").spec["description"] == "both"
    sources.client.delete_ingest("old")


async def test_how_a_tick_ended_and_how_long_it_took(sources: RealBox) -> None:
    spec = {
        "pipeline": {"name": "sevens"},
        "input": {"cron": {"name": "tick", "spec": "@every 1h"}},
        "transform": {"cmd": ["sh", "-c", "exit 7"]},
        "datum_tries": 1,
    }
    sources.client.create_pipelines(json.dumps(spec))
    async with opened(sources, start=Place(INGEST, "sevens_tick"), size=(160, 40)) as t:
        await t.sees("from     @every 1h")
        await t.press("t")
        await t.sees("exit status 7", "took", "✗ 7")
    sources.client.delete_pipeline("sevens", force=True)


async def test_a_command_that_ended_shows_its_status(sources: RealBox) -> None:
    spec = {"name": "ends", "to": "raw@ends", "command": {"cmd": ["sh", "-c", "exit 9"]}}
    sources.client.create_ingest(spec)
    async with opened(sources, start=Place(INGEST, "ends"), size=(80, 24)) as t:
        await t.sees("ends", "✗ 9")
        await t.press("right_square_bracket")
        await t.sees("from     sh -c exit 9")
    sources.client.delete_ingest("ends")


async def test_a_tick_that_does_not_come_is_late_within_seconds() -> None:
    def after(seconds: float) -> Summary:
        ingests = [one | {"nextTime": canned.at(-38)} for one in canned.INGESTS[:1]]
        return canned.summary(time=canned.at(-seconds), ingests=ingests)

    fake = FakeBox(after(37))
    async with opened(fake, start=Place(INGEST, "tick"), size=(120, 40)) as t:
        await t.sees("tick", "Ingest 1")
        assert "late" not in t.text
        fake.now = after(38 + 3)
        t.app.feed.hurry()
        await t.sees("late 3", timeout_s=2.0)


async def test_without_sources_it_says_how_to_make_one(box: RealBox) -> None:
    async with opened(box, start=Place(INGEST), size=(80, 24)) as t:
        await t.sees("n makes a source")


async def test_a_paused_cron_lets_the_job_that_runs_go_on(box: RealBox) -> None:
    spec = {
        "pipeline": {"name": "long"},
        "input": {"cron": {"name": "tick", "spec": "@every 1h"}},
        "transform": {"cmd": ["sh", "-c", "sleep 600"]},
    }
    box.client.create_pipelines(json.dumps(spec))
    box.client.run_cron("long")
    async with opened(box, start=Place(INGEST, "long_tick"), size=(160, 40)) as t:
        await t.until(lambda: _states(box) == ["JOB_RUNNING"], "its job runs")
        await t.sees("long_tick", "from     @every 1h")
        await t.press("s")
        await t.sees("$ pachybox pause ingest long_tick", "paused")
        await t.press("s")
        await t.sees("$ pachybox resume ingest long_tick")
        assert _states(box) == ["JOB_RUNNING"]


def _states(box: RealBox) -> list[str]:
    return [job.state for job in box.client.list_job("long")]
