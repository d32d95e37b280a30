"""Where a blob of a sealed pack is: sorted, mapped, columnar segments, merged geometrically.

Derived data: every segment can be rebuilt from the packs it covers, so nothing here is
synced, a segment with a wrong checksum is dropped, and entries that point into a pack that
is gone are passed over. Look-ups bisect a mapped column of the first eight bytes of each
hash; they take no lock and no numpy. The open pack has a table in memory
instead (open_pack.py).
"""

from __future__ import annotations

import mmap
import os
import re
import threading
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from pachybox.model.ids import Hash
from pachybox.store.disk import remove, write_all
from pachybox.store.format import RECORD, Records

MAGIC = b"PBXINDEX"
HEAD = np.dtype([("magic", "S8"), ("checksum", "<u8"), ("count", "<u8"), ("packs", "<u8")])
GROWTH = 4  # a segment is merged into its elder when the elder is not this many times larger
_BLOCK = 1 << 18  # entries handled at once when writing: bounds the memory of a merge
_NAME = re.compile(r"(\d{8,})\.idx\Z")
_COLUMNS = (
    ("prefix", "<u8"),
    ("offset", "<u8"),
    ("hash", "V32"),
    ("pack", "<u4"),
    ("length", "<u4"),
)

Prefixes = npt.NDArray[np.uint64]


def prefix(h: bytes) -> int:
    """The number a hash is sorted by."""
    return int.from_bytes(h[:8], "big")


def prefixes(hashes: bytes | bytearray, width: int = 32) -> Prefixes:
    """The numbers of hashes laid end to end, ``width`` bytes each, in the order given."""
    rows = np.frombuffer(hashes, np.uint8).reshape(-1, width)
    return np.ascontiguousarray(rows[:, :8]).view(">u8").astype(np.uint64).reshape(-1)


class Place(NamedTuple):
    """Where a blob is."""

    pack: int
    offset: int
    length: int


class Found(NamedTuple):
    """Where many blobs are: columns of one length. ``pack`` 0: not in a pack."""

    pack: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.uint64]
    length: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Entries as arrays of one length; ``prefix`` ascending in a segment."""

    prefix: Prefixes
    offset: npt.NDArray[np.uint64]
    hash: Records
    pack: npt.NDArray[np.uint32]
    length: npt.NDArray[np.uint32]


def columns_of(pack: int, records: Sequence[Records]) -> Columns:
    """The entries of one pack's records, sorted; of a blob recorded twice the later one."""
    rows = np.concatenate([np.zeros(0, RECORD), *records])[::-1]
    keys = prefixes(rows["hash"].tobytes())
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    new = np.ones(len(rows), bool)
    new[1:] = (keys[1:] != keys[:-1]) | (rows["hash"][1:] != rows["hash"][:-1])
    rows = rows[new]
    packs = np.full(len(rows), pack, np.uint32)
    return Columns(keys[new], rows["offset"], rows["hash"], packs, rows["length"])


def find_among(columns: Columns, hashes: Records, keys: Prefixes, live: Sequence[int]) -> Found:
    """The first entry of each of many hashes, in one pass; its pack is 0 where there is none, it
    lies in a pack that is not ``live``, or one of another hash with the same prefix is first."""
    n = len(keys)
    if not len(columns.prefix):
        return Found(np.zeros(n, np.uint32), np.zeros(n, np.uint64), np.zeros(n, np.uint64))
    at = np.searchsorted(columns.prefix, keys)
    at[at == len(columns.prefix)] = 0
    pack = columns.pack[at]
    there = (columns.hash[at] == hashes) & np.isin(pack, live)
    return Found(
        np.where(there, pack, 0).astype(np.uint32),
        columns.offset[at].astype(np.uint64),
        columns.length[at].astype(np.uint64),
    )


class Segment:
    """One file of the index, mapped. Immutable; lives as long as somebody looks into it."""

    def __init__(self, path: Path) -> None:
        """Map ``path``; ValueError when it is not a whole, true segment."""
        self.path = path
        with open(path, "rb") as f:
            if os.fstat(f.fileno()).st_size < HEAD.itemsize:
                raise ValueError("too short")
            self._map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        self._view = memoryview(self._map)
        head = np.frombuffer(self._view, HEAD, 1)[0]
        n, n_packs = int(head["count"]), int(head["packs"])
        if head["magic"] != MAGIC or len(self._view) != HEAD.itemsize + 8 * n_packs + 56 * n:
            raise ValueError("not a segment")
        if not self.intact():
            raise ValueError("wrong checksum")
        self.let_go()
        self.count = n
        at = HEAD.itemsize
        covers = self._view[at : at + 8 * n_packs].cast("Q")
        self.packs = frozenset(covers)
        at += 8 * n_packs
        self.parts: dict[str, memoryview] = {}
        for name, kind in _COLUMNS:
            width = np.dtype(kind).itemsize * n
            self.parts[name] = self._view[at : at + width]
            at += width
        self._keys = self.parts["prefix"].cast("Q")
        self._offsets = self.parts["offset"].cast("Q")
        self._hashes = self.parts["hash"]
        self._packs = self.parts["pack"].cast("I")
        self._lengths = self.parts["length"].cast("I")

    def let_go(self) -> None:
        """Count no page of the file to this process until it is looked at again.

        perf: a scan leaves 56 bytes a blob resident, a look-up a few pages.
        """
        self._map.madvise(mmap.MADV_DONTNEED)

    def intact(self) -> bool:
        """Whether the bytes are those that were written (reads them all)."""
        head = np.frombuffer(self._view, HEAD, 1)[0]
        return bool(xxhash.xxh3_64_intdigest(self._view[16:]) == int(head["checksum"]))

    def columns(self) -> Columns:
        """The whole segment as arrays over the mapping."""
        return Columns(**{name: np.frombuffer(self.parts[name], kind) for name, kind in _COLUMNS})

    def records(self, pack: int) -> Records:
        """The entries of one pack, in the form its frames have them."""
        columns = self.columns()
        mine = columns.pack == pack
        rows = np.zeros(int(mine.sum()), RECORD)
        rows["hash"], rows["offset"] = columns.hash[mine], columns.offset[mine]
        rows["length"] = columns.length[mine]
        return rows

    def find(self, h: Hash, key: int, live: Container[int]) -> Place | None:
        """The first entry of ``h`` in a pack that is ``live``."""
        keys = self._keys
        i = bisect_left(keys, key)
        while i < self.count and keys[i] == key:
            pack = self._packs[i]
            if bytes(self._hashes[32 * i : 32 * i + 32]) == h and pack in live:
                return Place(pack, self._offsets[i], self._lengths[i])
            i += 1
        return None

    def find_many(self, hashes: Records, keys: Prefixes, live: Sequence[int]) -> Found:
        """The first entry of each of many hashes: see find_among."""
        found = find_among(self.columns(), hashes, keys, live)
        if len(keys) > _BLOCK // 16:
            self.let_go()
        return found

    def find_all(self, h: Hash) -> Iterator[Place]:
        """Every entry of ``h``, of packs that are gone too."""
        key = prefix(h)
        i = bisect_left(self._keys, key)
        while i < self.count and self._keys[i] == key:
            if bytes(self._hashes[32 * i : 32 * i + 32]) == h:
                yield Place(self._packs[i], self._offsets[i], self._lengths[i])
            i += 1


class Index:
    """The segments of all sealed packs. Look-ups from any thread; changes by one at a time."""

    def __init__(self, folder: Path) -> None:
        """Open what is on disk; damaged and superseded segments are removed."""
        self.folder = folder
        self._change = threading.Lock()
        self.damaged: list[str] = []  # what was found untrue at opening, for the log
        found: list[Segment] = []
        self._next = 1
        for name in sorted(os.listdir(folder)):
            match = _NAME.match(name)
            if match is None:
                remove(folder / name)  # crash: a segment that was being written
                continue
            self._next = max(self._next, int(match[1]) + 1)
            try:
                found.append(Segment(folder / name))
            except ValueError as e:
                self.damaged.append(f"{folder / name}: {e}")
                remove(folder / name)
        kept: list[Segment] = []
        for segment in sorted(found, key=lambda s: (-len(s.packs), -s.count)):
            if segment.packs and any(segment.packs <= other.packs for other in kept):
                remove(segment.path)  # crash: between a merge and the removal of its sources
            else:
                kept.append(segment)
        self._segments = tuple(sorted(kept, key=lambda s: s.count))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, smallest first."""
        return self._segments

    @property
    def covered(self) -> set[int]:
        """The packs some segment has the entries of."""
        return set().union(*(s.packs for s in self._segments))

    def find(self, h: Hash, live: Container[int]) -> Place | None:
        """Where ``h`` is, among the packs that are ``live``."""
        key = prefix(h)
        for segment in self._segments:
            if place := segment.find(h, key, live):
                return place
        return None

    def find_all(self, h: Hash) -> list[Place]:
        """All places known for ``h``."""
        return [place for s in self._segments for place in s.find_all(h)]

    def add(self, pack: int, records: Sequence[Records]) -> None:
        """Take in a sealed pack; merging follows as sizes demand.

        On return the pack is found. OSError when there is no room: nothing has changed.
        """
        with self._change:
            self._swap((), (self._segment(pack, records),))
            self._merge_small()

    def compact(self, live: Container[int]) -> None:
        """Leave out the entries of packs that are not ``live``."""
        with self._change:
            for segment in self._segments:
                if any(pack not in live for pack in segment.packs):
                    self._merge((segment,), live)

    def rebuild(self, packs: Iterable[tuple[int, Sequence[Records]]]) -> None:
        """Replace everything by the entries of ``packs``; look-ups see the old until the end."""
        with self._change:
            new = tuple(self._segment(pack, records) for pack, records in packs)
            self._swap(self._segments, new)
            self._merge_small()

    def intact(self) -> bool:
        """Whether all segments still are what was written."""
        return all(s.intact() for s in self._segments)

    def _segment(self, pack: int, records: Sequence[Records]) -> Segment:
        columns = columns_of(pack, records)
        return self._write([pack], len(columns.prefix), _blocks(columns))

    def _merge_small(self) -> None:
        try:
            while len(self._segments) > 1:
                a, b = self._segments[0], self._segments[1]
                if b.count > GROWTH * a.count:
                    return
                self._merge((a, b))
        except OSError:  # no room to merge in: nothing is lost, the next pack tries again
            return

    def _merge(self, old: tuple[Segment, ...], live: Container[int] | None = None) -> None:
        parts = [s.columns() for s in old]
        packs = sorted(set().union(*(s.packs for s in old)))
        keys = np.concatenate([p.prefix for p in parts])
        order = np.argsort(keys, kind="stable")
        if live is not None:
            packs = [p for p in packs if p in live]
            order = order[np.isin(np.concatenate([p.pack for p in parts])[order], packs)]
        del keys
        if packs:
            new = self._write(packs, len(order), _gather(parts, order, old))
            self._swap(old, (new,))
        else:
            self._swap(old, ())

    def _swap(self, old: tuple[Segment, ...], new: tuple[Segment, ...]) -> None:
        kept = [s for s in self._segments if s not in old]
        self._segments = tuple(sorted((*kept, *new), key=lambda s: s.count))
        for segment in old:
            remove(segment.path)

    def _write(self, packs: list[int], count: int, columns: Iterable[bytes]) -> Segment:
        head = np.zeros(1, HEAD)
        head["magic"], head["count"], head["packs"] = MAGIC, count, len(packs)
        path = self.folder / f"{self._next:08d}.idx"
        self._next += 1
        part = path.with_suffix(".part")
        sums = xxhash.xxh3_64()
        try:
            with open(part, "wb", buffering=0) as f:
                write_all(f.fileno(), head.tobytes())
                sums.update(head.tobytes()[16:])
                for data in (np.array(packs, "<u8").tobytes(), *columns):
                    sums.update(data)
                    write_all(f.fileno(), data)
                os.pwrite(f.fileno(), sums.intdigest().to_bytes(8, "little"), 8)
            part.rename(path)
        except OSError:
            remove(part)
            raise
        return Segment(path)


def _blocks(columns: Columns) -> Iterator[bytes]:
    for name, kind in _COLUMNS:
        yield getattr(columns, name).astype(kind).tobytes()


def _gather(
    parts: list[Columns], order: npt.NDArray[np.intp], segments: Iterable[Segment]
) -> Iterator[bytes]:
    """Rows ``order`` of the parts laid end to end, column by column, few rows at a time; the
    pages of ``segments``, which the parts lie in, are let go of on the way."""
    for name, kind in _COLUMNS:
        for at in range(0, len(order), _BLOCK):
            rows = order[at : at + _BLOCK]
            out = np.empty(len(rows), kind)
            base = 0
            for part in parts:
                here = (rows >= base) & (rows < base + len(part.prefix))
                out[here] = getattr(part, name)[rows[here] - base]
                base += len(part.prefix)
            yield out.tobytes()
            for segment in segments:
                segment.let_go()
