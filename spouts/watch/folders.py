"""Opening what is below a folder, by no way that a symbolic link leads.

Who may write to a watched folder could else put a link in a directory's place after it was looked
at, and have the box read, move or delete any file.
"""

# pathlib costs 8 us a file
from __future__ import annotations

import os
from contextlib import suppress

_WHERE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def split(name: str) -> tuple[str, str]:
    """The folder and the last element of a path."""
    folder, _, base = name.rpartition("/")
    return folder, base


def open_folder(root: str, folder: str, *, like: str = "") -> int:
    """A place to be named by ``dir_fd``: the directory ``folder`` in ``root``. What is missing is
    made, if that is asked for, with the owners and modes of the same in the folder ``like``.
    Raises OSError, also for a link on the way; ``root`` may be one."""
    if like:
        os.makedirs(root, exist_ok=True)  # noqa: PTH103
    here = os.open(root, _WHERE & ~os.O_NOFOLLOW)
    try:
        path = like
        for element in folder.split("/") if folder else ():
            path += f"/{element}"
            if like:
                _make(here, element, path)
            below = os.open(element, _WHERE, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def _make(here: int, element: str, like: str) -> None:
    try:
        os.mkdir(element, 0o700, dir_fd=here)
    except FileExistsError:
        return
    with suppress(OSError):  # who may not give files away keeps them
        found = os.stat(like, follow_symlinks=False)  # noqa: PTH116
        below = os.open(element, _WHERE & ~os.O_PATH, dir_fd=here)
        try:
            with suppress(PermissionError):
                os.fchown(below, found.st_uid, found.st_gid)
            os.fchmod(below, found.st_mode & 0o777)
        finally:
            os.close(below)


def open_file(root: str, name: str) -> int:
    """The file ``name`` below ``root``, to be read."""
    folder, base = split(name)
    here = open_folder(root, folder)
    try:
        return os.open(base, _FILE, dir_fd=here)
    finally:
        os.close(here)


def is_there(root: bytes, name: str) -> bool:
    """Whether there is something, also by a path that is too long to be looked at whole."""
    folder, base = split(name)
    try:
        here = open_folder(os.fsdecode(root), folder)
    except OSError as e:
        return not isinstance(e, (FileNotFoundError, NotADirectoryError))
    try:
        os.lstat(base, dir_fd=here)
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        os.close(here)
    return True


class Files:
    """Opens many files below ``root``; those of one directory one after the other are cheap."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folder = ""
        self._here = -1

    def open(self, name: str) -> int:
        """See ``open_file``."""
        folder, base = split(name)
        if folder != self._folder or self._here < 0:
            self.close()
            self._here, self._folder = open_folder(self._root, folder), folder
        return os.open(base, _FILE, dir_fd=self._here)

    def close(self) -> None:
        """When all is opened."""
        if self._here >= 0:
            os.close(self._here)
        self._here = -1
