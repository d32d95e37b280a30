"""Which names of a watched folder count, and what they are called in the repo. Pure.

A name here is a path from the folder, ``a/b.csv``, as Python decodes names of files: bytes that
are no UTF-8 are surrogates.
"""

from __future__ import annotations

import os

from pachybox.model.glob import Glob
from pachybox.model.paths import clean

CLAIMED = ".pachybox-taken."
"""What the name of a file begins with while it is being deleted or moved away."""

_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", "~")
_EVERYTHING = ("**", "/**")


class Names:
    """The names that a watch takes.

    ``pattern`` is a glob of pachybox from the folder; a first ``**/`` also stands for no folder,
    as people expect of it. Left out are, unless ``all_names``, names
    that begin with a dot or look unfinished (also of folders), and always companions (``done``).
    """

    def __init__(self, pattern: str, prefix: str, done: str, *, all_names: bool) -> None:
        self.done = done
        self._prefix = prefix.rstrip("/")
        self._globs: list[Glob] = []
        if pattern not in _EVERYTHING:
            self._globs.append(Glob(pattern))
            if pattern.lstrip("/").startswith("**/"):
                self._globs.append(Glob(pattern.lstrip("/")[3:]))
        self._all = all_names

    def left_out(self, element: str) -> bool:
        """Whether one element of a path is not looked at, nor what is below it."""
        if self._all:
            return element.startswith(CLAIMED)
        return element[0] == "." or element.lower().endswith(_TEMPORARY)

    def below_left_out(self, name: str) -> bool:
        """Whether any element of ``name`` is left out."""
        return any(map(self.left_out, name.split("/")))

    def companion_of(self, name: str) -> str:
        """The file that ``name`` says is whole; "" when it says nothing."""
        if self.done and name.endswith(self.done):
            whole = name[: -len(self.done)]
            if whole and not whole.endswith("/"):
                return whole
        return ""

    def wanted(self, name: str) -> bool:
        """Whether the file ``name`` is taken; its elements are not left out."""
        if self._globs and not any(glob.matches("/" + name) for glob in self._globs):
            return False
        return not self.companion_of(name)

    def in_repo(self, name: str) -> str:
        """Its path in the repo. Raises InvalidArgument when a repo cannot hold it."""
        return clean(f"{self._prefix}/{name}")


def printable(name: str) -> str:
    """``name`` as text that can be shown and stored: bytes that are no UTF-8 as ``\\xff``."""
    return os.fsencode(name).decode(errors="backslashreplace")
