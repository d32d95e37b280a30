"""From a log to commits: when they are due."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pachybox.ingest.record_specs import check_push
from pachybox.spool import Frame, Log
from spouts.flow import Flow
from spouts.records import Settings
from tests.boxes import eventually


class FakeDesk:
    """Takes every batch."""

    def __init__(self) -> None:
        self.batch = 0
        self.offset: dict[str, Any] = {}
        self.records = 0

    def report(self, **_: Any) -> None:
        """Nobody hears it."""

    def commit(self, fill: Any, offset: dict[str, Any], *, records: int = 0, **_: Any) -> None:
        self.batch += 1
        self.offset = offset
        self.records += records


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    """The records came an hour from now, by the clock as it was."""
    log = Log(tmp_path, 16 << 20)
    hour = int((time.time() + 3600) * 1e6)
    end = log.append([Frame(hour, [b"1", b"2"])])[0]
    desk = FakeDesk()
    spec = check_push({"group": {"time": "50ms"}})[0]
    flow = Flow(desk, tmp_path, Settings.of("src", spec))  # type: ignore[arg-type]

    def committed() -> bool:
        assert flow.turn() <= 0.05
        return desk.records == 2

    assert not committed()
    eventually(committed, "they are committed")
    assert flow.committed == end
    log.close()
