"""What the terminal's tests open it on: a box of the module's, of the test's own, or the fake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes import RealBox
from tests.tui.fake import FakeBox


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The same terminal, zone and empty settings wherever the tests run."""
    for name in ("NO_COLOR", "PACHYBOX_ADDRESS", "PACHYBOX_HOME", "PACHYBOX_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A running box shared by the tests of a module; each uses repos of its own."""
    box = RealBox(tmp_path_factory.mktemp("box") / "home").start()
    yield box
    box.stop()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RealBox]:
    """A running box of the test's own."""
    made = RealBox(tmp_path / "home").start()
    yield made
    made.stop()


@pytest.fixture
def fake() -> FakeBox:
    """A box that is not there: a client with canned answers."""
    return FakeBox()
