"""Many blobs at once: where they lie, and their content.

What blobs.py does for one blob at the price of a look-up each is done here for thousands by
columns: a search of each index segment, one table of the open pack, reads that run over
neighbours. What is not found so (just put, moved, missing) goes the single way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store.format import digest
from pachybox.store.index import Found, prefixes
from pachybox.store.pack import open_to_read

if TYPE_CHECKING:
    from pachybox.store.blobs import BlobStore

FEW = 16  # so many are read one by one
_GAP = 4 << 10  # bytes read for nothing rather than beginning another read
_SPAN = 1 << 20  # bytes of one read


class Pins:
    """Packs that stay where they are until ``release``: their paths may be handed out.

    A file that is open (a mounted image's devices are) outlives its name anyway; what pins
    guard is the time between finding a blob's place and opening the pack it lies in.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._paths: dict[int, Path] = {}

    def add(self, numbers: Sequence[int]) -> bool:
        """Pin packs; False when one of them has gone, and none more is pinned then."""
        new = [n for n in numbers if n not in self._paths]
        with self._store.lock:
            packs = [self._store.packs.packs.get(n) for n in new]
            if None in packs:
                return False
            for pack in packs:
                assert pack is not None
                pack.pins += 1
                self._paths[pack.number] = pack.path
        return True

    def path(self, number: int) -> Path:
        """Where a pinned pack is."""
        return self._paths[number]

    def release(self) -> None:
        """Let the collector have them. Safe to call twice."""
        with self._store.lock:
            for number in self._paths:
                pack = self._store.packs.packs.get(number)
                if pack is not None:  # else a repair has set it aside
                    pack.pins -= 1
        self._paths.clear()


def locate_many(store: BlobStore, hashes: bytes, pins: Pins | None = None) -> Found:
    """Where the blobs of ``hashes`` (32 bytes each, end to end) lie, made durable if needed.

    ``pack`` 0 is an object of its own. With ``pins`` the packs named stay until released.
    Raises Corrupt when a blob is missing; verifies nothing.
    """
    while True:
        found = _search(store, hashes)
        missing = np.flatnonzero(found.pack == 0)
        for i in missing.tolist():
            _one_by_one(store, Hash(hashes[32 * i : 32 * i + 32]), i, found)
        numbers = np.unique(found.pack)
        if pins is None or pins.add([n for n in numbers.tolist() if n]):
            return found


def _search(store: BlobStore, hashes: bytes) -> Found:
    """What the index and the open pack know; pack 0 for the rest."""
    packs = store.packs
    n = len(hashes) // 32
    found = Found(np.zeros(n, np.uint32), np.zeros(n, np.uint64), np.zeros(n, np.uint64))
    rows, keys = np.frombuffer(hashes, "V32"), prefixes(hashes)
    live = list(packs.packs)
    left = np.arange(n)
    for segment in packs.index.segments:
        if not len(left) or not segment.count:
            continue
        some = segment.find_many(rows[left], keys[left], live)
        found.pack[left] = some.pack
        found.offset[left], found.length[left] = some.offset, some.length
        left = left[some.pack == 0]
    if (now := packs.open_pack) is not None and len(left):
        some = now.find_many(rows[left], keys[left])
        found.pack[left] = some.pack
        found.offset[left], found.length[left] = some.offset, some.length
    return found


def _one_by_one(store: BlobStore, h: Hash, row: int, found: Found) -> None:
    place = store.locate(h)  # the first that only memory has makes them all durable
    found.pack[row] = 0 if place.whole else int(place.path.stem)
    found.offset[row], found.length[row] = place.offset, place.length


def read_many(store: BlobStore, hashes: Sequence[Hash]) -> list[bytes]:
    """The blobs, each verified; neighbours in a pack are read together.

    For blobs that are short: all of them are in memory on return. Raises Corrupt as get().
    """
    if len(hashes) <= FEW:
        return [store.get(h) for h in hashes]
    out: list[bytes | None] = [None] * len(hashes)
    found = _search(store, b"".join(hashes))
    order = np.lexsort((found.offset, found.pack))
    columns = [column[order].tolist() for column in (found.pack, found.offset, found.length)]
    for number, first, end in _spans(*columns):
        pack = store.packs.packs.get(number)
        if not number or pack is None:
            continue
        start = columns[1][first]
        length = columns[1][end - 1] + columns[2][end - 1] - start
        try:
            data = open_to_read(pack).read(length, start)
        except FileNotFoundError:  # collected meanwhile: it has moved
            continue
        for row, offset, size in zip(
            order[first:end].tolist(), columns[1][first:end], columns[2][first:end], strict=True
        ):
            blob = data[offset - start : offset - start + size]
            if digest(blob) == hashes[row]:
                out[row] = blob
    return [store.get(h) if b is None else b for b, h in zip(out, hashes, strict=True)]


def _spans(
    packs: list[int], offsets: list[int], lengths: list[int]
) -> Iterator[tuple[int, int, int]]:
    """(pack, first row, end row) of runs that one read covers; rows are in order of place."""
    first = 0
    for i in range(1, len(packs) + 1):
        if (
            i == len(packs)
            or packs[i] != packs[first]
            or offsets[i] - (offsets[i - 1] + lengths[i - 1]) > _GAP
            or offsets[i] + lengths[i] - offsets[first] > _SPAN
        ):
            yield packs[first], first, i
            first = i


def check_size(h: Hash, wanted: int, found: int, where: Path) -> None:
    """Raise Corrupt when a blob is not as long as a tree says; what fsck proves by its hash."""
    if wanted != found:
        raise Corrupt(
            f"{where}: blob {h.hex()} has {found} bytes, not {wanted}",
            "run pachybox fsck, then restore the store from a backup",
        )
