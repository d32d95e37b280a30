"""Reading that stays out of everybody's way: with what the disk has left, and past the page cache.

What is read to be proven is not looked at again, so it must not push out what is; and it must come
from the disk, not from memory that may be truer than the disk.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
from pathlib import Path

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_OF_THREAD, _IDLE = 1, 3 << 13
_BLOCK = 4096  # a multiple of what any disk wants reads to be aligned to
_LIBC = ctypes.CDLL(None, use_errno=True)


def be_idle() -> bool:
    """Have the disk serve this thread when nobody else wants it; False where that is not known.

    Not the processor: a thread that is starved of it may hold Python's lock meanwhile.
    """
    number = _IOPRIO_SET.get(platform.machine())
    return number is not None and _LIBC.syscall(number, _OF_THREAD, 0, _IDLE) == 0


class Plain:
    """One file, read past the page cache where that works; a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when it cannot be opened."""
        self._path = path
        self._buffer = memoryview(mmap.mmap(-1, 1 << 20))
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, length: int) -> memoryview:
        """The bytes there, fewer at the end of the file; good until the next call."""
        start = offset - offset % _BLOCK
        whole = -(-(offset + length - start) // _BLOCK) * _BLOCK
        if len(self._buffer) < whole:
            self._buffer = memoryview(mmap.mmap(-1, whole))
        filled = 0
        while filled < whole:
            n = self._some(self._buffer[filled:whole], start + filled)
            filled += n
            if not n or n % _BLOCK:  # the end of the file
                break
        return self._buffer[offset - start : min(filled, offset - start + length)]

    def _some(self, view: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._fd, [view], offset)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            os.close(self._fd)  # its blocks are larger, or it has no such reads after all
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return os.preadv(self._fd, [view], offset)


def drop_cached(path: Path) -> None:
    """Have the next reader of a file get what is on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
