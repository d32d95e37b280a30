"""What the terminal's tests open it on: a box of the module's, of the test's own, or the fake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet

from tests.tui.fake import FakeBox


@pytest.fixture(autouse=True, scope="session")
def _styles_are_parsed_once() -> Iterator[None]:
    """By all apps of the process: a tenth of the time of their tests."""
    parse, known = Stylesheet._parse_rules, dict[tuple[object, ...], Any]()

    def parsed(sheet: Stylesheet, *args: Any, **named: Any) -> Any:
        key = (*args, *named.items(), *sorted(sheet._variables.items()))
        if key not in known:
            known[key] = parse(sheet, *args, **named)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parsed)
        yield


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


@pytest.fixture
def fake() -> FakeBox:
    """A box that is not there: a client with canned answers."""
    return FakeBox()
