"""Parts of a box say how their work went, and it is known to the next process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.care.health import Health, Record
from pachybox.meta.tables import FACTS
from pachybox.meta.writer import Meta


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    made = Meta(tmp_path / "meta.duckdb")
    yield made
    made.close()


def test_what_never_spoke_is_unknown(meta: Meta) -> None:
    health = Health(meta)
    assert health.last("scrub") is None
    assert health.all() == []
    assert health.warnings() == []


def test_a_failure_keeps_when_it_last_went_well(meta: Meta) -> None:
    now = [100.0]
    health = Health(meta, lambda: now[0])
    health.record("backup", id="a", bytes=7)
    now[0] = 200.0
    failed = health.record("backup", "the bucket is gone", "make it again")
    assert failed == Record("backup", 200.0, "the bucket is gone", "make it again", 100.0)
    assert health.last("backup") == failed
    assert health.warnings() == ["backup: the bucket is gone; make it again"]
    now[0] = 300.0
    assert health.record("backup").ok_at == 300.0
    assert health.warnings() == []


def test_it_is_there_for_the_next_process(tmp_path: Path) -> None:
    meta = Meta(tmp_path / "meta.duckdb")
    said = Health(meta, lambda: 5.0).record("scrub", "2 pieces are damaged", done=0.5, findings=2)
    meta.close()
    meta = Meta(tmp_path / "meta.duckdb")
    try:
        assert Health(meta).all() == [said]
        assert said.figures == {"done": 0.5, "findings": 2}
    finally:
        meta.close()


def test_a_record_without_times_of_success_is_understood(meta: Meta) -> None:
    meta.write(lambda tx: tx.put(FACTS, ("backup.last", '{"at": 3, "ok": true, "id": "x"}')))
    assert Health(meta).last("backup") == Record("backup", 3.0, ok_at=3.0, figures={"id": "x"})
    meta.write(lambda tx: tx.put(FACTS, ("backup.last", '{"at": 3, "ok": false}')))
    found = Health(meta).last("backup")
    assert found is not None
    assert (found.error, found.ok_at) == ("failed", None)


def test_a_closing_box_takes_no_record_and_says_nothing(tmp_path: Path) -> None:
    meta = Meta(tmp_path / "meta.duckdb")
    health = Health(meta)
    meta.close()
    assert health.record("janitor").ok
