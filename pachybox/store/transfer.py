"""Large files: hashed, and copied out inside the kernel while another thread verifies.

Used by objects.py; inflow.py has the way in. Verification announces how far it has come on a
Watermark and the copy goes no further, so that no byte leaves unproven.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import xxhash
from blake3 import blake3

from pachybox.errors import Refused
from pachybox.model.ids import Hash
from pachybox.store.disk import pread_all, write_all

CHUNK = 1 << 20  # the unit of sums, and of hashing: stays in the processor's cache
STEP = 4 << 20  # the unit of copying
AHEAD = 80 << 20
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


def hash_file(fd: int, size: int, *, threads: int = 1) -> tuple[Hash, Sums[int]]:
    """The address and the sums of a file of ``size`` bytes. Raises Refused when it has fewer."""
    hashed = blake3(max_threads=threads)
    sums: Sums[int] = array("Q")
    step = CHUNK if threads == 1 else 8 * CHUNK
    buffer = memoryview(bytearray(min(step, size)))
    for start in range(0, size, step):
        data = buffer[: min(step, size - start)]
        if _fill(fd, data, start) < len(data):
            raise Refused("a file became shorter while it was read", "try again")
        hashed.update(data)
        for at in range(0, len(data), CHUNK):
            sums.append(xxhash.xxh3_64_intdigest(data[at : at + CHUNK]))
    return Hash(hashed.digest()), sums


def _fill(fd: int, view: memoryview, offset: int) -> int:
    """Read until ``view`` is full or the file ends."""
    filled = 0
    while filled < len(view):
        n = os.preadv(fd, [view[filled:]], offset + filled)
        if n == 0:
            break
        filled += n
    return filled


class KernelCopy:
    """Copies ranges of one file to one descriptor by the best way that works there."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        regular = stat.S_ISREG(os.fstat(target).st_mode)
        self._ways = (
            [self._range, self._send, self._plain] if regular else [self._send, self._plain]
        )

    def step(self, offset: int, length: int) -> int:
        """Append up to ``length`` bytes at ``offset``: how many, 0 at the end of the source."""
        while True:
            try:
                return self._ways[0](offset, length)
            except OSError as e:
                if e.errno not in _UNSUPPORTED or len(self._ways) == 1:
                    raise
                del self._ways[0]

    def _range(self, offset: int, length: int) -> int:
        return os.copy_file_range(self._source, self._target, length, offset)

    def _send(self, offset: int, length: int) -> int:
        return os.sendfile(self._target, self._source, offset, length)

    def _plain(self, offset: int, length: int) -> int:
        data = pread_all(self._source, min(length, CHUNK), offset)
        write_all(self._target, data)
        return len(data)


class ReadAhead:
    """Has what comes next of a large file read from the disk while the bytes before it are used.

    The kernel's own reading ahead has whoever reads find the memory for it, which takes as long as
    the rest. What is in memory costs next to nothing.
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        """``start``: where nobody has begun to read. Nothing is read behind ``end``."""
        self._fd = fd
        self._at = start
        self._end = end
        self._thread = ThreadPoolExecutor(1, "read-ahead")  # begun when it is needed

    def come(self, position: int) -> None:
        """Whoever reads is at ``position``."""
        to = min(position + AHEAD, self._end)
        if to > self._at:
            self._thread.submit(
                os.posix_fadvise, self._fd, self._at, to - self._at, os.POSIX_FADV_WILLNEED
            )
            self._at = to

    def close(self) -> None:
        """No more is needed; the file may be closed."""
        self._thread.shutdown(cancel_futures=True)


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
                n = copy.step(done, min(STEP, proven - done))
                if n == 0:
                    raise Refused("a stored file became shorter while it was read", "try again")
                done += n
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()
    if failed:
        raise failed[0]
