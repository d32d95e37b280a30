"""Packs: many small blobs in few append-only files, written a frame at a time.

A blob put goes into a batch in memory; the batch becomes a frame of the open pack when it
is large or somebody wants it durable. The packs are the truth: the index (index.py) is
derived, and reopening reads the headers of the open pack only. blobs.py stands in front.

Locks, taken in this order: ``_append`` (who writes frames and seals), ``_syncing`` (who
syncs a pack), ``lock`` (short, given by the owner: batch and tables). Look-ups take none:
what moves is put in its new place before it leaves the old, and a miss is looked up again.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from pachybox.durable import sync_path
from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.disk import (
    full_disk_is_exhausted,
    pwrite_all,
    redirty,
    write_back,
)
from pachybox.store.format import digest
from pachybox.store.index import Index, Place
from pachybox.store.open_pack import OpenPack
from pachybox.store.pack import (
    OpenFile,
    Pack,
    recover,
    verify_unsynced,
)

MAX_UNSYNCED = 64 << 20  # written but not durable, at most: bounds what a reopening must verify
MAX_FILES = 256  # packs kept open for reading, where open files are plenty
NAME = re.compile(r"(\d{8,})\.pack\Z")
_log = logging.getLogger(__name__)


class Packs:
    """All packs of a store, their index and the batch that waits to be written."""

    def __init__(self, folder: Path, index: Path, lock: threading.Lock, first_free: int) -> None:
        """Open the packs in ``folder``: recover the open one, rebuild what the index lacks.

        ``first_free``: no pack of a smaller number is made anew (packs set aside keep theirs).
        """
        self.folder = folder
        self.lock = lock
        self.index = Index(index)
        for what in self.index.damaged:
            _log.warning("index segment dropped and rebuilt: %s", what)
        self.bad: set[Hash] = set()  # found corrupt: a new put stores them afresh
        self._append = threading.Lock()
        self._syncing = threading.Lock()
        self.most_open = MAX_FILES
        self._files: deque[Pack] = deque()
        self._batch: dict[Hash, bytes] = {}
        self._writing: dict[Hash, bytes] = {}
        self._batch_bytes = 0
        self.packs: dict[int, Pack] = {}
        for name in os.listdir(folder):
            if match := NAME.match(name):
                path = folder / name
                self.packs[int(match[1])] = Pack(int(match[1]), path, path.stat().st_size)
        covered = self.index.covered
        last = max(self.packs, default=0)
        self._next = max([last, first_free - 1, *covered]) + 1
        self._open: OpenPack | None = None
        with full_disk_is_exhausted(folder):
            for number in sorted(self.packs.keys() - covered - {last}):
                self.index.add(number, self.packs[number].records())
            if last and last not in covered:
                self._recover(self.packs[last])
            self.index.compact(self.packs)

    # -- reading

    def find(self, h: Hash) -> bytes | Place | None:
        """The blob itself while only in memory, else its place, None when not here."""
        blob = self._batch.get(h)
        if blob is None:
            blob = self._writing.get(h)
        if blob is not None:
            return blob
        if (now := self._open) is not None and (place := now.find(h)) is not None:
            return place
        return self.index.find(h, self.packs)

    def read(self, h: Hash) -> bytes | None:
        """The whole verified blob; None when it is not in a pack.

        Raises Corrupt naming the pack when no copy of it is true.
        """
        for attempt in (1, 2):  # race: the blob may move between two look-ups
            found = self.find(h)
            if isinstance(found, bytes):
                return found
            if found is not None:
                pack = self.packs.get(found.pack)
                if pack is None:
                    continue
                try:
                    data = self._file(pack).read(found.length, found.offset)
                except FileNotFoundError:
                    if attempt == 1:
                        continue
                    data = b""
                if digest(data) == h:
                    return data
                return self._read_otherwise(h, pack, found)
        return None

    def _read_otherwise(self, h: Hash, pack: Pack, found: Place) -> bytes | None:
        """Look for a true copy after a false one: a damaged index, a blob put again."""
        if not self.index.intact():
            _log.warning("the index is damaged and is rebuilt from the packs")
            self.rebuild_index()
        for place in self.index.find_all(h):
            other = self.packs.get(place.pack)
            if other is not None and place.length <= fmt.PACK_LIMIT:
                try:
                    data = self._file(other).read(place.length, place.offset)
                except FileNotFoundError:
                    continue
                if digest(data) == h:
                    return data
        with self.lock:
            self.bad.add(h)
        raise Corrupt(
            f"{pack.path}: the {found.length} bytes at {found.offset} are not blob {h.hex()}",
            "run pachybox fsck; putting the same content again stores it afresh",
        )

    def _file(self, pack: Pack) -> OpenFile:
        file = pack.file
        if file is None:
            file = OpenFile(pack.path)
            with self.lock:
                pack.file = file
                self._files.append(pack)
                if len(self._files) > self.most_open:
                    self._files.popleft().file = None
        return file

    # -- writing

    def admit(self, hashes: Sequence[Hash], blobs: Sequence[bytes]) -> int:
        """Take blobs into the batch, but those that are here already. The lock is held.

        Returns how many were new. The caller calls spill() after it has let go of the lock
        when ``full``.
        """
        batch, bad, find = self._batch, self.bad, self.find
        before, size = len(batch), 0
        for h, blob in zip(hashes, blobs, strict=True):
            if find(h) is None or (bad and h in bad and h not in batch):
                batch[h] = blob
                size += len(blob)
        self._batch_bytes += size
        return len(batch) - before

    @property
    def full(self) -> bool:
        """Whether the batch should be written."""
        return self._batch_bytes >= fmt.FRAME_BYTES or len(self._batch) >= fmt.FRAME_RECORDS

    @property
    def empty(self) -> bool:
        """Whether nothing waits in memory."""
        return not self._batch

    def spill(self) -> None:
        """Write what is in memory to the open pack. Not durable yet.

        Raises Exhausted when the disk is full: the batch is kept for another try.
        """
        with self._append, full_disk_is_exhausted(self.folder):
            self._spill()

    def _spill(self) -> None:
        with self.lock:
            self._writing, size = self._batch, self._batch_bytes
            self._batch, self._batch_bytes = {}, 0
        if not self._writing:
            return
        try:
            hashes, blobs = list(self._writing), list(self._writing.values())
            at = 0
            while at < len(hashes):
                n = _frame_of(blobs, at)
                self._write_frame(hashes[at : at + n], blobs[at : at + n])
                at += n
        except BaseException:
            with self.lock:  # the frames that were written are found twice, which is no harm
                self._batch = {**self._writing, **self._batch}
                self._batch_bytes += size
                self._writing = {}
            raise
        with self.lock:
            if self.bad:
                self.bad.difference_update(hashes)
            self._writing = {}
        pack = self._writable().pack
        if pack.end - pack.synced > MAX_UNSYNCED:
            self._sync(pack, pack.end)
        if pack.end >= fmt.PACK_BYTES or len(self._writable()) >= fmt.PACK_RECORDS:
            self._seal()

    def _write_frame(self, hashes: Sequence[Hash], blobs: Sequence[bytes]) -> None:
        now = self._writable()
        pack = now.pack
        frame = fmt.encode(pack.number, pack.end, pack.synced, hashes, blobs)
        file = self._file(pack)
        try:
            pwrite_all(file.fd, frame.data, pack.end)
        except OSError:
            os.ftruncate(file.fd, pack.end)  # a torn frame would be cut by the next opening too
            raise
        write_back(file.fd, pack.end, frame.end - pack.end)
        now.add(pack.end, frame.hashes)
        pack.end = frame.end
        pack.marked = pack.synced

    def _writable(self) -> OpenPack:
        """The open pack, made when there is none. ``_append`` is held."""
        if self._open is None:
            number, self._next = self._next, self._next + 1
            path = self.folder / f"{number:08d}.pack"
            pack = Pack(number, path, 0)
            pack.file = OpenFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            sync_path(self.folder)
            with self.lock:
                self.packs[number] = pack
                self._open = OpenPack(pack, pack.file)
        return self._open

    def sync(self) -> None:
        """Write and sync: whatever was admitted before the call is durable on return.

        Raises Exhausted when the disk is full: what could not be written is kept in memory
        for another try.
        """
        with full_disk_is_exhausted(self.folder):
            with self._append:
                self._spill()
                pack = self._open.pack if self._open else None
                end = pack.end if pack else 0
            if pack is not None:
                self._sync(pack, end)

    def _sync(self, pack: Pack, end: int) -> None:
        with self._syncing:
            if pack.synced >= end:
                return
            file = self._file(pack)
            if pack.suspect:
                redirty(file.fd, pack.synced, end)
                verify_unsynced(pack)
                pack.suspect = False
            try:
                os.fdatasync(file.fd)
            except OSError:
                pack.suspect = True
                raise
            pack.synced = end

    def seal(self) -> None:
        """Close the open pack to further blobs, so that it can be collected."""
        with self._append, full_disk_is_exhausted(self.folder):
            self._spill()
            if self._open is not None:
                self._seal()

    def _seal(self) -> None:
        now = self._writable()
        self._mark(now.pack)
        try:
            self.index.add(now.pack.number, now.pack.records())
        except OSError as e:
            # Derived data has no room: the pack goes on growing and is sealed later.
            _log.warning("pack %d stays open: %s", now.pack.number, e)
            return
        with self.lock:
            self._open = None
            # The descriptor could write and was not counted among those kept for reading.
            now.pack.file = None

    def _mark(self, pack: Pack) -> None:
        """Sync, and leave a frame that says so: what is before it can only be rot, not a tear."""
        self._sync(pack, pack.end)
        if pack.marked == pack.end:
            return
        frame = fmt.encode(pack.number, pack.end, pack.synced, [], [])
        file = self._file(pack)
        try:
            pwrite_all(file.fd, frame.data, pack.end)
        except OSError:  # no room for a mark: the next opening verifies more, that is all
            os.ftruncate(file.fd, pack.end)
            return
        pack.end = frame.end
        self._sync(pack, pack.end)
        pack.marked = pack.end

    def close(self) -> None:
        """Make all durable and let go of the files."""
        try:
            with self._append, full_disk_is_exhausted(self.folder):
                self._spill()
                if self._open is not None:
                    self._mark(self._open.pack)
        finally:
            self._open = None
            for pack in self.packs.values():
                pack.file = None
            self._files.clear()

    # -- opening

    def _recover(self, pack: Pack) -> None:
        """Take up the pack that was open: cut a torn tail, keep every true blob.

        A pack damaged where it was durable is left as it is, and a new one is begun.
        """
        pack.file = OpenFile(pack.path, os.O_RDWR)
        found = recover(pack)
        if found.end < pack.end:
            _log.warning("%s: torn, cut at %d of %d bytes", pack.path, found.end, pack.end)
            os.ftruncate(pack.file.fd, found.end)
        pack.end, pack.synced = found.end, found.synced
        self._open = OpenPack(pack, pack.file)
        self._open.load(found.frames)
        self._sync(pack, pack.end)
        pack.marked = pack.end if found.marked else found.synced
        if found.rotten:
            _log.warning("%s is damaged: run pachybox fsck", pack.path)
            self.index.add(pack.number, [frame.records for frame in found.frames])
            self._open = pack.file = None
        self._batch, self._batch_bytes = found.saved, sum(map(len, found.saved.values()))
        self.sync()

    def rebuild_index(self) -> None:
        """Make the index anew from the headers of all sealed packs."""
        with self._append:
            now = self._open.pack if self._open else None
            sealed = [p for _, p in sorted(self.packs.items()) if p is not now]
            with full_disk_is_exhausted(self.folder):
                self.index.rebuild((p.number, p.records()) for p in sealed)

    # -- for the collector and the checker

    @property
    def open_pack(self) -> OpenPack | None:
        """The pack that grows now."""
        return self._open

    def elsewhere(self, h: Hash, pack: int) -> bool:
        """Whether ``h`` is here without the help of ``pack``. The lock is held."""
        found = self.find(h)
        if isinstance(found, Place) and found.pack == pack:
            return any(p.pack != pack and p.pack in self.packs for p in self.index.find_all(h))
        return found is not None

    def admit_copy(self, h: Hash, blob: bytes, pack: int) -> None:
        """Take ``blob`` into the batch unless it is somewhere else than in ``pack``."""
        with self.lock:
            if not self.elsewhere(h, pack):
                self._batch[h] = blob
                self._batch_bytes += len(blob)
        if self.full:
            self.spill()

    def forget(self, pack: Pack) -> None:
        """Stop finding anything in a sealed pack. The lock is held; the file is the caller's."""
        del self.packs[pack.number]


def _frame_of(blobs: Sequence[bytes], at: int) -> int:
    """How many blobs from ``at`` on make the next frame: at least one."""
    n = size = 0
    for blob in blobs[at : at + fmt.FRAME_RECORDS]:
        size += len(blob)
        if n and size > 2 * fmt.FRAME_BYTES:
            break
        n += 1
    return n
