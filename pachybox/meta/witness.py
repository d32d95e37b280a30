"""How far the metadata was durable, told beside it: what a database cut short cannot hide.

DuckDB takes damage inside its write-ahead log for the torn end of a crash and drops all that
follows without a word. So the writer notes the number of the newest event after each commit,
and opening a database that ends before that number is refused. The note is not synced: after
a power cut it may be too low, never too high.
"""

from __future__ import annotations

import os
from pathlib import Path

import xxhash

_SIZE = 16


class Witness:
    """One number in a small file, with a checksum; 0 when there is none or it is damaged."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        data = os.pread(self._fd, _SIZE, 0)
        self.number = int.from_bytes(data[:8], "little") if data == _encode(data[:8]) else 0

    def note(self, number: int) -> None:
        """Remember a higher number. A disk without room for it costs the protection only."""
        try:
            os.pwrite(self._fd, _encode(number.to_bytes(8, "little")), 0)
        except OSError:
            return
        self.number = number

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def _encode(number: bytes) -> bytes:
    return number + xxhash.xxh3_64_digest(number)
