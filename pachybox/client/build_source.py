"""Source code for a build pipeline: the files of a directory that count, and what they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pachybox.client.upload import Put, check_regular
from pachybox.errors import CHECK_FILE, InvalidArgument
from pachybox.model.ignore import NAME, Ignore

OWN = ".pachybox"
"""The directory beside the source that holds the builder's scripts."""

NEVER = frozenset(
    {OWN, ".git", ".hg", ".svn", ".venv", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
"""Directories that are no source: what is in them differs from one call to the next."""


@dataclass(frozen=True, slots=True)
class SourceCode:
    """Files by their path in the repo (no leading slash): where they are, or their content."""

    files: Mapping[str, Path | bytes]

    @classmethod
    def of_folder(cls, folder: Path) -> SourceCode:
        """Every file below a directory but those its ``.pachignore`` leaves out. Raises
        InvalidArgument when it cannot be read."""
        if not folder.exists():
            raise InvalidArgument(f"there is no directory {folder}", CHECK_FILE)
        if not folder.is_dir():
            raise InvalidArgument(f"{folder} is not a directory", "name the one the source is in")
        found: dict[str, Path | bytes] = {**files_of(folder)}
        if not found:
            raise InvalidArgument(f"{folder} holds no source", "put a file into it")
        return cls(found)

    def with_files(self, more: Mapping[str, bytes]) -> SourceCode:
        """The same with further files."""
        return SourceCode({**self.files, **more})

    def read(self, path: str) -> bytes:
        """The content of one file."""
        place = self.files[path]
        if isinstance(place, bytes):
            return place
        try:
            return place.read_bytes()
        except OSError as e:
            raise InvalidArgument(f"cannot read {place}: {e.strerror}", CHECK_FILE) from e

    def digest(self) -> str:
        """What the files are, names and content, as hex. Raises InvalidArgument for what cannot
        be read or named."""
        whole = hashlib.sha256()
        for path in sorted(self.files):
            content = hashlib.sha256(self.read(path)).hexdigest()
            try:
                whole.update(f"{content} {path}\0".encode())
            except UnicodeEncodeError:
                raise InvalidArgument(f"{path!a} is not a UTF-8 name", "rename the file") from None
        return whole.hexdigest()

    def put(self, put: Put) -> None:
        """Make the commit under way hold these files and nothing else."""
        put.delete("/")
        for path, place in self._sorted():
            if isinstance(place, bytes):
                put.data(f"/{path}", place)
            else:
                put.file(f"/{path}", str(place))

    def _sorted(self) -> Iterator[tuple[str, Path | bytes]]:
        return iter(sorted(self.files.items()))


def files_of(folder: Path, counts: Callable[[str], bool] = bool) -> dict[str, Path]:
    """The files of a directory of source that count, by their path from it: all that its
    ``.pachignore`` and ``counts`` leave in. Raises InvalidArgument for what cannot be read."""
    lines = folder / NAME
    try:
        ignore = Ignore(lines.read_text() if lines.exists() else "")
    except (OSError, UnicodeDecodeError) as e:
        raise InvalidArgument(f"cannot read {lines}: {e}", CHECK_FILE) from e
    found = {}
    for path, entry in _walk(folder, ""):
        if counts(path) and path not in ignore:  # what is left out may be anything
            if not entry.is_file(follow_symlinks=False):
                check_regular(entry.path)
            found[path] = Path(entry.path)
    return found


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a directory that is none itself, by its path from the top."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as e:
        raise InvalidArgument(f"cannot read {folder}: {e.strerror}", CHECK_FILE) from e
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            yield prefix + entry.name, entry
        elif entry.name not in NEVER:
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
