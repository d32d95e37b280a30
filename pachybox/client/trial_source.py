"""Source code on its way to a trial: which files count, and which the box has not got yet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pachybox.client.build_source import NEVER, files_of
from pachybox.errors import InvalidArgument

Files = Mapping[str, Path | bytes]
"""Files by their path in the source (no leading slash): where they are, or their content."""

_TEMPORARY = (
    *("*~", ".#*", "#*#", "*.swp", "*.swo", "*.swx", "4913"),  # Emacs, Vim
    *("*___jb_tmp___", "*___jb_old___", ".goutputstream-*", ".DS_Store", "*.pyc"),
)


class Folder:
    """A directory of source code."""

    def __init__(self, root: Path) -> None:
        """Raises InvalidArgument when it is none."""
        if not root.is_dir():
            what = "is not a directory" if root.exists() else "does not exist"
            raise InvalidArgument(f"{root} {what}", "name the directory of the source")
        self.root = root.absolute()

    def files(self) -> dict[str, Path | bytes]:
        """Every file but what its ``.pachignore`` leaves out, what tools keep beside source, and
        what editors make for a moment. Raises InvalidArgument for what cannot be read."""
        return {**files_of(self.root, self.counts)}

    @staticmethod
    def counts(path: str) -> bool:
        """Whether a change of the file ``path`` may be a change of the source."""
        *folders, name = path.split("/")
        return NEVER.isdisjoint(folders) and not any(
            fnmatchcase(name, pattern) for pattern in _TEMPORARY
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What the box is to be told: files to put and paths to take away (from the top), the paths
    of all that may be executed."""

    put: dict[str, bytes | os.PathLike[str]]
    deleted: tuple[str, ...]
    programs: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.put or self.deleted)


class Sent:
    """What the box has of a source."""

    def __init__(self) -> None:
        self._known: dict[str, object] = {}
        self._programs: tuple[str, ...] = ()
        self._pending: tuple[dict[str, object], tuple[str, ...]] = ({}, ())

    def changes(self, files: Files) -> Changes:
        """What differs from what the box has. A file that is gone meanwhile counts as removed."""
        now: dict[str, object] = {}
        put: dict[str, bytes | os.PathLike[str]] = {}
        programs = []
        for path, place in files.items():
            if isinstance(place, bytes):
                mark: object = hashlib.sha256(place).digest()
            else:
                try:
                    about = place.stat()
                except FileNotFoundError:
                    continue
                mark = (about.st_mtime_ns, about.st_size, about.st_ino)
                if about.st_mode & 0o100:
                    programs.append(f"/{path}")
            now[path] = mark
            if self._known.get(path) != mark:
                put[f"/{path}"] = place
        deleted = tuple(f"/{path}" for path in self._known if path not in now)
        self._pending = (now, tuple(programs))
        return Changes(put, deleted, tuple(programs))

    def accepted(self) -> None:
        """The box has taken the changes that were told last."""
        self._known, self._programs = self._pending

    @property
    def changed_rights(self) -> bool:
        """Whether a file became one to execute, or is no more."""
        return self._pending[1] != self._programs
