"""Values for file trees: entries, edits, differences. Pure values.

A tree is immutable and named by the hash of its root directory's node. A
directory entry's hash is the hash of its own node, so the content identity of
a subtree is one value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pachybox.model.ids import Hash


class Kind(IntEnum):
    """What an entry is."""

    FILE = 1  # hash names one blob: the content
    DIR = 2  # hash names a directory node
    SEGMENTS = 3  # a file of several pieces; hash names a segment list


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory.

    ``size`` is in bytes, of the whole subtree for a directory; ``count`` is the
    number of files (1 for a file). ``attrs`` is opaque sorted-key JSON kept with the
    entry (split headers of a directory; content type and MD5 of S3 uploads).
    """

    name: str
    kind: Kind
    hash: Hash
    size: int
    count: int = 1
    attrs: bytes = b""

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.kind is Kind.DIR


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a file: ``length`` bytes at ``offset`` of the blob ``hash``."""

    hash: Hash
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Put:
    """Set the entry at ``path`` (absolute, cleaned), replacing what is there."""

    path: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove whatever is at ``path``, a whole subtree too. Missing is not an error."""

    path: str


Edit = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two trees; ``old`` None = added, ``new`` None = removed."""

    path: str
    old: Entry | None
    new: Entry | None
