"""What lies in packs comes back, whatever lies beside it; and a proof says when it would not."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.backup import sender
from pachybox.backup.known import Held
from pachybox.backup.packs import Index, Kind, PackBuilder, Rows, encode_index, name_of
from pachybox.backup.pieces import short_blobs
from pachybox.backup.recover import recover
from pachybox.backup.repository import Repository
from pachybox.backup.service import never, silent
from pachybox.backup.target import Folder
from pachybox.backup.verify import Verified, verify
from pachybox.errors import Corrupt
from pachybox.store.format import digest
from tests.unit.backup.world import MORE, NEW, OLD, World

EMPTY = digest(b"")
BLOBS = [random.Random(size).randbytes(size) for size in (0, 1, 60, 5000, 70_000, 300_000)]


def below_the_empty() -> bytes:
    """Content that comes before the empty one by its hash."""
    some = (number.to_bytes(500) for number in count())
    return next(data for data in some if digest(data) < EMPTY)


def test_a_file_that_lies_behind_an_empty_one_comes_back(tmp_path: Path) -> None:
    """The two begin at the same byte of a pack, and the empty one is not the end of what is read,
    though it may be the last of the two."""
    last = below_the_empty()
    world, again = World(tmp_path / "a"), World(tmp_path / "b")
    try:
        world.put(OLD, {"/empty": b""})
        world.put(NEW, {"/last": last})
        id = world.back_up(Folder(world.place))
        assert world.require_good() == [id]
        recover(again.pfs, Repository.open(Folder(world.place)), id, again.top, silent, never)
        assert [again.blobs.get(digest(data)) for data in (b"", last)] == [b"", last]
    finally:
        world.close()
        again.close()


@given(st.lists(st.tuples(st.sampled_from(BLOBS), st.booleans()), max_size=12))
def test_whatever_is_wanted_of_a_pack_comes_out_of_it(blobs: list[tuple[bytes, bool]]) -> None:
    """Some of them so long that what is not wanted of them is not read along."""
    builder = PackBuilder()
    for blob, _ in blobs:
        builder.add(Kind.DATA, digest(blob), blob)
    wanted = {blob for blob, wish in blobs if wish}
    data, rows = builder.close()
    held = Held([Index("", [("pack", len(data))], [], rows)], {"pack": len(data)})
    [(_, found)] = held.by_pack()
    names = {digest(blob) for blob in wanted}
    mine = found[[row["hash"].tobytes() in names for row in found]]
    came = short_blobs(mine, lambda offset, length: data[offset : offset + length], "pack")
    assert {blob for _, blob in came} == wanted


# ---- an index that says what is not so of packs that are as they were written


@pytest.fixture
def cut(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with one backup more, which has a blob in pieces."""
    monkeypatch.setattr(sender, "PIECE", 150_000)
    world.put(MORE, {"/long": random.Random(7).randbytes(450_000)})
    world.back_up(Folder(world.place))
    return world


def proven(world: World, share: float = 1.0) -> Verified:
    repository = Repository.open(Folder(world.place))
    return verify(repository, repository.snapshot_ids(), share, world.top, silent, never)


def misled(world: World, change: Callable[[Rows, Rows], None]) -> None:
    """Have one index say the same as all did, but for a change of short and of cut rows."""
    repository = Repository.open(Folder(world.place))
    held = repository.held()
    rows = held.rows.copy()
    data, whole = rows["kind"] == Kind.DATA, rows["length"] == rows["total"]
    short, pieces = np.flatnonzero(data & whole), np.flatnonzero(data & ~whole)
    some = rows[short], rows[pieces]
    change(*some)
    rows[short], rows[pieces] = some
    sizes = repository.packs_there()
    names = repository.index_names()
    repository.put_index(encode_index([(name, sizes[name]) for name in held.packs], rows, names))


def _beyond(short: Rows, cut: Rows) -> None:
    short["offset"][0] = 1 << 30


def _shorter(short: Rows, cut: Rows) -> None:
    short["stored"][0] -= 1


def _longer(short: Rows, cut: Rows) -> None:
    short["length"][0] += 1
    short["total"][0] += 1


def _of_another(short: Rows, cut: Rows) -> None:
    short["hash"][:2] = short["hash"][1::-1]


def _pieces_in_another_order(short: Rows, cut: Rows) -> None:
    cut["at"][:2] = cut["at"][1::-1]


def _one_piece_twice(short: Rows, cut: Rows) -> None:
    for place in ("pack", "offset", "stored"):
        cut[place][1] = cut[place][0]


@pytest.mark.parametrize(
    "change",
    [_beyond, _shorter, _longer, _of_another, _pieces_in_another_order, _one_piece_twice],
)
def test_an_index_that_is_wrong_is_found_as_a_restore_would(
    cut: World, change: Callable[[Rows, Rows], None]
) -> None:
    misled(cut, lambda short, pieces: None)
    assert proven(cut).problems == []
    misled(cut, change)
    packs = [p for p in (cut.place / "packs").glob("*/*") if name_of(p.read_bytes()) == p.name]
    assert len(packs) == proven(cut).packs
    assert proven(cut, 0.0).problems == []
    problems = proven(cut).problems
    assert any(str(pack) in line for pack in packs for line in problems), problems
    again = World(cut.top / "b")
    repository = Repository.open(Folder(cut.place))
    try:
        with pytest.raises(Corrupt, match="damaged"):
            recover(again.pfs, repository, repository.find(""), again.top, silent, never)
    finally:
        again.close()


def test_a_proof_reads_each_pack_once(cut: World) -> None:
    done = proven(cut)
    assert done.problems == []
    assert done.bytes_read == sum(p.stat().st_size for p in (cut.place / "packs").glob("*/*"))


def test_what_a_restore_misses_is_told_with_its_place(cut: World) -> None:
    misled(cut, _beyond)
    (line,) = proven(cut).problems
    assert f"at byte {1 << 30}, " in line
    assert "bytes are looked for and 0 found" in line
