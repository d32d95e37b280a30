"""Objects: blobs too long for a pack, each a read-only file of its own.

An upload is a file in tmp/ until flush() has synced it and renamed it to objects/ab/<hash>,
so a name is never found that a crash could leave without its content. Beside an object of
more than one chunk lies ``<hash>.sum`` with a checksum per chunk: ranges are verified without
hashing the whole. Sums are derived; a missing or damaged file of them is made anew from an
object that was proven. transfer.py moves the bytes, blobs.py stands in front.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import xxhash
from blake3 import blake3

from pachybox.durable import sync_path
from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store.disk import (
    full_disk_is_exhausted,
    pread_all,
    redirty,
    remove,
    sync_file_system,
    write_all,
)
from pachybox.store.format import digest
from pachybox.store.pack import OpenFile
from pachybox.store.transfer import CHUNK, Sums, copy_out, hash_file

SUM_MAGIC = b"PBXSUMS\0"
SUFFIX = ".sum"
KEPT = 64  # objects kept open, with their sums, where open files are plenty
SYNC_ALL_FROM = 64  # one sync of the file system costs less than this many of files
_READ = 8 << 20


@dataclass(slots=True)
class Pending:
    """An upload that is whole but not yet durable and named."""

    path: Path
    size: int
    sums: Sums[int]
    suspect: bool = False  # a sync failed: its pages must be written again


@dataclass(frozen=True, slots=True)
class Opened:
    """An object being read; ``sums`` is None when it is a single chunk."""

    path: Path
    file: OpenFile
    size: int
    sums: Sums[int] | None


class Upload:
    """A file in tmp/ that becomes an object; ``discard`` unless it was staged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Let go of the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def encode_sums(h: Hash, size: int, sums: Sums[int]) -> bytes:
    """The content of a ``.sum`` file."""
    head = SUM_MAGIC + h + size.to_bytes(8, "little") + CHUNK.to_bytes(8, "little")
    body = head + sums.tobytes()
    return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")


def decode_sums(data: bytes, h: Hash, size: int) -> Sums[int] | None:
    """The sums in a ``.sum`` file; None unless it is whole, true and of this object."""
    head = SUM_MAGIC + h + size.to_bytes(8, "little") + CHUNK.to_bytes(8, "little")
    if len(data) != len(head) + 8 * -(-size // CHUNK) + 8 or not data.startswith(head):
        return None
    if xxhash.xxh3_64_intdigest(memoryview(data)[:-8]) != int.from_bytes(data[-8:], "little"):
        return None
    sums: Sums[int] = array("Q")
    sums.frombytes(data[len(head) : -8])
    return sums


class Objects:
    """All objects of a store and the uploads under way."""

    def __init__(self, folder: Path, tmp: Path, lock: threading.Lock) -> None:
        """``lock`` is the store's short one; it guards ``pending`` and what names exist."""
        self.folder = folder
        self.tmp = tmp
        self.lock = lock
        self.pending: dict[Hash, Pending] = {}
        self.bad: set[Hash] = set()  # found corrupt: a new put replaces them
        self._uploads: set[str] = set()
        self._numbers = count(1)
        self.most_open = KEPT
        self._opened: OrderedDict[Hash, Opened] = OrderedDict()
        present = set(os.listdir(folder))
        for shard in (f"{n:02x}" for n in range(256)):
            if shard not in present:
                (folder / shard).mkdir()
        sync_path(folder)

    def path(self, h: Hash) -> Path:
        """Where the object is, or would be."""
        name = h.hex()
        return self.folder / name[:2] / name

    # -- reading

    def there(self, h: Hash) -> bool:
        """Whether there is such an object, staged or named."""
        return h in self.pending or self.path(h).exists()

    def has(self, h: Hash) -> bool:
        """Whether a put of this content needs to store nothing: it is there, and not false."""
        return h in self.pending or (h not in self.bad and self.path(h).exists())

    def size(self, h: Hash) -> int | None:
        """Its size in bytes, None when there is none."""
        if (pending := self.pending.get(h)) is not None:
            return pending.size
        try:
            return self.path(h).stat().st_size
        except FileNotFoundError:
            pending = self.pending.get(h)
            return pending.size if pending else None

    def open(self, h: Hash) -> Opened | None:
        """The object, ready to be read; None when there is none."""
        with self.lock:
            if (known := self._opened.get(h)) is not None:
                self._opened.move_to_end(h)
                return known
            pending = self.pending.get(h)
            path = pending.path if pending else self.path(h)
            try:
                file = OpenFile(path)
            except FileNotFoundError:
                return None
        size = os.fstat(file.fd).st_size
        if pending is not None:
            return Opened(path, file, size, pending.sums)
        opened = Opened(path, file, size, self._sums(h, path, file, size))
        with self.lock:
            if path.exists():  # race: it may have been collected, and must not be kept open
                self._opened[h] = opened
                while len(self._opened) > self.most_open:
                    self._opened.popitem(last=False)
        return opened

    def _sums(self, h: Hash, path: Path, file: OpenFile, size: int) -> Sums[int] | None:
        if size <= CHUNK:
            return None
        beside = path.with_name(path.name + SUFFIX)
        try:
            sums = decode_sums(beside.read_bytes(), h, size)
        except FileNotFoundError:
            sums = None
        return sums if sums is not None else self.make_sums(h, path, file, size)

    def make_sums(self, h: Hash, path: Path, file: OpenFile, size: int) -> Sums[int]:
        """Prove the whole object by its hash and write its sums; Corrupt when it is not true."""
        true, sums = hash_file(file.fd, size, threads=blake3.AUTO)
        if true != h:
            raise self.corrupt(h, path)
        self._write_sums(path, encode_sums(h, size, sums))
        return sums

    def _write_sums(self, path: Path, data: bytes) -> None:
        """Put the sums beside an object. Not synced: what a crash leaves untrue is made anew."""
        beside = path.with_name(path.name + SUFFIX)
        part = self.tmp / f"{next(self._numbers)}{SUFFIX}"
        with full_disk_is_exhausted(self.tmp):
            try:
                with open(part, "wb", buffering=0) as f:
                    write_all(f.fileno(), data)
                part.rename(beside)
            except OSError:
                remove(part)
                raise

    def read(self, h: Hash, found: Opened, offset: int, length: int) -> bytes:
        """A range that lies within the object, verified."""
        if length <= 0:
            return b""
        start = offset - offset % CHUNK
        end = min(found.size, -(-(offset + length) // CHUNK) * CHUNK)
        data = pread_all(found.file.fd, end - start, start)
        view = memoryview(data)
        for at in range(start, end, CHUNK):
            self._prove(h, found, at, view[at - start : at - start + CHUNK])
        if start == offset and len(data) == length:
            return data
        return bytes(view[offset - start : offset - start + length])

    def _prove(self, h: Hash, found: Opened, at: int, chunk: memoryview) -> None:
        if found.sums is None:
            true = digest(chunk) == h
        else:
            true = xxhash.xxh3_64_intdigest(chunk) == found.sums[at // CHUNK]
        if not true or len(chunk) != min(CHUNK, found.size - at):
            raise self.corrupt(h, found.path, at)

    def prove(self, h: Hash, found: Opened, offset: int, length: int) -> None:
        """Raise Corrupt unless the chunks that a range touches are true."""
        for at in range(offset - offset % CHUNK, offset + length, CHUNK):
            self._prove(h, found, at, memoryview(pread_all(found.file.fd, CHUNK, at)))

    def verify(self, h: Hash, found: Opened) -> None:
        """Prove every byte of an object, by its sums: five times as fast as by its hash."""
        for at in range(0, found.size, CHUNK):
            self._prove(h, found, at, memoryview(pread_all(found.file.fd, CHUNK, at)))

    def copy_to(self, h: Hash, found: Opened, fd: int) -> None:
        """Append the object at the position of ``fd``; nothing unproven is written."""

        def verify(at: int) -> None:
            self._prove(h, found, at, memoryview(pread_all(found.file.fd, CHUNK, at)))

        copy_out(found.file.fd, found.size, fd, verify)

    def corrupt(self, h: Hash, path: Path, at: int | None = None) -> Corrupt:
        """The error for a false object, which a new put of the content will replace."""
        with self.lock:
            self.bad.add(h)
            self._opened.pop(h, None)
        where = "" if at is None else f" from byte {at} on"
        return Corrupt(
            f"{path}: the content is not blob {h.hex()}{where}",
            "run pachybox fsck; putting the same content again stores it afresh",
        )

    # -- writing

    def begin(self) -> Upload:
        """A new empty upload."""
        path = self.reserve_name()
        try:
            return Upload(path)
        except OSError:
            self.release(path)
            raise

    def reserve_name(self) -> Path:
        """A free name in tmp/ that the collector leaves alone until ``release``."""
        name = str(next(self._numbers))
        with self.lock:
            self._uploads.add(name)
        return self.tmp / name

    def release(self, path: Path) -> None:
        """The upload at ``path`` failed or was not needed: remove it."""
        remove(path)
        with self.lock:
            self._uploads.discard(path.name)

    def stage(self, h: Hash, path: Path, size: int, sums: Sums[int]) -> bool:
        """Make a whole upload findable; flush() makes it durable. The lock is held.

        False when the content is here already: the caller releases ``path``.
        """
        if self.has(h):
            return False
        self.pending[h] = Pending(path, size, sums)
        return True

    def flush(self) -> None:
        """Make durable and name everything staged before the call. One caller at a time.

        Raises Exhausted or OSError when a sync fails: nothing of it has been named.
        """
        with self.lock:
            work = list(self.pending.items())
        if not work:
            return
        with full_disk_is_exhausted(self.folder):
            new = [(h, item) for h, item in work if item.path.parent == self.tmp]
            self._sync(new)  # the others were named by a flush that failed later
            for h, item in new:
                self._name(h, item)
            shards = {self.path(h).parent for h, _ in work}
            if len(shards) < SYNC_ALL_FROM or not sync_file_system(self.folder):
                for shard in shards:
                    sync_path(shard)
        with self.lock:
            for h, item in work:
                if self.pending.get(h) is item:
                    del self.pending[h]

    def _sync(self, work: list[tuple[Hash, Pending]]) -> None:
        for h, item in work:
            if item.suspect:
                _write_again(h, item)
            item.suspect = True  # until the sync has succeeded
            _unless_gone(os.chmod, item.path, 0o444)
        if len(work) < SYNC_ALL_FROM or not sync_file_system(self.tmp):
            for _, item in work:
                _unless_gone(sync_path, item.path)
        for _, item in work:
            item.suspect = False

    def _name(self, h: Hash, item: Pending) -> None:
        """Rename one synced upload to its place, unless it was given up meanwhile."""
        path = self.path(h)
        if item.size > CHUNK:
            self._write_sums(path, encode_sums(h, item.size, item.sums))
        with self.lock:
            if self.pending.get(h) is not item:
                remove(path.with_name(path.name + SUFFIX))
                return
            # crash: until the shard is synced the name may be lost, and with it only content
            # that no flush has promised.
            item.path.rename(path)
            self._uploads.discard(item.path.name)
            item.path = path
            self.bad.discard(h)
            self._opened.pop(h, None)

    # -- giving up and collecting; the lock is held

    def forget(self, h: Hash) -> None:
        """Do not read from the file that was open: it is moved or replaced."""
        self._opened.pop(h, None)

    def withdraw(self, h: Hash) -> list[Path]:
        """Stop finding an object. Returns files the caller removes after the lock."""
        self._opened.pop(h, None)
        doomed = []
        if (item := self.pending.pop(h, None)) is not None:
            self._uploads.discard(item.path.name)
            if item.path.parent == self.tmp:  # else a flush has named it: it is moved away below
                doomed.append(item.path)
        path = self.path(h)
        for old in (path, path.with_name(path.name + SUFFIX)):
            away = self.tmp / f"{next(self._numbers)}.gone"  # a rename is short, an unlink not
            try:
                old.rename(away)
            except FileNotFoundError:
                continue
            doomed.append(away)
        return doomed

    def names(self) -> Iterator[tuple[Path, list[str]]]:
        """Every shard with the names in it, sums and strangers too."""
        for n in range(256):
            shard = self.folder / f"{n:02x}"
            yield shard, os.listdir(shard)

    def clear_tmp(self) -> int:
        """Remove what no upload under way owns; how many files that were."""
        # race: listed first, since a name is reserved before its file is there
        names = [n for n in os.listdir(self.tmp) if n.isdecimal()]
        with self.lock:
            busy = self._uploads | {p.path.name for p in self.pending.values()}
        return sum(remove(self.tmp / name) for name in names if name not in busy)


def _unless_gone(do: Callable[..., object], path: Path, *args: object) -> None:
    """Do something to an upload that may have been given up meanwhile."""
    try:
        do(path, *args)
    except FileNotFoundError:
        pass


def _write_again(h: Hash, item: Pending) -> None:
    """After a failed sync: make the pages dirty again, and prove that they are all there."""
    _unless_gone(os.chmod, item.path, 0o600)
    try:
        fd = os.open(item.path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        redirty(fd, 0, item.size)
        if hash_file(fd, item.size)[0] != h:
            raise Corrupt(
                f"{item.path}: content that could not be synced is lost",
                "mend the disk, restart the box and put it again",
            )
    finally:
        os.close(fd)
