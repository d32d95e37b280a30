"""For the code of spouts of Pachyderm 1.x: archives written to ``/pfs/out``, a commit each.

The names are those of ``python_pachyderm.SpoutManager``. Needs nothing but the standard library.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, TextIO

_MEMORY = 1 << 20  # bytes of an archive that are held in memory; more go to a temporary file


class SpoutCommit:
    """One archive in the making: what is put into it is committed together, or not at all."""

    def __init__(self, archive: tarfile.TarFile, marker_filename: str | None) -> None:
        self._archive = archive
        self._marker = marker_filename

    def put_file_from_bytes(self, path: str, bytes: bytes) -> None:
        """A file of the output."""
        self.put_file_from_fileobj(path, len(bytes), BytesIO(bytes))

    def put_file_from_fileobj(self, path: str, size: int, fileobj: IO[bytes]) -> None:
        """A file of the output: ``size`` bytes of ``fileobj``."""
        info = tarfile.TarInfo(path)
        info.size, info.mtime = size, int(time.time())
        self._archive.addfile(info, fileobj)

    def put_marker_from_bytes(self, bytes: bytes) -> None:
        """Where the program is to resume, committed with the files. Raises ValueError in a spout
        without a marker."""
        self.put_marker_from_fileobj(len(bytes), BytesIO(bytes))

    def put_marker_from_fileobj(self, size: int, fileobj: IO[bytes]) -> None:
        """The same: ``size`` bytes of ``fileobj``."""
        self.put_file_from_fileobj(_named(self._marker), size, fileobj)


class SpoutManager:
    """``marker_filename`` is the spec's ``spout.marker``; ``pfs_directory`` is for tests."""

    def __init__(
        self, marker_filename: str | None = None, pfs_directory: str | Path = "/pfs"
    ) -> None:
        self._marker = marker_filename
        self._pfs = Path(pfs_directory)

    @contextmanager
    def commit(self) -> Generator[SpoutCommit, None, None]:
        """One commit. Nothing is written before the block ends, so one that raises commits
        nothing; it returns when the box has read the archive, which may wait."""
        with tempfile.SpooledTemporaryFile(_MEMORY) as whole:
            with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as archive:
                yield SpoutCommit(archive, self._marker)
            whole.seek(0)
            out: BinaryIO
            with open(self._pfs / "out", "wb") as out:
                shutil.copyfileobj(whole, out)

    @contextmanager
    def marker(self) -> Generator[TextIO, None, None]:
        """The last marker, open for reading. Raises FileNotFoundError when there is none yet."""
        with open(self._pfs / _named(self._marker), encoding="utf-8") as file:
            yield file


def _named(marker_filename: str | None) -> str:
    if marker_filename is None:
        raise ValueError("this spout has no marker: give SpoutManager its marker_filename")
    return marker_filename
