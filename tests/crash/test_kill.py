"""kill -9 of the daemon at random moments of a mixed load: nothing acknowledged is lost."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.boxes import RealBox
from tests.crash.load import Load

LIVES = 11  # of each seed: 9 kills, 2 stops, and 8 kills before the box is up; 51 kills in all


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_acknowledged_outlives_any_kill(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed and reopened again and again in the middle of a mixed load, or before it is even
    up, and now and then stopped: every acknowledged file is there with the right content,
    nothing half-done can be seen, finished datums do not run again, the store is true and
    collects."""
    with capsys.disabled():
        print(f" [seed {seed}]", end="", flush=True)
    draw = random.Random(seed)
    box = RealBox(tmp_path / "home", settings="workers = 2\n").start()
    load = Load(box, tmp_path / "runs", seed)
    proven = 0
    try:
        load.prepare()
        for life in range(LIVES):
            load.begin()
            threading.Event().wait(1.2 * draw.random() ** 2)  # the moment
            stopped = life % 5 == 3
            if stopped:
                assert box.stop() == 0
            else:
                box.kill()
            load.end()
            if life and not stopped:
                box.spawn()
                threading.Event().wait(draw.uniform(0.0, 0.5))
                box.kill()
            box.start()
            proven = load.check(proven)
        load.jobs_end_well()
        faults = [f for f in box.client.fsck() if f.get("level") != "info"]
        assert faults == []
        box.client.collect_garbage()
        load.check_in_full()
        load.jobs_end_well()
        assert [f for f in box.client.fsck() if f.get("level") != "info"] == []
        assert box.stop() == 0
    finally:
        box.kill()
