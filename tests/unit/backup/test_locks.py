"""Locks that outlive their owners, and clocks that are wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pachybox.backup import locks
from pachybox.backup.create import Job, create
from pachybox.backup.keep import parse_keep
from pachybox.backup.locks import InUse, locked
from pachybox.backup.prune import prune
from pachybox.backup.service import never, silent
from pachybox.backup.target import Folder
from pachybox.errors import NotReady
from tests.unit.backup.world import MORE, NEW, World

ELSEWHERE = {"host": "other", "boot": "b", "namespace": "n", "pid": 1, "began": "1"}


class Cut(Folder):
    """A directory that is not reached when a lock is to be removed."""

    def delete(self, name: str) -> None:
        if name.startswith("locks/"):
            raise NotReady("no route to host", "try again")
        super().delete(name)


def beside(world: World) -> None:
    """Take a lock, at once."""
    with locked(Folder(world.place), alone=False, wait_s=0, gone=never):
        pass


def test_a_lock_that_could_not_be_removed_keeps_nobody_of_its_own_process_out(world: World) -> None:
    with locked(Cut(world.place), alone=True, wait_s=0, gone=never), pytest.raises(InUse):
        beside(world)
    assert list((world.place / "locks").iterdir())
    with locked(Folder(world.place), alone=True, wait_s=0, gone=never):
        pass
    assert not list((world.place / "locks").iterdir())


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0, float("nan")])
def test_a_lock_of_another_time_counts_no_more(world: World, ahead: float) -> None:
    lock = world.place / "locks" / ("a" * 32)
    owner = ELSEWHERE | {"alone": True, "time": time.time()}
    lock.write_text(json.dumps(owner))
    with pytest.raises(InUse, match="process 1 on other"):
        beside(world)
    lock.write_text(json.dumps(owner | {"time": time.time() + ahead}))
    beside(world)
    assert not lock.exists()


def test_a_prune_that_lost_its_lock_on_the_way_removes_no_more_packs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept: others took its lock for dead, and use what is there."""
    monkeypatch.setattr(locks, "_LOOK_S", 0.0)
    nobody = [world.place / "packs" / "aa" / ("aa" + f"{i:062d}") for i in range(3)]
    for path in nobody:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")

    class Slept(Folder):
        def delete(self, name: str) -> None:
            super().delete(name)
            if name.startswith("packs/"):
                world.bury()

    world.fill(MORE, 2)
    with pytest.raises(NotReady, match="was lost"):
        prune(Slept(world.place), parse_keep("last 1"), world.top, silent, never)
    assert sum(path.exists() for path in nobody) == 2
    assert world.require_good()


def test_two_boxes_that_begin_a_place_at_once_share_it(tmp_path: Path) -> None:
    one, two = World(tmp_path / "one"), World(tmp_path / "two")
    ids: list[str] = []

    class Late(Folder):
        """A directory that somebody else takes while one looks."""

        def get(self, name: str) -> bytes:
            try:
                return super().get(name)
            finally:
                if not ids:
                    ids.append("")
                    ids.append(create(Job(two.pfs, Folder(self.top), two.top, "two"))[1])

    try:
        one.fill(NEW, 1)
        two.fill(MORE, 2)
        assert create(Job(one.pfs, Late(one.place), one.top, "one"))[1] == ids[1]
        assert len(one.require_good()) == 2
    finally:
        one.close()
        two.close()
