"""A place of backups into which others write too: nothing outside of it is touched."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard

from pachybox.backup.keep import parse_keep
from pachybox.backup.locks import reading
from pachybox.backup.packs import ROW, ZSTD, decode_index, encode_index, name_of, unpacked
from pachybox.backup.prune import prune
from pachybox.backup.repository import Repository, new_id
from pachybox.backup.service import never, silent
from pachybox.backup.target import Folder
from pachybox.errors import Corrupt, Refused
from tests.unit.backup.world import World


def forge(place: Path, id: str, values: dict[str, object]) -> None:
    """Write a snapshot with other values, and a sum that is right."""
    path = next((place / "snapshots").iterdir())
    body = json.loads(json.loads(path.read_text())["snapshot"])
    text = json.dumps(body | values)
    sealed = json.dumps({"blake3": name_of(text.encode()), "snapshot": text})
    (place / "snapshots" / f"{id}.json").write_text(sealed)


@pytest.mark.parametrize("folder", ["locks", "tmp", "snapshots", "packs"])
def test_a_directory_that_is_a_symlink_is_not_followed(world: World, folder: str) -> None:
    outside = world.top / "outside"
    if (world.place / folder).exists():
        shutil.copytree(world.place / folder, outside)
        shutil.rmtree(world.place / folder)
    outside.mkdir(exist_ok=True)
    (outside / "precious").write_text("{}")
    before = sorted(outside.rglob("*"))
    (world.place / folder).symlink_to(outside)
    target = Folder(world.place)
    with pytest.raises(Refused, match="symlink"):
        world.back_up(target)
    with pytest.raises(Refused, match="symlink"):
        prune(target, parse_keep("last 1"), world.top, silent, never)
    assert sorted(outside.rglob("*")) == before


def test_a_file_that_is_none_is_neither_waited_for_nor_followed(world: World) -> None:
    secret = world.top / "secret"
    secret.write_text("x")
    for name in ("fifo", "link"):
        path = world.place / "locks" / name
        os.mkfifo(path) if name == "fifo" else path.symlink_to(secret)
        with pytest.raises(Refused, match="no plain file"):
            Folder(world.place).get(f"locks/{name}")
        with reading(Folder(world.place), never):
            pass
        path.unlink()
    assert secret.read_text() == "x"


@pytest.mark.parametrize(
    "values",
    [
        {"id": "../../precious"},
        {"tables": {"repos": ["x"]}},
        {"tables": []},
        {"time": "now"},
        {"time": float("nan")},
        {"host": "\x1b[2J"},
        {"version": []},
        {"records": {"repos": "1"}},
    ],
)
def test_a_backup_with_a_right_sum_and_wrong_values_is_damaged(
    world: World, values: dict[str, object]
) -> None:
    precious = world.top / "precious.json"
    precious.write_text("{}")
    id = "20200101T000000000Z-00000000"
    forge(world.place, id, {"id": id})
    repository = Repository.open(Folder(world.place))
    assert repository.snapshot(id).id == id
    forge(world.place, id, {"id": id} | values)
    with pytest.raises(Corrupt, match="damaged"):
        repository.snapshot(id)
    with pytest.raises(Corrupt, match="damaged"):
        prune(Folder(world.place), parse_keep("last 1"), world.top, silent, never)
    assert precious.exists()


def test_an_id_that_is_no_moment_does_not_keep_from_a_new_one() -> None:
    for newest in ("20269999T999999999Z-00000000", "99991231T235959999Z-00000000"):
        assert len(new_id(1.0, newest)) == len(newest)


def test_what_unpacks_to_more_than_it_says_takes_no_memory() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    row = np.zeros(1, ROW)[0]
    row["stored"], row["length"], row["codec"] = len(bomb), 100, ZSTD
    index = encode_index([], np.zeros(0, ROW))
    (length,) = struct.unpack_from("<I", index, 8)
    frame = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 40) + bytes((1, 0, 0))
    huge = index[: 12 + length] + frame
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt, match="unpacked"):
            unpacked(row, bomb, "pack")
        with pytest.raises(Corrupt, match="no index"):
            decode_index(name_of(huge), huge, "index")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("folder", ["locks", "tmp", "tmp/deep", "packs"])
def test_a_directory_of_others_is_refused_and_left_as_it_was(world: World, folder: str) -> None:
    other = world.top / "other"
    (other / folder).mkdir(parents=True)
    (other / folder / "letter").write_text("dear")
    before = sorted(other.rglob("*"))
    with pytest.raises(Refused, match="holds other files"):
        world.back_up(Folder(other))
    assert sorted(other.rglob("*")) == before


def test_what_is_no_lock_is_not_taken_for_a_dead_one(world: World) -> None:
    letter = world.place / "locks" / "letter"
    letter.write_text("dear")
    world.back_up(Folder(world.place))
    world.prune(Folder(world.place))
    assert letter.read_text() == "dear"


def test_the_top_of_a_disk_is_a_place(world: World) -> None:
    disk = world.top / "disk"
    (disk / "lost+found").mkdir(parents=True)
    (disk / "lost+found" / "#12").write_text("piece")
    world.back_up(Folder(disk))
