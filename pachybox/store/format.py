"""The store's format on disk: version file, and frames, the unit a pack grows by.

Pure encoding and decoding, described byte by byte in docs/format.md. The packs (packs.py)
and their index (index.py) are the users; whatever is changed here changes the version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from blake3 import blake3

from pachybox.durable import replacing
from pachybox.errors import Corrupt, Refused
from pachybox.model.ids import Hash
from pachybox.store.disk import pread_all

VERSION = 2
OLDEST = 1  # the same without the sums of objects, which are made when first needed
BLOCK = 512  # frames and blobs of ALIGN_FROM bytes begin on it: file system images point there
ALIGN_FROM = 256
PACK_LIMIT = 128 << 10  # bytes; a longer blob is an object of its own
PACK_BYTES = 256 << 20  # a pack is sealed when it is at least this long ...
PACK_RECORDS = 1 << 17  # ... or has this many blobs, which bounds the memory of the open pack
FRAME_BYTES = 1 << 20
FRAME_RECORDS = 1 << 13
MAGIC = b"PBXFRAME"
HEAD = np.dtype(
    [
        ("magic", "S8"),
        ("checksum", "<u8"),
        ("pack", "<u4"),
        ("count", "<u4"),
        ("offset", "<u8"),
        ("end", "<u8"),
        ("synced", "<u8"),
        ("reserved", "V16"),
    ]
)
RECORD = np.dtype([("hash", "V32"), ("offset", "<u8"), ("length", "<u4"), ("codec", "<u4")])
_CHECKED_FROM = 16  # the checksum covers what follows it
_FIRST_READ = 4096
_PADS = [bytes(n) for n in range(BLOCK)]

Records = npt.NDArray[np.void]


def digest(data: bytes | memoryview) -> Hash:
    """The address of ``data``."""
    return Hash(blake3(data).digest())


def up(n: Any, step: int) -> Any:
    """``n`` (a number or an array) rounded up to a multiple of ``step``, a power of two."""
    return (n + step - 1) & -step


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame ready to be written at ``offset``: ``hashes[i]`` will be at ``offsets[i]``."""

    data: bytes
    end: int
    hashes: Sequence[Hash]
    offsets: list[int]
    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Header:
    """A frame's header as found on disk, its checksum true.

    ``synced``: this much of the pack was durable when the frame was written.
    """

    offset: int
    end: int
    synced: int
    records: Records


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a pack in which no frame begins: damage, or a torn tail."""

    offset: int
    end: int


def encode(
    pack: int, offset: int, synced: int, hashes: Sequence[Hash], blobs: Sequence[bytes]
) -> Frame:
    """Lay out one frame: the header, the short blobs close together, the rest on blocks."""
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    short = lengths < ALIGN_FROM
    if short.any() and not short.all():
        order = np.argsort(~short, kind="stable")
        hashes = [hashes[i] for i in order]
        blobs = [blobs[i] for i in order]
        lengths, short = lengths[order], short[order]
    n, n_short = len(blobs), int(short.sum())
    size = up(HEAD.itemsize + RECORD.itemsize * n, BLOCK)
    room = np.where(short, up(lengths, 8), up(lengths, BLOCK))
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(room, out=starts[1:])
    starts += offset + size
    if n_short:  # the blocks begin after the last short one
        starts[n_short:] += up(int(starts[n_short]), BLOCK) - int(starts[n_short])
    end = int(up(int(starts[n]), BLOCK))
    records = np.zeros(n, RECORD)
    records["hash"] = np.frombuffer(b"".join(hashes), "V32")
    records["offset"], records["length"] = starts[:n], lengths
    header = _header(pack, offset, end, synced, records, size)
    pads = (np.append(starts[1:n], end) - starts[:n] - lengths).tolist() if n else []
    parts = [header]
    if any(pads):
        for blob, pad in zip(blobs, pads, strict=True):
            parts += (blob, _PADS[pad])
    else:
        parts += blobs
    return Frame(b"".join(parts), end, hashes, starts[:n].tolist(), lengths.tolist())


def _header(pack: int, offset: int, end: int, synced: int, records: Records, size: int) -> bytes:
    head = np.zeros(1, HEAD)
    head["magic"], head["pack"], head["count"] = MAGIC, pack, len(records)
    head["offset"], head["end"], head["synced"] = offset, end, synced
    header = bytearray((head.tobytes() + records.tobytes()).ljust(size, b"\0"))
    sum_ = xxhash.xxh3_64_intdigest(memoryview(header)[_CHECKED_FROM:])
    header[8:_CHECKED_FROM] = sum_.to_bytes(8, "little")
    return bytes(header)


def decode(fd: int, pack: int, offset: int) -> Header | None:
    """The header of the frame at ``offset``; None when there is no true one of this pack."""
    data = pread_all(fd, _FIRST_READ, offset)
    if len(data) < BLOCK or not data.startswith(MAGIC):
        return None
    head = np.frombuffer(data, HEAD, 1)[0]
    count, end = int(head["count"]), int(head["end"])
    size = int(up(HEAD.itemsize + RECORD.itemsize * count, BLOCK))
    if head["pack"] != pack or head["offset"] != offset or end < offset + size:
        return None
    if size > len(data):
        if size > os.fstat(fd).st_size - offset:  # also a bound for a mad count
            return None
        data += pread_all(fd, size - len(data), offset + len(data))
    if xxhash.xxh3_64_intdigest(memoryview(data)[_CHECKED_FROM:size]) != head["checksum"]:
        return None
    records = np.frombuffer(data, RECORD, count, HEAD.itemsize)
    return Header(offset, end, int(head["synced"]), records)


def scan(fd: int, pack: int) -> Iterator[Header | Gap]:
    """All frames of a pack in order, reading headers only.

    Where no header is found the next one is searched for block by block, so that damage
    hides one frame and not the rest. The last frame may end behind the end of the file.
    """
    size = os.fstat(fd).st_size
    offset = 0
    while offset < size:
        header = decode(fd, pack, offset)
        if header is None:
            header = _search(fd, pack, offset + BLOCK, size)
            end = header.offset if header else size
            yield Gap(offset, end)
            if header is None:
                return
        yield header
        offset = header.end


def _search(fd: int, pack: int, offset: int, size: int) -> Header | None:
    while offset < size:
        data = pread_all(fd, 1 << 20, offset)
        at = data.find(MAGIC)
        while at >= 0:
            if at % BLOCK == 0 and (header := decode(fd, pack, offset + at)):
                return header
            at = data.find(MAGIC, at + 1)
        if not data:
            return None
        offset += len(data)
    return None


def read_version(root: Path) -> int | None:
    """The store's version, None when there is no store yet.

    Raises Refused for a newer one and Corrupt for a file that says nothing of the kind.
    """
    path = root / "FORMAT"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    name, _, number = text.strip().partition(b" ")
    if name != b"pachybox-store" or not number.isdigit():
        raise Corrupt(f"{path} does not hold a version", "restore it from a backup")
    version = int(number)
    if version > VERSION:
        raise Refused(
            f"the store {root} has format {version}, this pachybox knows up to {VERSION}",
            "use the newer pachybox that wrote it",
        )
    if version < OLDEST:
        raise Corrupt(f"{path}: there never was a format {version}", "restore it from a backup")
    return version


def write_version(root: Path) -> None:
    """Mark the store as of the present version, atomically and durably."""
    with replacing(root / "FORMAT") as file:
        file.write(b"pachybox-store %d\n" % VERSION)
