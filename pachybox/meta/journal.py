"""The journal in front of the database: changes that are durable and not yet in DuckDB.

A transaction of DuckDB costs milliseconds however little is in it; a line here costs one write
and one sync. So changes that ask for it (``quick``) are acknowledged when their line is synced,
and the rows follow in bulk: before anybody asks the database anything, before a change that is
not quick, and after a while anyhow (writer.py). Each line carries the number of the folding it
waits for; the database counts foldings in the same transactions. So lines that are in the
database already are known by their number, whatever a crash left of the file.

A line is the sum of its text (XXH3-64, 16 hex digits), a space, JSON and a newline:
``{"n": number, "rows": {table: [row, ...]}}``; a hash is a list of its hex digits. Rows are whole
and replace what is there. Where there is ``"gone": {table: [key, ...]}``, those rows were in
earlier lines (of notes and filesets, whose keys JSON has), in no database, and are not to come
there. The file is written from its start after each folding and keeps its length.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import xxhash

from pachybox.durable import sync_path
from pachybox.errors import Corrupt
from pachybox.meta.apply import GONE, Staged
from pachybox.meta.tables import ALL, Row

_STEP = 4 << 20  # bytes the file grows by: a sync that need not write its length is cheaper
_BY_NAME = {table.name: table for table in ALL}


class Journal:
    """The file, and how far it is written. For one thread at a time."""

    def __init__(self, path: Path, number: int) -> None:
        """``number``: how many foldings the database has seen."""
        self.path = path
        self.number = number
        new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if new:
            sync_path(path.parent)  # its name is to outlive a power cut as its lines do
        self._length = os.fstat(self._fd).st_size
        self._at = 0

    def left(self) -> list[Staged]:
        """What waits to be folded in, oldest first: what a crash left.

        Raises Corrupt when a line is damaged: a crash can tear none but the last.
        """
        return read(self.path, self.number)

    def append(self, staged: Staged) -> None:
        """Make a group of changes durable. On an error nothing of it counts."""
        data = _line(self.number, staged)
        if self._at + len(data) > self._length:
            length = self._at + len(data) + _STEP
            os.posix_fallocate(self._fd, 0, length)
            self._length = length
        at = self._at
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._fd, memoryview(data)[done:], at + done)
            os.fdatasync(self._fd)
        except OSError:
            self._forget(at)
            raise
        self._at = at + len(data)

    def _forget(self, at: int) -> None:
        """Have a line that may be whole on disk, and was refused, not count."""
        try:
            os.pwrite(self._fd, b"\n", at)
        except OSError:
            os.ftruncate(self._fd, at)
            self._length = at

    def folded(self) -> None:
        """The database has it all, and has counted: begin anew."""
        self.number += 1
        self._at = 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def read(path: Path, number: int) -> list[Staged]:
    """What waits in the journal at ``path`` for folding ``number``; see ``Journal.left``."""
    found: list[Staged] = []
    ended = False
    with open(path, "rb") as file:
        for line in file:
            entry = _parse(line)
            if entry is None or entry["n"] != number:
                ended = True
            elif ended:
                raise Corrupt(
                    f"{path} is damaged: a line in front of the last cannot be read",
                    "restore the data directory from a backup; to go on with what is left, "
                    f"remove {path}",
                )
            else:
                found.append(_staged(entry))
    return found


def _line(number: int, staged: Staged) -> bytes:
    entry: dict[str, Any] = {"n": number, "rows": {}}
    for table, records in staged.items():
        rows = [table.to_row(record) for record in records.values() if record is not GONE]
        if rows:
            entry["rows"][table.name] = rows
        if len(rows) < len(records):
            gone = [key for key, record in records.items() if record is GONE]
            entry.setdefault("gone", {})[table.name] = gone
    text = _encode(entry).encode()
    return b"%016x %s\n" % (xxhash.xxh3_64_intdigest(text), text)


def _hash(value: Any) -> list[str]:
    """What stands for a hash, which JSON does not have."""
    if type(value) is not bytes:
        raise TypeError(f"{type(value).__name__} in a row")
    return [value.hex()]


_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_hash).encode


def _parse(line: bytes) -> dict[str, Any] | None:
    text = line[17:-1]
    if line[:16] != b"%016x" % xxhash.xxh3_64_intdigest(text) or line[-1:] != b"\n":
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else None


def _staged(entry: dict[str, Any]) -> Staged:
    found: Staged = {}
    for name, rows in entry["rows"].items():
        table = _BY_NAME[name]
        records = (table.from_row(_row(row)) for row in rows)
        found[table] = {table.key(record): record for record in records}
    for name, keys in entry.get("gone", {}).items():
        table = _BY_NAME[name]
        found.setdefault(table, {}).update(dict.fromkeys(keys, GONE))
    return found


def _row(row: list[Any]) -> Row:
    return tuple(bytes.fromhex(v[0]) if type(v) is list else v for v in row)
