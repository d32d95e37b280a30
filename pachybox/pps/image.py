"""Inputs as an EROFS image: from the trees of the commits to an image over the store's files.

Directories are taken in batches of some ten thousand entries, so that look-ups and inodes are
made by columns. Content is not read and not verified, but for what goes into the image itself:
blobs too short to lie on a block, and files of several pieces that blocks cannot express.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pachybox.errors import Refused
from pachybox.model.files import Entry, Kind, Segment
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.pps.erofs import BLOCK, INLINE, MAX_BLOCKS, MAX_DEVICES, Extent, Numbers, Writer
from pachybox.pps.shape import Found, Shape
from pachybox.store.blobs import Located
from pachybox.store.bulk import Pins, check_size, locate_many, read_many
from pachybox.store.disk import pread_all
from pachybox.store.index import Found as Places

BATCH = 1 << 15  # entries whose blobs are located together
LINKS = 1000  # mounts that a datum may have; more large objects are devices of the image
TAIL = 4 << 10  # bytes; of the end of an object at most so many, or 16 times, are copied
LINK_FROM = 8 << 20  # bytes; where not every object can have a mount, those that gain by it have

_FILE, _DIR, _SEGMENTS = int(Kind.FILE), int(Kind.DIR), int(Kind.SEGMENTS)


@dataclass(frozen=True, slots=True)
class Image:
    """What was written, and what it needs beside it.

    ``links``: objects to be mounted over files of the image, which is faster to read.
    """

    devices: tuple[Path, ...]
    links: tuple[tuple[str, str], ...]
    bytes: int


@dataclass(slots=True)
class _Directory:
    """One directory on its way into the image; entries by columns, in the order of names."""

    nid: int
    parent: int
    path: str  # under /pfs, with a slash at its end
    hollow: bool
    names: list[bytes]
    hashes: bytes
    sizes: Numbers
    marks: npt.NDArray[np.uint8]
    shapes: dict[int, Shape] = field(default_factory=dict)  # directories that are not in a commit


@dataclass(frozen=True, slots=True)
class _Rows:
    """The entries of a batch of directories, numbered through."""

    batch: Sequence[_Directory]
    starts: npt.NDArray[np.intp]
    hashes: bytes

    def hash(self, i: int) -> Hash:
        return Hash(self.hashes[32 * i : 32 * i + 32])

    def path(self, i: int) -> str:
        at = int(np.searchsorted(self.starts, i, "right")) - 1
        one = self.batch[at]
        return one.path + one.names[i - int(self.starts[at])].decode()


class ImageBuilder:
    """Builds one image."""

    def __init__(self, pfs: Pfs, fd: int, pins: Pins, files: int, hollow: frozenset[str]) -> None:
        """``files``: how many there are; ``hollow``: the input names shown without content."""
        self._pfs = pfs
        self._pins = pins
        self._hollow = hollow
        most = len(pfs.blobs.packs.packs) + 1 + files
        # the year 1970 is too early for some archives
        self._writer = Writer(fd, int(time.time()), most)
        self._devices: dict[int | Path, int] = {}
        self._sizes: list[int] = []
        self._links: list[tuple[str, str]] = []
        self._link_all = files <= LINKS
        self._bytes = 0
        self._waiting: deque[tuple[int, int, str, bool, Shape | Hash]] = deque()

    def build(self, shape: Shape) -> Image:
        """Write it. Raises Corrupt for content that is missing, Refused when it would need too
        many devices."""
        root = self._writer.root
        self._waiting.append((root, root, "", False, shape))
        while self._waiting:
            batch: list[_Directory] = []
            entries = 0
            while self._waiting and entries < BATCH:
                batch.append(self._take(*self._waiting.popleft()))
                entries += len(batch[-1].names)
            self._write(batch)
        self._writer.finish(self._sizes)
        devices = tuple(d if isinstance(d, Path) else self._pins.path(d) for d in self._devices)
        return Image(devices, tuple(self._links), self._bytes)

    # -- reading directories

    def _take(
        self, nid: int, parent: int, path: str, hollow: bool, content: Shape | Hash
    ) -> _Directory:
        if isinstance(content, dict):
            return self._take_shape(nid, parent, path, hollow, content)
        names: list[bytes] = []
        hashes, sizes, marks = [], [], []
        for node in self._pfs.trees.leaves(content):
            names += "\0".join(node.keys).encode().split(b"\0")
            hashes.append(node.hashes)
            sizes.append(_numbers(node.sizes))
            marks.append(node.marks)
        every = np.frombuffer(b"".join(bytes(m) for m in marks), np.uint8)
        made = _Directory(
            nid, parent, path, hollow, names, b"".join(hashes),
            np.concatenate([np.zeros(0, np.uint64), *sizes]).astype(np.uint64), every,
        )  # fmt: skip
        if (every == _DIR).any():
            _sort(made)
        return made

    def _take_shape(
        self, nid: int, parent: int, path: str, hollow: bool, shape: Shape
    ) -> _Directory:
        rows = sorted((name.encode(), item) for name, item in shape.items())
        entries = [item.entry if isinstance(item, Found) else None for _, item in rows]
        return _Directory(
            nid,
            parent,
            path,
            hollow,
            [name for name, _ in rows],
            b"".join([e.hash if e else bytes(32) for e in entries]),
            np.array([e.size if e else 0 for e in entries], np.uint64),
            np.array([int(e.kind) if e else _DIR for e in entries], np.uint8),
            {i: item for i, (_, item) in enumerate(rows) if not isinstance(item, Found)},
        )

    # -- writing them

    def _write(self, batch: Sequence[_Directory]) -> None:
        """Inodes for all entries of a batch, then its directories."""
        ends = np.cumsum([len(d.names) for d in batch])
        starts = ends - [len(d.names) for d in batch]
        sizes = np.concatenate([d.sizes for d in batch])
        marks = np.concatenate([d.marks for d in batch])
        hollow = np.repeat([d.hollow for d in batch], [len(d.names) for d in batch])
        nids = np.zeros(len(marks), np.uint64)
        folders = np.flatnonzero(marks == _DIR)
        nids[folders] = self._writer.directories(len(folders))
        empty = np.flatnonzero((marks != _DIR) & (hollow | (sizes == 0)))
        nids[empty] = self._writer.empty(len(empty))
        full = (marks != _DIR) & ~hollow & (sizes > 0)
        self._bytes += int(sizes[full].sum())
        rows = _Rows(batch, starts, b"".join([d.hashes for d in batch]))
        self._blobs(rows, np.flatnonzero(full & (marks == _FILE)), sizes, nids)
        for i in np.flatnonzero(full & (marks == _SEGMENTS)).tolist():
            nids[i] = self._pieces(Entry("", Kind.SEGMENTS, rows.hash(i), int(sizes[i])))
        for one, start, end in zip(batch, starts.tolist(), ends.tolist(), strict=True):
            self._directory(one, nids[start:end])

    def _directory(self, one: _Directory, nids: Numbers) -> None:
        folders = np.flatnonzero(one.marks == _DIR)
        self._writer.directory(one.nid, one.parent, one.names, nids, folders)
        for i in folders.tolist():
            name = one.names[i].decode()
            below: Shape | Hash = Hash(one.hashes[32 * i : 32 * i + 32])
            below = one.shapes.get(i, below)
            hollow = one.hollow if one.path else name in self._hollow
            self._waiting.append((int(nids[i]), one.nid, f"{one.path}{name}/", hollow, below))

    def _blobs(self, rows: _Rows, at: npt.NDArray[np.intp], sizes: Numbers, nids: Numbers) -> None:
        """Files of one blob each: rows ``at``."""
        if not len(at):
            return
        hashes = np.frombuffer(rows.hashes, "V32")[at]
        places = locate_many(self._pfs.blobs, hashes.tobytes(), self._pins)
        wanted = sizes[at]
        for i in np.flatnonzero(places.length != wanted).tolist():
            where = self._pfs.blobs.locate(Hash(hashes[i].tobytes())).path
            check_size(Hash(hashes[i].tobytes()), int(wanted[i]), int(places.length[i]), where)
        whole = places.pack == 0
        short = ~whole & (wanted < INLINE)
        plain = ~whole & ~short
        if short.any():
            blobs = read_many(self._pfs.blobs, [Hash(h.tobytes()) for h in hashes[short]])
            nids[at[short]] = self._writer.inline(blobs)
        if plain.any():
            nids[at[plain]] = self._writer.files(
                wanted[plain], self._pack_devices(places, plain), places.offset[plain]
            )
        for i in at[whole].tolist():
            nids[i] = self._object(rows, i, int(sizes[i]))

    def _pack_devices(self, places: Places, rows: npt.NDArray[np.bool_]) -> Numbers:
        numbers, which = np.unique(places.pack[rows], return_inverse=True)
        devices = [self._device(n, self._pins.path(n)) for n in numbers.tolist()]
        return np.array(devices, np.uint64)[which]

    def _object(self, rows: _Rows, i: int, size: int) -> int:
        """A file that is an object of its own: a mount where that is possible, else a device."""
        place = self._pfs.blobs.locate(rows.hash(i))
        wanted = self._link_all or size >= LINK_FROM
        too_long = size >= (MAX_BLOCKS - 1) * BLOCK
        if (wanted and len(self._links) < LINKS) or too_long:
            self._links.append((rows.path(i), str(place.path)))
            return int(self._writer.empty(1)[0])
        made = self._writer.extents(self._to_the_end(place, 0, size))
        assert made is not None
        return made

    def _pieces(self, entry: Entry) -> int:
        """A file of several pieces: pointed at where all lie on blocks, else copied."""
        blobs = self._pfs.blobs
        extents: list[Extent] = []
        for segment in self._pfs.content.segments(entry):
            while True:
                place = blobs.locate(segment.hash)
                if place.whole or self._pins.add([int(place.path.stem)]):
                    break
            if not _on_blocks(place, segment):
                break
            extents += self._to_the_end(place, segment.offset, segment.length)
        else:
            if (made := self._writer.extents(extents)) is not None:
                return made
        return self._writer.copied(entry.size, self._pfs.content.read(entry))

    def _to_the_end(self, place: Located, offset: int, length: int) -> list[Extent]:
        """A stretch of a blob; what an object has in its last, broken block is put into the
        image, since the kernel cannot read that."""
        name = place.path if place.whole else int(place.path.stem)
        device = self._device(name, place.path)
        if not place.whole or not length % BLOCK:
            return [Extent(device, place.offset + offset, length)]
        # little is copied by small chunks, the index of chunks is short by large ones
        tail = length % (TAIL if length < LINK_FROM else 16 * TAIL)
        with open(place.path, "rb", buffering=0) as f:
            end = pread_all(f.fileno(), tail, offset + length - tail)
        whole = [Extent(device, offset, length - tail)] if length > tail else []
        return [*whole, self._writer.data(end)]

    def _device(self, name: int | Path, path: Path) -> int:
        """The number of a device of the image, new when it was not one yet."""
        known = self._devices.get(name)
        if known is None:
            if len(self._devices) == MAX_DEVICES:
                raise Refused(f"an input lies in more than {MAX_DEVICES} files of the store")
            known = self._devices[name] = len(self._devices) + 1
            self._sizes.append(path.stat().st_size)
        return known


def _numbers(column: Any) -> Any:
    """A node's column: bytes or an array of a wider type as it was read, a list or a tuple of a
    node that was just made."""
    if isinstance(column, (list, tuple)):
        return np.array(column, np.uint64)
    return np.frombuffer(column, getattr(column, "typecode", "B"))


def _sort(one: _Directory) -> None:
    """Names of directories lose their slash, and everything comes into the order of names."""
    folders = set(np.flatnonzero(one.marks == _DIR).tolist())
    names = [name[:-1] if i in folders else name for i, name in enumerate(one.names)]
    order = sorted(range(len(names)), key=names.__getitem__)
    one.names = [names[i] for i in order]
    one.hashes = np.frombuffer(one.hashes, "V32")[order].tobytes()
    one.sizes, one.marks = one.sizes[order], one.marks[order]


def _on_blocks(place: Located, segment: Segment) -> bool:
    """Whether a piece begins on a block, and what follows it in its last block is nothing."""
    if (place.offset + segment.offset) % BLOCK or (not place.whole and place.length < INLINE):
        return False
    ends = segment.offset + segment.length == place.length
    return ends or segment.length % BLOCK == 0
