"""Who did what: a line of JSON for every change, and for every request that was refused by role.

A line has the time, who it was, by which door and from where, the method, the things it named, and
how it ended; no content, no values. Callers do not wait for the disk: lines are written and made
durable in groups, within a second. ``audit.log`` and its rotated parts are readable by the box
alone and take a bounded room.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Any

from pachybox.api.access.things import Thing

if TYPE_CHECKING:
    from pachybox.api.table import Call

log = logging.getLogger("pachybox.audit")

_PARTS = 4  # files that it is kept in
_TOGETHER_S = 0.2
_MOST_WAITING = 50_000
_MOST_TEXT = 200

Entry = dict[str, Any]
_Waiting = tuple[float, "Call", tuple[Thing, ...], str, int]


class Audit:
    """Writes the log. ``note`` is for any thread."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """``most_bytes`` bound all of its files together."""
        self._path = path
        self._part_bytes = max(most_bytes // _PARTS, 4096)
        self._waiting: deque[_Waiting] = deque()
        self._run_id = secrets.token_hex(4)
        self._count = itertools.count(1)
        self._some = threading.Event()
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits. Idempotent."""
        self._stop.set()
        self._some.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write()

    def note(self, call: Call, things: Sequence[Thing], code: str) -> None:
        """Take down a call; see policy.Note. Returns at once, unless very many wait."""
        self._waiting.append((time(), call, tuple(things), code, next(self._count)))
        if not self._some.is_set():
            self._some.set()
        if len(self._waiting) > _MOST_WAITING:
            self._write()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._some.wait()
            self._stop.wait(_TOGETHER_S)
            self._some.clear()
            self._write()

    def _write(self) -> None:
        """Write and sync what waits. What cannot be written is counted in the box's log."""
        with self._writing:
            lines = []
            while self._waiting:
                lines.append(self._line(*self._waiting.popleft()))
            if not lines:
                return
            try:
                self._append("".join(lines).encode())
            except OSError as e:
                log.error("audit lines=%d are lost: %s", len(lines), e)

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            with memoryview(data) as view:
                done = 0
                while done < len(data):
                    done += os.write(fd, view[done:])
            os.fdatasync(fd)
            full = os.fstat(fd).st_size >= self._part_bytes
        finally:
            os.close(fd)
        if full:
            for number in range(_PARTS - 1, 0, -1):
                part = self._part(number - 1)
                if part.exists():
                    part.rename(self._part(number))

    def _part(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _line(
        self, when: float, call: Call, things: tuple[Thing, ...], code: str, number: int
    ) -> str:
        caller = call.principal
        entry: Entry = {
            "time": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
            "who": caller.name,
            "role": str(caller.role),
            "door": call.door,
            "peer": call.peer,
            "method": call.method,
            "things": [str(thing)[:_MOST_TEXT] for thing in things],
            "code": code,
            "request": call.metadata.get("x-request-id", "")[:_MOST_TEXT]
            or f"{self._run_id}-{number}",
        }
        return json.dumps(entry) + "\n"

    # ---- reading

    def read(
        self, keep: Callable[[Entry], bool], *, tail: int = 0, follow: bool = False,
        wait: Callable[[float], bool],
    ) -> Iterator[Entry | None]:  # fmt: skip
        """The entries that ``keep`` wants, oldest first (``tail``: the last so many); with
        ``follow`` then those that come, None meanwhile, until ``wait`` (so many seconds) says that
        nobody is there any more."""
        self._write()
        files = self._open_after(None)
        found = (entry for file in files for entry in _entries(file) if keep(entry))
        yield from deque(found, tail) if tail else found
        last = _close_but_last(files)
        try:
            while follow and not wait(_TOGETHER_S):
                if last is None or self._rotated(last):
                    files = self._open_after(last)
                    for file in files:
                        yield from filter(keep, _entries(file))
                    last = _close_but_last(files)
                else:
                    yield from filter(keep, _entries(last))
                yield None
        finally:
            if last is not None:
                last.close()

    def _open_after(self, last: IO[bytes] | None) -> list[IO[bytes]]:
        """``last``, and the files that were begun after it, oldest first; None: all there are."""
        with self._writing:
            parts = [self._part(n) for n in range(_PARTS - 1, -1, -1)]
            files: list[IO[bytes]] = [part.open("rb") for part in parts if part.exists()]
        if last is None:
            return files
        nodes = [os.fstat(file.fileno()).st_ino for file in files]
        node = os.fstat(last.fileno()).st_ino
        behind = nodes.index(node) + 1 if node in nodes else 0
        for file in files[:behind]:
            file.close()
        return [last, *files[behind:]]

    def _rotated(self, file: IO[bytes]) -> bool:
        """Whether another file has taken the place of the open one."""
        try:
            return self._path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return True


def _close_but_last(files: list[IO[bytes]]) -> IO[bytes] | None:
    for file in files[:-1]:
        file.close()
    return files[-1] if files else None


def _entries(file: IO[bytes]) -> Iterator[Entry]:
    """The entries from where ``file`` stands; a line that is not whole yet is left for later."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(at)
            return
        try:
            yield json.loads(line)
        except ValueError:
            continue  # what a crash left of a line, and the one behind it
