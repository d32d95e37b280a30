"""The reader of a spout's pipe: each archive of tar that was written whole becomes one commit.

An archive is spooled to the source's directory first, as ``archive-N`` for batch N, and committed
from there; while that goes on nothing is read, so a writer that is faster waits. A life of the
reader goes with one of the program: it takes the pipe away from whoever would come after it, since
that one would begin in the middle of an archive.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pachybox.errors import Exhausted, InvalidArgument, NotFound, PachyboxError, Refused
from pachybox.model.units import format_size
from spouts.desk import Desk, Stopping
from spouts.spout.batch import Batch
from spouts.spout.tar_stream import Splitter

_CHUNK = 1 << 20
_LOOK = 4 << 20  # bytes spooled between two looks at the disk
_DRAIN_S = 8.0  # to the end of the stream, once told to stop; then whoever writes is cut off
_REFUSED_S = 30.0  # for the program of a version that was replaced to be ended
_PART = "archive.part"


def run(desk: Desk) -> None:
    """Read the pipe until told to stop. Raises what the box refuses, InvalidArgument for what is
    no tar, OSError when the disk is full; the program is then to be started anew."""
    spool = Spool(desk)
    spool.take_up()
    Reader(desk, spool).run()


class Spool:
    """The archives that came whole and are not committed yet, and the one that is coming."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._state = desk.task.state
        self._keep_free = int(desk.task.spec.get("keep_free", 0))
        self._waiting: list[int] = []
        self._coming: BinaryIO | None = None
        self._unlooked = 0  # bytes that were written since the disk was looked at

    def take_up(self) -> None:
        """Commit what an earlier life left whole; drop what it left torn, or had committed."""
        (self._state / _PART).unlink(missing_ok=True)
        left = sorted(int(p.name.partition("-")[2]) for p in self._state.glob("archive-*"))
        for number in left:
            if number <= self._desk.batch:
                self._path(number).unlink()
            else:
                self._waiting.append(number)
        self.commit()

    def _path(self, number: int) -> Path:
        return self._state / f"archive-{number}"

    def write(self, piece: bytes | memoryview, *, ends: bool) -> None:
        """More of the archive that is coming. ``ends``: from now on it will be committed, come
        what may. Raises Exhausted, the archive being dropped, where the disk would become so full
        that the box writes nothing: its program may go on for long after it was told to end."""
        self._unlooked += len(piece)
        if self._unlooked >= _LOOK:
            self._look()
        if self._coming is None:
            self._coming = open(self._state / _PART, "wb")  # noqa: SIM115 (till it ends)
        self._coming.write(piece)
        if not ends:
            return
        self._coming.flush()
        os.fsync(self._coming.fileno())
        self._coming.close()
        self._coming = None
        number = (self._waiting[-1] if self._waiting else self._desk.batch) + 1
        (self._state / _PART).rename(self._path(number))
        self._waiting.append(number)

    def _look(self) -> None:
        self._unlooked = 0
        disk = os.statvfs(self._state)
        if disk.f_bavail * disk.f_frsize >= self._keep_free:
            return
        come = self._coming.tell() if self._coming is not None else 0
        self.drop()
        full = Exhausted(
            f"the disk is nearly full, and {format_size(come)} of an archive have come, which has "
            "to be on it whole",
            "free some space, or write smaller archives",
        )
        self._desk.failed(str(full))  # also where nobody asks why it ends: sources are held
        raise full

    def drop(self) -> None:
        """The archive that was coming is torn."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None
        (self._state / _PART).unlink(missing_ok=True)

    def commit(self) -> None:
        """Commit what waits, in order. Raises Stopping, and what the box refuses; what is not
        committed then is by the next life."""
        while self._waiting:
            self._desk.report(pending=len(self._waiting))
            number = self._waiting[0]
            if number != self._desk.batch + 1:
                raise Refused(
                    f"archive {number} follows batch {self._desk.batch}",
                    f"remove {self._path(number)}: one before it was lost",
                )
            Batch(self._desk, self._path(number)).commit()
            self._path(number).unlink()
            self._waiting.pop(0)
        self._desk.report(pending=0, lag_s=0.0)


class Reader:
    """Reads the pipe of one life of the program."""

    def __init__(self, desk: Desk, spool: Spool) -> None:
        self._desk = desk
        self._spool = spool
        self._splitter = Splitter()
        # For reading alone, so that the end of all writers is seen; kept open, so that a writer
        # never waits to open it, nor loses what it wrote by closing it before it was read.
        try:
            self._pipe = os.open(desk.task.fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(
                "another reader had the pipe, and ended", "the program is started anew"
            ) from None
        Path(desk.task.fifo).unlink()
        self._poll = select.epoll()
        # By edges: a pipe that nobody has open for writing would be ready all the time.
        self._poll.register(self._pipe, select.EPOLLIN | select.EPOLLET)
        woken, self._wake = os.pipe()
        self._poll.register(woken, select.EPOLLIN)
        threading.Thread(target=self._await_stop, name="stop", daemon=True).start()

    def _await_stop(self) -> None:
        self._desk.stop.wait()
        os.write(self._wake, b"x")

    def run(self) -> None:
        """Until told to stop; then what was written whole is spooled, and committed if it can."""
        self._desk.report(pending=0)
        try:
            while not self._desk.stop.is_set():
                self._poll.poll()
                self._take()
        except Stopping:
            pass
        except InvalidArgument:  # no tar
            self._spool.commit()
            raise
        except Refused as e:
            self._await_end(e)
        self._drain()
        raise Stopping

    def _take(self) -> None:
        """What is in the pipe, until it is empty."""
        for _ in self._read():
            self._spool.commit()
            if self._desk.stop.is_set():
                return

    def _read(self) -> Iterator[bool]:
        """Spool what can be read now. One turn for each piece; False: that was the end of the
        last writer."""
        while True:
            try:
                data = os.read(self._pipe, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._ended()
                yield False
                return
            for piece, ends in self._splitter.feed(data):
                self._spool.write(piece, ends=ends)
            yield True

    def _ended(self) -> None:
        """Nobody writes any more."""
        if self._splitter.torn:
            self._desk.failed("an archive lacks its end, and is dropped: its writer has ended")
        self._splitter = Splitter()
        self._spool.drop()

    def _await_end(self, why: PachyboxError) -> None:
        """The pipeline was updated or is gone, and its program is being ended."""
        if not self._desk.stop.wait(_REFUSED_S):
            raise why

    def _drain(self) -> None:
        """Spool what comes until all writers have ended, and commit it if that can be."""
        until = time.monotonic() + _DRAIN_S
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while all(list(self._read())):  # what is there, and not the end
            left = until - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                self._ended()  # cut off
                break
        try:
            self._spool.commit()
        except InvalidArgument:
            raise
        except (Refused, NotFound) as e:
            self._desk.log(f"left for the next version: {e}")
