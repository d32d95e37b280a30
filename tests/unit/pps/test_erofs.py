"""Images of file systems, mounted by the kernel and compared with what was meant."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.pps.erofs import BLOCK, INLINE, MAX_DEVICES, Extent, Writer
from tests.examples import many
from tests.mounts import mounted, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "can be mounted")

Tree = dict[bytes, Any]  # of bytes (a file) and trees
TIME = 1_700_000_000
NONE = np.zeros(0, np.intp)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pachybox-erofs-"))
    yield made
    shutil.rmtree(made)


class Device:
    """A file that content is put into at blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "w+b")  # noqa: SIM115 - closed by close()
        self.end = 0

    def put(self, data: bytes) -> int:
        at = self.end
        self.file.write(data.ljust(len(data) + -len(data) % BLOCK, b"\0"))
        self.end = self.file.tell()
        return at

    def close(self) -> None:
        self.file.close()


def write_tree(writer: Writer, devices: list[Device], tree: Tree, how: int) -> None:
    """Put a tree into an image; ``how`` varies the way files are stored."""

    def store(data: bytes, at: int) -> int:
        kind = (at + how) % 3
        number = at % len(devices)
        device = devices[number]
        if not data:
            return int(writer.empty(1)[0])
        if kind == 0 and len(data) < INLINE:
            return int(writer.inline([data])[0])
        if kind == 1:
            return writer.copied(len(data), [data[:7], data[7:]])
        if kind == 2 and len(data) > 2 * BLOCK:
            cut = len(data) // 2 // BLOCK * BLOCK
            other = devices[(at + 1) % len(devices)]
            pieces = [
                Extent(number + 1, device.put(data[:cut]), cut),
                Extent((at + 1) % len(devices) + 1, other.put(data[cut:]), len(data) - cut),
            ]
            made = writer.extents(pieces)
            assert made is not None
            return made
        columns = [np.array([x], np.uint64) for x in (len(data), number + 1, device.put(data))]
        return int(writer.files(*columns)[0])

    def directory(tree: Tree, nid: int, parent: int) -> None:
        names = sorted(tree)
        folders = [i for i, name in enumerate(names) if isinstance(tree[name], dict)]
        nids = np.zeros(len(names), np.uint64)
        nids[folders] = writer.directories(len(folders))
        for i, name in enumerate(names):
            if not isinstance(tree[name], dict):
                nids[i] = store(tree[name], i)
        writer.directory(nid, parent, names, nids, np.array(folders, np.intp))
        for i in folders:
            directory(tree[names[i]], int(nids[i]), nid)

    directory(tree, writer.root, writer.root)


def read_tree(path: bytes) -> Tree:
    found: Tree = {}
    inodes = set()
    for item in os.scandir(path):
        info = item.stat(follow_symlinks=False)
        assert info.st_mtime == TIME
        assert info.st_ino == item.inode() != 0
        inodes.add(info.st_ino)
        if item.is_dir(follow_symlinks=False):
            assert stat.S_IMODE(info.st_mode) == 0o555
            found[item.name] = read_tree(item.path)
            assert info.st_nlink == 2 + sum(isinstance(x, dict) for x in found[item.name].values())
            assert (
                Path(os.fsdecode(item.path), "..").stat().st_ino
                == Path(os.fsdecode(path)).stat().st_ino
            )
        else:
            assert stat.S_IMODE(info.st_mode) == 0o444
            found[item.name] = Path(os.fsdecode(item.path)).read_bytes()
            assert len(found[item.name]) == info.st_size
    assert len(inodes) == len(found)
    return found


def build(folder: Path, tree: Tree, how: int = 0, count: int = 3) -> tuple[Path, list[Path]]:
    devices = [Device(folder / f"device{n}") for n in range(count)]
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, count)
        write_tree(writer, devices, tree, how)
        for device in devices:
            device.close()
        size = writer.finish([device.end for device in devices])
    assert (folder / "image").stat().st_size == size
    return folder / "image", [device.path for device in devices]


names = st.one_of(
    st.sampled_from([b"-", b"+a", b".a", b"..a", b"...", b".-", b"a b", b"\xc3\xa9", b"x" * 255]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=70)
    .map(lambda s: s.encode()[:255].decode(errors="ignore").encode())
    .filter(lambda n: n not in (b"", b".", b"..")),
)
files = st.builds(
    lambda size, seed: (seed * (size // len(seed) + 1))[:size],
    st.sampled_from(
        [0, 1, 31, 32, 33, 255, 256, 257, 480, 511, 512, 513, 1024, 4096, 5000, 140000]
    ),
    st.binary(min_size=1, max_size=40),
)
trees = st.recursive(
    st.dictionaries(names, files, max_size=70),
    lambda below: st.dictionaries(names, st.one_of(files, below), max_size=6),
    max_leaves=8,
)


@settings(max_examples=many(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(trees, st.integers(0, 2))
def test_a_mounted_image_is_the_tree_it_was_made_of(tree: Tree, how: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pachybox-erofs-") as made:
        image, devices = build(Path(made), tree, how)
        with mounted(image, devices, Path(made) / "at") as at:
            assert read_tree(os.fsencode(at)) == tree


def test_a_large_directory_is_listed_and_every_name_is_found(folder: Path) -> None:
    n = 100_000
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, 0)
        wanted = sorted(b"%d" % (i * 7919 % 1_000_003) for i in range(n))
        subdirs = np.arange(0, n, 2)
        nids = np.zeros(n, np.uint64)
        nids[subdirs] = writer.directories(len(subdirs))
        nids[1::2] = writer.empty(n // 2)
        writer.directory(writer.root, writer.root, wanted, nids, subdirs)
        for nid in nids[subdirs].tolist():
            writer.directory(nid, writer.root, [], writer.empty(0), NONE)
        writer.finish([])
    with mounted(folder / "image", [], folder / "at") as at:
        assert sorted(os.fsencode(n) for n in os.listdir(at)) == wanted
        for i in (0, 1, 2, n // 2, n // 2 + 1, n - 2, n - 1):
            info = (at / wanted[i].decode()).stat()
            assert stat.S_ISDIR(info.st_mode) is (i % 2 == 0)
        assert not (at / "no such name").exists()
        assert at.stat().st_nlink == 50_002


def test_more_directories_than_a_link_count_holds(folder: Path) -> None:
    n = 70_000
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, 0)
        nids = writer.directories(n)
        names = [b"%06d" % i for i in range(n)]
        writer.directory(writer.root, writer.root, names, nids, np.arange(n))
        for nid in nids.tolist():
            writer.directory(nid, writer.root, [], writer.empty(0), NONE)
        writer.finish([])
    with mounted(folder / "image", [], folder / "at") as at:
        assert at.stat().st_nlink == 1  # as other file systems say "not counted"
        assert len(os.listdir(at)) == n


def test_a_file_of_more_than_4_gib_is_read_at_its_end(folder: Path) -> None:
    size = (5 << 30) + 777
    with open(folder / "big", "wb") as f:
        f.truncate(size // BLOCK * BLOCK + BLOCK)
        f.seek(size - 5)
        f.write(b"hello")
    with open(folder / "two", "wb") as f:
        f.write(b"behind".ljust(BLOCK, b"\0"))
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, 2)
        one = writer.extents([Extent(1, 0, size)])
        both = writer.extents([Extent(1, 0, 5 << 30), Extent(2, 0, 6)])
        nids = np.array([both, one], np.uint64)
        writer.directory(writer.root, writer.root, [b"both", b"one"], nids, NONE)
        writer.finish([size, BLOCK])
    with mounted(folder / "image", [folder / "big", folder / "two"], folder / "at") as at:
        assert (at / "one").stat().st_size == size
        with open(at / "one", "rb") as f:
            f.seek(size - 9)
            assert f.read() == bytes(4) + b"hello"
        with open(at / "both", "rb") as f:
            f.seek((5 << 30) - 2)
            assert f.read() == b"\0\0behind"


def test_pieces_off_the_blocks_are_for_the_caller_to_copy(folder: Path) -> None:
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, 1)
        assert writer.extents([Extent(1, 0, 700), Extent(1, 1024, 5)]) is None
        assert writer.extents([Extent(1, 0, 1024), Extent(1, 1024, 5)]) is not None
        # the far end of a device cannot be said in 32 bits
        assert writer.extents([Extent(1, (1 << 41) - 512, 512)]) is None


def test_an_image_points_into_as_many_devices_as_the_format_has(folder: Path) -> None:
    few = [folder / f"{n}" for n in range(7)]
    for n, path in enumerate(few):
        path.write_bytes((b"%05d" % n).ljust(BLOCK, b"\0"))
    paths = [few[n % 7] for n in range(MAX_DEVICES)]  # what one is, is nothing to the kernel
    with open(folder / "image", "w+b") as f:
        writer = Writer(f.fileno(), TIME, MAX_DEVICES)
        n = np.arange(MAX_DEVICES, dtype=np.uint64)
        nids = writer.files(np.full(len(n), 5, np.uint64), n + np.uint64(1), n * np.uint64(0))
        names = [b"%05d" % i for i in range(MAX_DEVICES)]
        writer.directory(writer.root, writer.root, names, nids, NONE)
        writer.finish([BLOCK] * MAX_DEVICES)
    with mounted(folder / "image", paths, folder / "at") as at:
        for i in (0, 1, 40_000, MAX_DEVICES - 1):
            assert (at / f"{i:05d}").read_bytes() == b"%05d" % (i % 7)


def test_the_end_of_the_last_page_shows_nothing_of_other_files(folder: Path) -> None:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    image, devices = build(folder, {n: n * 300 for n in (b"a", b"b", b"c")}, count=1)
    with mounted(image, devices, folder / "at") as at:
        for name in "abc":
            data = ctypes.create_string_buffer(4096)
            with open(at / name, "rb") as f:
                where = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, f.fileno(), 0)
            ctypes.memmove(data, where, 4096)
            libc.munmap(ctypes.c_void_p(where), 4096)
            assert data.raw == name.encode() * 300 + bytes(4096 - 300)


def test_the_root_may_be_empty(folder: Path) -> None:
    image, devices = build(folder, {}, count=1)
    with mounted(image, devices, folder / "at") as at:
        assert os.listdir(at) == []
