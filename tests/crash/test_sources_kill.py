"""kill -9 of the box, of sources and of their programs, at random moments of a load on them all."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually, free_port
from tests.crash.ingest_load import IngestLoad

KILLS = int(os.environ.get("PACHYBOX_TEST_KILLS", "4"))


def test_all_that_was_taken_is_there_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records posted with keys, files renamed into a folder, a command and a spout that resume by
    markers, a cron, and branches whose old commits are squashed: whatever is killed, nothing that
    was taken is lost, nothing is there twice or in part, no tick is missing."""
    seed = int(os.environ.get("PACHYBOX_TEST_SEED") or random.randrange(1 << 30))
    draw = random.Random(seed)
    port = free_port()
    box = RealBox(tmp_path / "home", settings="retention_interval_s = 1\n")
    text = (box.home / "box.toml").read_text().replace("http_port = 0", f"http_port = {port}")
    (box.home / "box.toml").write_text(text)
    box.start()
    load = IngestLoad(box, f"127.0.0.1:{port}", tmp_path)
    killed: list[str] = []
    try:
        load.prepare()
        load.begin()
        load.further()
        for kill in range(KILLS):
            if kill % 3 == 2:
                load.further()
            goal = load.progress() + draw.randrange(10, 100)
            eventually(lambda goal=goal: load.progress() > goal or load.errors, "it goes on")
            threading.Event().wait(draw.uniform(0.0, 0.3))  # the moment
            killed.append(load.kill(draw))
        load.further()
        load.end()
        told = load.check()
    except BaseException:
        print(f"seed {seed}, killed {killed}")
        raise
    finally:
        load.stop()
        box.kill()
    with capsys.disabled():
        print(f" [{told}; killed {', '.join(killed)}]", end="", flush=True)
