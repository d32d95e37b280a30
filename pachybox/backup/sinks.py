"""Where an archive goes: in pieces to whoever takes them, or into a file by the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from pachybox.backup.archive import Buffer
from pachybox.errors import Refused
from pachybox.model.ids import Hash
from pachybox.store.blobs import BlobStore
from pachybox.store.disk import write_all
from pachybox.store.transfer import CHUNK


class Sink(Protocol):
    """Takes an archive in order, or raises."""

    def write(self, data: Buffer) -> None:
        """All of one piece."""
        ...

    def blob(self, blobs: BlobStore, h: Hash, size: int) -> None:
        """All of a long blob, proven. Raises Corrupt."""
        ...


class Pieces:
    """A sink that hands every piece to a function."""

    def __init__(self, write: Callable[[Buffer], None]) -> None:
        self.write = write

    def blob(self, blobs: BlobStore, h: Hash, size: int) -> None:
        """See Sink."""
        for at in range(0, size, CHUNK):
            self.write(blobs.read(h, at, CHUNK))


class FileSink:
    """A sink into an open file, at its position; ``gone`` says that nobody waits any more."""

    def __init__(self, fd: int, gone: Callable[[], bool]) -> None:
        self._fd = fd
        self._gone = gone

    def write(self, data: Buffer) -> None:
        """See Sink."""
        self._check()
        write_all(self._fd, data)

    def blob(self, blobs: BlobStore, h: Hash, size: int) -> None:
        """See Sink. The bytes go within the kernel, behind the proof."""
        self._check()
        before = os.lseek(self._fd, 0, os.SEEK_CUR)
        blobs.copy_to(h, self._fd)
        if os.lseek(self._fd, 0, os.SEEK_CUR) - before != size:
            raise Refused("the file is written to by somebody else", "extract into another one")

    def _check(self) -> None:
        if self._gone():
            raise Refused("whoever asked for the archive has left")
