"""kill -9 at random moments of backups, prunes and restores: both ends stay good."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pachybox.backup.service import Place, never, silent
from pachybox.client import Client
from pachybox.errors import Exhausted, NotFound, Unreachable
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk

ROUNDS = 6
KEEP = 3


class Worker:
    """Backs up and prunes without a pause, until the box is gone. ``made``: what was told."""

    def __init__(self, box: RealBox, place: Path) -> None:
        self.made: list[str] = []
        self._client = Client(str(box.socket), patience_s=0.0)
        self._place = str(place)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with suppress(Unreachable, OSError):  # what else it meets fails the test
            for number in range(1000):
                self._client.put_file("data@master:/changes", os.urandom(60_000))
                self._client.create_backup(self._place)
                newest = list(self._client.list_backup(self._place))[-1].id
                self.made.append(newest)
                if number % 2:
                    self._client.prune_backup(f"last {KEEP}", self._place)
        self._client.close()


def good(place: Path, scratch: Path) -> list[str]:
    """Every backup that is visible can be restored; their ids."""
    at = Place(str(place), scratch)
    try:
        found = at.list()
    except NotFound:  # killed before there was anything
        return []
    done = at.verify((), 1.0, silent, never)
    assert done.problems == []
    return [one.id for one in found if not isinstance(one, Exception)]


def test_a_box_that_is_killed_while_it_backs_up_and_prunes(tmp_path: Path) -> None:
    draw = random.Random()
    box = RealBox(tmp_path / "home").start()
    place = tmp_path / "place"
    told: list[str] = []
    try:
        box.client.create_repo("data")
        with box.client.put("data@master") as put:
            put.data("/large", os.urandom(3 << 20))
            for i in range(300):
                put.data(f"/d{i % 7}/{i}", os.urandom(3000))
        for turn in range(ROUNDS):
            worker = Worker(box, place)
            if turn % 2:
                eventually(lambda w=worker: w.made, "one is made")  # type: ignore[misc]
            time.sleep(draw.uniform(0.05, 1.0))  # a moment is what is tried here
            box.kill()
            worker.thread.join(60)
            told += worker.made
            visible = good(place, tmp_path)
            assert set(told[-1:]) <= set(visible)  # the newest that was told is never pruned
            box.start()
            assert not [f for f in box.client.fsck() if f.get("level") == "error"]
        box.client.create_backup(str(place))
        box.client.prune_backup("last 1", str(place))
        assert len(good(place, tmp_path)) == 1
        wanted = {
            f.path: box.client.get_file(f"data@master:{f.path}")
            for f in box.client.walk_file("data@master:/")
            if not f.is_dir
        }
        restored(tmp_path, place, box, wanted, draw)
    finally:
        box.stop()


def restored(
    top: Path, place: Path, box: RealBox, wanted: dict[str, bytes], draw: random.Random
) -> None:
    """A restore that is killed again and again, then runs to its end."""
    new = top / "new"
    command = [sys.executable, "-m", "pachybox.cli", "backup", "restore", "--from", str(place)]
    for _ in range(ROUNDS // 2):
        process = subprocess.Popen(
            [*command, "--home", str(new)], env=box.env, stderr=subprocess.DEVNULL
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0.3, 2.0))
        process.kill()
        if process.wait(30) == 0:
            break
        again = RealBox(new).start()
        assert [repo.name for repo in again.client.list_repo()] in ([], ["data"])
        again.kill()
        (new / "box.toml").unlink()
    else:
        done = subprocess.run(
            [*command, "--home", str(new)], env=box.env, check=False, capture_output=True
        )
        assert done.returncode == 0 or b"not empty" in done.stderr, done.stderr
    again = RealBox(new).start()
    try:
        for path, data in wanted.items():
            assert again.client.get_file(f"data@master:{path}") == data
        assert not [f for f in again.client.fsck() if f.get("level") == "error"]
    finally:
        again.stop()


def test_a_place_without_room_keeps_what_it_has(
    box: RealBox, small_disk: Callable[[int], SmallDisk], tmp_path: Path
) -> None:
    """What did not fit is said, leaves nothing half, and is there when there is room."""
    disk = small_disk(24 << 20)
    place, c = disk.where / "place", box.client
    c.create_repo("data")
    c.put_file("data@master:/small", b"x")
    first = c.create_backup(str(place)).id
    c.put_file("data@master:/large", os.urandom(10 << 20))
    c.put_file("data@master:/more", os.urandom(10 << 20))
    disk.fill(12 << 20)
    with pytest.raises(Exhausted, match=r"No space left"):
        c.create_backup(str(place))
    assert "No space left" in " ".join(c.status().warnings)
    assert good(place, tmp_path) == [first]
    assert not list((place / "tmp").iterdir())
    for pages in range(6):  # the content fits, and of what names it a little more each time
        disk.release()
        c.put_file("data@master:/other", bytes([pages]))
        used = sum(f.stat().st_size for f in place.glob("packs/*/*"))
        disk.fill(max((20 << 20) - used, 0) + 4096 * pages)
        with pytest.raises(Exhausted, match=r"No space left"):
            c.create_backup(str(place))
        assert sum(f.stat().st_size for f in place.glob("packs/*/*")) < 21 << 20, "content twice"
    disk.release()
    c.create_backup(str(place))
    assert len(good(place, tmp_path)) == 2
    assert not any("backup" in warning for warning in c.status().warnings)


def test_a_full_place_is_read_and_pruned(
    box: RealBox, small_disk: Callable[[int], SmallDisk], tmp_path: Path
) -> None:
    """Without room to write what lives anew, what is dead goes all the same; then there is room."""
    disk = small_disk(24 << 20)
    place, c = disk.where / "place", box.client
    for repos in (("stays", "goes"), ("brief",)):
        for repo in repos:
            c.create_repo(repo)
            c.put_file(f"{repo}@master:/file", os.urandom(2 << 20 if repo == "stays" else 6 << 20))
        c.create_backup(str(place))
    for repo in ("goes", "brief"):
        c.delete_repo(repo)
    last = c.create_backup(str(place)).id
    disk.fill()
    assert not c.verify_backup(str(place), share=1.0).get("problems")
    with pytest.raises(Exhausted, match=r"No space left"):
        c.prune_backup("last 1", str(place))
    assert len(good(place, tmp_path)) == 3
    disk.release()
    disk.fill(1 << 20)
    (problem,) = c.prune_backup("last 1", str(place))["problems"]
    assert "packs stay as they are, prune again when there is room" in problem
    assert good(place, tmp_path) == [last]
    assert disk.free > 6 << 20
    assert not c.prune_backup("last 1", str(place)).get("problems")
    assert good(place, tmp_path) == [last]
    assert disk.free > 12 << 20
