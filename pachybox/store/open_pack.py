"""The pack that grows, and where in it each of its blobs is.

Memory has twelve bytes a blob: the first eight of its hash, by which they are sorted, and where its
record stands in the header of its frame. The record itself, which has the whole hash, is read from
the pack. So the table of a full pack (format.PACK_RECORDS) takes 1.5 MB and not 20, which matters
as it fills over hours while little comes in.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.format import Header, Records
from pachybox.store.index import Found, Place, Prefixes, columns_of, find_among, prefix, prefixes
from pachybox.store.pack import OpenFile, Pack

_FOLD = 1 << 12  # blobs in a dict, at a tenth of a kilobyte each, before they are sorted in
_MANY = 1 << 14  # of so many it is less to read all headers once than a record for each
_UNIT = 16  # records begin on multiples of it: a place fits 32 bits in packs of up to 64 GiB
_STEP = fmt.RECORD.itemsize // _UNIT
_PLACE = struct.Struct("<QI")


class _Run(NamedTuple):
    """Blobs in the order of ``keys``, of equal ones the newest first; two columns. ``view`` is
    the first as plain numbers, which are less to compare than numpy's."""

    keys: Prefixes
    view: memoryview
    slots: npt.NDArray[np.uint32]


def _first(frame: int) -> int:
    """The slot of the first record of the frame that begins at ``frame``."""
    return (frame + fmt.HEAD.itemsize) // _UNIT


def _viewed(keys: Prefixes, slots: npt.NDArray[np.uint32]) -> _Run:
    return _Run(keys, keys.data, slots)


class OpenPack:
    """The pack that grows. Look-ups from any thread, without a lock; one at a time adds."""

    def __init__(self, pack: Pack, file: OpenFile) -> None:
        self.pack = pack
        self._file = file
        self._fresh: dict[Hash, int] = {}
        self._run = _viewed(np.zeros(0, np.uint64), np.zeros(0, np.uint32))

    def __len__(self) -> int:
        return len(self._fresh) + len(self._run.keys)

    def add(self, frame: int, hashes: Iterable[Hash]) -> None:
        """Take in the blobs of the frame that begins at ``frame``, in the order of its records."""
        first = _first(frame)
        self._fresh.update((h, first + i * _STEP) for i, h in enumerate(hashes))
        fresh = self._fresh
        if len(fresh) >= _FOLD:
            slots = np.fromiter(fresh.values(), np.uint32, len(fresh))
            # race: a look-up asks the dict first, so what leaves that must be here already
            self._sort_in(prefixes(b"".join(fresh)), slots)
            self._fresh = {}

    def load(self, frames: Sequence[Header]) -> None:
        """Take in the blobs of frames that were read, the oldest first."""
        data = b"".join([frame.records["hash"].tobytes() for frame in frames[::-1]])
        slots = [_first(f.offset) + _STEP * np.arange(len(f.records)) for f in frames[::-1]]
        nothing = np.zeros(0, np.int64)
        self._sort_in(prefixes(data), np.concatenate([nothing, *slots]).astype(np.uint32))

    def _sort_in(self, keys: Prefixes, slots: npt.NDArray[np.uint32]) -> None:
        """Have the run hold newer blobs too."""
        keys = np.concatenate([keys, self._run.keys])
        slots = np.concatenate([slots, self._run.slots])
        order = np.argsort(keys, kind="stable")
        self._run = _viewed(keys[order], slots[order])

    def find(self, h: Hash) -> Place | None:
        """Where ``h`` is, when it is here."""
        slot = self._fresh.get(h)
        if slot is not None:
            return self._place(h, slot)
        _, keys, slots = self._run
        key = prefix(h)
        i = bisect_left(keys, key)
        while i < len(keys) and keys[i] == key:
            if place := self._place(h, int(slots[i])):
                return place
            i += 1
        return None

    def _place(self, h: Hash, slot: int) -> Place | None:
        record = self._file.read(fmt.RECORD.itemsize, slot * _UNIT)
        if len(record) < fmt.RECORD.itemsize or not record.startswith(h):
            return None
        offset, length = _PLACE.unpack_from(record, len(h))
        return Place(self.pack.number, offset, length)

    def find_many(self, hashes: Records, keys: Prefixes) -> Found:
        """Where each of many hashes is, of which ``keys`` are the prefixes; ``pack`` is 0 for
        those that are not here, and maybe for some that share theirs with others."""
        n = len(hashes)
        if n > _MANY:
            number = self.pack.number
            frames = fmt.scan(self._file.fd, number)
            records = [frame.records for frame in frames if isinstance(frame, Header)]
            return find_among(columns_of(number, records), hashes, keys, [number])
        found = Found(np.zeros(n, np.uint32), np.zeros(n, np.uint64), np.zeros(n, np.uint64))
        for i, h in enumerate(hashes.tolist()):
            if place := self.find(Hash(h)):
                found.pack[i], found.offset[i], found.length[i] = place
        return found
