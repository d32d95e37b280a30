"""What the box takes of the disk, measured aside; and the machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from pachybox.meta.tables import FACTS
from pachybox.meta.writer import Meta
from pachybox.usage import Usage
from tests.boxes import eventually

KIB = 1 << 10


def test_what_is_on_the_disk_is_measured_aside(tmp_path: Path) -> None:
    for name in ("work", "logs", "ingest"):
        (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / "work" / "sub" / "own").write_bytes(bytes(64 * KIB))
    (tmp_path / "logs" / "a").write_bytes(bytes(32 * KIB))
    (tmp_path / "ingest" / "sub" / "spool").write_bytes(bytes(16 * KIB))
    stored = tmp_path / "stored"
    stored.write_bytes(bytes(256 * KIB))
    os.link(stored, tmp_path / "work" / "sub" / "linked")  # an input: it takes no room of its own
    meta = Meta(tmp_path / "meta.duckdb")
    usage = Usage(tmp_path, lambda: meta, lambda: 1_000_000, lambda: 77)
    usage.start()
    try:
        assert usage.disk().data >= 1_000_000  # at once
        found = eventually(lambda: usage.disk() if usage.disk().logs else None, "it is measured")
        assert found is not None
        assert (found.cache, found.logs, found.images) == (64 * KIB, 32 * KIB, 77)
        database = (tmp_path / "meta.duckdb").stat().st_blocks * 512
        assert found.data >= 1_000_000 + 16 * KIB + database
        assert found.growth_per_day == 0.0
        kept = eventually(lambda: meta.get(FACTS, "disk_samples"), "a sample is kept")
        assert kept is not None
        ((_, size),) = json.loads(kept[1])
        assert size == 1_000_000
    finally:
        usage.stop()
        meta.close()


def test_growth_is_that_of_the_samples(tmp_path: Path) -> None:
    meta = Meta(tmp_path / "meta.duckdb")
    now = time.time()
    samples = [[now - 30 * 86_400, 0], [now - 2 * 86_400, 1_000_000], [now - 60, 2_900_000]]
    meta.write(lambda tx: tx.put(FACTS, ("disk_samples", json.dumps(samples))))
    usage = Usage(tmp_path, lambda: meta, lambda: 3_000_000, lambda: 0)
    usage.start()
    try:
        growth = eventually(lambda: usage.disk().growth_per_day, "it is known")
        assert abs(growth - 1_000_000) < 1_000
        kept = meta.get(FACTS, "disk_samples")
        assert kept is not None
        assert len(json.loads(kept[1])) == 3  # the last is not an hour old
    finally:
        usage.stop()
        meta.close()


def test_the_machine(tmp_path: Path) -> None:
    meta = Meta(tmp_path / "meta.duckdb")
    usage = Usage(tmp_path, lambda: meta, lambda: 0, lambda: 0)
    machine = usage.machine()
    assert 0 < machine.memory_used < machine.memory_total
    assert machine.disk_used + machine.disk_free == machine.disk_total
    end = time.monotonic() + 30

    def busy() -> bool:
        sum(range(200_000))
        return usage.machine().cpu > 0 or time.monotonic() > end

    eventually(busy, "a processor is in use")
    assert 0 < usage.machine().cpu <= 1
    usage.stop()  # one that was not started
    meta.close()
