"""A session: how content enters the store, and a lease on it until somebody names it.

blobs.py hands sessions out; packs.py and objects.py take the content; leases.py remembers what
the collector must leave alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from blake3 import blake3

from pachybox.errors import InvalidArgument, Refused
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.disk import full_disk_is_exhausted, pread_all, remove, share_blocks, write_back
from pachybox.store.format import PACK_LIMIT, digest
from pachybox.store.inflow import Inflow, Update
from pachybox.store.objects import Upload
from pachybox.store.transfer import Sums, hash_file

_GATHERED = 256 << 10  # bytes held back by gathering()

if TYPE_CHECKING:
    from pachybox.store.blobs import BlobStore


class Session:
    """Content on its way in: all it put or found is kept from the collector until it ends.

    Leaving the ``with`` block by an exception removes the large objects that nobody else has
    found; call keep() before that once something durable names them.
    """

    def __init__(self, store: BlobStore, past_reserve: bool) -> None:
        """Use BlobStore.session()."""
        self._store = store
        self._past_reserve = past_reserve
        with store.lock:
            self._lease = store.leases.begin()

    def pass_reserve(self) -> None:
        """What is put from now on is the little that a deletion writes, so that it is done also
        on a full disk."""
        self._past_reserve = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(undo=kind is not None)

    def end(self, *, undo: bool = False) -> None:
        """End the lease; ``undo`` removes the large objects that nobody else has found."""
        store = self._store
        doomed: list[Path] = []
        with store.lock:
            for h in store.leases.end(self._lease):
                if undo:
                    size = store.objects.size(h)
                    doomed += store.objects.withdraw(h)
                    store.count_object(-1, -(size or 0))
        for path in doomed:
            remove(path)

    def keep(self) -> None:
        """What was put so far stays even if the session is left by an exception."""
        if not self._store.leases.any_fresh:
            return  # perf: small content needs no lock
        with self._store.lock:
            self._store.leases.keep(self._lease)

    def hold(self, hashes: Iterable[Hash]) -> list[Hash]:
        """Protect blobs that are in the store as if they had been put; returns the missing."""
        hashes = list(hashes)
        store = self._store
        missing = []
        with store.lock:
            store.leases.touch(self._lease, hashes)
            for h in hashes:
                if store.packs.find(h) is None and not store.objects.there(h):
                    missing.append(h)
                else:
                    store.leases.shared(self._lease, h)
        return missing

    def put(self, data: bytes | memoryview) -> Hash:
        """Store ``data`` unless it is there; returns its address. Not durable until flush().

        Raises Exhausted when the disk is full or the reserve would be touched.
        """
        if len(data) > PACK_LIMIT:
            return self._put_long(memoryview(data))
        blob = data if type(data) is bytes else bytes(data)
        h = digest(blob)
        self._admit((h,), (blob,))
        return h

    def put_many(self, blobs: Sequence[bytes | memoryview]) -> list[Hash]:
        """put() for many at the price of few."""
        hashes: list[Hash] = []
        names: list[Hash] = []
        short: list[bytes] = []
        size = 0
        for data in blobs:
            if len(data) > PACK_LIMIT:
                hashes.append(self._put_long(memoryview(data)))
                continue
            blob = data if type(data) is bytes else bytes(data)
            h = digest(blob)
            hashes.append(h)
            names.append(h)
            short.append(blob)
            size += len(blob)
            if size >= fmt.FRAME_BYTES or len(short) >= fmt.FRAME_RECORDS:
                self._admit(names, short)
                names, short, size = [], [], 0
        if short:
            self._admit(names, short)
        return hashes

    @contextmanager
    def gathering(self) -> Iterator[Callable[[bytes], Hash]]:
        """A ``put`` for the many small blobs of one change: they are admitted together, at the
        latest when the block ends. Only BlobStore.get finds them before."""
        names: list[Hash] = []
        blobs: list[bytes] = []
        held = self._store.held
        size = 0

        def put(data: bytes) -> Hash:
            nonlocal size
            if len(data) > PACK_LIMIT:
                return self.put(data)
            h = digest(data)
            names.append(h)
            blobs.append(data)
            held[h] = data
            size += len(data)
            if size >= _GATHERED:
                flush()
            return h

        def flush() -> None:
            nonlocal size
            if not names:
                return
            try:
                self._admit(names, blobs)
            finally:  # what a full disk refused is not there
                for h in names:
                    held.pop(h, None)
                names.clear()
                blobs.clear()
                size = 0

        try:
            yield put
        finally:
            flush()

    def _admit(self, hashes: Sequence[Hash], blobs: Sequence[bytes]) -> None:
        store, packs = self._store, self._store.packs
        if packs.empty:  # once a frame is often enough
            self._ask_reserve()
        with store.lock:
            store.leases.touch(self._lease, hashes)
            if packs.admit(hashes, blobs):
                store.grown()
        if packs.full:
            packs.spill()

    def _ask_reserve(self) -> None:
        if self._store.reserve is not None and not self._past_reserve:
            self._store.reserve()

    def _put_long(self, data: memoryview) -> Hash:
        h = Hash(blake3(data, max_threads=blake3.AUTO).digest())
        if self._found(h):
            return h
        with self.inflow() as flow:
            flow.write(data)
            if self.settle(flow)[0] != h:  # it is stored, by the name of what it was then
                raise Refused("the content changed while it was put", "put it again")
        return h

    def put_fd(self, fd: int) -> tuple[Hash, int]:
        """Store a regular file from its start; returns address and size.

        Large content shares the file's blocks where the file system can do that. The position of
        ``fd`` is of no matter. Raises InvalidArgument for what is no regular file, Refused when it
        changes while it is read.
        """
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise InvalidArgument("not a regular file", "send its content as a stream")
        if before.st_size <= PACK_LIMIT:
            data = pread_all(fd, PACK_LIMIT + 1, 0)
            _unchanged(fd, before, len(data))
            return self.put(data), len(data)
        if (found := self._share(fd)) is not None:
            return found
        with self.inflow() as flow:
            while flow.size <= before.st_size:
                count = os.preadv(fd, [flow.room()], flow.size)
                if not count:
                    break
                flow.came(count)
            _unchanged(fd, before, flow.size)
            return self.settle(flow)

    def _share(self, fd: int) -> tuple[Hash, int] | None:
        """A large file by its blocks; None where the file system does not share them."""
        store = self._store
        if not store.shares or os.fstat(fd).st_dev != store.root.stat().st_dev:
            return None
        with self.upload() as upload:
            store.shares = share_blocks(fd, upload.fd)
            if store.shares:
                size = os.fstat(upload.fd).st_size
                h, sums = hash_file(upload.fd, size, threads=blake3.AUTO)
                self.stage(h, upload.path, size, sums)
                return h, size
        store.objects.release(upload.path)
        return None

    def put_stream(self, readinto: Callable[[memoryview], int]) -> tuple[Hash, int]:
        """Store what ``readinto`` delivers until it returns 0; returns address and size.

        Memory is bounded whatever the length. An error of ``readinto`` leaves nothing behind.
        """
        with self.inflow() as flow:
            while count := readinto(flow.room()):
                flow.came(count)
            return self.settle(flow)

    def put_pieces(self, pieces: Iterable[memoryview]) -> tuple[Hash, int]:
        """Store ``pieces`` one after another as one blob; returns address and size.

        None is asked for before the one in front of it was taken. An error of the iterable leaves
        nothing behind.
        """
        rest = iter(pieces)
        first = next(rest, b"")
        second = next(rest, None) if len(first) <= PACK_LIMIT else None
        if second is None and len(first) <= PACK_LIMIT:
            return self.put(first), len(first)
        with self.inflow() as flow:
            flow.write(first)
            del first  # large ones are let go of before the next comes
            if second is not None:
                flow.write(second)
                del second
            for piece in rest:
                flow.write(piece)
                del piece
            return self.settle(flow)

    def adopt(self, path: Path) -> tuple[Hash, int]:
        """Take over a finished file, which is gone from ``path`` on return.

        Large files of the store's own file system are renamed in and become read-only; others
        are copied, as are those somebody else can still write to: by another name (a hard
        link) or because it is open for writing. The caller promises that no such thing begins
        meanwhile. Raises InvalidArgument for what is no regular file.
        """
        before = path.lstat()
        if not stat.S_ISREG(before.st_mode):
            raise InvalidArgument(f"{path} is not a regular file", "adopt plain files only")
        large = before.st_size > PACK_LIMIT
        if large and before.st_uid != os.geteuid() and os.geteuid() == 0:
            os.chown(path, 0, 0, follow_symlinks=False)
        mine = before.st_uid == os.geteuid() or os.geteuid() == 0
        if mine and not before.st_mode & stat.S_IRUSR:
            path.chmod(0o600)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            elsewhere = before.st_dev != self._store.root.stat().st_dev
            if not large or not mine or elsewhere or before.st_nlink > 1:
                result = self.put_fd(fd)
                remove(path)
                return result
            path.chmod(0o444)
            if not _nobody_writes(fd):
                result = self.put_fd(fd)
                remove(path)
                return result
            return self._adopt_large(path, fd, before.st_size)
        finally:
            os.close(fd)

    def _adopt_large(self, path: Path, fd: int, size: int) -> tuple[Hash, int]:
        self._ask_reserve()
        write_back(fd, 0, size)
        h, sums = hash_file(fd, size, threads=blake3.AUTO)
        if self._found(h):
            remove(path)
            return h, size
        place = self._store.objects.reserve_name()
        try:
            path.rename(place)
            self.stage(h, place, size, sums)
        except BaseException:
            self._store.objects.release(place)
            raise
        return h, size

    def inflow(self, digests: Sequence[Sequence[Update]] = ()) -> Inflow:
        """For content of any size; ``settle`` when all has come. ``digests``: see Inflow."""
        return Inflow(self._begin, self._store.objects.release, digests)

    def settle(self, flow: Inflow) -> tuple[Hash, int]:
        """Store what came by an inflow; returns address and size."""
        if flow.size <= PACK_LIMIT:
            return self.put(flow.held()), flow.size
        h, sums, path = flow.finish()
        self.stage(h, path, flow.size, sums)
        flow.close()
        return h, flow.size

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """A new upload, to be staged; removed when the block is left by an exception."""
        upload = self._begin()
        try:
            with full_disk_is_exhausted(self._store.root):
                yield upload
        except BaseException:
            self._store.objects.release(upload.path)
            raise
        finally:
            upload.close()

    def _begin(self) -> Upload:
        self._ask_reserve()
        with full_disk_is_exhausted(self._store.root):
            return self._store.objects.begin()

    def _found(self, h: Hash) -> bool:
        """Whether the object is in the store already; it is protected then."""
        store = self._store
        with store.lock:
            if not store.objects.has(h):
                return False
            store.leases.touch(self._lease, (h,))
            store.leases.shared(self._lease, h)
            return True

    def stage(self, h: Hash, path: Path, size: int, sums: Sums[int]) -> None:
        """Have a whole upload be the object ``h``; not durable until a flush."""
        store = self._store
        with store.lock:
            store.leases.touch(self._lease, (h,))
            if new := store.objects.stage(h, path, size, sums):
                store.leases.made(self._lease, h)
                store.count_object(1, size)
                store.grown()
            else:
                store.leases.shared(self._lease, h)
        if not new:
            store.objects.release(path)


def _unchanged(fd: int, before: os.stat_result, size: int) -> None:
    """Raise Refused unless ``size`` bytes were read of a file that is still as it was before."""
    after = os.fstat(fd)
    same = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not same or size != before.st_size:
        raise Refused("the file changed while it was read", "put it again when nobody writes it")


def _nobody_writes(fd: int) -> bool:
    """Whether no process has the file of ``fd`` open for writing, or mapped so.

    The kernel grants a read lease on no other file. Where a file system knows no leases, the
    caller's promise must do.
    """
    try:
        # whoever opens it this instant makes the kernel send the signal; the usual one kills
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        return e.errno != errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
