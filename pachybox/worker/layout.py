"""What a datum sees under /pfs, as a value: made by pps.layout, shown by the worker.

Whatever the way, user code cannot change what it is shown where a mount namespace exists;
where none does (isolation ``none``), only ``dirs``, ``files``, ``links`` and a ``tree`` of
copies may be used, since user code can write to what it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs of one datum; the ways below may be mixed.

    ``dirs`` are directories relative to /pfs ("<name>/a/b"), parents first; ``files`` small
    content by path, written into the datum's own tmpfs (0444); ``links`` whole files of the
    host by the path they appear at: read-only bind mounts (their directory is in ``dirs``, or
    the image or tree has an empty file to stand for them). ``tree`` is a directory whose
    entries appear as /pfs/<name>; ``image`` an EROFS image whose root's entries do, with
    ``devices`` the files it points into, in their order. ``bytes`` is what all of it holds.
    """

    dirs: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    tree: Path | None = None
    image: Path | None = None
    devices: tuple[Path, ...] = ()
    bytes: int = 0
