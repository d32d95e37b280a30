"""A spec is written in the terminal: by form or as text, checked, counted, tried, made, changed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import cast

import pytest

from pachybox.client import Client
from tests.boxes import RealBox, eventually
from tests.tui.pilot import Terminal, opened
from tui.drafts import Drafts
from tui.places import HOME, PIPELINE, Place
from tui.screens.pipeline_edit import SpecScreen
from tui.widgets.chrome import Footer
from tui.widgets.spec_editor import SpecEditor

# The one that kills the box has one of its own.
pytestmark = pytest.mark.box("shared")

COPY = "sh -c 'cp -r /pfs/raw/* /pfs/out'"
SPEC = """\
# what this is for
pipeline:
  name: {name}  # its name
input:
  pfs: {{repo: {repo}, glob: "/*"}}  # each file
transform:
  cmd: [sh, -c, "cp /pfs/*/* /pfs/out"]
"""


def filled(client: Client, repo: str, files: int = 5) -> None:
    """A repo with files of different sizes in two folders."""
    client.create_repo(repo)
    with client.commit(f"{repo}@master") as commit:
        for n in range(files):
            commit.put_file(f"/{'ab'[n % 2]}/{n}.txt", b"x" * (n + 1))


def form(t: Terminal) -> SpecScreen:
    """The form in front."""
    return cast(SpecScreen, t.app.screen)


async def the_form(t: Terminal) -> SpecScreen:
    """Wait for the form, ready to be typed in."""
    await t.until(
        lambda: isinstance(t.app.screen, SpecScreen) and len(form(t).fields), "the form is ready"
    )
    return form(t)


async def test_from_home_to_a_running_pipeline_by_keys_alone(box: RealBox) -> None:
    filled(box.client, "raw")
    begun = time.monotonic()
    async with opened(box, start=Place(HOME)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        keys = ["3", "n"]
        await t.press(*keys)
        await the_form(t)
        for part in ("copy", "\n"):
            await t.type(part)
            keys += list(part)
        await t.sees("raw")  # offered, for the field is empty
        await t.press("enter", "f3")
        await t.type(COPY)
        await t.press("ctrl+s")
        await t.sees("Create pipeline copy?", "datums to run: 2 of 2")
        await t.confirm("y")
        keys += ["enter", "f3", *COPY, "ctrl+s", "y"]
        await t.sees("Pipelines > copy", "running")
        await t.sees("$ pachybox create pipeline -f")
    assert len(keys) < 60
    assert time.monotonic() - begun < 60
    assert box.client.inspect_pipeline("copy").state == "PIPELINE_RUNNING"


async def test_datums_are_counted_as_the_glob_is_typed(box: RealBox) -> None:
    filled(box.client, "raw")
    async with opened(box, start=Place(PIPELINE, pane="new")) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        screen = await the_form(t)
        await t.type("x\n")
        await t.press("enter")
        await t.until(lambda: screen.preview.total == 2, "two folders")
        await t.press("tab")
        await t.type("/*/*")
        await t.until(lambda: screen.preview.total == 5, "five files")
        await t.sees("5 datums", "/a/0.txt", "/* 2")
        await t.type("2")
        await t.until(lambda: screen.preview.total == 0, "no file ends so")


async def test_a_problem_is_told_where_it_is_soon_after_the_last_key(box: RealBox) -> None:
    filled(box.client, "raw")
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        await t.press("f6")
        screen.editor.load_text(SPEC.format(name="x", repo="raw"))
        await t.sees("No problems")
        screen.editor.go(6, 5)  # behind "cmd"
        took = []
        for key in ("d", "backspace", "d"):
            await t.press(key)
            at = screen.changed_at
            await t.until(lambda: screen.checked_at > at, "checked")  # noqa: B023
            took.append(screen.checked_at - at)
        await t.sees('7:3 unknown field; did you mean "cmd"')
        assert screen.editor.marked_rows == [6]
        assert min(took) <= 0.3
        await t.press("escape", "f8")
        assert screen.editor.cursor_location == (6, 2)


async def test_every_field_has_help_and_keys_are_completed(box: RealBox) -> None:
    filled(box.client, "raw")
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        assert all(one.help for one in screen.fields._fields.values())
        await t.press("f6")
        screen.editor.load_text("input:\n  pfs:\n    re\n    glob: /\n")
        screen.editor.go(2, 6)
        await t.press("ctrl+at")
        await t.sees("repo", "repo_type")
        await t.press("enter")
        assert screen.editor.document.get_line(2) == "    repo: "
        await t.sees("input.pfs.repo")
        await t.press("ctrl+at", "enter")
        assert screen.editor.document.get_line(2) == "    repo: raw"
        await t.press("f1")
        await t.sees("input.pfs.repo (string, required)", '"images"')


async def test_trying_runs_one_datum_and_commits_nothing(box: RealBox) -> None:
    client = box.client
    filled(client, "raw")
    before = client.status().commits
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        text = SPEC.format(name="x", repo="raw").replace(
            "cp /pfs/*/*",
            "echo hello; mkdir '/pfs/out/['; echo 1 > '/pfs/out/[/b].txt'; cp -r /pfs/raw/*",
        )
        screen.editor.load_text(text)
        await t.until(lambda: screen.spec is not None and screen.spec.text == text, "understood")
        await t.press("ctrl+t")
        await t.sees("hello", "4 files", "/a/0.txt", "not committed")
        await t.sees("─ /[/b].txt ─")  # the first of them, its name as it is
        await t.sees("$ pachybox run datum -f")
        await t.press("escape")
        await t.sees("Pipelines > new")
    assert client.status().commits == before
    assert [repo.name for repo in client.list_repo()] == ["raw"]
    assert not list(client.list_pipeline())


async def test_an_edit_shows_what_changes_and_which_datums_run(box: RealBox) -> None:
    client = box.client
    filled(client, "raw")
    client.create_pipelines(SPEC.format(name="copy", repo="raw").replace("cp /pfs", "cp -r /pfs"))
    eventually(lambda: client.inspect_pipeline("copy").last_job_state == "JOB_SUCCESS", "it ran")
    async with opened(box, start=Place(PIPELINE, "copy", pane="edit")) as t:
        screen = await the_form(t)
        text = screen.editor.text.replace("/*", "/*/*", 1)
        screen.editor.become(text)
        await t.press("f5")
        await t.sees('- input.pfs.glob  "/*"', '+ input.pfs.glob  "/*/*"', "5 of 5 (0 again, 5 new")
        await t.press("escape")
        await t.press("ctrl+s")
        await t.sees("Update copy?", "reprocess: all 5 datums", "5 datums run, 0 datums kept")
        await t.confirm("down", "enter")
        await t.sees("Pipelines > copy", "v2")
        said = t.app.screen.query_one(Footer).command
        verb, _, file = said.partition(" -f ")
        assert verb == "update pipeline"
        assert Path(file).expanduser().read_text() == text  # what the shell would send
    assert client.inspect_pipeline("copy").version == 2


async def test_a_stale_edit_is_refused_shows_both_and_is_merged(box: RealBox) -> None:
    client = box.client
    filled(client, "raw")
    spec = SPEC.format(name="copy", repo="raw")
    client.create_pipelines(spec)
    async with opened(box, start=Place(PIPELINE, "copy", pane="edit")) as t:
        screen = await the_form(t)
        client.create_pipelines(spec + "datum_tries: 7\n", update=True)
        screen.editor.become(screen.editor.text + "description: mine\n")
        await t.press("ctrl+s")
        await t.sees("Update copy?")
        await t.confirm("down", "enter")
        await t.sees("it is at v2, yours is of v1", "datum_tries: null -> 7", "description")
        await t.confirm("down", "down", "enter")  # merge
        await t.until(lambda: "datum_tries: 7" in screen.editor.text, "merged")
        assert "description: mine" in screen.editor.text
        await t.press("ctrl+s")
        await t.sees("Update copy?")
        await t.confirm("down", "enter")
        await t.sees("Pipelines > copy", "v3")
    made = client.inspect_pipeline("copy")
    assert (made.version, made.description, made.raw["details"]["datumTries"]) == (3, "mine", "7")


@pytest.mark.box("own")
async def test_a_draft_survives_the_box_and_the_terminal(box: RealBox) -> None:
    filled(box.client, "raw")
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        await the_form(t)
        await t.type("halfway")
        box.kill()
        await t.until(lambda: t.app.store.link.state == "lost", "the box is lost")
        await t.type("there")
        await t.sees("halfwaythere")
        name = t.app.store.summary.name if t.app.store.summary else ""
        await t.press("escape", "escape")
        await t.sees("draft kept")
    assert "halfwaythere" in (Drafts().get(name) or pytest.fail("no draft")).text
    box.start()
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        await t.sees("A draft was kept?")
        await t.confirm("enter")
        screen = await the_form(t)
        assert "halfwaythere" in screen.editor.text


async def test_comments_stay_when_the_form_changes_the_text(box: RealBox) -> None:
    client = box.client
    filled(client, "raw")
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        screen.editor.load_text(SPEC.format(name="first", repo="raw"))
        await t.until(lambda: screen.form.query_one("#row-name").text == "first", "shown")  # type: ignore[attr-defined]
        await t.type("2")
        assert screen.editor.text == SPEC.format(name="first2", repo="raw")
        await t.press("ctrl+z")
        screen.editor.load_text("pipeline: {name: a\n")
        await t.sees("the form waits")
        screen.editor.load_text("pipeline: {name: a}\n")
        await t.until(lambda: "the form waits" not in t.text, "the form goes on")


async def test_a_spec_of_nine_thousand_lines_does_not_block(box: RealBox) -> None:
    filled(box.client, "raw")
    text = SPEC.format(name="big", repo="raw") + "  env:\n"
    text += "".join(f"    NAME_{n}: value {n}\n" for n in range(9000))
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        screen.editor.load_text(text)
        await t.until(lambda: screen.spec is not None and screen.spec.text == text, "understood")
        await t.sees("No problems")
        assert screen.editor.language is None
        await t.press("f6")
        lags = []

        async def probe() -> None:
            while True:
                at = time.monotonic()
                await asyncio.sleep(0.005)  # what the loop makes of it is measured
                lags.append(time.monotonic() - at - 0.005)

        task = asyncio.create_task(probe())
        for _ in range(20):
            await t.press("a")
        await t.until(lambda: screen.checked_at > screen.changed_at, "checked")
        task.cancel()
        assert sorted(lags)[int(len(lags) * 0.95)] < 0.25


async def test_on_a_small_screen_text_and_form_take_turns(box: RealBox) -> None:
    filled(box.client, "raw")
    async with opened(box, start=Place(PIPELINE), size=(80, 24)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        await the_form(t)
        await t.sees("1 input > 2 code", "glob")
        assert "Spec (yaml)" not in t.text
        await t.press("f6")
        await t.sees("Spec (yaml)", "glob: /*", "Problems")
        await t.press("f6")
        await t.sees("1 input > 2 code")


async def test_several_inputs_are_chosen_added_and_taken_away(box: RealBox) -> None:
    filled(box.client, "raw")
    filled(box.client, "other", 3)
    async with opened(box, start=Place(PIPELINE)) as t:
        await t.until(lambda: t.app.store.summary, "the box is known")
        await t.press("n")
        screen = await the_form(t)
        screen.editor.load_text(SPEC.format(name="x", repo="raw"))
        await t.until(lambda: screen.preview.total == 2, "counted")
        screen.form.query_one("#kind").focus()
        await t.press("right")  # cross
        assert screen.spec is not None
        assert list(screen.spec.value["input"]) == ["cross"]
        assert "# each file" in screen.editor.text
        await t.press("tab", "right", "enter")
        await t.type("oth")
        await t.press("enter")
        await t.until(lambda: screen.preview.total == 4, "two by two")
        assert screen.spec.value["input"]["cross"][1]["pfs"]["repo"] == "other"
        screen.form.query_one("#inputs").focus()
        await t.press("delete")
        assert len(screen.spec.value["input"]["cross"]) == 1


def test_the_same_text_is_put_together_once() -> None:
    editor = SpecEditor("a: 1\n")
    assert editor.text is editor.text
