"""Files that are on disk for good, and whole or not there."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def sync_path(path: Path | str) -> None:
    """Return once a file, or the names of a directory, are on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def replacing(
    path: Path, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> Iterator[IO[bytes]]:
    """What is written takes the place of ``path`` at the end, at once and for good; after an error
    all is as it was. Nobody else can read it before it has ``mode`` and ``owner`` (user, group).

    Root does this in directories of others, who must not get it to follow a link of theirs: the
    file is new, and known by its descriptor.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            if owner is not None:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)  # behind the owner: that takes set-id bits away
            os.fsync(fd)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def cut_short(path: Path) -> list[Path]:
    """What ``replacing`` of ``path`` left, where its process was killed; also where it runs."""
    found = path.parent.glob(f".{glob.escape(path.name)}.*")
    return [one for one in found if one.suffix[1:].isdecimal()]
