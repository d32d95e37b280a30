"""Idempotency keys that were seen, and how what came with them was answered.

A ring of entries of 48 bytes in a file, and an index in memory of 1 MB and 5 bytes a key,
so of at most 6 MB:

    16 bytes digest of the key | u64 position | 12 bytes digest of the body | u32 seconds
    u32 records | u32 CRC-32

Entries stand in the order of their positions. A key is in the log too, with its records, so that
only those below the log's beginning must be durable here: ``sync`` before the log is cut, and
``Keys.open`` reads the rest from the log again.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path

from pachybox.durable import sync_path

_ENTRY = struct.Struct("<16sQ12sIII")
_CHECKED = struct.Struct("<16sQ12sII")  # what the checksum is of
_WORDS = _ENTRY.size // 8
_BUCKETS = 1 << 18
_MASK = (1 << 32) - 1  # what memory has of a number: the rest follows from the newest
_MARK = 7  # where in an entry its mark is: buckets go by its first eight bytes
_BLOCK = _ENTRY.size * 20_000
BODY_DIGEST = 12


@dataclass(frozen=True, slots=True)
class Seen:
    """What came with a key: the digest of its body, the position after it, when (seconds since
    1970), how many records."""

    digest: bytes
    position: int
    time: int
    records: int


def digest_of(data: bytes, size: int) -> bytes:
    """A short name of ``data`` that nobody can make another have."""
    return blake2b(data, digest_size=size).digest()


class Keys:
    """The last ``most`` keys. For one thread at a time."""

    def __init__(self, file: Path, start: int, most: int = 1_000_000) -> None:
        """Read the keys of what lies before position ``start``; those from there on are to be
        added again, in their order. Raises OSError."""
        self._most = most
        self._file = file
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # perf: plain numbers in arrays; a dict of a million keys takes ten times as much
        self._heads = array("I", bytes(4 * _BUCKETS))  # by bucket: number of the newest, from 1
        self._before = array("I")  # by place: number of the one before in its bucket
        self._marks = bytearray()  # by place: the last byte of what buckets go by
        self._count = 0  # numbers given so far
        try:
            self._load(start)
        except BaseException:
            os.close(self._fd)
            raise

    def _load(self, start: int) -> None:
        positions = array("Q")
        hashes = array("Q")
        marks = bytearray()
        at = 0
        while data := os.pread(self._fd, _BLOCK, at):
            at += len(data)
            data = data[: len(data) // _ENTRY.size * _ENTRY.size]
            marks += data[_MARK :: _ENTRY.size]
            words = array("Q")
            words.frombytes(data)
            if sys.byteorder == "big":
                words.byteswap()
            hashes += words[::_WORDS]
            positions += words[2::_WORDS]
        del positions[self._most :], marks[self._most :]
        last = max((one for one in positions if one <= start), default=0)
        if not last:
            return
        # The ring is in order but for where its end meets its beginning, behind the newest.
        newest = positions.index(last)
        self._marks = marks
        self._before.frombytes(bytes(4 * len(positions)))
        self._take(hashes, positions, start, range(newest + 1, len(positions)))
        self._take(hashes, positions, start, range(newest + 1))

    def _take(self, hashes: array[int], positions: array[int], start: int, places: range) -> None:
        heads, before = self._heads, self._before
        first = places.start + 1 + (self._most if self._count else 0)  # the ring's second round
        there = slice(places.start, places.stop)
        # perf: a million of them, and somebody may wait
        for number, key_hash, position in zip(
            count(first), hashes[there], positions[there], strict=False
        ):
            if 0 < position <= start:
                bucket = key_hash % _BUCKETS
                before[(number - 1) % self._most] = heads[bucket]
                heads[bucket] = self._count = number  # of a few million at most

    def _note(self, key_hash: int) -> None:
        place = self._count % self._most
        self._count += 1
        if place >= len(self._before):
            more = place + 1 - len(self._before)
            self._before.frombytes(bytes(4 * more))
            self._marks += bytes(more)
        bucket = key_hash % _BUCKETS
        self._before[place] = self._heads[bucket]
        self._marks[place] = key_hash >> 56
        self._heads[bucket] = self._count & _MASK

    def find(self, key: bytes) -> Seen | None:
        """What came with ``key`` last."""
        name = digest_of(key, 16)
        key_hash = int.from_bytes(name[:8], "little")
        mark = key_hash >> 56
        there = min(self._count, self._most)
        number, last = self._heads[key_hash % _BUCKETS], -1
        # Each one is older than the one before; what is not is of an entry that is gone.
        while last < (age := (self._count - number) & _MASK) < there:
            place = (self._count - age - 1) % self._most
            if self._marks[place] == mark:
                data = os.pread(self._fd, _ENTRY.size, place * _ENTRY.size)
                found, position, digest, time, records, checksum = _ENTRY.unpack(data)
                if found == name and zlib.crc32(data[: _CHECKED.size]) == checksum:
                    return Seen(digest, position, time, records)
            number, last = self._before[place], age
        return None

    def add(self, key: bytes, seen: Seen) -> None:
        """Remember a key; that with the lowest position goes when there are too many. Raises
        OSError."""
        name = digest_of(key, 16)
        entry = _CHECKED.pack(name, seen.position, seen.digest, seen.time, seen.records)
        place = self._count % self._most
        os.pwrite(self._fd, entry + zlib.crc32(entry).to_bytes(4, "little"), place * _ENTRY.size)
        self._note(int.from_bytes(name[:8], "little"))

    def sync(self) -> None:
        """Have all that was added be durable. Raises OSError."""
        os.fdatasync(self._fd)
        sync_path(self._file.parent)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
