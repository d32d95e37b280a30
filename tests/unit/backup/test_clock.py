"""When the box makes a backup by itself, after one went wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, tzinfo
from pathlib import Path

import pytest

from pachybox.backup.clock import Clock
from pachybox.backup.repository import Repository
from pachybox.backup.service import Backups
from pachybox.backup.target import Folder
from pachybox.config import Config
from pachybox.model.schedule import parse_schedule
from tests.unit.backup.world import NEW, World


class Box(World):
    """A world that backs itself up each day."""

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        (top / "home" / "work").mkdir(parents=True)
        config = Config(
            home=top / "home",
            backup_to=str(self.place),
            backup_schedule="@every 24h",
            backup_keep="last 1",
        )
        self.said: list[tuple[float, bool]] = []
        backups = Backups(self.pfs, config, lambda: "box", lambda: None, self._note)
        self.clock = Clock(backups, config, lambda: self.said[-1] if self.said else None, self._utc)
        self.fill(NEW, 1)

    @staticmethod
    def _utc() -> tzinfo:
        return UTC

    def _note(self, part: str, error: str = "", remedy: str = "", **figures: object) -> None:
        self.said.append((time.time(), not error))

    def due(self, hours: float) -> bool:
        """Whether there is something to do so long after the last."""
        self.said[-1] = (time.time() - 3600 * hours, self.said[-1][1])
        return self.clock._due(parse_schedule("@every 24h"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "a")
    yield made
    made.close()


def test_a_prune_that_fails_is_no_reason_for_a_backup_each_hour(world: Box) -> None:
    world.clock._make()
    first = next((world.place / "snapshots").iterdir())
    first.write_text("{}")
    world.clock._make()
    assert world.said[-1][1] is False
    assert len(Repository.open(Folder(world.place)).snapshot_ids()) == 2
    assert not world.due(23)
    assert world.due(25)
    first.unlink()
    world.clock._make()
    assert world.said[-1][1] is True
    world.place.rename(world.top / "away")
    world.clock._make()
    assert world.said[-1][1] is False
    assert world.due(2)
