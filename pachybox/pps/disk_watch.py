"""Keeps datums from using up the room that the box itself needs.

Below the box's reserve the running datum with the largest /pfs/out is stopped and its output
removed, so that whatever else goes on finds room. Whatever else filled the disk is not ours to
stop: then nothing is, and the box refuses to grow.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pachybox.model.units import format_size
from pachybox.pps.trash import remove_tree

log = logging.getLogger("pachybox.disk")

_FASTEST = 4 << 30  # bytes a second that nothing writes faster than
_PAUSE_S = (0.02, 0.25)  # between two looks, by how much room there is
_NOTHING_S = 0.25  # for so long it is believed that there is nothing to stop
_FREED_S = 10.0  # the most that the room of what was stopped is waited for
_SUBSTANTIAL = 8  # an output of this fraction of the reserve may have filled the disk
_RESERVE_MOST = 1 << 30  # the part of a reserve that this is said of


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one running datum. ``stop`` gets its size and kills the datum; False when
    it has ended by itself. What was stopped leaves ``path`` to the watch."""

    path: Path
    stop: Callable[[int], bool]


class Writer(Protocol):
    """Something that runs datums."""

    def outputs(self) -> list[Output]:
        """The outputs of datums under way; called from any thread."""


class DiskWatch:
    """Looks at one file system while datums run there. Callable from any thread."""

    def __init__(self, work: Path, reserve: Callable[[os.statvfs_result], int]) -> None:
        """``reserve``: how many bytes are to stay free on the file system of ``work``."""
        self._work = work
        self._reserve = reserve
        self._writers: set[Writer] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._one = threading.Lock()  # one relief at a time
        self._nothing = 0.0  # until then there is nothing to stop

    @contextmanager
    def watching(self, writer: Writer) -> Iterator[None]:
        """The block is the time in which ``writer`` may have datums under way."""
        with self._changed:
            self._writers.add(writer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="disk-watch", daemon=True)
                self._thread.start()
            elif len(self._writers) == 1:
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._writers.discard(writer)

    def close(self) -> None:
        """End the watch."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def kept(self, where: Path) -> int:
        """How many bytes are to stay free on the file system of ``where``."""
        return self._reserve(os.statvfs(where))

    def fills(self, out: Path) -> int:
        """Whether the output of a datum that has ended, in ``out``, is what filled the disk:
        its bytes, 0 when there is room, was made by stopping another, or it is not at fault."""
        return self._relieve(out) if self._headroom() < 0 else 0

    def relieve(self) -> bool:
        """Make room, when there is not enough, by stopping what filled the disk, and wait for
        it; whether there is enough now."""
        if self._headroom() < 0:
            self._relieve(None)
        return self._headroom() >= 0

    def _headroom(self) -> int:
        """Bytes that may still be written; below zero the reserve is touched."""
        disk = os.statvfs(self._work)
        return disk.f_bavail * disk.f_frsize - self._reserve(disk)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._writers or self._closed)
                if self._closed:
                    return
            pause = _PAUSE_S[1]
            try:
                room = self._headroom()
                if room < 0:
                    self._relieve(None)
                else:
                    pause = min(max(room / _FASTEST, _PAUSE_S[0]), _PAUSE_S[1])
            except Exception:  # it must be there for the next look
                log.exception("cannot look at the disk of %s", self._work)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=pause)

    def _relieve(self, ended: Path | None) -> int:
        """Stop the largest again and again until there is room; the bytes of ``ended`` when that
        is the largest."""
        while self._headroom() < 0:
            with self._one:
                mine = written(ended) if ended is not None else 0
                if not mine and time.monotonic() < self._nothing:
                    return 0
                largest, wrote = self._largest()
                if max(mine, wrote) < self._substantial():
                    self._nothing = time.monotonic() + _NOTHING_S
                    return 0
                if ended is not None and mine >= wrote:
                    self._remove(ended)
                    return mine
                if largest is not None and largest.stop(wrote):
                    log.warning("disk full: stopped a datum that wrote %s", format_size(wrote))
                    self._remove(largest.path)
                    continue
            time.sleep(0.01)  # it has ended by itself: its lane asks what it is to do with it
        return 0

    def _substantial(self) -> int:
        reserve = min(self._reserve(os.statvfs(self._work)), _RESERVE_MOST)
        return max(reserve // _SUBSTANTIAL, 1)

    def _largest(self) -> tuple[Output | None, int]:
        with self._changed:
            writers = list(self._writers)
        found = [(written(o.path), o) for writer in writers for o in writer.outputs()]
        wrote, largest = max(found, key=lambda one: one[0], default=(0, None))
        return largest, wrote

    def _remove(self, out: Path) -> None:
        """Remove what a datum that is being killed has written, until there is room."""
        until = time.monotonic() + _FREED_S
        while True:
            remove_tree(out)
            if self._headroom() >= 0 or time.monotonic() > until:
                return
            time.sleep(0.005)  # its files are freed with its last process


def written(folder: Path) -> int:
    """Bytes of disk that the files below ``folder`` take; what cannot be looked at counts not."""
    total = 0
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    about = entry.stat(follow_symlinks=False)
                    total += about.st_blocks * 512
                    if stat.S_ISDIR(about.st_mode):
                        folders.append(entry.path)
        except OSError:  # it goes away, or is deeper than a path can say
            continue
    return total
