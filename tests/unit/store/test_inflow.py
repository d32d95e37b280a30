"""Large content on its way in: what goes wrong in the threads, bounds, holes, odd file systems."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from pachybox.errors import Exhausted
from pachybox.store import disk, inflow
from pachybox.store.blobs import BlobStore, Session
from pachybox.store.format import PACK_LIMIT
from pachybox.store.inflow import PIECE, RING
from pachybox.store.intake import Intake

SIZES = (0, 1, PACK_LIMIT, PACK_LIMIT + 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 9 * PIECE + 4097)
MEMORY = Path("/dev/shm")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    made = BlobStore.open(tmp_path / "store")
    yield made
    made.close()


def content(size: int) -> bytes:
    return os.urandom(min(size, 1 << 20)).ljust(size, b"x")


def took(session: Session, data: bytes, step: int) -> None:
    """Take ``data`` in, in steps, and see that all is there."""
    with Intake(session, ("sha256", "crc32")) as intake:
        for at in range(0, len(data), step):
            intake.write(data[at : at + step])
        taken = intake.finish()
    assert (taken.hash, taken.size) == (blake3(data).digest(), len(data))
    assert taken.digests["md5"] == hashlib.md5(data).digest()
    assert taken.digests["sha256"] == hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", SIZES)
def test_content_of_any_size_and_its_digests(store: BlobStore, size: int) -> None:
    data = content(size)
    with store.session() as session:
        took(session, data, max(1, size // 3))
        store.flush()
    h = blake3(data).digest()
    assert store.get(h) == data
    store.verify(h)
    assert os.listdir(store.root / "tmp") == []


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no file system in memory")
def test_a_file_system_in_memory(tmp_path: Path) -> None:
    root = MEMORY / f"pachybox-{os.getpid()}"
    try:
        store = BlobStore.open(root)
        with store.session() as session:
            took(session, content(3 * PIECE + 5), 1 << 20)
        store.close()
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("where", ["the flag", "the write"])
def test_a_file_system_without_direct_writes(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Such as say so when the file is told, and such as say so when it is written."""
    real_fcntl, real_write = fcntl.fcntl, os.pwrite
    refused = []

    def no_flag(fd: int, command: int, value: int = 0) -> int:
        if where == "the flag" and command == fcntl.F_SETFL and value & os.O_DIRECT:
            refused.append(fd)
            raise OSError(errno.EINVAL, "")
        return real_fcntl(fd, command, value)

    def no_write(fd: int, data: memoryview, at: int) -> int:
        if where == "the write" and real_fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            refused.append(fd)
            raise OSError(errno.EINVAL, "")
        return real_write(fd, data, at)

    monkeypatch.setattr(disk.fcntl, "fcntl", no_flag)
    monkeypatch.setattr(disk.os, "pwrite", no_write)
    data = content(2 * PIECE + 100)
    with store.session() as session:
        took(session, data, PIECE)
        store.flush()
    assert len(refused) == 1
    assert store.get(blake3(data).digest()) == data


def test_a_disk_that_fills_up_is_told_to_who_brings_content(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def full(fd: int, data: memoryview, at: int) -> int:
        if at >= 3 * PIECE:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, at)

    monkeypatch.setattr(disk.os, "pwrite", full)

    def bring(intake: Intake) -> None:
        while intake.size < 1000 * PIECE:
            intake.write(piece)

    piece = content(PIECE)
    with store.session() as session, Intake(session) as intake:
        with pytest.raises(Exhausted, match="No space left"):
            bring(intake)
        assert intake.size <= (4 + 2 * RING) * PIECE
    assert os.listdir(store.root / "tmp") == []
    assert store.usage().objects == 0


def test_an_error_with_the_last_piece_is_not_lost(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def broken(fd: int, data: memoryview, at: int) -> int:
        if at >= 2 * PIECE:
            raise OSError(errno.EIO, "broken")
        return real(fd, data, at)

    monkeypatch.setattr(disk.os, "pwrite", broken)
    with store.session() as session, Intake(session) as intake:
        intake.write(content(2 * PIECE + 1))
        with pytest.raises(OSError, match="broken"):
            intake.finish()
    assert os.listdir(store.root / "tmp") == []


def test_who_brings_content_waits_for_the_slowest_and_memory_is_bounded(store: BlobStore) -> None:
    held = threading.Event()
    came = threading.Semaphore(0)

    def slow(data: memoryview) -> None:
        held.wait()

    def bring() -> None:
        for _ in range(3 * RING):
            flow.write(piece)
            came.release()

    piece = content(PIECE)
    with store.session() as session, session.inflow([[slow]]) as flow:
        bringing = threading.Thread(target=bring)
        bringing.start()
        for _ in range(RING):
            came.acquire()
        assert not came.acquire(timeout=0.05)
        held.set()
        bringing.join()
        h, size = session.settle(flow)
    assert (h, size) == (blake3(piece * 3 * RING).digest(), 3 * RING * PIECE)
    assert inflow._memory._taken == 0


def test_many_inflows_share_their_memory(store: BlobStore) -> None:
    """Each goes on with little when others have taken the rest."""
    held = threading.Event()
    ready = threading.Semaphore(0)

    def take(number: int) -> None:
        def slow(data: memoryview) -> None:
            held.wait()

        with store.session() as session, session.inflow([[slow]]) as flow:
            flow.write(number.to_bytes(8, "big"))
            for _ in range(RING):
                flow.room()
                flow.write(piece)
                ready.release()
            session.settle(flow)

    piece = content(PIECE)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    assert inflow._memory._taken <= 32 + 2 * len(threads)
    held.set()
    for thread in threads:
        thread.join()
    assert store.usage().objects == len(threads)
    assert inflow._memory._taken == 0


def test_zeros_of_a_stream_become_holes(store: BlobStore) -> None:
    data = bytes(5 * PIECE) + b"end" + bytes(PIECE)
    with store.session() as session:
        took(session, data, 1 << 20)
        store.flush()
    h = blake3(data).digest()
    path = store.locate(h).path
    assert path.stat().st_size == len(data)
    assert path.stat().st_blocks * 512 <= 1 << 20
    assert store.get(h) == data
