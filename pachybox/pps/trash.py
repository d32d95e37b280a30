"""Directories that nobody needs any more, removed off the path of work.

Unlinking 100,000 files takes seconds; moving their directory away takes none.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("pachybox.trash")

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """A directory and a thread that empties it. Callable from any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` must be on the file system of what is thrown away."""
        self._folder = folder
        self._lock = threading.Lock()
        self._count = 0
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, path: Path) -> None:
        """Remove ``path`` with all below it, soon; nothing happens when it is not there."""
        with self._lock:
            self._count += 1
            target = self._folder / str(self._count)
            if self._thread is None:
                self._thread = threading.Thread(target=self._empty, name="trash", daemon=True)
                self._thread.start()
        try:
            self._folder.mkdir(exist_ok=True)
            path.rename(target)
        except OSError:  # it is not there; or the disk is full, or something is in the way
            remove_tree(path)
        else:
            self._queue.put(target)

    def close(self) -> None:
        """Wait until all is gone."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _empty(self) -> None:
        while (path := self._queue.get()) is not None:
            try:
                remove_tree(path)
            except Exception:  # it must be there for what comes next
                log.exception("cannot remove %s", path)


def remove_tree(path: Path) -> None:
    """Remove a directory with all below it, however deep; what cannot be removed stays.

    Directories are moved up to the top and emptied there: neither the length of a path nor the
    number of open files bounds the depth.
    """
    try:
        top = _opened(str(path), None)
    except OSError:
        return
    try:
        names = (f".{n}" for n in itertools.count())
        moved = _empty(top, top, names)
        while moved:
            name = moved.pop()
            try:
                below = _opened(name, top)
            except OSError:
                continue
            try:
                moved += _empty(below, top, names)
            finally:
                os.close(below)
            with suppress(OSError):
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    with suppress(OSError):
        path.rmdir()


def _empty(folder: int, top: int, names: Iterator[str]) -> list[str]:
    """Unlink the files of one directory and move its directories to ``top``, under new names,
    which are returned."""
    moved: list[str] = []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_dir in found:
        with suppress(OSError):
            if not is_dir:
                os.unlink(name, dir_fd=folder)
                continue
            moved.append(_move(name, folder, top, names))
    return moved


def _move(name: str, folder: int, top: int, names: Iterator[str]) -> str:
    """Move one directory to ``top`` under a name that is free there."""
    closed = False
    while True:
        new = next(names)
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
        except (FileExistsError, NotADirectoryError):
            continue  # its own entries may be called so
        except PermissionError:
            if closed:
                raise
            closed = True
            os.chmod(name, 0o700, dir_fd=folder)
            continue
        except OSError as e:
            if e.errno == errno.ENOTEMPTY:
                continue
            raise
        return new


def _opened(name: str, top: int | None) -> int:
    """One directory, opened. User code may have closed it: a box that is not root has the user
    of that code, and opens it again (root needs not, and must not follow a link made meanwhile)."""
    try:
        fd = os.open(name, _OPEN, dir_fd=top)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=top)
        fd = os.open(name, _OPEN, dir_fd=top)
    os.fchmod(fd, 0o700)
    return fd
