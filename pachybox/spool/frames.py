"""A batch of records as it lies in a log: length, checksum, body.

    u32 bytes of the body | u32 CRC-32 of the body | body:
    u64 time (microseconds since 1970) | 16 bytes digest | u16 bytes of the note | u32 records
    note | u32 bytes of each record | the records

What is not whole, or not as its checksum says, was never written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

MOST_BYTES = 64 << 20
"""Of a frame's body."""

HEAD = struct.Struct("<II")
_BODY = struct.Struct("<Q16sHI")
_NO_DIGEST = bytes(16)


@dataclass(frozen=True, slots=True)
class Frame:
    """Records that came together.

    ``time``: when, in microseconds since 1970. ``note``: what is to be known of them (of pushed
    records their idempotency key, of a command's the marker after the last). ``digest`` (16 bytes)
    tells bodies of requests apart.
    """

    time: int
    records: Sequence[bytes]
    note: bytes = b""
    digest: bytes = _NO_DIGEST


def encode(frame: Frame) -> bytes:
    """The frame's bytes. Raises ValueError for one of more than MOST_BYTES."""
    records = frame.records
    count = len(records)
    body = b"".join(
        (
            _BODY.pack(frame.time, frame.digest, len(frame.note), count),
            frame.note,
            struct.pack(f"<{count}I", *map(len, records)),
            *records,
        )
    )
    if len(body) > MOST_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes")
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def size_at(data: bytes | memoryview, at: int) -> int:
    """Bytes of the frame that begins at ``at``, its head included; 0 when its head is not whole,
    -1 when there is none."""
    if len(data) - at < HEAD.size:
        return 0
    length = HEAD.unpack_from(data, at)[0]
    return HEAD.size + length if _BODY.size <= length <= MOST_BYTES else -1


def decode(data: bytes | memoryview, at: int, size: int) -> Frame | None:
    """The frame of ``size`` bytes at ``at``; None when it is not what was written."""
    length, checksum = HEAD.unpack_from(data, at)
    with memoryview(data)[at + HEAD.size : at + size] as body:
        if len(body) != length or zlib.crc32(body) != checksum:
            return None
        time, digest, note, count = _BODY.unpack_from(body)
        here = _BODY.size
        if here + note + 4 * count > length:
            return None
        name = bytes(body[here : here + note])
        here += note
        sizes = struct.unpack_from(f"<{count}I", body, here)
        here += 4 * count
        if here + sum(sizes) != length:
            return None
        text = bytes(body[here:])
    records = []
    here = 0
    for each in sizes:
        records.append(text[here : here + each])
        here += each
    return Frame(time, records, name, digest)
