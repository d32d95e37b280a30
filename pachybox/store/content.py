"""The content of files: one blob, or an ordered list of pieces of blobs.

Appending adds a piece instead of rewriting the file. Neighbouring small pieces are merged so
that each is more than twice the size of the next: a list stays logarithmic however many
appends made it, and each byte is rewritten a logarithmic number of times. Whatever is not
larger than ``ONE_BLOB`` is one blob, so the identity of small files follows their content alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

from pachybox.errors import Corrupt, InvalidArgument
from pachybox.model.files import Entry, Kind, Segment
from pachybox.model.ids import Hash
from pachybox.store.node import PutBlob

ONE_BLOB = 64 << 10
"""Files up to this size are always one blob."""

MERGE_BELOW = 8 << 20
"""Pieces of this size and more are never rewritten."""

PIECE = 1 << 20
"""Reads yield at most this much at a time."""

MAGIC = b"pbSG"
VERSION = 1
_HEADER = struct.Struct("<4sB3xI")
_SEGMENT = struct.Struct("<32sQQ")
_RESTORE = "run fsck, and restore the store from a backup"


class Blobs(Protocol):
    """What is needed of the blob store; both reads are verified there."""

    def get(self, h: Hash) -> bytes:
        """A whole blob."""

    def read(self, h: Hash, offset: int, length: int) -> bytes:
        """A range of a blob."""

    def size(self, h: Hash) -> int | None:
        """The size of a blob; None when it is not in the store."""


def encode_segments(segments: Sequence[Segment]) -> bytes:
    """The segment list as a blob."""
    return _HEADER.pack(MAGIC, VERSION, len(segments)) + b"".join(
        [_SEGMENT.pack(s.hash, s.offset, s.length) for s in segments]
    )


def decode_segments(data: bytes, name: Hash) -> list[Segment]:
    """The segments in ``data``; ``name`` is its hash, for the error.

    Raises Corrupt when the bytes are no well-formed list of a known version.
    """
    why = "malformed"
    if len(data) >= _HEADER.size:
        magic, version, n = _HEADER.unpack_from(data)
        if magic == MAGIC and version != VERSION:
            why = f"format version {version} is newer than this program"
        elif magic == MAGIC and n and len(data) == _HEADER.size + n * _SEGMENT.size:
            found = [
                Segment(Hash(h), offset, length)
                for h, offset, length in _SEGMENT.iter_unpack(data[_HEADER.size :])
            ]
            if all(s.length for s in found):
                return found
    raise Corrupt(f"segment list {name.hex()} cannot be read: {why}", _RESTORE)


class Content:
    """Files as ordered segments over one blob store. Thread-safe, no state."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def segments(self, entry: Entry) -> list[Segment]:
        """The pieces of a file in order; none for an empty file.

        Raises InvalidArgument for a directory, Corrupt when the pieces do not add up.
        """
        if entry.kind is Kind.FILE:
            return [Segment(entry.hash, 0, entry.size)] if entry.size else []
        if entry.kind is not Kind.SEGMENTS:
            raise InvalidArgument(f"{entry.name or '/'} is a directory", "name a file in it")
        found = decode_segments(self._blobs.get(entry.hash), entry.hash)
        if sum([s.length for s in found]) != entry.size:
            raise Corrupt(
                f"segment list {entry.hash.hex()} does not add up to {entry.size} bytes", _RESTORE
            )
        return found

    def concat(self, name: str, parts: Sequence[Entry], put: PutBlob) -> Entry:
        """The file ``name`` that is ``parts`` one after another: append is concat([old, new]).

        Up to ONE_BLOB bytes become one blob. Otherwise pieces are shared with the parts, and
        only runs of small neighbours are rewritten; never a piece of MERGE_BELOW or more.
        Attrs are not kept, since they describe other content.
        """
        full = [part for part in parts if part.size]
        if len(full) == 1 and not full[0].is_dir:
            return Entry(name, full[0].kind, full[0].hash, full[0].size)
        return self._store(name, [s for part in parts for s in self.segments(part)], put)

    def join(self, name: str, parts: Sequence[Entry], put: PutBlob) -> Entry:
        """Like concat, but no piece is rewritten however small it is, unless all are ONE_BLOB
        together: for parts that somebody chose the size of."""
        segments = _coalesce([s for part in parts for s in self.segments(part)])
        total = sum([s.length for s in segments])
        if len(segments) > 1 and total > ONE_BLOB:
            return Entry(name, Kind.SEGMENTS, put(encode_segments(segments)), total)
        return self._store(name, segments, put)

    def slice(self, entry: Entry, offset: int, length: int, put: PutBlob) -> Entry:
        """``length`` bytes of a file from ``offset`` on as a file of the same name.

        Raises InvalidArgument when the file does not have them. Nothing large is rewritten.
        """
        if offset < 0 or length < 0 or offset + length > entry.size:
            raise InvalidArgument(
                f"{entry.name} has {entry.size} bytes, not {length} at {offset}",
                "ask for a range inside the file",
            )
        if length == entry.size and not entry.is_dir:
            return Entry(entry.name, entry.kind, entry.hash, entry.size)
        return self._store(entry.name, list(_cut(self.segments(entry), offset, length)), put)

    def _store(self, name: str, segments: list[Segment], put: PutBlob) -> Entry:
        total = sum([s.length for s in segments])
        if total <= ONE_BLOB:
            return Entry(name, Kind.FILE, put(self._join(segments)), total)
        segments = [
            run[0]
            if len(run) == 1
            else Segment(put(self._join(run)), 0, sum(s.length for s in run))
            for run in _runs(_coalesce(segments))
        ]
        only = segments[0]
        if len(segments) == 1 and not only.offset and self._blobs.size(only.hash) == total:
            return Entry(name, Kind.FILE, only.hash, total)
        return Entry(name, Kind.SEGMENTS, put(encode_segments(segments)), total)

    def _join(self, segments: Sequence[Segment]) -> bytes:
        return b"".join([self._read(s.hash, s.offset, s.length) for s in segments])

    def read(self, entry: Entry, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file from ``offset`` on (``length`` of them at most), verified,
        in pieces of at most 1 MiB. What lies behind the end is not there.

        Raises Corrupt when stored content and recorded size disagree.
        """
        if offset < 0 or (length is not None and length < 0):
            raise InvalidArgument(
                f"cannot read {length} bytes at {offset} of {entry.name}", "use numbers from 0 on"
            )
        segments = self.segments(entry)
        if entry.kind is Kind.FILE:
            self._check_size(entry)
        for s in _cut(segments, offset, entry.size if length is None else length):
            yield from self.read_piece(s)

    def read_piece(self, s: Segment) -> Iterator[bytes]:
        """The bytes of one segment, as ``read`` gives them."""
        for at in range(s.offset, s.offset + s.length, PIECE):
            yield self._read(s.hash, at, min(PIECE, s.offset + s.length - at))

    def pieces(self, entry: Entry, offset: int, length: int) -> Iterator[Segment]:
        """Where the bytes of a range are, in order."""
        return _cut(self.segments(entry), offset, length)

    def read_all(self, entry: Entry) -> bytes:
        """The whole content of a file, verified; for files known to be small."""
        return b"".join(self.read(entry))

    def _check_size(self, entry: Entry) -> None:
        size = self._blobs.size(entry.hash)
        # a missing blob is for the read to report; an empty file may never have been stored
        if size is not None and size != entry.size:
            self._blobs.read(entry.hash, 0, 1)  # a damaged index may have lied: this mends it
            size = self._blobs.size(entry.hash)
        if size is not None and size != entry.size:
            raise Corrupt(
                f"blob {entry.hash.hex()} of {entry.name} has {size} bytes, not {entry.size}",
                _RESTORE,
            )

    def _read(self, hash_: Hash, offset: int, length: int) -> bytes:
        data = self._blobs.read(hash_, offset, length)
        if len(data) != length:
            raise Corrupt(
                f"blob {hash_.hex()} has {len(data)} bytes at {offset}, not {length}", _RESTORE
            )
        return data


def _cut(segments: Sequence[Segment], offset: int, length: int) -> Iterator[Segment]:
    """The pieces of a range."""
    for s in segments:
        if length <= 0:
            return
        if offset >= s.length:
            offset -= s.length
            continue
        taken = min(s.length - offset, length)
        yield Segment(s.hash, s.offset + offset, taken)
        offset, length = 0, length - taken


def _coalesce(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours that follow each other in one blob become one."""
    out: list[Segment] = []
    for s in segments:
        if out and out[-1].hash == s.hash and out[-1].offset + out[-1].length == s.offset:
            s = Segment(s.hash, out[-1].offset, out[-1].length + s.length)
            out.pop()
        out.append(s)
    return out


def _runs(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Group neighbours to be merged: of two small runs the first is more than twice the
    second. A function of the sizes, so that one append merges little and rarely."""
    runs: list[tuple[int, list[Segment]]] = []
    for s in segments:
        runs.append((s.length, [s]))
        while (
            len(runs) > 1
            and runs[-1][0] < MERGE_BELOW
            and runs[-2][0] < MERGE_BELOW
            and runs[-2][0] <= 2 * runs[-1][0]
        ):
            size, tail = runs.pop()
            runs[-1] = (runs[-1][0] + size, runs[-1][1] + tail)
    return [run for _, run in runs]
