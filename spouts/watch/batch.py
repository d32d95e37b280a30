"""From files that are whole to one commit of them."""

# pathlib costs 8 us a file
from __future__ import annotations

import hashlib
import os
import secrets
import stat
from functools import partial
from typing import Protocol

from pachybox.client.upload import Put
from pachybox.errors import InvalidArgument, NotFound, Refused
from spouts.desk import DeadLetter, Desk, PachyboxError
from spouts.watch.ahead import Ahead, put_versions
from spouts.watch.folders import open_file
from spouts.watch.names import Names, printable
from spouts.watch.place import Place
from spouts.watch.state import FILE, GONE, LETTER, Entry, State
from spouts.watch.waiting import Mark, Waiting, mark

MOST_FILES = 100_000
_MOST_BYTES = 10 << 30
_MOST_LETTERS = 100
_MOST_NAME = 1000  # characters of a name among the dead letters


class Owner(Protocol):
    """What learns of files that did not come into the batch."""

    def changed(self, name: str, status: os.stat_result) -> None:
        """It is another version by now."""

    def trouble(self, name: str, error: OSError | PachyboxError, seen: Mark | None) -> None:
        """It could not be read, or taken."""


class _Changed(Exception):
    """Something of the batch changed while it was read: again without that."""


class Batches:
    """Commits what is whole. What a batch loses on its way is never added to under the same
    number: a try whose answer was lost may be what the box has."""

    def __init__(
        self, desk: Desk, state: State, names: Names, place: Place, waiting: Waiting, owner: Owner
    ) -> None:
        self._desk = desk
        self._state = state
        self._names = names
        self._place = place
        self._root = place.root
        self._waiting = waiting
        self._owner = owner
        self._most = MOST_FILES
        self.ahead = Ahead(desk, names, place.root, waiting.settle)
        self._offset = {"life": secrets.token_hex(8)}  # tells our batch N from a former life's

    def commit(self) -> list[Entry]:
        """Commit the oldest that are whole, as many as make one batch; what was committed.
        Raises Stopping, what the box refuses the source, and Away: then nothing was."""
        files, gone, letters = self._choose()
        if letters:
            return self._bury(letters)
        while files or gone:
            try:
                done = self._attempt(files, gone)
            except _Changed:
                continue
            except (Refused, NotFound):
                raise
            except PachyboxError as e:
                if len(files) + len(gone) > 1:
                    self._halve(files, gone)
                    continue
                return self._refused(files, gone, e)
            self._most = min(MOST_FILES, 2 * self._most)
            return done
        return []

    def _halve(self, files: dict[str, Mark], gone: dict[str, None]) -> None:
        """The box does not take all of them; what remains is tried, the rest waits."""
        self._most = max(1, (len(files) + len(gone)) // 2)
        while len(files) + len(gone) > self._most:
            if files:
                files.popitem()
            else:
                gone.popitem()

    def _choose(
        self,
    ) -> tuple[dict[str, Mark], dict[str, None], dict[str, tuple[Mark, str]]]:
        """Files, deletions, and files that a repo cannot hold with the reason."""
        files: dict[str, Mark] = {}
        gone: dict[str, None] = {}
        letters: dict[str, tuple[Mark, str]] = {}
        size = 0
        for name, seen in self._waiting.first(self._most):
            if seen is None:
                gone[name] = None
                continue
            try:
                self._names.in_repo(name)
            except InvalidArgument as e:
                letters[name] = (seen, str(e))
                if len(letters) == _MOST_LETTERS:
                    break
                continue
            size += seen[0]
            if size > _MOST_BYTES and files:
                break
            files[name] = seen
        return files, gone, letters

    # ---- files

    def _attempt(self, files: dict[str, Mark], gone: dict[str, None]) -> list[Entry]:
        entries: list[Entry] = []

        def confirm() -> dict[str, int]:
            nonlocal entries
            self._verify(files, gone)
            entries = [(n, m[0], m[1], FILE) for n, m in files.items()]
            entries += [(n, 0, 0, GONE) for n in gone]
            self._state.begin(self._desk.batch + 1, entries)
            return {"files": len(files), "bytes": sum(m[0] for m in files.values())}

        self._desk.commit(
            (lambda put: self._fill(put, files)) if files else None,
            self._offset,
            ready=self.ahead.take(files),
            confirm=confirm,
            deletes=[self._names.in_repo(name) for name in gone],
        )
        self._state.finish()
        for name, *_ in entries:
            self._waiting.forget(name)
        return entries

    def _fill(self, put: Put, files: dict[str, Mark]) -> None:
        for name, why in put_versions(put, self._names, self._root, files):
            self._lose(files, name, why)
        if not files:
            raise _Changed

    def _verify(self, files: dict[str, Mark], gone: dict[str, None]) -> None:
        """What was uploaded is what was seen, still."""
        base = self._root + "/"
        lost: dict[str, os.stat_result | OSError] = {}
        for name, seen in files.items():
            try:
                status = os.lstat(base + name)
            except OSError as e:
                lost[name] = e
                continue
            if mark(status) != seen:
                lost[name] = status
        for name, why in lost.items():
            self._lose(files, name, why)
        changed = bool(lost) + self._keep_those_there(gone)
        if gone:
            self._place.require()
        if changed:
            raise _Changed

    def _keep_those_there(self, gone: dict[str, None]) -> bool:
        """Leave out of ``gone`` what is a file again, or may be; whether there was any."""
        before = len(gone)
        for name in list(gone):
            try:
                status = os.lstat(f"{self._root}/{name}")
                if not stat.S_ISREG(status.st_mode):
                    continue
                self._owner.changed(name, status)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as e:
                self._waiting.forget(name)
                self._owner.trouble(name, e, None)
            del gone[name]
        return len(gone) < before

    def _lose(self, files: dict[str, Mark], name: str, why: os.stat_result | OSError) -> None:
        """It does not come into this batch."""
        seen = files.pop(name)
        self._waiting.forget(name)
        if isinstance(why, OSError):
            if not isinstance(why, (FileNotFoundError, NotADirectoryError)):
                self._owner.trouble(name, why, seen)
        elif stat.S_ISREG(why.st_mode):
            self._owner.changed(name, why)

    # ---- dead letters

    def _refused(
        self, files: dict[str, Mark], gone: dict[str, None], error: PachyboxError
    ) -> list[Entry]:
        """The box does not take this one file, or its deletion."""
        if files and isinstance(error, InvalidArgument):
            return self._bury({name: (seen, str(error)) for name, seen in files.items()})
        for name in (*files, *gone):
            self._waiting.forget(name)
            self._owner.trouble(name, error, files.get(name))
        return []

    def _bury(self, letters: dict[str, tuple[Mark, str]]) -> list[Entry]:
        """Commit files as dead letters, with the reason."""
        for name in letters:
            self._waiting.forget(name)
        entries = [(name, seen[0], seen[1], LETTER) for name, (seen, _) in letters.items()]
        dead = [
            DeadLetter(_shown(name), reason, partial(open_file, self._root, name))
            for name, (_, reason) in letters.items()
        ]
        self._state.begin(self._desk.batch + 1, entries)
        try:
            self._desk.commit(None, self._offset, dead=dead)
        except (Refused, NotFound):
            raise
        except PachyboxError as e:
            for name, (seen, _) in letters.items():
                self._owner.trouble(name, e, seen)
            return []
        self._state.finish()
        for name, (_, reason) in letters.items():
            self._desk.failed(f"{printable(name)} went to the dead letters: {reason}")
        return entries


def _shown(name: str) -> str:
    text = printable(name)
    if len(text.encode()) <= _MOST_NAME:
        return "/" + text
    return "/" + hashlib.sha256(os.fsencode(name)).hexdigest()
