"""The writer of a log: one at a time, threads beside each other."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from pachybox.durable import sync_path
from pachybox.errors import Exhausted, Refused
from pachybox.spool.frames import Frame, decode, encode, size_at
from pachybox.spool.reader import segment_name, segments

log = logging.getLogger("pachybox.spool")

SEGMENT_BYTES = 16 << 20
_LEAST_SEGMENTS = 8  # that a full log consists of: what is cut is whole ones
_BLOCK = 4 << 20
_PAGE = 4096
_AHEAD = (64 << 10, 1 << 20)  # bytes of zeros that are written ahead: at first, at most
_MADE_WITH_IT = 4  # NAME, PROJECT, ingest, and where that lies


class Log:
    """A log under ``folder``, open for appending. Methods are for any thread.

    ``append`` writes and gives positions; what ``sync`` returned for is durable. After an error of
    the disk nothing is appended (Refused) until the log is opened anew.

    The segment that is written to ends in zeros, so that a write seldom makes it longer: then the
    file system has nothing to note in its journal, and a sync takes a third of the time.
    """

    def __init__(self, folder: Path, limit: int, floor: int = 0) -> None:
        """Open or make the log, of at most about ``limit`` bytes; what a crash left unfinished at
        its end is cut off. Positions will be at least ``floor``. Raises Refused when another
        process has it open, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._limit = limit
        self._segment = min(SEGMENT_BYTES, limit // _LEAST_SEGMENTS)
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._broken = False
        self._fd = -1
        self._lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begins = segments(folder)
            _sync_above(folder)
            self._resume(floor)
        except BlockingIOError:
            os.close(self._lock_fd)
            raise Refused(f"another process writes to {folder}", "end it first") from None
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _resume(self, floor: int) -> None:
        self._end = self._room = 0
        if self._begins:
            base = self._begins[-1]
            self._fd = self._open(base)
            length = whole(self._fd)
            if torn := _written(self._fd, length):
                log.warning("%s: %d bytes of unfinished writing are cut off", self._folder, torn)
            os.ftruncate(self._fd, length)
            os.fsync(self._fd)
            sync_path(self._folder)  # who made the segment may have been killed before that
            self._end, self._room = base + length, length
        if not self._begins or self._end < floor:
            self._end = max(self._end, floor)
            self._roll()
        self._durable = self._end

    @property
    def start(self) -> int:
        """Where what is there begins."""
        return self._begins[0]

    @property
    def end(self) -> int:
        """Where the next frame will begin."""
        return self._end

    @property
    def durable(self) -> int:
        """All below this position is durable."""
        return self._durable

    @property
    def full(self) -> bool:
        """Whether nothing is taken until something is cut away."""
        return self._end - self._begins[0] >= self._limit

    def append(self, frames: Sequence[Frame]) -> list[int]:
        """Write frames; the position after each. Raises Exhausted when the log or the disk is
        full, Refused after an error of the disk: then none of them is there."""
        data = [encode(frame) for frame in frames]
        with self._lock:
            if self._broken:
                raise Refused(f"{self._folder} could not be written", "see the box's log")
            if self.full:
                raise Exhausted(f"{self._folder} holds {self._limit} bytes that wait to be taken")
            if self._end - self._begins[-1] >= self._segment:
                self._next_segment()
            self._write(data)
            ends = []
            for one in data:
                self._end += len(one)
                ends.append(self._end)
            return ends

    def _write(self, data: Sequence[bytes]) -> None:
        offset = self._end - self._begins[-1]
        end = offset + sum(map(len, data))
        zeros = 0
        if end > self._room:
            zeros = min(max(end, _AHEAD[0]), _AHEAD[1])
            zeros += -(end + zeros) % _PAGE
        view = memoryview(b"".join((*data, bytes(zeros))))
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], offset + done)
        except OSError as e:
            self._take_back(offset)
            raise Exhausted(
                f"cannot write to {self._folder}: {e.strerror}", "free some space"
            ) from e
        self._room = max(self._room, end + zeros)

    def _take_back(self, offset: int) -> None:
        try:
            os.ftruncate(self._fd, offset)
            self._room = offset
        except OSError:
            self._broken = True
            log.exception("%s cannot be written", self._folder)

    def _next_segment(self) -> None:
        # What lies in a former segment is durable before a later one has anything, and is all of
        # it: readers take what they cannot read there for damage.
        try:
            with self._sync_lock:
                os.ftruncate(self._fd, self._end - self._begins[-1])
                os.fsync(self._fd)
                self._durable = self._end
                former = self._fd
                self._roll()
                os.close(former)
        except OSError as e:
            self._broken = True
            raise Exhausted(
                f"cannot write to {self._folder}: {e.strerror}", "free some space"
            ) from e

    def _roll(self) -> None:
        self._fd = self._open(self._end, os.O_CREAT)
        self._begins.append(self._end)
        self._room = 0
        sync_path(self._folder)

    def _open(self, base: int, more: int = 0) -> int:
        return os.open(self._folder / segment_name(base), os.O_RDWR | os.O_CLOEXEC | more, 0o600)

    def sync(self, position: int) -> None:
        """Return when all before ``position`` is durable. Threads that wait here share one
        writing. Raises Exhausted when it cannot be: then nobody knows whether it is."""
        if self._durable >= position:
            return
        with self._sync_lock:
            if self._durable >= position:
                return
            end = self._end
            try:
                if self._broken:
                    raise OSError(5, os.strerror(5))
                os.fdatasync(self._fd)
            except OSError as e:
                self._broken = True
                raise Exhausted(
                    f"cannot write to {self._folder}: {e.strerror}", "free some space"
                ) from e
            self._durable = end

    def cut(self, position: int) -> None:
        """Remove the segments that hold nothing from ``position`` on; the last one stays."""
        with self._lock:
            while len(self._begins) > 1 and self._begins[1] <= position:
                (self._folder / segment_name(self._begins[0])).unlink(missing_ok=True)
                del self._begins[0]

    def would_cut(self, position: int) -> bool:
        """Whether ``cut`` would remove something."""
        begins = self._begins
        return len(begins) > 1 and begins[1] <= position

    @property
    def broken(self) -> bool:
        """Whether it must be opened anew to go on."""
        return self._broken

    def close(self) -> None:
        """Give the log up. What was not made durable is as the machine leaves it."""
        with self._lock, self._sync_lock:
            self._broken = True
            for fd in (self._fd, self._lock_fd):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._lock_fd = -1


def _sync_above(folder: Path) -> None:
    """Have a folder's place be durable: it and those that were made for it may be new."""
    for above in folder.parents[:_MADE_WITH_IT]:
        sync_path(above)


def _written(fd: int, offset: int) -> int:
    """How many bytes from ``offset`` to the file's end were written: all but the last zeros."""
    last = offset
    at = offset
    while data := os.pread(fd, _BLOCK, at):
        if some := len(data.rstrip(b"\0")):
            last = at + some
        at += len(data)
    return last - offset


def whole(fd: int) -> int:
    """How many bytes from the beginning of a segment are whole frames."""
    done = 0
    while data := os.pread(fd, _BLOCK, done):
        size = size_at(data, 0)
        if size > len(data):
            data = os.pread(fd, size, done)
        at = 0
        while 0 < (size := size_at(data, at)) <= len(data) - at and decode(data, at, size):
            at += size
        if not at:
            break
        done += at
    return done
