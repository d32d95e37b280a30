"""Looking through a watched folder and comparing it with what is committed."""

# pathlib costs 8 us a file
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Protocol

from spouts.watch.folders import is_there
from spouts.watch.names import CLAIMED, Names
from spouts.watch.state import Known, State

_STEP = 1000  # names between two yields: 10 to 20 ms


class Sink(Protocol):
    """What learns what there is. Names are paths from the folder."""

    def found(self, name: str, status: os.stat_result, known: Known | None, whole: bool) -> None:
        """A file that counts; ``whole``: its companion says so."""

    def gone(self, name: str, *, replaced: bool) -> None:
        """A committed file is not there any more (``replaced``: something that is no file is)."""

    def nothing(self, name: str) -> None:
        """Nothing is there, and nothing committed was."""

    def directory(self, name: str) -> None:
        """A directory that came, or changed, by itself: not found by looking through another."""

    def listed(self, name: str) -> None:
        """The names in a directory could be read."""

    def claimed(self, name: str) -> None:
        """A file that was being deleted or moved away when an earlier life ended."""

    def odd(self, name: str, what: str) -> None:
        """Something that is neither a file nor a directory."""

    def trouble(self, name: str, error: OSError) -> None:
        """Something could not be looked at."""


class Scan:
    """Looks at names of ``root``. Memory is that of one directory's names."""

    def __init__(self, root: str, names: Names, state: State, sink: Sink) -> None:
        self._root = os.fsencode(root)
        self._names = names
        self._state = state
        self._sink = sink

    def one(self, name: str) -> Iterator[None]:
        """Look at one name, and below it when it is a directory."""
        companion = self._names.companion_of(name)
        name = companion or name
        if self._names.below_left_out(name):
            return
        path = self._path(name)
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            yield from self._gone(name)
            return
        except OSError as e:
            if e.errno == errno.ENAMETOOLONG and not is_there(self._root, name):
                self._sink.nothing(name)
            else:
                self._sink.trouble(name, e)
            return
        if stat.S_ISDIR(status.st_mode):
            if self._state.known(name) is not None:
                self._sink.gone(name, replaced=True)
            self._sink.directory(name)
            yield from self.tree(name)
            return
        whole = bool(self._names.done) and os.path.lexists(path + os.fsencode(self._names.done))
        self._see(name, status, self._state.known(name), whole)

    def tree(self, folder: str = "") -> Iterator[None]:
        """Look at everything in ``folder`` and below it."""
        stack = [folder]
        while stack:
            here = stack.pop()
            try:
                listing = sorted(os.listdir(self._path(here)))
            except (FileNotFoundError, NotADirectoryError):
                yield from self._gone(here)
                continue
            except OSError as e:
                self._sink.trouble(here, e)
                continue
            self._sink.listed(here)
            below: list[str] = []
            every = set(listing) if self._names.done else set()
            for at in range(0, len(listing) or 1, _STEP):
                chunk = listing[at : at + _STEP]
                last = chunk[-1] if at + _STEP < len(listing) else None
                after = listing[at - 1] if at else b""
                below += self._chunk(here, every, chunk, after, last)
                yield
            there = set(below)
            for child in self._state.children(here):
                if child not in there and not self._names.left_out(child):
                    yield from self._gone(_join(here, child))
            stack += [_join(here, child) for child in below]

    def _chunk(
        self, here: str, every: set[bytes], chunk: list[bytes], after: bytes, last: bytes | None
    ) -> list[str]:
        """Look at some of the names in a directory (``every``: all of them, where companions
        count); the directories among them."""
        present = set(chunk)
        known: dict[bytes, Known] = {}
        lost: list[bytes] = []
        for raw, row in self._state.between(here, after, last):
            if raw in present:
                known[raw] = row
            else:
                lost.append(raw)
        below = []
        base = self._path(here) + b"/"
        done = os.fsencode(self._names.done)
        for raw in chunk:
            element = os.fsdecode(raw)
            name = _join(here, element)
            if element.startswith(CLAIMED):
                self._sink.claimed(name)
            if self._names.left_out(element):
                continue
            try:
                status = os.lstat(base + raw)
            except FileNotFoundError:
                if raw in known:
                    lost.append(raw)
                continue
            except OSError as e:
                self._sink.trouble(name, e)
                continue
            if stat.S_ISDIR(status.st_mode):
                below.append(element)
                if raw in known:
                    self._sink.gone(name, replaced=True)
            else:
                whole = bool(done) and raw + done in every
                self._see(name, status, known.get(raw), whole)
        for raw in lost:
            self._sink.gone(_join(here, os.fsdecode(raw)), replaced=False)
        return below

    def _see(self, name: str, status: os.stat_result, known: Known | None, whole: bool) -> None:
        if not self._names.wanted(name):
            return
        if stat.S_ISREG(status.st_mode):
            if whole or not self._names.done:
                self._sink.found(name, status, known, whole)
            return
        if known is not None:
            self._sink.gone(name, replaced=True)
        if stat.S_ISLNK(status.st_mode):
            self._sink.odd(name, "it is a symbolic link, and links are not followed")
        else:
            self._sink.odd(name, "it is a pipe, a socket or a device")

    def _gone(self, name: str) -> Iterator[None]:
        if self._state.known(name) is not None:
            self._sink.gone(name, replaced=False)
        else:
            self._sink.nothing(name)
        for count, lost in enumerate(self._state.below(name)):
            self._sink.gone(lost, replaced=False)
            if count % _STEP == 0:
                yield

    def _path(self, name: str) -> bytes:
        return self._root + b"/" + os.fsencode(name) if name else self._root


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
