"""Cron inputs of a box whose clock is set forwards and back: every due time has one tick commit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from pachybox.errors import Refused
from pachybox.meta.tables import INGESTS
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Commit, CommitId, Pipeline, Repo
from pachybox.model.ingest import Ingest, IngestInfo, IngestState
from pachybox.model.units import parse_time
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import RemoveFile
from pachybox.pps import cron as cron_module
from pachybox.pps.cron import Cron
from pachybox.store.blobs import BlobStore
from tests.flow.test_review_pfs import pps_of
from tests.unit.model.clock_oracle import MANY
from tests.unit.model.tick_simulation import Life, live, lives

P = Pipeline("default", "p")
TICKS = Branch(Repo("default", "p_t"), "master")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class TickRepo:
    """A pipeline with a cron input over records and content of its own; nothing runs by itself,
    and ``now`` is the time."""

    def __init__(self, home: Path, now: datetime) -> None:
        self.now = now
        self._blobs = BlobStore.open(home / "store")
        self._meta = Meta(home / "meta.duckdb", barrier=self._blobs.flush, clock=lambda: self.now)
        self.pfs = Pfs(self._meta, self._blobs)
        self.pps = pps_of(self.pfs, home)
        self.held = ""
        self._given: dict[str, Any] = {}
        self.restart()

    def close(self) -> None:
        self._meta.close()
        self._blobs.close()

    def put(self, **given: Any) -> None:
        """Make the pipeline, or change its cron input."""
        self._given |= given
        spec = {
            "pipeline": {"name": "p"},
            "transform": {"cmd": ["true"]},
            "input": {"cron": {"name": "t", **self._given}},
        }
        self.pps.create(json.dumps(spec), "a test", project="default", update=True)

    def head(self) -> CommitId | None:
        return self.pfs.inspect_branch(TICKS).head

    def look(self, now: datetime, *, fails: bool = False) -> datetime | None:
        """See World. What fails is a commit while somebody keeps another one open."""
        self.now = now
        opened = self.pfs.start_commit(TICKS) if fails else None
        before = self.head()
        self.cron.look(now)
        if opened is not None:
            assert self.head() == before
            self.pfs.drop([opened, Commit(P.repo, opened.id)])
            return None
        if (head := self.head()) in (None, before):
            return None
        assert head is not None
        commit = self.pfs.resolve(TICKS.repo, head)
        assert commit.parent == before
        found = re.fullmatch(r"Tick of .*: (\S+)", commit.description)
        assert found
        return parse_time(found[1])

    def by_hand(self, now: datetime) -> datetime | None:
        self.now = now
        before = self.files()
        try:
            self.pps.run_cron(P)
        except Refused:
            assert self.files() == before
            return None
        at = now.replace(microsecond=0)
        return at if at in self.files() else max(self.files())

    def files(self) -> set[datetime]:
        if (head := self.head()) is None:
            return set()
        root = self.pfs.resolve(TICKS.repo, head).root
        return {parse_time(entry.name) for entry in self.pfs.trees.list(root)}

    def set_paused(self, paused: bool) -> None:
        info = self.info()
        record = self._meta.get(INGESTS, info.record.ingest) or info.record
        self._meta.write(lambda tx: tx.put(INGESTS, replace(record, paused=paused)))

    def set_coalesce(self, coalesce: bool) -> None:
        self.put(coalesce=coalesce)

    def restart(self) -> None:
        self.cron = Cron(self.pfs, clock=lambda: self.now, held=lambda: self.held)

    def info(self) -> IngestInfo:
        (found,) = self.cron.infos()
        return found


@contextmanager
def tick_repo(now: datetime) -> Iterator[TickRepo]:
    with TemporaryDirectory() as home:
        made = TickRepo(Path(home), now)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def repo() -> Iterator[TickRepo]:
    with tick_repo(NEW_YEAR) as made:
        yield made


@settings(max_examples=max(4, MANY // 10), phases=[Phase.generate])
@given(lives(most=12))
def test_every_due_time_has_one_commit(life: Life) -> None:
    """The property of tests/unit/model/test_ticks.py, with records, content and commits."""
    with pytest.MonkeyPatch.context() as patch, tick_repo(life.begin) as repo:
        patch.setattr(cron_module, "_MOST_OPEN", 100_000)  # no job ever ends here
        repo.put(
            spec=life.spec,
            timezone=life.zone,
            overwrite=life.overwrite,
            coalesce=life.coalesce,
            **({"start": life.start.isoformat()} if life.start else {}),
        )
        live(life, repo)


def test_a_clock_that_was_wrong_is_told_of_and_can_be_put_right(repo: TickRepo) -> None:
    """Set a year ahead, the box ticks; set back it says that it is silent, and how to change it."""
    repo.put(spec="@daily", timezone="UTC", coalesce=True)
    assert repo.look(NEW_YEAR + timedelta(days=365.5)) == NEW_YEAR + timedelta(days=365)
    today = NEW_YEAR + timedelta(days=2, hours=1)
    assert repo.look(today) is None
    info = repo.info()
    assert info.status.state is IngestState.CRASHING
    assert "2027-01-01T00:00:00Z, ahead of the clock" in info.status.reason
    assert 'delete file "p_t@master:/YYYY' in info.status.reason
    assert info.status.next_time == NEW_YEAR + timedelta(days=366)
    repo.by_hand(today)  # changes nothing of it
    assert repo.look(today) is None
    with repo.pfs.blobs.session() as session:
        gone = RemoveFile("/2027-*")
        repo.pfs.write(session, TICKS.repo, "master", [gone])
    assert repo.info().status.state is IngestState.RUNNING
    assert repo.look(today) is None
    assert repo.look(today + timedelta(days=1)) == NEW_YEAR + timedelta(days=3)


def test_a_tick_by_hand_neither_moves_nor_takes_one_of_the_schedule(repo: TickRepo) -> None:
    repo.put(spec="@every 1h")
    half = NEW_YEAR + timedelta(hours=3, minutes=30)
    repo.by_hand(half)
    repo.by_hand(half + timedelta(milliseconds=300))  # in one second: no error
    repo.restart()
    made = [repo.look(half + timedelta(minutes=1)) for _ in range(4)]
    assert made == [*(NEW_YEAR + timedelta(hours=n) for n in (1, 2, 3)), None]
    assert repo.look(NEW_YEAR + timedelta(hours=4)) == NEW_YEAR + timedelta(hours=4)
    assert len(repo.files()) == 5


def test_what_a_cron_input_tells_as_a_source(repo: TickRepo) -> None:
    repo.put(spec="0 9 * * *", timezone="Europe/Berlin", start="2025-12-31T00:00:00Z")
    info = repo.info()
    assert info.record.ingest == Ingest("default", "p_t")
    assert info.record.to == TICKS
    assert info.pipeline == P
    assert info.record.spec == {
        "pipeline": "p",
        "input": "t",
        "spec": "0 9 * * *",
        "timezone": "Europe/Berlin",
        "start": "2025-12-31T00:00:00Z",
    }
    first = NEW_YEAR - timedelta(hours=16)
    status = info.status
    assert (status.state, status.next_time) == (IngestState.RUNNING, first)
    assert (status.pending, status.lag_s) == (1, 16 * 3600)
    assert info.record.last_commit is None

    repo.held = "the disk is full"
    assert repo.look(NEW_YEAR) is None
    assert (repo.info().status.state, repo.info().status.reason) == (
        IngestState.HELD,
        "the disk is full",
    )
    repo.held = ""
    repo.look(NEW_YEAR, fails=True)
    assert repo.info().status.state is IngestState.CRASHING
    assert "has not been finished" in repo.info().status.reason
    assert repo.look(NEW_YEAR) == first
    info = repo.info()
    assert (info.status.state, info.status.reason) == (IngestState.RUNNING, "")
    assert (info.status.errors, info.status.error_time) == (1, NEW_YEAR)
    assert (info.status.pending, info.status.lag_s, info.status.rates) == (0, 0.0, (0.0,) * 60)
    assert (info.record.commits, info.record.files, info.record.last_commit) == (1, 1, repo.head())
    repo.now += timedelta(seconds=1)
    assert sum(repo.info().status.rates) == 1.0

    repo.cron.run(Ingest("default", "p_t"))
    assert (repo.info().record.commits, len(repo.files())) == (2, 2)
    repo.set_paused(True)
    assert repo.info().status.state is IngestState.PAUSED
    assert repo.look(NEW_YEAR + timedelta(days=2)) is None
    repo.set_paused(False)
    assert repo.look(NEW_YEAR + timedelta(days=2)) == NEW_YEAR + timedelta(hours=8)
    repo.pps.stop(P)
    assert repo.info().status.state is IngestState.STOPPED
    repo.set_paused(True)
    repo.pps.delete(P)
    assert repo.pfs.meta.all(INGESTS) == []  # a pipeline of that name begins anew


def test_many_missed_ticks_of_one_hold_up_no_other(repo: TickRepo) -> None:
    """One of each in a round, and they go together."""
    specs = [
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["true"]},
            "input": {"cron": {"name": "t", "spec": "@every 1s", "start": start}},
        }
        for name, start in (("a", "2025-12-01T00:00:00Z"), ("b", "2025-12-31T23:59:57Z"))
    ]
    repo.pps.create(json.dumps(specs), "a test", project="default", update=False)
    for _ in range(3):
        assert repo.cron.look(NEW_YEAR) == 0.0
    files = repo.pfs.inspect_branch(Branch(Repo("default", "b_t"), "master")).head
    assert files is not None
    assert repo.pfs.resolve(Repo("default", "b_t"), files).files == 3
    states = {info.record.ingest.name: info.status for info in repo.cron.infos()}
    assert (states["a_t"].pending, states["b_t"].pending) == (31 * 86_400 - 3, 0)


def test_crons_that_share_a_repo_each_have_their_ticks_in_order(repo: TickRepo) -> None:
    specs = [
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["true"]},
            "input": {"cron": {"name": "t", "repo": "p_t", "spec": spec, "timezone": "UTC"}},
        }
        for name, spec in (("a", "0 */2 * * *"), ("b", "0 1,2 * * *"))
    ]
    repo.pps.create(json.dumps(specs), "a test", project="default", update=False)
    made = [repo.look(NEW_YEAR + timedelta(hours=5)) for _ in range(4)]
    assert made == [*(NEW_YEAR + timedelta(hours=n) for n in (1, 2, 4)), None]
