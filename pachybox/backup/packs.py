"""The files of a backup: packs of content, and the indexes that say what is in them.

    pack    pieces one after another | a row for each | foot: magic, version, number of rows
    index   head: magic, version, length | JSON: packs, superseded indexes | rows, by zstd

Both are named by the BLAKE3 of their bytes. A row says of one piece whose it is, where in the
pack it lies, and how long it is stored and as it was; of a blob in several pieces also at which
byte it begins. docs/backup.md describes the form for others.
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from pachybox.errors import Corrupt
from pachybox.model.ids import Hash

PACK_BYTES = 16 << 20  # a pack is closed beyond this
PIECE = 16 << 20  # a longer blob is cut
PACK_ROWS = 1 << 16
VERSION = 1

ROW = np.dtype(
    [
        ("hash", "V32"),
        ("pack", "<u4"),
        ("offset", "<u4"),
        ("stored", "<u4"),
        ("length", "<u4"),
        ("kind", "u1"),
        ("codec", "u1"),
        ("reserved", "V2"),
        ("at", "<u8"),
        ("total", "<u8"),
    ]
)
Rows = npt.NDArray[np.void]

_FOOT = struct.Struct("<4sII")
_HEAD = struct.Struct("<4sII")
_PACK_MAGIC, _INDEX_MAGIC = b"pbBP", b"pbBI"
_MOST = 1 << 30  # bytes of an index as it was
_SAMPLE = 64 << 10
_GAIN = 0.96  # a sample that shrinks to more than this is not worth the time


class Kind(IntEnum):
    """What a piece is of. TREE (a directory, or a list of segments) is named only when all that
    it names is named too."""

    DATA = 0
    TREE = 1
    RECORDS = 2


PLAIN, ZSTD = 0, 1


@dataclass(slots=True)
class Index:
    """What one index file says. ``packs``: (name, size); rows name them by place."""

    name: str
    packs: list[tuple[str, int]]
    supersedes: list[str]
    rows: Rows


def pack_path(name: str) -> str:
    """Where a pack lies."""
    return f"packs/{name[:2]}/{name}"


def name_of(data: bytes | memoryview) -> str:
    """What a file with these bytes is called."""
    return blake3(data, max_threads=blake3.AUTO).hexdigest()


class PackBuilder:
    """One pack in the making, in memory."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self._rows: list[tuple[bytes, int, int, int, int, int, int, bytes, int, int]] = []
        self.size = 0
        self._packed = _compressor()

    def add(
        self, kind: Kind, h: Hash, data: bytes | memoryview, at: int = 0, total: int | None = None
    ) -> None:
        """One piece of a blob of ``total`` bytes (None: all of it), from its byte ``at`` on."""
        codec, stored = self._smaller(data)
        whole = len(data) if total is None else total
        self._rows.append(
            (h, 0, self.size, len(stored), len(data), kind, codec, b"\0\0", at, whole)
        )
        self._parts.append(stored)
        self.size += len(stored)

    @property
    def full(self) -> bool:
        """Whether it is to be closed."""
        return self.size >= PACK_BYTES or len(self._rows) >= PACK_ROWS

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self._rows

    def close(self) -> tuple[bytes, Rows]:
        """The bytes of the pack, and its rows; it is empty again."""
        rows = np.array(self._rows, ROW)
        data = b"".join((*self._parts, rows.tobytes(), _FOOT.pack(_PACK_MAGIC, VERSION, len(rows))))
        self._parts, self._rows, self.size = [], [], 0
        return data, rows

    def _smaller(self, data: bytes | memoryview) -> tuple[int, bytes | memoryview]:
        if len(data) > 2 * _SAMPLE:
            middle = len(data) // 2
            sample = data[middle : middle + _SAMPLE]
            if len(self._packed(sample)) > _GAIN * len(sample):
                return PLAIN, bytes(data)
        packed = self._packed(data)
        return (ZSTD, packed) if len(packed) < len(data) else (PLAIN, bytes(data))


def unpacked(row: np.void, stored: bytes | memoryview, shown: str) -> bytes:
    """The piece of a row as it was. Its hash is the caller's to prove. Raises Corrupt naming the
    file ``shown``, and the piece."""
    length = int(row["length"])
    piece = f"of {row['hash'].tobytes().hex()}, at byte {row['offset']},"
    if len(stored) != int(row["stored"]):
        text = f"{piece} {row['stored']} bytes are looked for and {len(stored)} found"
        raise damaged(shown, text)
    if row["codec"] == PLAIN:
        data = bytes(stored)
    else:
        try:
            data = _unpack(stored, max(length, 1))
        except ValueError:
            raise damaged(shown, f"{piece} {len(stored)} bytes cannot be unpacked") from None
    if len(data) != length:
        text = f"{piece} {len(stored)} bytes unpack to {len(data)} and not to {length}"
        raise damaged(shown, text)
    return data


def encode_index(
    packs: Sequence[tuple[str, int]], rows: Rows, supersedes: Sequence[str] = ()
) -> bytes:
    """The bytes of an index, never the same twice: one that was superseded must not come again."""
    about = {"packs": list(packs), "supersedes": list(supersedes), "made": uuid.uuid4().hex}
    head = json.dumps(about).encode()
    body = _compressor()(rows.tobytes())
    return _HEAD.pack(_INDEX_MAGIC, VERSION, len(head)) + head + body


def decode_index(name: str, data: bytes, shown: str) -> Index:
    """An index from its bytes. Raises Corrupt."""
    if name_of(data) != name:
        raise damaged(
            shown,
            "it is not what its name says",
            "move it away, and the next backup sends again what the box still has of it",
        )
    try:
        magic, version, length = _HEAD.unpack_from(data)
        if magic != _INDEX_MAGIC or version > VERSION:
            raise damaged(shown, "it is no index, or one of a newer pachybox")
        head = json.loads(data[_HEAD.size : _HEAD.size + length])
        body = _unpack(data[_HEAD.size + length :], _MOST)
        rows = np.frombuffer(body, ROW)
        packs = [(str(pack), int(size)) for pack, size in head["packs"]]
        supersedes = [str(other) for other in head["supersedes"]]
    except (struct.error, ValueError, KeyError, TypeError):
        raise damaged(shown, "it is no index") from None
    if len(rows) and int(rows["pack"].max()) >= len(packs):
        raise damaged(shown, "it names a pack it does not know")
    return Index(name, packs, supersedes, rows)


def _compressor() -> Callable[[bytes | memoryview], bytes]:
    import zstandard

    return zstandard.ZstdCompressor(level=3).compress


def _unpack(data: bytes | memoryview, most: int) -> bytes:
    """Raises ValueError for what is no frame, or a longer one."""
    import zstandard

    try:
        if zstandard.frame_content_size(data) > most:  # else ``max_output_size`` counts for nothing
            raise ValueError("it is longer than it says")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=most)
    except zstandard.ZstdError as e:
        raise ValueError(str(e)) from None


def damaged(
    shown: str, what: str, remedy: str = "see what else is: pachybox backup verify"
) -> Corrupt:
    """The error for a file of a backup that is not what it should be."""
    return Corrupt(f"the backup is damaged: {shown}: {what}", remedy)
