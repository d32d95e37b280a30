"""What the store asks of the operating system: whole writes, syncs, atomic small files.

Lowest module of the store. A full disk becomes Exhausted here and nowhere else, so every
write of the store goes through this file.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pachybox.errors import Exhausted

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room."""

READ_ONLY = "mount it writable again; pachybox doctor says more"
"""The remedy for a file system that takes no writes."""
_SYNC_FILE_RANGE_WRITE = 2
_FICLONE = 0x40049409
_libc = ctypes.CDLL(None, use_errno=True)
_sync_file_range = getattr(_libc, "sync_file_range", None)
_syncfs = getattr(_libc, "syncfs", None)


@contextmanager
def full_disk_is_exhausted(where: Path) -> Iterator[None]:
    """Turn "no space", "over quota", "file too large" and "read-only" into Exhausted naming
    ``where``."""
    try:
        yield
    except OSError as e:
        if e.errno == errno.EROFS:
            raise Exhausted(f"the file system of {where} is read-only", READ_ONLY) from e
        if e.errno not in FULL:
            raise
        raise Exhausted(
            f"cannot write under {where}: {os.strerror(e.errno or 0)}",
            "free space on that file system or delete repos and collect garbage, then try again",
        ) from e


def pwrite_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; OSError leaves an unknown part of it written."""
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, offset)
        view, offset = view[n:], offset + n


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` at the descriptor's position."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def pread_all(fd: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes at ``offset``; fewer only where the file ends."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]  # a signal or a 2 GiB limit cut the first read short
    while data and (length := length - len(data)) > 0:
        offset += len(data)
        data = os.pread(fd, length, offset)
        parts.append(data)
    return b"".join(parts)


def write_back(fd: int, offset: int, length: int) -> None:
    """Start writing a range to disk without waiting, so that the later sync is short.

    Only a hint: where the system has no such call nothing happens.
    """
    if _sync_file_range is not None:
        _sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


class Writer:
    """Writes a new file from its start, zeros as holes; with ``direct``, where that works, past
    the page cache.

    Memory for the cache is most of what a write costs the processor. Pieces are given at the
    beginning of a memory page; whole BLOCKs but the last.
    """

    BLOCK = 4096
    _HOLE = 256 << 10  # the least; large enough that looking for them costs nothing
    _ZEROS = memoryview(bytes(_HOLE)).cast("Q")

    def __init__(self, fd: int, path: Path, *, direct: bool) -> None:
        self._fd = fd
        self._path = path
        self._at = 0
        self._direct = direct and self._set_direct(True)

    def write(self, data: memoryview) -> None:
        """Write the next bytes. Raises Exhausted when the disk is full."""
        begin = 0  # of what is to be written
        for start in range(0, len(data), self._HOLE):
            part = data[start : start + self._HOLE]
            if len(part) == self._HOLE and part.cast("Q") == self._ZEROS:
                self._put(data[begin:start], self._at + begin)
                begin = start + self._HOLE
        self._put(data[begin:], self._at + begin)
        self._at += len(data)

    def finish(self) -> None:
        """All was written: the file ends there."""
        os.ftruncate(self._fd, self._at)

    def _put(self, data: memoryview, at: int) -> None:
        if not data:
            return
        if self._direct and len(data) % self.BLOCK:
            self._direct = self._set_direct(False)
        with full_disk_is_exhausted(self._path.parent):
            try:
                pwrite_all(self._fd, data, at)
            except OSError as e:
                if not self._direct or e.errno != errno.EINVAL:
                    raise
                self._direct = self._set_direct(False)  # its blocks are larger
                pwrite_all(self._fd, data, at)
        if not self._direct:
            write_back(self._fd, at, len(data))

    def _set_direct(self, on: bool) -> bool:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        try:
            fcntl.fcntl(
                self._fd, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT
            )
        except OSError:  # a file system that has no such thing
            return False
        return on


def share_blocks(source: int, target: int) -> bool:
    """Have an empty file be a copy of another that shares its blocks; False where the file system
    does not do that."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def redirty(fd: int, start: int, end: int) -> None:
    """Write a range of a file over itself.

    A failed sync leaves pages that are clean in memory and absent on disk, and the next
    sync would report success; rewriting them makes it try again.
    """
    step = 1 << 20
    for offset in range(start, end, step):
        pwrite_all(fd, pread_all(fd, min(step, end - offset), offset), offset)


def sync_file_system(path: Path) -> bool:
    """Sync the whole file system ``path`` is on; False when the system has no such call."""
    if _syncfs is None:
        return False
    fd = os.open(path, os.O_RDONLY)
    try:
        if _syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)
    return True


def remove(path: Path | str) -> bool:
    """Unlink when there; whether it was."""
    try:
        os.unlink(path)  # noqa: PTH108 - half the cost of Path.unlink on thousands of files
    except FileNotFoundError:
        return False
    return True
