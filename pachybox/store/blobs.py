"""The blob store: content by its BLAKE3 address, durable when flush() says so.

The face of the store: short blobs go to packs (packs.py), long ones are objects (objects.py),
nobody outside needs to know which. pfs writes through a Session, flushes, and only then names
the content in the metadata; so a crash leaves content nobody names, never the reverse.
gc.py frees the first, check.py proves there is none of the second.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from pachybox.durable import sync_path
from pachybox.errors import Corrupt, InvalidArgument, Refused
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.disk import full_disk_is_exhausted, pread_all, remove, write_all
from pachybox.store.index import Place
from pachybox.store.leases import Leases
from pachybox.store.objects import SUFFIX, Objects
from pachybox.store.packs import Packs
from pachybox.store.session import Session
from pachybox.store.transfer import STEP

__all__ = ["BlobStore", "Located", "Session", "Usage"]


@dataclass(frozen=True, slots=True)
class Located:
    """Where a durable blob's bytes lie. ``whole``: the file is the blob and nothing else."""

    path: Path
    offset: int
    length: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store holds. ``dead_bytes``: in packs, not live when last collected."""

    packs: int
    pack_bytes: int
    objects: int
    object_bytes: int
    dead_bytes: int

    @property
    def bytes(self) -> int:
        """All content, in bytes of files."""
        return self.pack_bytes + self.object_bytes


class BlobStore:
    """All blobs of one box. Every method may be called from any thread.

    ``reserve`` is called before the store grows; it raises Exhausted to forbid that.
    """

    def __init__(self, root: Path, lock_fd: int) -> None:
        """Use open()."""
        self.root = root
        self.reserve: Callable[[], None] | None = None
        self.lock = threading.Lock()  # short: tables and leases, never I/O of content
        self.collecting = threading.Lock()  # one collection or repair at a time
        self.leases = Leases()
        self.dead_bytes = 0
        self.shares = True  # whether files of this file system can share their blocks: to be tried
        self.held: dict[Hash, bytes] = {}  # see Session.gathering
        self._lock_fd = lock_fd
        self._changed = threading.Condition(self.lock)
        self._admitted = 0  # counts what may need a flush ...
        self._durable = 0  # ... and how far flushes have come
        self._flushing = False
        self._objects_usage: tuple[int, int] | None = None
        tmp = root / "tmp"
        for folder in (root / "packs", root / "index", root / "objects", tmp, self.quarantine):
            folder.mkdir(exist_ok=True)
        for name in os.listdir(tmp):  # crash: uploads nobody waits for any more
            remove(tmp / name)
        self.objects = Objects(root / "objects", tmp, self.lock)
        aside = [int(n.split(".")[0]) for n in os.listdir(self.quarantine) if n.endswith(".pack")]
        self.packs = Packs(root / "packs", root / "index", self.lock, max(aside, default=0) + 1)

    @classmethod
    def open(cls, root: Path) -> BlobStore:
        """Create or open the store in ``root``, recovering from a crash.

        An older format is upgraded. Raises Refused for a newer format or when another
        process has the store open, Exhausted when the disk has no room even for that.
        """
        with full_disk_is_exhausted(root):
            root.mkdir(parents=True, exist_ok=True)
            lock_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                try:
                    fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Refused(
                        f"the store {root} is in use by another process", "stop that box first"
                    ) from None
                version = fmt.read_version(root)
                store = cls(root, lock_fd)
                if version != fmt.VERSION:
                    fmt.write_version(root)
                    sync_path(root.parent)
                return store
            except BaseException:
                os.close(lock_fd)
                raise

    @property
    def quarantine(self) -> Path:
        """Where repair puts what is corrupt."""
        return self.root / "quarantine"

    def close(self) -> None:
        """Flush and let go of all files. Nothing may be called afterwards."""
        try:
            self.flush()
            self.packs.close()
        finally:
            os.close(self._lock_fd)

    def session(self, *, past_reserve: bool = False) -> Session:
        """A lease to put content under; a context manager.

        ``past_reserve``: puts do not ask ``reserve``, for the little that a deletion writes.
        """
        return Session(self, past_reserve)

    # -- reading

    def get(self, h: Hash) -> bytes:
        """The whole blob, verified.

        Raises Corrupt, naming the file, when it is missing or not what its address says.
        """
        data = self.packs.read(h)
        if data is not None:
            return data
        found = self.objects.open(h)
        if found is None:
            return self._get_again(h)
        data = pread_all(found.file.fd, found.size, 0)
        threads = blake3.AUTO if found.size > STEP else 1
        if blake3(data, max_threads=threads).digest() != h:
            raise self.objects.corrupt(h, found.path)
        return data

    def _get_again(self, h: Hash) -> bytes:
        """A last look before a blob is called missing: it may have moved, or the index lie."""
        if (held := self.held.get(h)) is not None:
            return held
        if not self.packs.index.intact():
            self.packs.rebuild_index()
        data = self.packs.read(h)
        if data is not None:
            return data
        raise Corrupt(
            f"{self.objects.path(h)}: blob {h.hex()} is missing, in the packs too",
            "run pachybox fsck, then restore the store from a backup",
        )

    def read(self, h: Hash, offset: int, length: int) -> bytes:
        """The bytes of a range, verified; fewer where the blob ends. Raises Corrupt as get()."""
        if offset < 0 or length < 0:
            raise InvalidArgument(f"cannot read {length} bytes at {offset}")
        data = self.packs.read(h)
        if data is None:
            found = self.objects.open(h)
            if found is not None:
                return self.objects.read(h, found, offset, min(length, found.size - offset))
            data = self._get_again(h)
        if offset == 0 and length >= len(data):
            return data
        return data[offset : offset + length]

    def size(self, h: Hash) -> int | None:
        """The blob's length in bytes, None when it is not in the store."""
        for _ in range(2):  # race: it may move while it is looked for
            found = self.packs.find(h)
            if found is not None:
                return found.length if isinstance(found, Place) else len(found)
            size = self.objects.size(h)
            if size is not None:
                return size
        return None

    def locate(self, h: Hash) -> Located:
        """Where the blob's bytes are, after making it durable if it is not.

        They stay there while a session holds the blob (Session.hold) or a root names it and
        its pack is not collected. Raises Corrupt when the blob is missing; verifies nothing.
        """
        for _ in range(2):
            found = self.packs.find(h)
            if isinstance(found, bytes) or h in self.objects.pending:
                self.flush()
                found = self.packs.find(h)
            if isinstance(found, Place) and (pack := self.packs.packs.get(found.pack)):
                return Located(pack.path, found.offset, found.length, False)
            if (size := self.objects.size(h)) is not None and h not in self.objects.pending:
                return Located(self.objects.path(h), 0, size, True)
        self._get_again(h)
        return self.locate(h)

    def verify(self, h: Hash) -> None:
        """Prove all bytes of one blob; Corrupt when they are not true or not there."""
        if self.packs.read(h) is None:
            found = self.objects.open(h)
            if found is None:
                self._get_again(h)
            else:
                self.objects.verify(h, found)

    def copy_to(self, h: Hash, fd: int) -> None:
        """Append the blob at the position of ``fd``, inside the kernel where that works.

        Nothing unproven is written: on Corrupt ``fd`` has got a true prefix.
        """
        data = self.packs.read(h)
        if data is None:
            found = self.objects.open(h)
            if found is not None:
                self.objects.copy_to(h, found, fd)
                return
            data = self._get_again(h)
        write_all(fd, data)

    # -- durability

    def flush(self) -> None:
        """Everything put by anyone before the call is durable on return.

        Threads that call it at once share one sync. Raises Exhausted when the disk is full:
        nothing is lost, and a later flush tries again.
        """
        with self._changed:
            wanted = self._admitted
            while self._flushing and self._durable < wanted:
                self._changed.wait()
            if self._durable >= wanted:
                return
            self._flushing = True
            reached = self._admitted
        try:
            self.packs.sync()
            self.objects.flush()
        except BaseException:
            reached = 0
            raise
        finally:
            with self._changed:
                self._durable = max(self._durable, reached)
                self._flushing = False
                self._changed.notify_all()

    def grown(self) -> None:
        """Something was admitted that a later flush must make durable. The lock is held."""
        self._admitted += 1

    def let_go(self) -> None:
        """Count no page of the index to this process that is not looked at again: else it has all
        of them in time, 56 bytes for each blob there is. To be called now and then."""
        for segment in self.packs.index.segments:
            segment.let_go()

    # -- figures

    def usage(self) -> Usage:
        """What the store holds; cheap after the first time."""
        with self.lock:
            packs = [p.end for p in self.packs.packs.values()]
            known = self._objects_usage
        if known is None:
            known = self.count_objects()
            with self.lock:
                self._objects_usage = known
        return Usage(len(packs), sum(packs), known[0], known[1], self.dead_bytes)

    def count_objects(self) -> tuple[int, int]:
        """Number and bytes of the objects, from the disk."""
        n = size = 0
        for shard, _ in self.objects.names():
            with os.scandir(shard) as entries:
                for entry in entries:
                    if not entry.name.endswith(SUFFIX):
                        try:
                            size += entry.stat().st_size
                        except FileNotFoundError:  # collected meanwhile
                            continue
                        n += 1
        with self.lock:
            staged = [p.size for p in self.objects.pending.values()]
        return n + len(staged), size + sum(staged)

    def recount(self) -> None:
        """Let the next usage() count the objects on disk."""
        with self.lock:
            self._objects_usage = None

    def count_object(self, n: int, size: int) -> None:
        """Keep the figures true as objects come and go. The lock is held."""
        if self._objects_usage is not None:
            known = self._objects_usage
            self._objects_usage = (known[0] + n, known[1] + size)
