"""What wants attention: each thing that is wrong, worst first, and nothing that is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from pachybox.ingest.service import Ingests
from pachybox.meta.tables import JOBS, PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch, CommitId, Job, Pipeline, Repo
from pachybox.model.ingest import (
    Ingest,
    IngestInfo,
    IngestKind,
    IngestRecord,
    IngestState,
    IngestStatus,
)
from pachybox.model.pps import JobRecord, JobState, PipelineRecord, PipelineState
from pachybox.overview import MOST, Attention, Overview
from pachybox.pfs.service import Pfs
from pachybox.watermarks import Level
from tests.unit.pps.world import commit, opened

NOW = utc_now()
AGO = NOW - timedelta(seconds=300)
TO = Branch(Repo("default", "raw"), "master")


class Sources:
    """Sources that are what a test says."""

    def __init__(self) -> None:
        self.infos: list[IngestInfo] = []

    def list(self) -> list[IngestInfo]:
        return self.infos


class World:
    """An overview, and what it looks at."""

    def __init__(self, pfs: Pfs) -> None:
        self.pfs = pfs
        self.sources = Sources()
        self.disk: tuple[Level, str] = (Level.FREE, "")
        self.warnings: list[str] = []
        self.overview = Overview(
            pfs, cast(Ingests, self.sources), lambda: self.disk, lambda: self.warnings
        )
        self.overview.newest.follow()

    def wrong(self) -> list[Attention]:
        return self.overview.glance().attention


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with opened(folder) as pfs:
        yield World(pfs)


def a_pipeline(name: str, state: PipelineState, **more: Any) -> PipelineRecord:
    made = PipelineRecord(
        Pipeline("default", name), 1, {"output_branch": "master"}, "", "", state, "why", False,
        AGO, AGO, CommitId("c"),
    )  # fmt: skip
    return replace(made, **more)


def a_source(kind: IngestKind, state: IngestState, **status: Any) -> IngestInfo:
    record = IngestRecord(Ingest("default", "s"), kind, {}, TO, 1, AGO, AGO)
    return IngestInfo(record, IngestStatus(state, **status))


def with_record(info: IngestInfo, **changes: Any) -> IngestInfo:
    return replace(info, record=replace(info.record, **changes))


RUNNING, PUSH, CRON = IngestState.RUNNING, IngestKind.PUSH, IngestKind.CRON


@pytest.mark.parametrize(
    ("info", "level", "says"),
    [
        (a_source(PUSH, IngestState.CRASHING, reason="no disk"), "error", "is crashing: no disk"),
        (a_source(PUSH, IngestState.HELD, reason="disk 93 % full"), "warn", "is held: disk 93"),
        (a_source(CRON, RUNNING, lag_s=3.0, next_time=AGO), "warn", "is 3 s late"),
        (a_source(PUSH, RUNNING, lag_s=90.0, pending=2), "warn", "is 90 s late"),
        (a_source(PUSH, RUNNING, error="bad", error_time=NOW), "warn", "had an error: bad"),
    ],
)
def test_a_source_in_trouble(tmp_path: Path, info: IngestInfo, level: str, says: str) -> None:
    with world(tmp_path) as box:
        box.sources.infos = [info]
        (one,) = box.wrong()
        assert (one.level, one.kind, one.ref) == (level, "ingest", "s")
        assert says in one.text
        assert one.remedy


@pytest.mark.parametrize(
    "info",
    [
        a_source(PUSH, RUNNING),
        a_source(CRON, RUNNING, lag_s=1.0),
        a_source(PUSH, IngestState.PAUSED, lag_s=500.0, pending=2, error="bad", error_time=NOW),
        a_source(IngestKind.SPOUT, IngestState.STOPPED, error="bad", error_time=NOW),
        with_record(a_source(PUSH, RUNNING, error="bad", error_time=AGO), last_time=NOW),
        with_record(
            a_source(PUSH, RUNNING, lag_s=90.0, pending=2), spec={"push": {"group": {"time": "1m"}}}
        ),
        with_record(a_source(PUSH, RUNNING), dead=3),  # which somebody has removed
    ],
)
def test_a_source_that_is_well(tmp_path: Path, info: IngestInfo) -> None:
    with world(tmp_path) as box:
        box.sources.infos = [info]
        assert box.wrong() == []


def test_dead_letters_until_they_are_removed(tmp_path: Path) -> None:
    with world(tmp_path) as box:
        box.sources.infos = [with_record(a_source(PUSH, RUNNING), dead=3)]
        commit(box.pfs, "raw", {"/s/1": b"x"})
        box.pfs.create_branch(Branch(TO.repo, "dead-letters"), "master")
        (one,) = box.wrong()
        assert "3 dead letters" in one.text
        assert "raw@dead-letters" in one.remedy
        box.pfs.delete_branch(Branch(TO.repo, "dead-letters"))
        assert box.wrong() == []


def test_pipelines_that_cannot_work(tmp_path: Path) -> None:
    with world(tmp_path) as box:
        for name, state, stopped in (
            ("crashes", PipelineState.CRASHING, False),
            ("failed", PipelineState.FAILURE, False),
            ("stopped", PipelineState.FAILURE, True),
            ("well", PipelineState.RUNNING, False),
        ):
            record = a_pipeline(name, state, stopped=stopped)
            box.pfs.meta.write(lambda tx, r=record: tx.put(PIPELINES, r))  # type: ignore[misc]
        found = box.wrong()
        assert [(one.level, one.kind, one.ref) for one in found] == [
            ("error", "pipeline", "crashes"),
            ("error", "pipeline", "failed"),
        ]
        assert found[0].text == "pipeline crashes is crashing: why"


def test_the_disk_and_the_box(tmp_path: Path) -> None:
    with world(tmp_path) as box:
        box.disk = Level.WARN, "the disk is 86 % full: writes are refused at 95 %; free some space"
        box.warnings = ["branch raw@master cannot be thinned"]
        first, second = box.wrong()
        assert (first.level, first.kind, first.remedy) == ("warn", "disk", "free some space")
        assert (second.level, second.kind) == ("warn", "box")
        since = first.since
        box.disk = Level.PAUSE, "the disk is 93 % full; free some space"
        worse = box.wrong()[0]
        assert (worse.level, worse.kind) == ("error", "disk")
        assert since is not None
        assert worse.since is not None
        assert worse.since > since
        box.disk = Level.FREE, ""
        assert [one.kind for one in box.wrong()] == ["box"]


def test_worst_first_then_newest_and_not_too_many(tmp_path: Path) -> None:
    at: Callable[[int], datetime] = lambda n: AGO + timedelta(seconds=n)  # noqa: E731
    with world(tmp_path) as box:

        def write(tx: Any) -> None:
            for n in range(MOST + 20):
                record = a_pipeline(f"p{n:03d}", PipelineState.RUNNING)
                tx.put(PIPELINES, record)
                job = Job(record.pipeline, CommitId(f"{n:032x}"))
                tx.put(JOBS, JobRecord(job, 1, JobState.FAILURE, "no", AGO, AGO, at(n)))

        box.pfs.meta.write(write)
        box.warnings = ["something"]
        found = box.wrong()
        assert len(found) == MOST
        assert {one.level for one in found} == {"error"}
        assert [one.since for one in found] == [at(n) for n in range(MOST + 19, 19, -1)]
