"""What becomes of files that are committed: deleted, or moved to another folder.

Between the commit and the deletion somebody may put another version in the file's place. So a
file is first renamed to a name of ours, then looked at, and only what is committed goes.
"""

# pathlib costs 8 us a file
# ruff: noqa: PTH122
from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from spouts.watch.folders import open_folder, split
from spouts.watch.names import CLAIMED
from spouts.watch.state import GONE, Entry, Known

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Remover:
    """Takes committed files out of ``root``: deletes them, or with ``move_to`` moves them there
    under their names, or with a number before the suffix where there is one already."""

    def __init__(self, root: str, move_to: str, done: str) -> None:
        self._root = root
        self._move_to = move_to
        self._done = done

    def take_all(self, entries: Iterable[Entry]) -> tuple[list[str], list[tuple[str, OSError]]]:
        """Take files away, durably; those that are gone from their place, and the failures."""
        taken: list[str] = []
        failed: list[tuple[str, OSError]] = []
        for name, *known, kind in entries:
            try:
                if kind != GONE and self.take(name, (known[0], known[1], kind)):
                    taken.append(name)
            except OSError as e:
                failed.append((name, e))
        for folder in {split(name)[0] for name in taken}:
            with suppress(FileNotFoundError, NotADirectoryError), _place(self._root, folder) as at:
                _sync(at, ".")
        return taken, failed

    def take(self, name: str, known: Known) -> bool:
        """Take the file away if it is the version ``known``; whether it was. Raises OSError."""
        folder, base = split(name)
        try:
            here = open_folder(self._root, folder)
        except (FileNotFoundError, NotADirectoryError):
            return True
        try:
            return self._take(here, folder, base, known)
        finally:
            os.close(here)

    def _take(self, here: int, folder: str, base: str, known: Known) -> bool:
        claimed = CLAIMED + base
        try:
            os.rename(base, claimed, src_dir_fd=here, dst_dir_fd=here)
        except FileNotFoundError:
            return True
        except OSError as e:
            if e.errno != errno.ENAMETOOLONG:
                raise
            claimed = base
        found = os.lstat(claimed, dir_fd=here)
        if not _is(found, known):
            _give_back(here, claimed, base)
            return False
        try:
            self._end(here, folder, claimed, base)
        except OSError:
            _give_back(here, claimed, base)  # it is tried again under its name
            raise
        return True

    def recover(self, claimed: str, known: Callable[[str], Known | None]) -> bool:
        """End what was begun for the file now named ``claimed`` (a path from the root); False
        when there is a newer file in its place, and this one was not committed."""
        folder, taken = split(claimed)
        base = taken.removeprefix(CLAIMED)
        row = known(f"{folder}/{base}" if folder else base)
        with _place(self._root, folder) as here:
            found = os.lstat(taken, dir_fd=here)
            if row is None or not _is(found, row):
                return _give_back(here, taken, base)
            if self._move_to and _has(self._move_to, folder, base, found):
                os.unlink(taken, dir_fd=here)
            else:
                self._end(here, folder, taken, base)
            return True

    def _end(self, here: int, folder: str, claimed: str, base: str) -> None:
        if self._done and (claimed == base or not _exists(here, base)):
            with suppress(FileNotFoundError):
                self._dispose(here, folder, base + self._done, base + self._done)
        try:
            self._dispose(here, folder, claimed, base)
        except FileNotFoundError:
            if _exists(here, claimed):
                raise

    def _dispose(self, here: int, folder: str, claimed: str, base: str) -> None:
        if not self._move_to:
            os.unlink(claimed, dir_fd=here)
            return
        os.lstat(claimed, dir_fd=here)  # no folder is made for what is not there
        with _place(self._move_to, folder, like=self._root) as there:
            try:
                _move(here, claimed, there, base)
            except OSError as e:
                if e.errno != errno.EXDEV:
                    raise
                try:
                    _copy(here, claimed, there, CLAIMED + base)
                except OSError:
                    with suppress(OSError):  # else it keeps a full disk full
                        os.unlink(CLAIMED + base, dir_fd=there)
                    raise
                _move(there, CLAIMED + base, there, base)
                os.unlink(claimed, dir_fd=here)
            _sync(there, ".")


@contextmanager
def _place(root: str, folder: str, *, like: str = "") -> Iterator[int]:
    fd = open_folder(root, folder, like=like)
    try:
        yield fd
    finally:
        os.close(fd)


def _is(found: os.stat_result, known: Known) -> bool:
    regular = stat.S_ISREG(found.st_mode)  # a link may be given any size and time
    return regular and (found.st_size, found.st_mtime_ns) == known[:2]


def _exists(here: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=here)
    except FileNotFoundError:
        return False
    return True


def _give_back(here: int, claimed: str, base: str) -> bool:
    if claimed == base:
        return True
    try:
        os.link(claimed, base, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
        os.unlink(claimed, dir_fd=here)
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS or _exists(here, base):
            raise
        os.rename(claimed, base, src_dir_fd=here, dst_dir_fd=here)
    return True


def _move(here: int, name: str, there: int, base: str) -> None:
    """Rename a file to ``base``, or to the first free name like it; overwrites nothing."""
    stem, suffix = os.path.splitext(base)
    number = 0
    while True:
        at = f"{stem}.{number}{suffix}" if number else base
        try:
            os.link(name, at, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
            os.unlink(name, dir_fd=here)
            return
        except FileExistsError:
            number += 1
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            if not _exists(there, at):  # a file system without links: nearly as good
                os.rename(name, at, src_dir_fd=here, dst_dir_fd=there)
                return
            number += 1


def _copy(here: int, name: str, there: int, copy: str) -> None:
    """To another file system, with owner, mode and times; durable."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    with open(source, "rb") as old:
        with suppress(FileNotFoundError):  # of an earlier life
            os.unlink(copy, dir_fd=there)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(copy, flags, 0o600, dir_fd=there), "wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            status = os.fstat(source)
            with suppress(PermissionError):  # who may not give files away keeps them
                os.fchown(new.fileno(), status.st_uid, status.st_gid)
            os.fchmod(new.fileno(), status.st_mode & 0o777)  # nothing runs as who took it
            os.utime(new.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(new.fileno())


def _has(root: str, folder: str, base: str, moved: os.stat_result) -> bool:
    """Whether what a move of the file would make is there."""
    try:
        with _place(root, folder) as there:
            found = os.lstat(base, dir_fd=there)
    except FileNotFoundError:
        return False
    return (found.st_size, found.st_mtime_ns) == (moved.st_size, moved.st_mtime_ns)


def _sync(here: int, name: str) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=here)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
