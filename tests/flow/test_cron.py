"""The ticker of cron inputs, looked at step by step: no scheduler runs, so jobs wait."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pachybox.meta.writer import Meta, utc_now
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Branch, Pipeline, Repo
from pachybox.pfs.service import Pfs
from pachybox.pps.cron import Cron
from pachybox.pps.service import Pps
from pachybox.store.blobs import BlobStore
from tests.flow.test_review_pfs import pps_of

P = Pipeline("default", "p")
TICKS = Branch(Repo("default", "p_t"), "master")


@pytest.fixture
def pps(tmp_path: Path) -> Iterator[Pps]:
    """Pipelines over a store of their own; nothing runs by itself."""
    blobs = BlobStore.open(tmp_path / "store")
    meta = Meta(tmp_path / "meta.duckdb", barrier=blobs.flush)
    yield pps_of(Pfs(meta, blobs), tmp_path)
    meta.close()
    blobs.close()


def create(pps: Pps, **cron: Any) -> None:
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["true"]},
        "input": {"cron": {"name": "t", **cron}},
    }
    pps.create(json.dumps(spec), "a test", project="default", update=True)


def ticks(pps: Pps) -> list[str]:
    head = pps.pfs.inspect_branch(TICKS).head
    if head is None:
        return []
    return [entry.name for entry in pps.pfs.trees.list(pps.pfs.resolve(TICKS.repo, head).root)]


def test_missed_ticks_wait_while_very_many_jobs_do(pps: Pps) -> None:
    """An old start must not fill the box with jobs; when they are over, the next ticks come."""
    create(pps, spec="@every 1s", start="2020-01-01T00:00:00Z")
    cron = Cron(pps.pfs)
    for _ in range(100):
        assert cron.look(utc_now()) == 0.0
    assert cron.look(utc_now()) > 0
    assert len(ticks(pps)) == 100
    assert len(list(pps.list_jobs(P))) == 100
    oldest = list(pps.list_jobs(P))[-1]
    pps.stop_job(oldest.job)
    assert cron.look(utc_now()) == 0.0
    assert cron.look(utc_now()) > 0
    assert ticks(pps)[-1] == "2020-01-01T00:01:41Z"


def test_it_says_when_to_look_again(pps: Pps) -> None:
    create(pps, spec="@every 10s", start="2026-01-01T00:00:00Z")
    cron = Cron(pps.pfs)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert cron.look(start) == 1.0
    assert cron.look(start + timedelta(seconds=9.75)) == pytest.approx(0.25)
    assert ticks(pps) == []
    assert cron.look(start + timedelta(seconds=10)) == 0.0
    assert cron.look(start + timedelta(seconds=10)) == 1.0
    assert ticks(pps) == ["2026-01-01T00:00:10Z"]


def test_ticks_follow_the_newest_tick_whatever_else_is_in_the_repo(pps: Pps) -> None:
    create(pps, spec="@every 10s", start="2026-01-01T00:00:00Z")
    cron = Cron(pps.pfs)
    now = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    cron.look(now)
    with pps.pfs.blobs.session() as session:
        file = Entry("x", Kind.FILE, session.put(b"x"), 1)
        names = ("/zzz", "/000", "/2026-13-01T00:00:00Z", "/2026-01-01T00:00:15Z")
        pps.pfs.write(session, TICKS.repo, "master", [Put(name, file) for name in names])
    assert cron.look(now + timedelta(seconds=14)) == 1.0
    assert cron.look(now + timedelta(seconds=15)) == 0.0
    assert "2026-01-01T00:00:25Z" in ticks(pps)


def test_without_a_start_ticks_come_after_the_pipeline_was_made(pps: Pps) -> None:
    create(pps, spec="@every 100s")
    cron = Cron(pps.pfs)
    made = pps.pipeline(P).created
    cron.look(made + timedelta(seconds=98))
    assert ticks(pps) == []
    cron.look(made + timedelta(seconds=100))
    assert len(ticks(pps)) == 1
    create(pps, spec="@never")  # an update takes the schedule away
    cron.look(made + timedelta(seconds=1000))
    assert len(ticks(pps)) == 1


def test_a_stopped_pipeline_ticks_when_it_is_started(pps: Pps) -> None:
    create(pps, spec="@yearly", start="2020-06-01T00:00:00Z")
    pps.stop(P)
    cron = Cron(pps.pfs)
    assert cron.look(utc_now()) is None
    assert ticks(pps) == []
    pps.start(P)
    cron.look(utc_now())
    assert ticks(pps) == ["2021-01-01T00:00:00Z"]


def test_an_open_commit_delays_a_tick_and_is_told_of_once(
    pps: Pps, caplog: pytest.LogCaptureFixture
) -> None:
    create(pps, spec="@yearly", start="2020-06-01T00:00:00Z")
    cron = Cron(pps.pfs)
    opened = pps.pfs.start_commit(TICKS)
    with caplog.at_level(logging.WARNING, "pachybox.cron"):
        for _ in range(3):
            assert cron.look(utc_now()) == 1.0
    assert len(caplog.records) == 1
    assert "has not been finished" in caplog.text
    pps.pfs.finish_commit(TICKS.repo, opened.id)
    assert cron.look(utc_now()) == 0.0
    assert ticks(pps) == ["2021-01-01T00:00:00Z"]


def test_a_repo_taken_away_by_force_stops_the_ticks_only(pps: Pps) -> None:
    create(pps, spec="@yearly", start="2020-06-01T00:00:00Z")
    pps.pfs.delete_repo(TICKS.repo, force=True)
    assert Cron(pps.pfs).look(utc_now()) is None
