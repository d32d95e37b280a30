"""What an image is built from: the files of a directory that its ignore file leaves in. Pure but
for reading them.

The ignore file is ``.containerignore``, or else ``.dockerignore``, with Docker's rules: a line is a
pattern of Go's filepath.Match with ``**`` besides, of paths from the directory; what matches is
left out with all below it, unless a later line with ``!`` brings it back.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pachybox.errors import CHECK_FILE, InvalidArgument

IGNORE_FILES = (".containerignore", ".dockerignore")
RECIPES = ("Containerfile", "Dockerfile")


class Hasher(Protocol):
    """What hashlib and blake3 have in common."""

    def update(self, data: bytes, /) -> object:
        """Take in more."""


class Ignore:
    """The rules of an ignore file."""

    def __init__(self, text: str = "") -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.removeprefix("\ufeff").splitlines():
            if line.startswith("#") or not (pattern := line.strip()):
                continue
            out = not pattern.startswith("!")
            pattern = os.path.normpath(pattern.removeprefix("!").strip()).lstrip("/")
            if pattern not in ("", "."):
                self._rules.append((out, re.compile(_regex(pattern))))
        self.brings_back = any(not out for out, _ in self._rules)

    @classmethod
    def of(cls, folder: Path) -> Ignore:
        """Those of a directory; none when it has no ignore file."""
        for name in IGNORE_FILES:
            try:
                return cls((folder / name).read_text(errors="surrogateescape"))
            except FileNotFoundError:
                continue
        return cls()

    def leaves_out(self, path: str) -> bool:
        """Whether a path (from the directory, without a slash in front) is left out."""
        found = False
        for out, regex in self._rules:
            if out != found and regex.fullmatch(path):
                found = out
        return found


def _regex(pattern: str) -> str:
    """A pattern that matches what it says and all below."""
    made, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                made += "(?:.*/)?"
            else:
                made += ".*"
            continue
        at += 1
        if char == "*":
            made += "[^/]*"
        elif char == "?":
            made += "[^/]"
        elif char == "[" and (end := pattern.find("]", at + 1)) > 0:
            inner = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            made += f"[{inner}]"
            at = end + 1
        elif char == "\\" and at < len(pattern):
            made += re.escape(pattern[at])
            at += 1
        else:
            made += re.escape(char)
    return f"(?s:{made})(?:/.*)?"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, symlink or directory of a context: its path there, and what lstat says of it."""

    path: str
    found: os.stat_result


@dataclass(frozen=True, slots=True)
class Context:
    """A directory to build from and the file that says how (which may lie elsewhere)."""

    folder: Path
    recipe: Path

    @classmethod
    def at(cls, folder: Path, recipe: Path | None = None) -> Context:
        """``recipe`` or the Containerfile (else Dockerfile) of ``folder``. Raises InvalidArgument
        when there is none."""
        if not folder.is_dir():
            raise InvalidArgument(f"there is no directory {folder} to build from", CHECK_FILE)
        for file in [recipe] if recipe else [folder / name for name in RECIPES]:
            if file.is_file():
                return cls(folder, file)
        if recipe:
            raise InvalidArgument(f"there is no {recipe} to build from", CHECK_FILE)
        raise InvalidArgument(
            f"{folder} has neither a Containerfile nor a Dockerfile",
            "write one, or name it in transform.dockerfile",
        )

    @property
    def text(self) -> str:
        """The recipe. Raises InvalidArgument when it cannot be read."""
        try:
            return self.recipe.read_text()
        except (OSError, UnicodeDecodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "it is no UTF-8 text"
            raise InvalidArgument(f"cannot read {self.recipe}: {why}", CHECK_FILE) from None

    @property
    def recipe_path(self) -> str:
        """The path of the recipe in the archive."""
        if self.recipe.is_relative_to(self.folder):
            return self.recipe.relative_to(self.folder).as_posix()
        return ".pachybox.Containerfile"

    def entries(self) -> Iterator[Entry]:
        """Everything that is not left out, sorted, directories before what is in them. Raises
        OSError for what cannot be listed."""
        yield from _walk(self.folder, "", Ignore.of(self.folder))

    def hash_into(self, hasher: Hasher) -> tuple[int, int]:
        """Take in all that a build could see: names, kinds, rights and content, and no times.
        Returns (files, bytes). Raises OSError for what cannot be read."""
        files = size = 0
        for entry in self.entries():
            mode = entry.found.st_mode
            hasher.update(f"{entry.path}\0{mode:o}\0".encode(errors="surrogateescape"))
            at = self.folder / entry.path
            if stat.S_ISLNK(mode):
                hasher.update(os.fsencode(at.readlink()) + b"\0")
            elif stat.S_ISREG(mode):
                files, size = files + 1, size + entry.found.st_size
                hasher.update(f"{entry.found.st_size}\0".encode())
                with at.open("rb", buffering=0) as file:
                    while part := file.read(1 << 20):
                        hasher.update(part)
        hasher.update(self.text.encode())
        return files, size

    def pack(self, into: IO[bytes]) -> None:
        """The context as a tar archive, with the ignore file and the recipe even where these are
        left out: podman needs them. Raises OSError for what cannot be read."""
        with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            packed = set()
            for entry in self.entries():
                self._add(tar, self.folder / entry.path, entry.path)
                packed.add(entry.path)
            for name in IGNORE_FILES:
                if (self.folder / name).is_file() and name not in packed:
                    self._add(tar, self.folder / name, name)
            if self.recipe_path not in packed:
                self._add(tar, self.recipe, self.recipe_path)

    def _add(self, tar: tarfile.TarFile, source: Path, path: str) -> None:
        info = tar.gettarinfo(source, path)
        if info is None:
            return
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        if info.islnk():  # a second name of a file: as a file of its own
            info.type = tarfile.REGTYPE
            info.size = source.stat().st_size
        if not info.isreg():
            tar.addfile(info)
            return
        with source.open("rb") as file:
            tar.addfile(info, file)


def _walk(folder: Path, above: str, ignore: Ignore) -> Iterator[Entry]:
    with os.scandir(folder / above) as found:
        items = sorted(found, key=lambda item: item.name)
    for item in items:
        path = f"{above}/{item.name}" if above else item.name
        out = ignore.leaves_out(path)
        is_dir = item.is_dir(follow_symlinks=False)
        if not out:
            known = item.stat(follow_symlinks=False)
            if is_dir or stat.S_ISREG(known.st_mode) or stat.S_ISLNK(known.st_mode):
                yield Entry(path, known)
        if is_dir and (not out or ignore.brings_back):
            yield from _walk(folder, path, ignore)
