"""A pass reads every byte that there is from the disk, in pieces, and goes on where it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.care import proving
from pachybox.care.health import Health
from pachybox.care.proving import END, START, Damage, Place, Step, walk
from pachybox.care.scrub import PART, Scrub
from pachybox.meta.writer import Meta
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import BlobStore
from pachybox.store.format import digest

DAY = 86_400.0


def filled(root: Path) -> tuple[BlobStore, list[Hash]]:
    """A store with a sealed pack, an open one, an object of one chunk and one of several."""
    store = BlobStore.open(root)
    draw = random.Random(3)
    blobs = [draw.randbytes(size) for size in (10, 300, 5000, 100_000, 200_000, 3_500_000)]
    with store.session() as session:
        for blob in blobs[:2]:
            session.put(blob)
        store.flush()
        store.packs.seal()
        for blob in blobs[2:]:
            session.put(blob)
        store.flush()
    return store, [digest(blob) for blob in blobs]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BlobStore, list[Step]]]:
    store, _ = filled(tmp_path_factory.mktemp("store") / "store")
    yield store, list(walk(store))
    store.close()


def flip(path: Path, at: int) -> None:
    path.chmod(0o600)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def test_a_walk_reads_all_and_ends(steps: tuple[BlobStore, list[Step]]) -> None:
    store, found = steps
    assert found[-1].place.kind == END
    assert sum(s.read for s in found) == store.usage().bytes
    assert not any(s.damage for s in found)
    assert [s.place for s in found] == sorted(s.place for s in found)


@given(st.integers(0, 30))
def test_a_walk_broken_off_goes_on_there(steps: tuple[BlobStore, list[Step]], number: int) -> None:
    store, found = steps
    done = number % len(found)
    after = found[done - 1].place if done else START
    assert list(walk(store, after)) == (found[done:] if done < len(found) else [])


def test_each_flipped_byte_is_found_and_named(tmp_path: Path) -> None:
    store, hashes = filled(tmp_path / "store")
    for h in hashes:
        at = store.locate(h)
        flip(at.path, at.offset + at.length // 2)
    found = [d for step in walk(store) for d in step.damage]
    store.close()
    assert {d.blob for d in found} == {h.hex() for h in hashes}
    assert all("is not what its hash says" in d.detail and d.path for d in found)


def test_a_true_copy_elsewhere_is_no_damage(tmp_path: Path) -> None:
    store, hashes = filled(tmp_path / "store")
    at = store.locate(hashes[0])
    data = store.get(hashes[0])
    flip(at.path, at.offset)
    with store.session() as session:
        found = [d for step in walk(store) for d in step.damage]
        assert [d.blob for d in found] == [hashes[0].hex()]
        assert session.put(data) == hashes[0]  # known as false: it is stored afresh
        store.flush()
        assert proving.proof(store, hashes[0], at.path) is None
        assert not [d for step in walk(store) for d in step.damage]
    store.close()


class World:
    """A box's parts that a scrub needs, and a clock."""

    def __init__(self, home: Path) -> None:
        self.now = 1000.0
        self.blobs, self.hashes = filled(home / "store")
        self.meta = Meta(home / "meta.duckdb", barrier=self.blobs.flush)
        self.pfs = Pfs(self.meta, self.blobs)
        self.health = Health(self.meta, lambda: self.now)

    def scrub(self) -> Scrub:
        return Scrub(self.pfs, self.health, 10, lambda: self.now)

    def close(self) -> None:
        self.meta.close()
        self.blobs.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_turn_reads_what_is_due_and_a_restart_goes_on(world: World) -> None:
    scrub = world.scrub()
    scrub._turn()
    assert scrub.state()[0].done == 0
    world.now += 4 * DAY  # half of the time in which a pass is done
    scrub._turn()
    half = scrub.state()[0]
    assert half.total // 2 <= half.done < half.total
    scrub._tell()
    again = world.scrub()
    assert again.state()[0] == half
    world.now += 4 * DAY
    again._turn()
    whole = again.state()[0]
    assert whole.ended
    assert whole.done == world.blobs.usage().bytes
    assert whole.whole_at == world.now
    record = world.health.last(PART)
    assert record is not None
    assert record.ok
    again._turn()
    assert again.state()[0] == whole  # nothing is due before the period is over
    world.now = 1000.0 + 10 * DAY
    again._turn()
    assert again.state()[0].began == world.now


def test_a_clock_put_back_does_not_make_a_pass_wait(world: World) -> None:
    scrub = world.scrub()
    world.now -= 3600
    scrub._turn()
    assert scrub.state()[0].began == world.now
    world.now += 8 * DAY
    scrub._turn()
    assert scrub.state()[0].ended


def test_what_stays_damaged_is_not_read_each_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what fsck moved aside all commits are read, to see whether any needs it."""
    scrub = world.scrub()
    lost = world.hashes[-1]
    path = world.blobs.locate(lost).path
    asked: list[str] = []

    def names(damage: Damage) -> tuple[str, ...]:
        asked.append(damage.blob)
        return ("a",)

    monkeypatch.setattr(scrub, "_names", names)
    flip(path, 1000)
    list(scrub.now())
    path.unlink()
    world.blobs.objects.bad.clear()
    asked.clear()
    for _ in range(5):
        scrub._turn()
    assert asked == [lost.hex()]
    scrub.stop()


def test_content_that_went_before_it_was_reached_does_not_hold_up_a_pass(world: World) -> None:
    scrub = world.scrub()
    world.now += 4 * DAY
    scrub._turn()
    path = world.blobs.locate(world.hashes[-1]).path
    with world.blobs.lock:
        for doomed in world.blobs.objects.withdraw(world.hashes[-1]):
            doomed.unlink()
    world.blobs.recount()
    assert not path.exists()
    world.now += 4 * DAY
    scrub._turn()
    assert scrub.state()[0].ended
    assert scrub.state()[1] == []


def test_a_walk_knows_names_of_many_packs_in_order() -> None:
    assert Place(0, "99999999") < Place(1, "aa")
    assert Place(0, "00000001") > START
