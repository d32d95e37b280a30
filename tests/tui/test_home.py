"""Home: what there is and runs, live; what needs attention; the verbs on what is selected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.boxes import RealBox
from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import Terminal, opened
from tui.places import INGEST, JOB, PIPELINE, REPO
from tui.screens.home import Home
from tui.widgets.dag import Dag
from tui.widgets.lines import Lines

COPY = """
pipeline: {name: NAME}
input: {pfs: {repo: REPO, glob: "/*"}}
transform: {cmd: [sh], stdin: ["SCRIPT", "cp /pfs/REPO/* /pfs/out"]}
"""


def spec(name: str, repo: str, script: str = "true") -> str:
    return COPY.replace("NAME", name).replace("REPO", repo).replace("SCRIPT", script)


def home(t: Terminal) -> Home:
    view = t.app.view
    assert isinstance(view, Home)
    return view


def lines(t: Terminal, id: str) -> list[str]:
    """What a short list shows."""
    return [entry.text for entry in home(t).query_one(f"#{id}", Lines).entries]


async def focus(t: Terminal, id: str) -> None:
    """Go to a pane by Tab."""
    for _ in range(8):
        if t.app.focused is not None and t.app.focused.id == id:
            return
        await t.press("tab")
    raise AssertionError(f"Tab does not lead to {id}")


async def went(t: Terminal, mode: str) -> None:
    await t.until(lambda: t.app.current_mode == mode, f"it is at {mode}")


# with canned answers


async def test_it_shows_the_graph_jobs_sources_repos_and_the_disk(fake: FakeBox) -> None:
    async with opened(fake, size=(200, 40)) as t:
        await t.sees("Pipelines 7", "Ingest 4", "Repos 9", "Needs attention 2")
        await t.sees("▤ raw ───", "◷ tick", "● resize 38/120", "! ocr crashing", "‖ report")
        await t.sees("● resize@", "▇▇▇", "117+3✗", "~")
        await t.sees("next 14:04", "lag 0.2s", "! fetch", "crashing")
        await t.sees("44% 412/931GiB", "data", "55GiB", "+2GiB a day")
        await t.sees("cpu ▃ 31%  mem 9.2/16GiB  disk ▇░░░ 412/931GiB")


async def test_trouble_comes_first_and_enter_goes_there(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("3 datums failed")
        assert t.app.focused is home(t).query_one("#attention")
        assert lines(t, "attention")[0].startswith("✗ ocr@")
        assert lines(t, "ingest")[0].startswith("! fetch")
        await t.press("enter")
        await went(t, JOB)
        await t.press("1")
        await t.press("j", "enter")
        await went(t, INGEST)


async def test_each_pane_opens_what_it_lists(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        for pane, mode in (("dag", REPO), ("repos", REPO), ("ingest", INGEST)):
            await focus(t, pane)
            if pane == "dag":
                home(t).query_one(Dag).select("repo:raw")
            await t.press("enter")
            await went(t, mode)
            await t.press("1")
            await went(t, "home")
        await focus(t, "dag")
        home(t).query_one(Dag).select("pipeline:ocr")
        await t.press("enter")
        await went(t, PIPELINE)


async def test_the_list_beside_the_graph_is_a_tab_that_is_remembered(
    fake: FakeBox, tmp_path: Any
) -> None:
    async with opened(fake, choices=tmp_path / "tui.json") as t:
        await t.sees("[dag] list")
        await focus(t, "dag")
        await t.press("right_square_bracket")
        await t.sees("dag [list]", "LAST JOB", "paused")
    async with opened(fake, choices=tmp_path / "tui.json") as t:
        await t.sees("dag [list]", "LAST JOB")


async def test_a_filter_narrows_the_focused_pane(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, "repos")
        await t.press("slash")
        await t.type("resi")
        await t.until(lambda: len(lines(t, "repos")) == 1, "one repo is left")
        await t.press("escape")
        await t.until(lambda: len(lines(t, "repos")) == 9, "all are back")
        await focus(t, "dag")
        await t.press("slash")
        await t.type("ocr")
        await t.press("enter")
        dag = home(t).query_one(Dag)
        assert dag.view.lit == frozenset({"pipeline:ocr"})


async def test_v_makes_the_graph_a_list_with_a_neighbourhood(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, "dag")
        await t.press("v")
        await t.until(lambda: home(t).query_one(Dag).as_list, "a list")


VERBS: list[tuple[str, str, tuple[str, ...], str, str]] = [
    ("pipeline:clean", "dag", ("r",), "rerun_pipeline", "rerun pipeline clean"),
    ("pipeline:clean", "dag", ("t",), "run_cron", "run cron clean"),
    ("pipeline:clean", "dag", ("s",), "stop_pipeline", "stop pipeline clean"),
    ("pipeline:report", "dag", ("s",), "start_pipeline", "start pipeline report"),
    ("pipeline:resize", "dag", ("x", "y"), "stop_job", "stop job resize@"),
    ("pipeline:windows", "dag", ("D", "y"), "delete_pipeline", "delete pipeline windows"),
    ("ingest:tick", "dag", ("t",), "run_ingest", "run ingest tick"),
    ("ingest:tick", "dag", ("s",), "pause_ingest", "pause ingest tick"),
]


@pytest.mark.parametrize(
    ("node", "pane", "keys", "call", "command"), VERBS, ids=[v[4] for v in VERBS]
)
async def test_a_key_does_what_the_shown_command_line_does(
    fake: FakeBox, node: str, pane: str, keys: tuple[str, ...], call: str, command: str
) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, pane)
        home(t).query_one(Dag).select(node)
        await t.press(keys[0])
        if len(keys) > 1:
            await t.sees("? ")
            await t.confirm(keys[1])
        await t.until(lambda: call in fake.changed(), f"{call} is called")
        await t.sees(f"$ pachybox {command}")


async def test_deleting_a_pipeline_that_others_read_names_them_and_wants_its_name(
    fake: FakeBox,
) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, "dag")
        home(t).query_one(Dag).select("pipeline:clean")
        await t.press("D")
        await t.sees("Delete pipeline clean?", "2 pipelines read that", "resize, ocr")
        await t.confirm("y", "enter")
        await t.sees("is not clean")
        assert not fake.changed()
        await t.press("backspace")
        await t.type("clean\n")
        await t.until(lambda: "delete_pipeline" in fake.changed(), "it is deleted")
        assert fake.calls[-1] == ("delete_pipeline", ("clean",), {"force": True})


async def test_a_key_that_cannot_act_says_why(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, "dag")
        home(t).query_one(Dag).select("pipeline:train")
        await t.press("t")
        await t.sees("train has no cron input")
        await focus(t, "repos")
        await t.press("x")
        await t.sees("not on a repo")
    async with opened(fake, read_only=True) as t:
        await t.sees("Repos 9")
        await focus(t, "dag")
        await t.press("s")
        await t.sees("read-only")
        assert not fake.changed()


async def test_logs_have_a_key(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("3 datums failed")
        await t.press("l")
        await went(t, JOB)


async def test_a_disk_nearly_full_is_a_warning() -> None:
    machine = canned.SUMMARY["machine"] | {"diskUsed": str(800 << 30)}
    fake = FakeBox(canned.summary(machine=machine, disk={"data": "5", "mark": "warn"}))
    async with opened(fake) as t:
        await t.sees("85%", "over 85%")


async def test_what_has_not_changed_is_not_painted(fake: FakeBox) -> None:
    """Nor is an age, as long as the clock stands still."""
    async with opened(fake, clock=lambda: canned.NOW) as t:
        await t.sees("Repos 9")
        painted = ["by opening"]
        for pane in home(t).query("Dag, Lines, VirtualTable"):
            pane.refresh = _noted(painted, pane.refresh)  # type: ignore[method-assign]

        async def paints() -> bool:
            painted.clear()
            for _ in range(5):
                await t.pilot.pause()
            return bool(painted)

        while await paints():
            pass
        greeted = fake.greeted
        fake.push("repo.created", repo="raw")
        await t.until(lambda: fake.greeted > greeted, "the summary is read again")
        for _ in range(5):
            await t.pilot.pause()
        assert painted == []


def _noted(painted: list[str], refresh: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*regions: Any, **how: Any) -> Any:
        painted.append(str(getattr(refresh, "__self__", "")))
        return refresh(*regions, **how)

    return noted


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60), (40, 10)])
async def test_all_panes_are_there_at_any_size(fake: FakeBox, size: tuple[int, int]) -> None:
    async with opened(fake, size=size) as t:
        await t.sees("ipelines")
        await t.until(lambda: home(t).query_one("#attention").size.width > 0, "it is laid out")
        if size[1] >= 24:
            await t.sees("Pipelines 7", "Needs attention 2", "Ingest 4", "Repos 9", "Disk")
            await t.sees("✗ ocr@", "44%", "▤ raw")
        for _ in range(7):
            await t.press("tab")
            await t.pilot.pause()


async def test_in_ascii_all_of_it_is_ascii(fake: FakeBox) -> None:
    async with opened(fake, ascii_only=True, size=(200, 40)) as t:
        await t.sees("Repos 9", "* resize 38/120")
        assert t.text.isascii()


# on a real box


async def test_an_empty_box_offers_three_things_to_do(box: RealBox) -> None:
    async with opened(box) as t:
        await t.sees("create a repo", "load the demo", "read the keys")
        await t.press("enter")
        await t.sees("Create a repo")
        await t.confirm(*"images", "enter")
        await t.sees("▤ images", "$ pachybox create repo images")
        assert [r.name for r in box.client.list_repo()] == ["images"]
        await t.press("n")
        await went(t, PIPELINE)


async def test_the_demo_lives_within_a_minute_and_goes_when_asked(box: RealBox) -> None:
    async with opened(box) as t:
        await t.sees("load the demo")
        await t.press("j", "enter")
        await t.sees("Pipelines 4", "◷ tick", "readings", "$ pachybox demo")
        await t.until(
            lambda: (
                any(line.count("✓") == 4 and "report" in line for line in graph(t)) or all_well(t)
            ),
            "every pipeline has succeeded",
            60,
        )
        report = await asyncio.to_thread(box.cli, "get", "file", "report@master:/report.md")
        assert "| s8 | office |" in report
        gone = await asyncio.to_thread(box.cli, "demo", "--remove")
        assert gone.split()[1:] == ["report,", "alerts,", "stats,", "readings,", "sensors"]
        await t.sees("load the demo")


def graph(t: Terminal) -> list[str]:
    dag = home(t).query_one(Dag)
    return [dag.render_line(y).text for y in range(dag.size.height)]


def all_well(t: Terminal) -> bool:
    """Every pipeline's newest job succeeded, with something to do."""
    summary = t.app.store.summary
    jobs = [p.job for p in summary.pipelines] if summary else []
    return bool(jobs) and all(j and j.state == "JOB_SUCCESS" and j.total for j in jobs)


def test_the_demo_does_not_touch_what_is_not_its_own(box: RealBox) -> None:
    box.client.create_repo("stats")
    done = box.run("demo")
    assert done.returncode != 0
    assert "there is a repo stats already" in done.stderr
    assert [r.name for r in box.client.list_repo()] == ["stats"]
    assert box.cli("demo", "--remove").strip() == "there is no demo"


async def test_states_and_trouble_come_live(box: RealBox) -> None:
    client = box.client
    client.create_repo("words")
    client.create_pipelines(spec("good", "words"))
    async with opened(box) as t:
        await t.sees("Pipelines 1", "▤ words", "all is well")
        await asyncio.to_thread(client.put_file, "words@master:/a", b"a")
        await t.until(lambda: any("✓ good" in line for line in graph(t)), "good has succeeded")
        await asyncio.to_thread(client.create_pipelines, spec("bad", "good", "exit 3"))
        await t.sees("Pipelines 2", "Needs attention 1", timeout_s=60)
        await t.until(lambda: any("✗ bad" in line for line in graph(t)), "bad has failed")
        await focus(t, "attention")
        await t.press("enter")
        await went(t, JOB)


async def test_a_job_is_stopped_and_a_pipeline_is_paused_by_keys(box: RealBox) -> None:
    client = box.client
    client.create_repo("words")
    client.put_file("words@master:/a", b"a")
    client.create_pipelines(spec("slow", "words", "sleep 60"))
    async with opened(box) as t:
        await t.until(lambda: any("● slow" in line for line in graph(t)), "slow runs")
        await focus(t, "dag")
        home(t).query_one(Dag).select("pipeline:slow")
        await t.press("x")
        await t.sees("Stop job slow@")
        await t.confirm("y")
        await t.until(lambda: any("■ slow" in line for line in graph(t)), "its job is killed")
        await t.press("s")
        await t.until(lambda: any("‖ slow" in line for line in graph(t)), "it is paused")
        await t.press("s")
        await t.until(lambda: any("● slow" in line for line in graph(t)), "it runs again")
        await t.press("D")
        await t.sees("Delete pipeline slow?")
        await t.confirm("y")
        await t.until(lambda: not list(client.list_pipeline()), "it is gone")


async def test_the_remedy_of_the_selected_trouble_is_shown(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("look at their logs, then retry")


async def test_a_pane_is_zoomed_and_panes_are_flipped_and_all_comes_back(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        pane = home(t).query_one("#attention")
        before = pane.size
        await t.press("z")
        await t.until(lambda: pane.size.height > 30, "it has the screen")
        await t.press("z")
        await t.until(lambda: pane.size == before, "it is as it was")
        await t.press("vertical_line")
        await t.until(lambda: pane.size.width > 100, "panes are below each other")
        await t.press("vertical_line")
        await t.until(lambda: pane.size == before, "it is as it was")


def test_the_command_makes_the_same_demo_again_and_in_another_project(box: RealBox) -> None:
    for _ in range(2):
        assert box.cli("demo").startswith("made readings, stats, alerts, report")
    box.cli("create", "project", "playground")
    box.cli("demo", "--project", "playground")
    names = {(p.project, p.name) for p in box.client.list_pipeline(all_projects=True)}
    assert len(names) == 8
    assert box.cli("demo", "--remove", "--project", "playground").startswith("removed report")
    assert len(list(box.client.list_pipeline(all_projects=True))) == 4


async def test_what_is_marked_is_done_to_at_once(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        await focus(t, "dag")
        await t.press("tab")  # the jobs
        await t.press("b")
        await t.sees("nothing is marked")
        await t.press("a", "b")
        await t.sees("marked: what to do?", "stop the 1 that run")
        await t.confirm("down", "enter")
        await t.until(lambda: fake.changed() == ["stop_job"], "the running job is stopped")


async def test_the_commit_set_of_the_selected_job_stands_out_in_the_graph(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Running and recent jobs")
        dag = home(t).query_one("#dag", Dag)
        home(t).query_one("#jobs VirtualTable").focus()
        lit = {"repo:raw", "pipeline:clean", "pipeline:resize"}
        await t.until(lambda: dag.view.lit == lit, "the set of the first job stands out")
        await t.press("slash", *"ocr", "enter")
        await t.press("tab")
        await t.until(lambda: dag.view.lit is None, "it does no more when another pane is used")


async def test_ages_in_seconds_go_on_though_nothing_happens() -> None:
    moment = [canned.NOW]
    async with opened(FakeBox, clock=lambda: moment[0]) as t:
        await t.until(lambda: any(" 12s" in line for line in lines(t, "ingest")), "tick: 12s ago")
        moment[0] += timedelta(seconds=7)
        await t.until(lambda: any(" 19s" in line for line in lines(t, "ingest")), "its age goes on")


async def test_what_a_short_list_shows_is_selected_by_dragging(fake: FakeBox) -> None:
    async with opened(fake) as t:
        await t.sees("Repos 9")
        repos = home(t).query_one("#repos", Lines)
        await t.pilot.mouse_down(repos, offset=(3, 1))
        await t.pilot.hover(repos, offset=(6, 2))
        await t.pilot.mouse_up(repos, offset=(6, 2))
        await t.until(lambda: t.app.screen.get_selected_text(), "text is selected")
        selected = t.app.screen.get_selected_text() or ""
        assert selected.startswith("raw")
        assert selected.splitlines()[1].strip() == "▤ tick"
