"""A backup and a prune that end at any of their steps: what is visible can be restored.

Every write and every removal in the place is a step; after the one with a given number nothing is
done any more. The next run, by somebody else, goes on.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pachybox.backup import packs, sender
from pachybox.backup.create import Job, create
from pachybox.backup.recover import recover
from pachybox.backup.repository import Repository
from pachybox.backup.service import never, silent
from pachybox.backup.target import Folder
from pachybox.errors import Exhausted
from pachybox.pfs import care
from tests.unit.backup.world import MORE, NEW, OLD, World


class Dead(BaseException):
    """The process is gone."""


class Mortal(Folder):
    """A directory whose user dies when its step number ``last`` is done."""

    def __init__(self, top: Path, last: int) -> None:
        super().__init__(top)
        self.left = last

    def _step(self, act: Callable[[], None]) -> None:
        self.left -= 1
        if self.left >= 0:
            act()
        if self.left <= 0:
            raise Dead

    def put(self, name: str, data: bytes | memoryview) -> None:
        self._step(lambda: Folder.put(self, name, data))

    def delete(self, name: str) -> None:
        self._step(lambda: Folder.delete(self, name))


class Small(Folder):
    """A directory that has room for so many files, locks apart; then ``meanwhile`` is called."""

    def __init__(self, top: Path, room: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(top)
        self._room = room
        self._meanwhile = meanwhile
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes | memoryview) -> None:
        if not name.startswith("locks/"):
            with self._lock:  # packs come from two threads
                self._room -= 1
                if self._room == -1:
                    self._meanwhile()
                if self._room < 0:
                    raise Exhausted("there is no room")
        super().put(name, data)


def _ended(calls: Iterator[int]) -> bool:
    return next(calls, None) is None


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two backups: the first has what the second has not, and what the box has again since."""
    monkeypatch.setattr(packs, "PACK_BYTES", 50_000)
    monkeypatch.setattr(sender, "PIECE", 150_000)
    monkeypatch.setattr(sender, "_INDEX_PACKS", 3)
    made = World(tmp_path / "a")
    made.fill(OLD, 1)
    made.back_up(Folder(made.place))
    made.pfs.delete_repo(OLD, force=True)
    made.fill(NEW, 2)
    made.back_up(Folder(made.place))
    made.fill(OLD, 1)
    made.fill(MORE, 3)
    yield made
    made.close()


def each_end(world: World, act: Callable[[Folder], object]) -> Iterator[int]:
    """``act`` on a place as it was at first, ended at each step; the number of the step."""
    saved = world.top / "saved"
    shutil.copytree(world.place, saved)
    for step in range(1, 1000):
        shutil.rmtree(world.place)
        shutil.copytree(saved, world.place)
        try:
            act(Mortal(world.place, step))
        except Dead:
            world.bury()
            yield step
        else:
            assert step > 8
            break


def test_a_prune_that_ends_anywhere_leaves_all_that_is_visible_whole(world: World) -> None:
    """And the backup behind it, of content that the prune had begun to take away."""
    newest = world.require_good()[-1]
    for _ in each_end(world, world.prune):
        assert newest in world.require_good()
        world.back_up(Folder(world.place))
        world.require_good()
        world.prune(Folder(world.place))
        assert len(world.require_good()) == 1


def test_a_backup_that_ends_anywhere_leaves_all_that_is_visible_whole(world: World) -> None:
    before = world.require_good()
    for _ in each_end(world, world.back_up):
        assert world.require_good()[: len(before)] == before
        made = world.back_up(Folder(world.place))
        assert world.require_good()[-1] == made


@pytest.mark.parametrize("alone", [True, False])
def test_a_backup_without_room_takes_back_what_nobody_relies_on(world: World, alone: bool) -> None:
    """Whatever fitted. Of two that send the same the other may rely on it, and its backup stays."""
    saved = world.top / "saved"
    shutil.copytree(world.place, saved)
    made: list[str] = []

    def meanwhile() -> None:
        if not alone:
            made.append(world.back_up(Folder(world.place)))

    for room in range(100):
        shutil.rmtree(world.place)
        shutil.copytree(saved, world.place)
        repository = Repository.open(Folder(world.place))
        before = repository.packs_there()
        try:
            world.back_up(Small(world.place, room, meanwhile))
        except Exhausted:
            named = {name for index in repository.indexes() for name, _ in index.packs}
            good = world.require_good()
            if alone:
                assert repository.packs_there().keys() <= before.keys() | named
            else:
                assert good[-1] == made[-1]
            world.back_up(Folder(world.place))
            world.require_good()
        else:
            assert room > 8
            break


def test_what_a_backup_that_ended_had_sent_is_not_sent_again(world: World) -> None:
    shutil.rmtree(world.place)
    sizes = []
    for _ in range(2):
        repository = create(Job(world.pfs, Folder(world.place), world.top, "box"))[0]
        sizes.append(repository.sent)
        for snapshot in (world.place / "snapshots").iterdir():
            snapshot.unlink()
    assert sizes[1] < sizes[0] / 10


def test_what_is_deleted_and_collected_meanwhile_is_in_the_backup(world: World) -> None:
    """It is held while it is sent, also when the collector moves or would remove it."""
    roots = {repo: world.pfs.resolve(repo, "master").root for repo in (OLD, NEW, MORE)}
    collected: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        if stage == "sending" and not collected:
            for repo in roots:
                world.pfs.delete_repo(repo, force=True)
            world.blobs.packs.seal()
            collected.append(care.collect_garbage(world.pfs).freed_bytes)

    made = create(Job(world.pfs, Folder(world.place), world.top, "box", report))[0]
    assert collected
    assert world.require_good()[-1] == made.id
    again = World(world.top / "again")
    try:
        recover(again.pfs, Repository.open(Folder(world.place)), made.id, again.top, silent, never)
        for repo, root in roots.items():
            assert again.pfs.resolve(repo, "master").root == root
            for _, _, h in again.pfs.trees.rows(root):
                again.blobs.verify(h)
    finally:
        again.close()
    assert care.collect_garbage(world.pfs).freed_bytes > 0


def test_a_backup_that_was_pruned_under_it_is_not_made_visible(world: World) -> None:
    """As by a prune that took its lock for dead."""
    stages: list[str] = []

    def report(stage: str, done: int, total: int) -> None:
        if stage == "sending" and "sending" not in stages:
            world.bury()
            world.prune(Folder(world.place))
        stages.append(stage)

    with pytest.raises(Exception, match=r"pruned while|lock on"):
        create(Job(world.pfs, Folder(world.place), world.top, "box", report))
    assert len(world.require_good()) == 1


def test_a_restore_goes_on_where_it_was(world: World) -> None:
    """Called off at several moments, then to its end: the same content, nothing visible before."""
    world.back_up(Folder(world.place))
    again = World(world.top / "b")
    repository = Repository.open(Folder(world.place))
    newest = repository.snapshot_ids()[-1]
    try:
        for much in (1, 30, 70, 95):
            with pytest.raises(Exception, match="called off"):
                recover(
                    again.pfs, repository, newest, again.top, silent,
                    partial(_ended, iter(range(much))),
                )  # fmt: skip
            assert again.pfs.list_repos() == []
        recover(again.pfs, repository, newest, again.top, silent, never)
        for repo in (OLD, NEW, MORE):
            roots = [w.pfs.resolve(repo, "master").root for w in (world, again)]
            assert roots[0] == roots[1]
            entries = list(again.pfs.trees.rows(roots[0]))
            assert [again.blobs.get(h) for _, _, h in entries] == [
                world.blobs.get(h) for _, _, h in entries
            ]
    finally:
        again.close()
