"""Going to other boxes of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.client.contexts import Settings
from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox
from tests.tui.fake import FakeBox
from tests.tui.pilot import opened
from tui import boxes
from tui.choices import folder
from tui.places import HOME, JOB, Place


def context(name: str, **fields: str) -> None:
    """A context of the settings."""
    Settings.load().put_context(name, fields)


def test_targets_are_the_contexts_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    context("lab", address="http://127.0.0.1:1", token="secret", project="genomes")
    lab = boxes.Target("lab", "http://127.0.0.1:1", "secret", "genomes")
    assert boxes.targets() == [lab, boxes.Target("local")]
    assert boxes.named("lab") == lab
    assert lab.environment() == {
        "PACHYBOX_ADDRESS": "http://127.0.0.1:1",
        "PACHYBOX_TOKEN": "secret",
    }
    with pytest.raises(NotFound, match="context nowhere not found"):
        boxes.named("nowhere")
    Settings.load().activate("lab")
    assert boxes.here() == lab
    monkeypatch.setenv("PACHYBOX_ADDRESS", "http://127.0.0.1:2")
    assert boxes.here().address is None  # the environment goes before the context


def test_broken_settings_are_said(tmp_path: Path) -> None:
    folder().mkdir(parents=True)
    (folder() / "config.json").write_text("{")
    with pytest.raises(InvalidArgument, match="mend or remove the file"):
        boxes.targets()


async def test_another_box_is_gone_to_and_nothing_of_this_one_stays(
    shared_box: RealBox, fake: FakeBox
) -> None:
    shared_box.client.create_repo("there")
    context("lab", address=str(shared_box.socket))
    async with opened(fake, start=Place(JOB), box_name="local") as t:
        await t.sees("lab-01")
        await t.press("colon")
        await t.type("box lab")
        await t.press("enter")
        await t.until(lambda: t.app.box_name == "lab", "the other box")
        await t.until(
            lambda: (
                t.app.store.summary is not None
                and [r.name for r in t.app.store.summary.repos] == ["there"]
            ),
            "what it has",
        )
        assert t.app.current_mode == HOME
        assert "lab-01" not in t.text
        assert t.app.shell_environment()["PACHYBOX_ADDRESS"] == str(shared_box.socket)
        for number in "23456":
            await t.press(number)
        await t.press("minus")
        await t.sees("live")


async def test_boxes_are_listed_and_one_is_chosen(shared_box: RealBox, fake: FakeBox) -> None:
    context("lab", address=str(shared_box.socket))
    async with opened(fake, box_name="local") as t:
        await t.sees("lab-01")
        await t.press("colon")
        await t.type("box")
        await t.press("enter")
        await t.sees("Which box?", "local  (here)")
        await t.confirm("enter")
        await t.until(lambda: t.app.box_name == "lab", "the other box")


async def test_a_box_that_is_not_there_is_waited_for_and_one_can_go_on(
    fake: FakeBox, tmp_path: Path
) -> None:
    context("gone", address=str(tmp_path / "no.sock"))
    async with opened(fake) as t:
        await t.sees("lab-01")
        await t.press("colon")
        await t.type("box gone")
        await t.press("enter")
        await t.sees("No box answers.", str(tmp_path / "no.sock")[:40])
        await t.press("colon")
        await t.type("box nowhere")
        await t.press("enter")
        await t.sees("no box nowhere; there are: gone, local")
