"""What becomes of files that are committed: deleted, or moved to another folder.

Between the commit and the deletion somebody may put another version in the file's place. So a
file is first renamed to a name of ours, then looked at, and only what is committed goes.
"""

# pathlib costs 8 us a file
# ruff: noqa: PTH103, PTH104, PTH108, PTH118, PTH120, PTH122
from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable

from spouts.watch_names import CLAIMED
from spouts.watch_state import Known

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Remover:
    """Takes committed files out of ``root``: deletes them, or with ``move_to`` moves them there
    under their names, or with a number before the suffix where there is one already."""

    def __init__(self, root: str, move_to: str, done: str) -> None:
        self._root = root
        self._move_to = move_to
        self._done = done

    def take(self, name: str, known: Known) -> bool:
        """Take the file away if it is the version ``known``; whether it was. Raises OSError."""
        source = os.path.join(self._root, name)
        folder, base = os.path.split(source)
        claimed = os.path.join(folder, CLAIMED + base)
        try:
            os.rename(source, claimed)
        except OSError as e:
            if e.errno == errno.ENOENT:
                return True
            if e.errno != errno.ENAMETOOLONG:
                raise
            claimed = source
        found = os.lstat(claimed)
        if (found.st_size, found.st_mtime_ns) != known[:2]:
            self._give_back(claimed, source)
            return False
        self._end(claimed, name)
        return True

    def recover(self, claimed: str, known: Callable[[str], Known | None]) -> bool:
        """End what was begun for the file now named ``claimed`` (a path from the root); False
        when there is a newer file in its place, and this one was not committed."""
        folder, base = os.path.split(claimed)
        name = os.path.join(folder, base.removeprefix(CLAIMED))
        path, source = os.path.join(self._root, claimed), os.path.join(self._root, name)
        found = os.lstat(path)
        row = known(name)
        if row is not None and (found.st_size, found.st_mtime_ns) == row[:2]:
            if self._move_to and _same(path, os.path.join(self._move_to, name)):
                os.unlink(path)
            else:
                self._end(path, name)
            return True
        return self._give_back(path, source)

    def _give_back(self, claimed: str, source: str) -> bool:
        if claimed == source:
            return True
        try:
            os.link(claimed, source, follow_symlinks=False)
            os.unlink(claimed)
        except FileExistsError:
            return False
        except OSError as e:
            if e.errno not in _NO_LINKS or os.path.lexists(source):
                raise
            os.rename(claimed, source)
        return True

    def _end(self, claimed: str, name: str) -> None:
        source = os.path.join(self._root, name)
        if self._done and (claimed == source or not os.path.lexists(source)):
            self._dispose(source + self._done, name + self._done)
        self._dispose(claimed, name)

    def _dispose(self, path: str, name: str) -> None:
        try:
            if self._move_to:
                self._move(path, name)
            else:
                os.unlink(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                raise

    def _move(self, path: str, name: str) -> None:
        target = os.path.join(self._move_to, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            _place(path, target)
        except OSError as e:
            if e.errno != errno.EXDEV:
                raise
            folder, base = os.path.split(target)
            copy = os.path.join(folder, CLAIMED + base)
            shutil.copyfile(path, copy, follow_symlinks=False)
            shutil.copystat(path, copy, follow_symlinks=False)
            sync(copy)
            _place(copy, target)
            os.unlink(path)
        sync(os.path.dirname(target))


def _place(path: str, target: str) -> None:
    """Rename ``path`` to ``target``, or to the first free name like it; overwrites nothing."""
    stem, suffix = os.path.splitext(target)
    number = 0
    while True:
        at = f"{stem}.{number}{suffix}" if number else target
        try:
            os.link(path, at, follow_symlinks=False)
            os.unlink(path)
            return
        except FileExistsError:
            number += 1
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            if not os.path.lexists(at):  # a file system without links: nearly as good
                os.rename(path, at)
                return
            number += 1


def _same(one: str, other: str) -> bool:
    """Whether the second is there and is what a move of the first made."""
    try:
        a, b = os.lstat(one), os.lstat(other)
    except FileNotFoundError:
        return False
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def sync(path: str) -> None:
    """Have a file, or the names in a directory, on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
