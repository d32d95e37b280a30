"""Source code for a build pipeline: the files of a directory that count, and what they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
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
        lines = folder / NAME
        try:
            ignore = Ignore(lines.read_text() if lines.exists() else "")
        except (OSError, UnicodeDecodeError) as e:
            raise InvalidArgument(f"cannot read {lines}: {e}", CHECK_FILE) from e
        found: dict[str, Path | bytes] = {
            path: place for path, place in _walk(folder, "") if path not in ignore
        }
        for place in found.values():
            check_regular(str(place))  # what is left out may be anything
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
        """What the files are, names and content, as hex."""
        whole = hashlib.sha256()
        for path in sorted(self.files):
            content = hashlib.sha256(self.read(path)).hexdigest()
            whole.update(f"{content} {path}\0".encode(errors="surrogateescape"))
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


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Everything below a directory that is none itself, by its path from the top."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as e:
        raise InvalidArgument(f"cannot read {folder}: {e.strerror}", CHECK_FILE) from e
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            yield prefix + entry.name, Path(entry.path)
        elif entry.name not in NEVER:
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
