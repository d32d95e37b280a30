"""What sources say: one bounded file each, ``logs/@ingest/<project>/<name>.jsonl``.

``@ingest`` is where logs of jobs have their project, and no name of a project.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pachybox.model.ingest import Ingest
from pachybox.model.units import format_time, parse_time
from pachybox.pps.log_store import PLACES
from pachybox.pps.logs import APART

log = logging.getLogger("pachybox.ingest")

FOLDER = f"{APART}ingest"
MOST_BYTES = 8 << 20  # of a file; then it becomes the old one, of which there is one
_LINES_S, _BURST = 100.0, 2000.0  # lines a second that are kept, and lines at once


def path_of(logs: Path, ingest: Ingest) -> Path:
    """Where the log of a source is."""
    return logs / FOLDER / ingest.project / f"{ingest.name}.jsonl"


def files_of(logs: Path, ingest: Ingest) -> list[Path]:
    """The files of the log of a source, oldest first; they may not be there."""
    path = path_of(logs, ingest)
    return [_old(path), path]


def places_of(ingest: Ingest) -> str:
    """Where the places in it are kept; see pachybox.pps.log_store."""
    return f"{FOLDER}/{ingest.project}/{ingest.name}"


def remove(logs: Path, ingest: Ingest) -> None:
    """Remove the log of a source."""
    for one in (*files_of(logs, ingest), logs / PLACES / places_of(ingest)):
        one.unlink(missing_ok=True)


def all_of(logs: Path) -> set[Ingest]:
    """The sources that have logs."""
    found = (logs / FOLDER).glob("*/*.jsonl*")
    return {Ingest(path.parent.name, path.name.partition(".jsonl")[0]) for path in found}


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


class IngestLog:
    """The log of one source, for one thread. Lines beyond 100 a second (2,000 at once) are left
    out, and how many is said; what cannot be written (a full disk) is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._size = 0
        self._allowed = _BURST
        self._at = time.monotonic()
        self._left_out = 0
        self._failing = False

    def write(self, message: str, *, user: bool) -> None:
        """Add a line. ``user``: it is of a user's program, not of the box."""
        now = time.monotonic()
        self._allowed = min(_BURST, self._allowed + (now - self._at) * _LINES_S)
        self._at = now
        if self._allowed < 1:
            self._left_out += 1
            return
        self.settle()
        self._allowed -= 1
        self._add(message, user)

    def settle(self) -> None:
        """Say how many lines were left out, if any were."""
        count, self._left_out = self._left_out, 0
        if count:
            self._add(f"{count} lines left out: more than {_LINES_S:.0f} a second", False)

    def close(self) -> None:
        """Close the file."""
        self.settle()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, message: str, user: bool) -> None:
        line = {"ts": format_time(datetime.now(UTC)), "user": user, "message": message}
        raw = json.dumps(line).encode() + b"\n"
        try:
            file = self._open(len(raw))
            file.write(raw)
            self._size += len(raw)
            self._failing = False
        except OSError as e:
            if not self._failing:
                log.warning("cannot write %s: %s", self._path, e)
            self._failing = True

    def _open(self, more: int) -> BinaryIO:
        if self._file is not None and self._size + more > MOST_BYTES:
            self._file.close()
            self._file = None
            self._path.replace(_old(self._path))
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
            self._size = os.fstat(self._file.fileno()).st_size
        return self._file


class Line(NamedTuple):
    """One line. ``user`` is False for what the box says."""

    time: datetime
    user: bool
    message: str


class Reader:
    """Reads a log from its start, and again what was added since."""

    def __init__(self, logs: Path, ingest: Ingest) -> None:
        self._path = path_of(logs, ingest)
        self._file = _opened(_old(self._path))
        self._first = self._file is not None  # the old file is read first

    def new(self) -> Iterator[Line]:
        """Whole lines not returned before."""
        while True:
            if self._file is None:
                self._file = _opened(self._path)
                if self._file is None:
                    return
            yield from _lines(self._file)
            if not self._first and self._is_newest():
                return
            yield from _lines(self._file)  # what came before it was put away
            self._file.close()
            self._file, self._first = None, False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _is_newest(self) -> bool:
        assert self._file is not None
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:  # it was removed, or is being put away
            return True


def _opened(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _lines(file: BinaryIO) -> Iterator[Line]:
    while True:
        start = file.tell()
        raw = file.readline()
        if not raw.endswith(b"\n"):
            file.seek(start)
            return
        try:
            found = json.loads(raw)
            yield Line(parse_time(found["ts"]), found["user"], found["message"])
        except (ValueError, KeyError):  # torn by a crash in mid-write
            continue
