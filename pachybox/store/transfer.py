"""Moving large content: copies inside the kernel while another thread hashes or verifies.

Used by objects.py. One side announces how far it has come on a Watermark and the other goes
no further: on the way in the hash follows the copy and reads what was really stored, on the
way out the copy follows the verification, so that no byte leaves unproven.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence

import xxhash
from blake3 import blake3

from pachybox.errors import Refused
from pachybox.model.ids import Hash
from pachybox.store.disk import pread_all, pwrite_all, write_all, write_back

CHUNK = 1 << 20  # the unit of sums, and of hashing: stays in the processor's cache
STEP = 4 << 20  # the unit of copying
THREAD_FROM = 8 << 20  # below, a thread costs more than it saves
_UNSUPPORTED = (
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EBADF,
    errno.EPERM,
    errno.ETXTBSY,
)

Sums = array  # of type "Q": xxh3_64 of each CHUNK


class Watermark:
    """How far one thread has come, for another that waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at = 0
        self._done = False

    def rise(self, to: int) -> None:
        """Announce progress."""
        with self._changed:
            self._at = to
            self._changed.notify()

    def finish(self) -> None:
        """Announce that there will be no more, whether well or by an error."""
        with self._changed:
            self._done = True
            self._changed.notify()

    def past(self, position: int) -> int:
        """Wait until the mark is above ``position`` or final; where it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._at > position or self._done)
            return self._at


class Trailing(ABC):
    """Reads a file that is being written, behind its writer.

    follow() as it grows; then the subclass's last word. A file that becomes large is read by a
    thread of its own. stop() must be called in the end, after an error too.
    """

    def __init__(self, fd: int, step: int, name: str) -> None:
        """``step``: bytes taken at once, whole CHUNKs. ``name``: the thread's."""
        self._fd = fd
        self._step = step
        self._name = name
        self._buffer = memoryview(b"")  # made once it is known how much is worth having
        self._at = 0
        self._mark = Watermark()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @abstractmethod
    def _take(self, data: memoryview) -> None:
        """The next bytes: whole CHUNKs, but for the last."""

    def follow(self, written: int) -> None:
        """The file now has ``written`` bytes."""
        if self._thread is None and written >= THREAD_FROM:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._mark.rise(written)

    def stop(self) -> None:
        """End the thread, when there is one."""
        self._mark.finish()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _catch_up(self, size: int) -> None:
        """Take the rest of the whole file of ``size`` bytes. Raises what the thread met."""
        self._mark.rise(size)
        self.stop()
        if self._error is not None:
            raise self._error
        self._advance(size, final=True)

    def _run(self) -> None:
        try:
            while (mark := self._mark.past(self._at + CHUNK - 1)) >= self._at + CHUNK:
                self._advance(mark, final=False)
        except BaseException as e:  # raised again by _catch_up(), in the thread that asks
            self._error = e

    def _advance(self, to: int, *, final: bool) -> None:
        if len(self._buffer) < min(self._step, to - self._at):
            self._buffer = memoryview(bytearray(min(self._step, to - self._at)))
        buffer = self._buffer
        while to - self._at >= CHUNK or (final and self._at < to):
            wanted = min(len(buffer), to - self._at)
            if wanted > CHUNK:
                wanted -= wanted % CHUNK
            n = _fill(self._fd, buffer[:wanted], self._at)
            if n < wanted:
                raise Refused("a file became shorter while it was read", "try again")
            self._take(buffer[:n])
            self._at += n


class Hasher(Trailing):
    """Address and sums of a file that is being written, read back from the file: ``result``."""

    def __init__(self, fd: int, *, threads: int = 1) -> None:
        super().__init__(fd, CHUNK if threads == 1 else 8 * CHUNK, "hash")
        self._hash = blake3(max_threads=threads)
        self._sums: Sums[int] = array("Q")

    def result(self, size: int) -> tuple[Hash, Sums[int]]:
        """The address and the sums of the whole file of ``size`` bytes."""
        self._catch_up(size)
        return Hash(self._hash.digest()), self._sums

    def _take(self, data: memoryview) -> None:
        self._hash.update(data)
        for at in range(0, len(data), CHUNK):
            self._sums.append(xxhash.xxh3_64_intdigest(data[at : at + CHUNK]))


class Follower(Trailing):
    """Feeds a file that is being written to digests, read back from the file: ``finish``."""

    def __init__(self, fd: int, updates: Sequence[Callable[[memoryview], object]]) -> None:
        super().__init__(fd, CHUNK, "digest")
        self._updates = updates

    def finish(self, size: int) -> None:
        """All digests have the whole file of ``size`` bytes on return."""
        self._catch_up(size)

    def _take(self, data: memoryview) -> None:
        for update in self._updates:
            update(data)


def _fill(fd: int, view: memoryview, offset: int) -> int:
    """Read until ``view`` is full or the file ends."""
    filled = 0
    while filled < len(view):
        n = os.preadv(fd, [view[filled:]], offset + filled)
        if n == 0:
            break
        filled += n
    return filled


def copy_in(source: int, target: int, follow: Callable[[int], None]) -> int:
    """Copy a regular file into the empty file ``target``; returns its size.

    Holes stay holes. Writing to disk is begun early. Raises Refused when the source changes
    meanwhile.
    """
    before = os.fstat(source)
    copy = KernelCopy(source, target)
    if before.st_blocks * 512 < before.st_size:
        os.ftruncate(target, before.st_size)
        extents = _data_of(source, before.st_size)
    else:
        extents = [(0, before.st_size)]
    for start, end in extents:
        while start < end:
            n = copy.step(start, min(STEP, end - start), start)
            if n == 0:
                break
            write_back(target, start, n)
            start += n
            follow(start)
    after = os.fstat(source)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or (
        os.fstat(target).st_size != before.st_size
    ):
        raise Refused("the file changed while it was read", "put it again when nobody writes it")
    return before.st_size


def _data_of(fd: int, size: int) -> list[tuple[int, int]]:
    """The extents of a file that are not holes."""
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # only a hole is left
                break
            return [(0, size)]
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        found.append((start, at))
    return found


class KernelCopy:
    """Copies ranges of one file to one descriptor by the best way that works there."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        regular = stat.S_ISREG(os.fstat(target).st_mode)
        self._ways = (
            [self._range, self._send, self._plain] if regular else [self._send, self._plain]
        )

    def step(self, offset: int, length: int, to: int | None) -> int:
        """Copy up to ``length`` bytes at ``offset``, to position ``to`` or the descriptor's own.

        Returns the bytes copied, 0 at the end of the source.
        """
        while True:
            try:
                return self._ways[0](offset, length, to)
            except OSError as e:
                if e.errno not in _UNSUPPORTED or len(self._ways) == 1:
                    raise
                del self._ways[0]

    def _range(self, offset: int, length: int, to: int | None) -> int:
        return os.copy_file_range(self._source, self._target, length, offset, to)

    def _send(self, offset: int, length: int, to: int | None) -> int:
        if to is not None:
            os.lseek(self._target, to, os.SEEK_SET)
        return os.sendfile(self._target, self._source, offset, length)

    def _plain(self, offset: int, length: int, to: int | None) -> int:
        data = pread_all(self._source, min(length, CHUNK), offset)
        if to is None:
            write_all(self._target, data)
        else:
            pwrite_all(self._target, data, to)
        return len(data)


def copy_out(source: int, size: int, target: int, verify: Callable[[int], None]) -> None:
    """Append a file to ``target``; ``verify(offset)`` raises unless the chunk there is true.

    No byte is copied before its chunk was verified, by a thread of its own when there are
    many. On an error the target has got a true prefix.
    """
    mark = Watermark()
    failed: list[BaseException] = []
    stop = threading.Event()

    def run() -> None:
        try:
            for at in range(0, size, CHUNK):
                if stop.is_set():
                    return
                verify(at)
                mark.rise(min(at + CHUNK, size))
        except BaseException as e:  # raised again below, in the caller's thread
            failed.append(e)
        finally:
            mark.finish()

    thread = threading.Thread(target=run, name="verify", daemon=True)
    if size >= THREAD_FROM:
        thread.start()
    else:
        run()
    copy, done = KernelCopy(source, target), 0
    try:
        while done < size and (proven := mark.past(done)) > done:
            while done < proven:
                n = copy.step(done, min(STEP, proven - done), None)
                if n == 0:
                    raise Refused("a stored file became shorter while it was read", "try again")
                done += n
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()
    if failed:
        raise failed[0]
