"""Large content in protobuf messages, without copying it more often than the transport does.

A message of 19 MiB that is parsed the usual way is copied twice before a handler sees its bytes,
and one of 2 MiB that is built the usual way twice before it is sent. So the content of requests
is taken out of their wire form (``take``, ``content``), and responses that are nothing but content
are put together in theirs (``Content``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Buffer = bytes | memoryview

CONTENT: dict[str, tuple[int, ...]] = {
    "pfs_v2.ModifyFileRequest": (2, 3, 1),  # add_file.raw.value
    "storage.CreateFilesetRequest": (1, 2, 1),  # append_file.data.value
}
"""Where messages carry content: field numbers from the outermost in."""

_FROM = 64 << 10  # shorter messages are parsed as they are
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Content:
    """A google.protobuf.BytesValue of ``pieces``, which have ``size`` bytes together."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: Sequence[Buffer], size: int) -> None:
        self.pieces = pieces
        self.size = size

    @property
    def value(self) -> bytes:
        """The bytes, as of the message."""
        return b"".join(self.pieces)

    def SerializeToString(self) -> bytes:  # as messages have it
        """The wire form."""
        return b"".join((b"\x0a", varint(self.size), *self.pieces)) if self.size else b""


class Request:
    """A message whose content was taken out: ``taken`` instead of the field, the rest as ever."""

    __slots__ = ("message", "taken")

    def __init__(self, message: Any, taken: memoryview) -> None:
        self.message = message
        self.taken = taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message, name)


def content(request: Any, field: bytes) -> memoryview:
    """The content of a request: what was taken out of it, else its ``field``."""
    return request.taken if isinstance(request, Request) else memoryview(field)


def parse(message_class: Any, data: bytes) -> Any:
    """The message in ``data``, or a Request around it. Raises DecodeError."""
    numbers = CONTENT.get(message_class.DESCRIPTOR.full_name)
    if numbers is None or len(data) < _FROM or (cut := take(data, numbers)) is None:
        return message_class.FromString(data)
    rest, taken = cut
    return Request(message_class.FromString(rest), taken)


def take(data: bytes, numbers: tuple[int, ...]) -> tuple[bytes, memoryview] | None:
    """A message without the bytes of one field, and these bytes.

    ``numbers`` leads to the field. None when it is not there exactly once, or the message is
    anything but well formed on the way there; then it is to be parsed whole.
    """
    view = memoryview(data)
    start, end = 0, len(data)
    around: list[tuple[int, int, int, int]] = []  # of each level: begin, field, value, end
    for number in numbers:
        found = _only(data, start, end, number)
        if found is None:
            return None
        field, value, stop = found
        around.append((start, field, value, end))
        start, end = value, stop
    taken = view[start:end]
    inner = b""
    after = end
    for number, (begin, field, _, stop) in zip(reversed(numbers), reversed(around), strict=True):
        head = bytes(view[begin:field])
        tail = bytes(view[after:stop])
        inner = head + varint(number << 3 | _BYTES) + varint(len(inner)) + inner + tail
        after = stop
    return inner, taken


def _only(data: bytes, at: int, end: int, number: int) -> tuple[int, int, int] | None:
    """Where the one field ``number`` of bytes begins, where its value does, where that ends."""
    found = None
    while at < end:
        field = at
        key, at = _read(data, at, end)
        if at < 0:
            return None
        kind = key & 7
        if kind == _BYTES:
            length, at = _read(data, at, end)
            if at < 0 or at + length > end:
                return None
            if key >> 3 == number:
                if found is not None:
                    return None
                found = field, at, at + length
            at += length
        elif key >> 3 == number:
            return None
        elif kind == _VARINT:
            _, at = _read(data, at, end)
            if at < 0:
                return None
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            return None
    return found if at == end else None


def _read(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A varint and where it ends; -1 when it does not."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1


def varint(value: int) -> bytes:
    """``value`` as a varint."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
