"""Reading ahead: many files that rest are uploaded shortly before they are whole.

Once they are whole it only has to be seen that none has changed since it was read, which its ctime
tells. What was read ahead is committed as it is, or not at all: one that has changed has all be
read again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import chain

from pachybox.client.upload import Put
from pachybox.errors import InvalidArgument
from spouts.desk import Desk, PachyboxError
from spouts.watch.folders import Files
from spouts.watch.names import Names
from spouts.watch.waiting import Mark, Waiting, mark

_LEAST = 500  # files; fewer are read in no time
_MOST_BYTES = 64 << 20  # read for nothing at most, when one changes
_LEAD_S = 1.0  # so long before they are whole, or half the settle time if that is less
_KEPT_S = 300.0  # the box keeps what was uploaded for twice as long


class Ahead:
    """What of the folder ``root`` was read ahead for the next commit."""

    def __init__(self, desk: Desk, names: Names, root: str, settle: float) -> None:
        self._desk = desk
        self._names = names
        self._root = root
        self._lead_s = min(_LEAD_S, settle / 2)
        self._tried = 0
        self._files: dict[str, Mark] = {}
        self._fileset = ""
        self._read_at = 0.0

    def due(self, waiting: Waiting) -> float | None:
        """When it is time to read what waits; None when it is not worth it, or was done and not
        twice as much waits by now."""
        if not waiting.resting or len(waiting) < max(_LEAST, 2 * self._tried):
            return None
        return waiting.ripe_by - self._lead_s

    def read(self, waiting: Waiting) -> None:
        """Upload what waits, if it is not too much. What does not work is left to the commit."""
        self.take({})
        self._tried = len(waiting)
        files = {
            name: seen
            for name, (seen, _) in chain(waiting.whole.items(), waiting.resting.items())
            if seen is not None
        }
        if sum(seen[0] for seen in files.values()) > _MOST_BYTES:
            return
        try:
            fileset = self._desk.upload(lambda put: self._fill(put, files))
        except PachyboxError:
            return
        if files:
            self._fileset, self._files, self._read_at = fileset, files, time.monotonic()

    def take(self, files: dict[str, Mark]) -> str:
        """The fileset of exactly these versions of files, "" without; what was read is used up."""
        fileset = ""
        if files == self._files and time.monotonic() - self._read_at < _KEPT_S:
            fileset = self._fileset
        self._tried, self._files, self._fileset = 0, {}, ""
        return fileset

    def _fill(self, put: Put, files: dict[str, Mark]) -> None:
        for name in list(files):
            try:
                self._names.in_repo(name)
            except InvalidArgument:  # the commit takes it for a dead letter
                del files[name]
        for name, _ in put_versions(put, self._names, self._root, files):
            del files[name]


def put_versions(
    put: Put, names: Names, root: str, files: dict[str, Mark]
) -> Iterator[tuple[str, os.stat_result | OSError]]:
    """Put files of folder ``root``; those that cannot be read, or are not the version that was
    seen, with why, or what they are now."""
    opener = Files(root)
    try:
        for name, seen in list(files.items()):
            if (why := _put_version(put, names.in_repo(name), opener, name, seen)) is not None:
                yield name, why
    finally:
        opener.close()


def _put_version(
    put: Put, path: str, opener: Files, name: str, seen: Mark
) -> os.stat_result | OSError | None:
    try:
        fd = opener.open(name)
        status = os.fstat(fd)
    except OSError as e:
        return e
    if mark(status) != seen:
        os.close(fd)
        return status
    try:
        put.open_file(path, fd, name)
    except InvalidArgument as e:
        if not isinstance(e.__cause__, OSError):
            raise
        return e.__cause__
    return None
