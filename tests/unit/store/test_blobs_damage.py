"""Damage, crashes, full disks and older formats: found, named, and survived."""

from __future__ import annotations

import errno
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash
from blake3 import blake3

from pachybox.errors import Corrupt, Exhausted, Refused
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store import packs
from pachybox.store.blobs import BlobStore
from pachybox.store.check import check, repair

from .test_blobs import address, content

BLOBS = [content(n) for n in (1, 40, 255, 256, 700, 5000)]
LARGE = content(2_500_000)


def store_of(root: Path, *, sealed: bool) -> None:
    """A store with three frames of short blobs and one object, closed in good order."""
    store = BlobStore.open(root)
    with store.session() as s:
        for i in range(3):
            s.put_many([blob + b"%d" % i for blob in BLOBS])
            store.flush()
        s.put(LARGE)
    if sealed:
        store.packs.seal()
    store.close()


def all_blobs() -> list[bytes]:
    return [blob + b"%d" % i for i in range(3) for blob in BLOBS]


def everything() -> list[Hash]:
    return [address(blob) for blob in [*all_blobs(), LARGE]]


def errors(store: BlobStore, live: list[Hash] | None = None) -> list[str]:
    """The things that check() calls false."""
    return [p.thing for p in check(store, live) if p.level == "error"]


def flip(path: Path, at: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))
    path.chmod(mode)


def outcome(store: BlobStore, blob: bytes) -> str:
    """What a get gives: "true" or the message of Corrupt. Never anything else."""
    try:
        assert store.get(address(blob)) == blob
    except Corrupt as e:
        return str(e)
    return "true"


@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_byte_in_a_pack_is_never_served_and_spoils_nothing_else(
    tmp_path: Path, sealed: bool
) -> None:
    store_of(tmp_path / "good", sealed=sealed)
    pack = "packs/00000001.pack"
    store = BlobStore.open(tmp_path / "good")
    spots = [store.locate(address(blob)) for blob in all_blobs()]
    store.close()
    for blob, spot in list(zip(all_blobs(), spots, strict=True))[::4]:
        root = tmp_path / "bad"
        shutil.copytree(tmp_path / "good", root)
        flip(root / pack, spot.offset + random.Random(blob).randrange(spot.length))
        store = BlobStore.open(root)
        assert str(root / pack) in outcome(store, blob)
        assert [b for b in all_blobs() if outcome(store, b) != "true"] == [blob]
        assert [p.level for p in check(store)] == ["error"]
        with store.session() as s:  # the remedy the error names
            s.put(blob)
            store.flush()
            assert outcome(store, blob) == "true"
        assert [p.level for p in repair(store)].count("fixed") == 1
        assert list(check(store, everything())) == []
        assert os.listdir(store.quarantine) == ["00000001.pack"]
        store.close()
        shutil.rmtree(root)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_byte_in_a_frame_header_is_found_and_hides_at_most_that_frame(
    tmp_path: Path, sealed: bool
) -> None:
    store_of(tmp_path / "good", sealed=sealed)
    for at in (0, 9, 17, 20, 25, 33, 41, 70, 100, 300, 511):
        root = tmp_path / "bad"
        shutil.copytree(tmp_path / "good", root)
        flip(root / "packs/00000001.pack", at)
        store = BlobStore.open(root)
        lost = [b for b in all_blobs() if outcome(store, b) != "true"]
        # A sealed pack has its index to go by.
        assert lost == ([] if sealed else all_blobs()[: len(BLOBS)])
        assert errors(store, everything())
        with store.session() as s:
            s.put_many(lost)
            store.flush()
        assert any(p.level == "fixed" for p in repair(store))
        assert list(check(store, everything())) == []
        store.close()
        shutil.rmtree(root)


def test_a_flipped_byte_in_an_object_is_found_by_every_read_of_its_chunk(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store_of(root, sealed=False)
    h = address(LARGE)
    path = root / "objects" / h.hex()[:2] / h.hex()
    flip(path, 1_500_000)
    store = BlobStore.open(root)
    assert store.read(h, 0, 1000) == LARGE[:1000]
    out = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    for ask in (
        lambda: store.read(h, (1 << 20) + 5, 10),
        lambda: store.get(h),
        lambda: store.verify(h),
        lambda: store.copy_to(h, out),
    ):
        with pytest.raises(Corrupt, match=str(path)):
            ask()
    os.close(out)
    assert (tmp_path / "out").read_bytes() == LARGE[: 1 << 20]
    assert [p.thing for p in check(store)] == [str(path)]
    assert [p.level for p in repair(store)] == ["fixed"]
    assert errors(store, everything()) == [h.hex()]
    with store.session() as s:
        s.put(LARGE)
        store.flush()
    assert store.get(h) == LARGE
    assert list(check(store, everything())) == []
    [unneeded] = check(store, [h])
    assert unneeded.level == "info"
    assert unneeded.detail.startswith("18 blobs are unreferenced")
    store.close()


def test_putting_a_corrupt_object_again_mends_it(tmp_path: Path) -> None:
    store_of(tmp_path, sealed=False)
    h = address(LARGE)
    flip(tmp_path / "objects" / h.hex()[:2] / h.hex(), 0)
    store = BlobStore.open(tmp_path)
    with pytest.raises(Corrupt):
        store.get(h)
    with store.session() as s:
        s.put(LARGE)
        store.flush()
    assert store.get(h) == LARGE
    assert list(check(store)) == []
    store.close()


@pytest.mark.parametrize("damage", ["flipped", "missing", "short"])
def test_damaged_sums_are_made_anew_from_the_proven_object(tmp_path: Path, damage: str) -> None:
    store_of(tmp_path, sealed=False)
    h = address(LARGE)
    path = tmp_path / "objects" / h.hex()[:2] / (h.hex() + ".sum")
    good = path.read_bytes()
    if damage == "flipped":
        flip(path, 60)
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(good[:-3])
    store = BlobStore.open(tmp_path)
    assert [p.thing for p in check(store)] == ([] if damage == "missing" else [str(path)])
    assert store.read(h, 2_000_000, 10) == LARGE[2_000_000:2_000_010]
    assert path.read_bytes() == good
    assert list(check(store)) == []
    store.close()


@pytest.mark.parametrize("at", [0, 8, 16, 24, 33, 50, 400, -1, None])
def test_a_damaged_or_missing_index_is_rebuilt_from_the_packs(
    tmp_path: Path, at: int | None
) -> None:
    store_of(tmp_path, sealed=True)
    [segment] = (tmp_path / "index").iterdir()
    if at is None:
        segment.unlink()
    else:
        flip(segment, at % segment.stat().st_size)
    store = BlobStore.open(tmp_path)
    assert [outcome(store, b) for b in all_blobs()] == ["true"] * 18
    assert list(check(store)) == []
    store.close()


def test_an_index_damaged_while_in_use_is_found_and_rebuilt(tmp_path: Path) -> None:
    store_of(tmp_path, sealed=True)
    store = BlobStore.open(tmp_path)
    with store.session() as s:
        s.put(b"a second pack")
    store.packs.seal()
    for at in range(40, 700, 7):
        flip(next((tmp_path / "index").iterdir()), at)
    assert any("checksum" in p.detail for p in check(store))
    assert [outcome(store, b) for b in all_blobs()] == ["true"] * 18
    assert list(check(store)) == []
    store.close()


def kill(root: Path) -> None:
    """Undo the mark a good close leaves, so that the pack looks as after a kill."""
    [pack] = (root / "packs").iterdir()
    data = pack.read_bytes()
    assert data[-512:].startswith(fmt.MAGIC)
    pack.write_bytes(data[:-512])


def test_a_torn_tail_is_cut_wherever_it_tore(tmp_path: Path) -> None:
    store_of(tmp_path / "good", sealed=False)
    kill(tmp_path / "good")
    whole = (tmp_path / "good/packs/00000001.pack").stat().st_size
    frame = whole // 3
    for torn in (0, 1, 511, 512, frame - 1, frame, frame + 100, 2 * frame + 600, whole - 1):
        for zeros in (False, True):  # a power cut may leave the length and lose the bytes
            root = tmp_path / "bad"
            shutil.copytree(tmp_path / "good", root)
            with open(root / "packs/00000001.pack", "r+b") as f:
                f.truncate(torn)
                f.truncate(whole if zeros else torn)
            store = BlobStore.open(root)
            kept = [outcome(store, b) == "true" for b in all_blobs()]
            assert all(kept[: len(BLOBS) * (torn // frame)])
            assert errors(store) == []
            with store.session() as s:
                s.put_many(all_blobs())
            store.close()
            store = BlobStore.open(root)
            assert list(check(store, everything())) == []
            store.close()
            shutil.rmtree(root)


def test_true_blobs_behind_a_tear_are_kept(tmp_path: Path) -> None:
    store_of(tmp_path, sealed=False)
    kill(tmp_path)
    pack = tmp_path / "packs/00000001.pack"
    third = pack.stat().st_size // 3
    # The last header vouches for what was synced when it was written: wipe all that do.
    data = bytearray(pack.read_bytes())
    for number in range(3):
        put_synced(data, number * third, 0)
    data[600:700] = bytes(100)
    pack.write_bytes(data)
    store = BlobStore.open(tmp_path)
    lost = [b for b in all_blobs() if outcome(store, b) != "true"]
    assert set(lost) < set(all_blobs()[: len(BLOBS)])
    assert len(lost) < len(BLOBS)
    assert errors(store) == []
    store.close()


def put_synced(data: bytearray, at: int, synced: int) -> None:
    data[at + 40 : at + 48] = struct.pack("<Q", synced)
    count = struct.unpack_from("<I", data, at + 20)[0]
    end = at + -(-(64 + 48 * count) // 512) * 512
    struct.pack_into("<Q", data, at + 8, xxhash.xxh3_64_intdigest(bytes(data[at + 16 : end])))


def version_1(root: Path) -> dict[Hash, bytes]:
    """A store as version 1 wrote it, byte by byte after docs/format.md."""
    short, large = b"a short blob", content(3 << 20)
    block = content(600)
    blobs = {Hash(blake3(b).digest()): b for b in (short, block, large)}
    for name in ("packs", "index", "objects"):
        (root / name).mkdir(parents=True)
    (root / "FORMAT").write_bytes(b"pachybox-store 1\n")
    name = blake3(large).hexdigest()
    (root / "objects" / name[:2]).mkdir()
    (root / "objects" / name[:2] / name).write_bytes(large)
    records = struct.pack("<32sQII", blake3(short).digest(), 512, len(short), 0)
    records += struct.pack("<32sQII", blake3(block).digest(), 1024, len(block), 0)
    body = struct.pack("<IIQQQ16x", 1, 2, 0, 2048, 0) + records
    body = body.ljust(512 - 16, b"\0")
    head = b"PBXFRAME" + struct.pack("<Q", xxhash.xxh3_64_intdigest(body)) + body
    data = (head + short).ljust(1024, b"\0") + block
    (root / "packs" / "00000001.pack").write_bytes(data.ljust(2048, b"\0"))
    return blobs


def test_a_store_of_version_1_is_readable_and_upgraded(tmp_path: Path) -> None:
    root = tmp_path / "store"
    blobs = version_1(root)
    store = BlobStore.open(root)
    assert (root / "FORMAT").read_bytes() == b"pachybox-store 2\n"
    assert list(check(store, blobs)) == []
    for h, data in blobs.items():
        assert store.get(h) == data
        assert store.read(h, len(data) - 4, 4) == data[-4:]
    with store.session() as s:
        assert [s.put(data) for data in blobs.values()] == list(blobs)
    assert len(list(root.glob("objects/*/*.sum"))) == 1
    assert list(check(store, blobs)) == []
    store.close()
    store = BlobStore.open(root)
    assert list(check(store, blobs)) == []
    store.close()


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    store_of(tmp_path, sealed=False)
    (tmp_path / "FORMAT").write_bytes(b"pachybox-store 3\n")
    with pytest.raises(Refused, match=r"format 3.* up to 2"):
        BlobStore.open(tmp_path)
    (tmp_path / "FORMAT").write_bytes(b"???")
    with pytest.raises(Corrupt, match="FORMAT"):
        BlobStore.open(tmp_path)
    (tmp_path / "FORMAT").write_bytes(b"pachybox-store 2\n")
    BlobStore.open(tmp_path).close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An 8 MiB file system of its own."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_is_exhausted_and_the_store_works_again_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 20))
    store = BlobStore.open(small_disk / "store")
    promised: list[bytes] = []
    tail = [content(3000, -n) for n in range(9)]
    (tmp_path / "large").write_bytes(content(7 << 20))
    blobs: list[bytes] = []

    def fill() -> None:
        for n in range(10_000):
            blobs[:] = [content(20_000, 10 * n + i) for i in range(10)]
            s.put_many(blobs)
            store.flush()
            promised.extend(blobs)

    with store.session() as s:
        with pytest.raises(Exhausted, match="free space"):
            fill()
        assert promised
        assert all(store.get(address(b)) == b for b in blobs)  # kept for the next flush
        with pytest.raises(Exhausted), open(tmp_path / "large", "rb") as f:
            s.put_fd(f.fileno())
        with pytest.raises(Exhausted):
            s.put(content(7 << 20))
        assert os.listdir(small_disk / "store" / "tmp") == []
        assert all(store.get(address(b)) == b for b in promised)
        ballast.unlink()
        s.put_many(tail)
        store.flush()
        assert list(check(store)) == []
    store.close()
    store = BlobStore.open(small_disk / "store")
    assert all(store.get(address(b)) == b for b in promised + blobs + tail)
    assert list(check(store)) == []
    store.close()


def test_a_failed_sync_is_told_and_the_next_one_writes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore.open(tmp_path)
    real, failures = os.fdatasync, [errno.EIO, errno.ENOSPC]

    def failing(fd: int) -> None:
        if failures:
            raise OSError(failures.pop(0), "the disk said no")
        real(fd)

    monkeypatch.setattr(packs.os, "fdatasync", failing)
    with store.session() as s:
        h, large = s.put(b"precious"), s.put(LARGE)
        with pytest.raises(OSError, match="said no"):
            store.flush()
        with pytest.raises(Exhausted):
            store.flush()
        store.flush()
    assert store.get(h) == b"precious"
    assert store.get(large) == LARGE
    store.close()


def test_uploads_a_crash_left_are_removed_at_opening(tmp_path: Path) -> None:
    BlobStore.open(tmp_path).close()
    (tmp_path / "tmp" / "17").write_bytes(b"half")
    BlobStore.open(tmp_path).close()
    assert os.listdir(tmp_path / "tmp") == []
