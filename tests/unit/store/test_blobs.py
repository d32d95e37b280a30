"""Putting and getting: what a caller of the blob store can rely on."""

from __future__ import annotations

import os
import random
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest
from blake3 import blake3

from pachybox.errors import Corrupt, Exhausted, InvalidArgument, Refused
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore
from pachybox.store.check import check

SIZES = (0, 1, 255, 256, 511, 512, 513, 4096, fmt.PACK_LIMIT, fmt.PACK_LIMIT + 1, 1 << 20, 9 << 20)


@lru_cache(64)
def content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def address(data: bytes) -> Hash:
    return Hash(blake3(data).digest())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    opened = BlobStore.open(tmp_path / "store")
    yield opened
    opened.close()


def reader(data: bytes, step: int = 70_000):  # type: ignore[no-untyped-def]
    """A readinto that delivers ``data`` in uneven pieces."""
    at = 0

    def readinto(view: memoryview) -> int:
        nonlocal at
        piece = data[at : at + min(len(view), step)]
        view[: len(piece)] = piece
        at += len(piece)
        return len(piece)

    return readinto


@pytest.mark.parametrize("way", ["put", "put_many", "put_fd", "put_stream", "adopt"])
def test_every_way_in_gives_the_same_address_and_the_same_bytes_after_reopening(
    tmp_path: Path, way: str
) -> None:
    blobs = [content(size) for size in SIZES]
    store = BlobStore.open(tmp_path / "store")
    with store.session() as s:
        for blob in blobs:
            file = tmp_path / "file"
            if way in ("put_fd", "adopt"):
                file.write_bytes(blob)
            if way == "put":
                assert s.put(blob) == address(blob)
            elif way == "put_many":
                assert s.put_many([blob, memoryview(blob)]) == [address(blob)] * 2
            elif way == "put_fd":
                with open(file, "rb") as f:
                    f.seek(7)
                    assert s.put_fd(f.fileno()) == (address(blob), len(blob))
            elif way == "put_stream":
                assert s.put_stream(reader(blob)) == (address(blob), len(blob))
            else:
                assert s.adopt(file) == (address(blob), len(blob))
                assert not file.exists()
        for blob in blobs:  # before a flush
            assert store.get(address(blob)) == blob
        store.flush()
    for _ in range(2):
        for blob in blobs:
            h = address(blob)
            assert store.get(h) == blob
            assert store.size(h) == len(blob)
            store.verify(h)
            assert store.read(h, 0, len(blob) + 5) == blob
            assert store.read(h, len(blob) + 1, 5) == b""
            for offset, length in ((1, 3), (250, 300), ((1 << 20) - 2, 5), (3 << 20, 2 << 20)):
                assert store.read(h, offset, length) == blob[offset : offset + length]
            at = store.locate(h)
            assert at.path.read_bytes()[at.offset : at.offset + at.length] == blob
            assert at.whole == (len(blob) > fmt.PACK_LIMIT)
            assert at.whole or len(blob) < fmt.ALIGN_FROM or at.offset % fmt.BLOCK == 0
        assert list(check(store, map(address, blobs))) == []
        assert os.listdir(tmp_path / "store" / "tmp") == []
        store.close()
        store = BlobStore.open(tmp_path / "store")
    store.close()


def test_objects_are_read_only_and_lie_under_their_hash(store: BlobStore) -> None:
    with store.session() as s:
        h = s.put(content(2 << 20))
        store.flush()
    path = store.root / "objects" / h.hex()[:2] / h.hex()
    assert store.locate(h).path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.with_name(path.name + ".sum").exists()


def test_what_is_there_is_not_stored_again(store: BlobStore) -> None:
    with store.session() as s:
        for size in (100, 1 << 20):
            s.put(content(size))
        store.flush()
        before = store.usage()
        for size in (100, 1 << 20):
            s.put(content(size))
            s.put_stream(reader(content(size)))
        store.flush()
        assert store.usage() == before
    assert before.objects == 1
    assert before.object_bytes == 1 << 20


@pytest.mark.parametrize("size", SIZES)
def test_copy_to_appends_to_files_and_sockets(store: BlobStore, tmp_path: Path, size: int) -> None:
    with store.session() as s:
        h = s.put(content(size))
        for _ in range(2):
            with open(tmp_path / "out", "wb", buffering=0) as f:
                f.write(b"head")
                store.copy_to(h, f.fileno())
                f.write(b"tail")
            assert (tmp_path / "out").read_bytes() == b"head" + content(size) + b"tail"
            store.flush()
    left, right = socket.socketpair()
    with left, right, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: (store.copy_to(h, left.fileno()), left.close()))
        got = bytearray()
        while piece := right.recv(1 << 20):
            got += piece
        sending.result()
    assert got == content(size)


def test_holes_of_a_sparse_file_are_not_filled(store: BlobStore, tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as f:
        f.seek(30 << 20)
        f.write(b"middle")
        f.truncate(64 << 20)
    data = (tmp_path / "sparse").read_bytes()
    with open(tmp_path / "sparse", "rb") as f, store.session() as s:
        h, size = s.put_fd(f.fileno())
        store.flush()
    assert (h, size) == (address(data), 64 << 20)
    assert store.locate(h).path.stat().st_blocks * 512 < 1 << 20


def test_a_file_that_changes_while_it_is_put_is_refused(store: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(bytes(64 << 20))
    stop = threading.Event()
    started = threading.Event()

    def grow() -> None:
        with open(path, "ab", buffering=0) as f:
            while not stop.is_set():
                f.write(b"x")
                started.set()

    with ThreadPoolExecutor(1) as pool, open(path, "rb") as f, store.session() as s:
        growing = pool.submit(grow)
        started.wait()
        try:
            with pytest.raises(Refused, match="changed while it was read"):
                s.put_fd(f.fileno())
        finally:
            stop.set()
        growing.result()
    assert os.listdir(store.root / "tmp") == []


def test_only_regular_files_are_taken(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    r, w = os.pipe()
    try:
        with store.session() as s:
            with pytest.raises(InvalidArgument):
                s.put_fd(r)
            with pytest.raises(InvalidArgument):
                s.adopt(tmp_path / "link")
    finally:
        os.close(r)
        os.close(w)


def test_an_adopted_file_keeps_its_disk_blocks_and_becomes_read_only(
    store: BlobStore, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    path.write_bytes(content(3 << 20))
    path.chmod(0o000)
    inode = path.stat().st_ino
    with store.session() as s:
        h, _ = s.adopt(path)
        store.flush()
    at = store.locate(h).path.stat()
    assert (at.st_ino, stat.S_IMODE(at.st_mode)) == (inode, 0o444)


def test_a_stream_that_breaks_leaves_nothing_behind(store: BlobStore) -> None:
    def broken(view: memoryview) -> int:
        broken.left -= 1  # type: ignore[attr-defined]
        if broken.left < 0:  # type: ignore[attr-defined]
            raise ConnectionResetError
        return len(view)

    broken.left = 12  # type: ignore[attr-defined]
    with store.session() as s, pytest.raises(ConnectionResetError):
        s.put_stream(broken)
    assert os.listdir(store.root / "tmp") == []
    assert store.usage().objects == 0


def test_leaving_a_session_by_an_error_removes_only_its_own_large_objects(
    store: BlobStore,
) -> None:
    def failing(keep: bool) -> None:
        with store.session() as s, store.session() as other:
            s.put(content(1 << 20, 1))
            store.flush()
            s.put(content(1 << 20, 2))
            s.put(content(1 << 20, 3))
            other.put(content(1 << 20, 3))
            if keep:
                s.keep()
            raise KeyError

    present = [address(content(1 << 20, seed)) for seed in (1, 2, 3)]
    with pytest.raises(KeyError):
        failing(keep=False)
    assert [store.size(h) is not None for h in present] == [False, False, True]
    with pytest.raises(KeyError):
        failing(keep=True)
    assert all(store.size(h) for h in present)
    assert store.usage().objects == 3


def test_hold_tells_what_is_missing(store: BlobStore) -> None:
    with store.session() as s:
        there = [s.put(b"small"), s.put(content(1 << 20))]
    with store.session() as s:
        assert s.hold([*there, address(b"no")]) == [address(b"no")]


def test_a_missing_blob_is_corrupt_and_has_no_size(store: BlobStore) -> None:
    h = address(b"never put")
    assert store.size(h) is None
    for ask in (store.get, store.verify, store.locate):
        with pytest.raises(Corrupt, match=h.hex()):
            ask(h)
    with pytest.raises(Corrupt):
        store.read(h, 0, 1)


def test_the_reserve_forbids_growing_but_not_what_is_there_nor_what_may_pass(
    store: BlobStore, tmp_path: Path
) -> None:
    with store.session() as s:
        h = s.put(b"there")
        store.flush()

    def refuse() -> None:
        raise Exhausted("too full", "delete something")

    store.reserve = refuse
    (tmp_path / "file").write_bytes(content(1 << 20))
    with store.session() as s:
        for data in (b"new", content(1 << 20)):
            with pytest.raises(Exhausted, match="too full"):
                s.put(data)
        with pytest.raises(Exhausted, match="too full"):
            s.adopt(tmp_path / "file")
    assert (tmp_path / "file").exists()
    with store.session(past_reserve=True) as s:
        assert store.get(s.put(b"new")) == b"new"
    assert store.get(h) == b"there"


def test_many_threads_put_flush_and_get_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fmt, "PACK_BYTES", 1 << 20)  # so that packs are sealed meanwhile
    store = BlobStore.open(tmp_path / "store")

    def work(n: int) -> None:
        draw = random.Random(n)
        with store.session() as s:
            for _ in range(20):
                blobs = [
                    content(draw.choice((10, 300, 5000)), draw.randrange(500)) for _ in "x" * 30
                ]
                hashes = s.put_many(blobs)
                if draw.random() < 0.3:
                    blobs.append(content(200_000, draw.randrange(20)))
                    hashes.append(s.put(blobs[-1]))
                if draw.random() < 0.7:
                    store.flush()
                for h, blob in zip(hashes, blobs, strict=True):
                    assert store.get(h) == blob

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(store.packs.packs) > 1
    assert [p for p in check(store) if p.level == "error"] == []
    store.close()


def test_a_store_is_open_in_one_place_only(store: BlobStore) -> None:
    with pytest.raises(Refused, match="in use"):
        BlobStore.open(store.root)


def test_closing_and_opening_does_not_grow_the_store(tmp_path: Path) -> None:
    sizes = []
    for _ in range(3):
        store = BlobStore.open(tmp_path / "store")
        with store.session() as s:
            s.put(b"once")
        store.close()
        sizes.append(sum(p.stat().st_size for p in (tmp_path / "store").rglob("*") if p.is_file()))
    assert sizes[1] == sizes[0] == sizes[2]


def test_the_segments_of_the_index_stay_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fmt, "PACK_RECORDS", 100)
    store = BlobStore.open(tmp_path / "store")
    blobs = [b"%d" % n for n in range(10_000)]
    with store.session() as s:
        for at in range(0, len(blobs), 100):
            s.put_many(blobs[at : at + 100])
            store.flush()
    assert len(store.packs.packs) == 100
    assert len(os.listdir(tmp_path / "store" / "index")) <= 6
    store.close()
    store = BlobStore.open(tmp_path / "store")
    assert all(store.get(address(b)) == b for b in blobs)
    assert list(check(store)) == []
    store.close()


def resident(name: str) -> int:
    """Bytes in memory of the files mapped by this process whose path ends in ``name``."""
    total, here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            here = rest.endswith(name)
        elif here and first == "Rss:":
            total += 1024 * int(rest.split()[0])
    return total


def test_pages_of_the_index_go_and_come_back(store: BlobStore) -> None:
    with store.session() as s:
        names = [s.put(b"%d" % n) for n in range(20_000)]
    store.packs.seal()
    assert all(store.packs.find(name) for name in names)
    assert resident(".idx") > 20_000 * 40
    store.let_go()
    assert resident(".idx") == 0
    assert store.get(names[7]) == b"7"
