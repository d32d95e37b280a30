"""How the output of one datum differs from another: by file, and by text where that is short."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pachybox.model.files import Entry
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.pps.trial_values import Difference, FileChange

_FILES = 100  # files told of one datum
_BYTES = 64 << 10  # a file of more is not compared by text
_LINES = 2_000  # nor one of more lines: a comparison costs their square
_SHOWN = 60  # lines of one text difference


def compare(pfs: Pfs, old: Hash, new: Hash) -> Difference:
    """The files of two trees that differ, in order of their paths."""
    found: list[FileChange] = []
    more = 0
    for path, was, now in _files(pfs, old, new):
        if len(found) == _FILES:
            more += 1
            continue
        sizes = [None if entry is None else entry.size for entry in (was, now)]
        found.append(FileChange(path, sizes[0], sizes[1], _text(pfs, path, was, now)))
    return Difference(tuple(found), more)


def _files(pfs: Pfs, old: Hash, new: Hash) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    for change in pfs.trees.diff(old, new):
        was = None if change.old is None or change.old.is_dir else change.old
        now = None if change.new is None or change.new.is_dir else change.new
        if was is not None or now is not None:
            yield change.path, was, now


def _text(pfs: Pfs, path: str, old: Entry | None, new: Entry | None) -> str:
    """A unified difference without the names; empty where one is no short text."""
    sides: list[list[str]] = []
    for entry in (old, new):
        lines = [] if entry is None else _lines(pfs, entry)
        if lines is None:
            return ""
        sides.append(lines)
    made = list(difflib.unified_diff(sides[0], sides[1], n=2, lineterm=""))[2:]
    if len(made) > _SHOWN:
        made = [*made[:_SHOWN], f"... {len(made) - _SHOWN} more lines"]
    return "\n".join(made)


def _lines(pfs: Pfs, entry: Entry) -> list[str] | None:
    if entry.size > _BYTES:
        return None
    data = pfs.content.read_all(entry)
    if b"\0" in data:
        return None
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        return None
    if lines[-1] == "":
        lines.pop()
    else:
        lines[-1] += " (no newline at the end)"
    return lines if len(lines) <= _LINES else None
