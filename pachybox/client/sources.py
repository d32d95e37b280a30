"""What a file may be put from, and how its bytes come out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from pachybox.client.frames import Readable
from pachybox.errors import InvalidArgument

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | Iterable[bytes | str]
"""What a file may be put from; a text is a file's name."""


def view_of(source: object) -> memoryview | None:
    """The bytes of an object that shares its memory (bytes, array.array, numpy's); else None."""
    try:
        view = memoryview(source)  # type: ignore[arg-type]
    except TypeError:
        return None
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


class Pieces:
    """``read`` over anything with ``read``, or over pieces; text becomes UTF-8."""

    def __init__(self, source: object) -> None:
        read = getattr(source, "read", None)
        if read is None and not isinstance(source, Iterable):
            raise InvalidArgument(
                f"a {type(source).__name__} is no content", "put bytes, a file's name or a file"
            )
        self._read: Callable[[int], bytes | str] | None = read
        self._pieces: Iterator[object] = iter(()) if read else iter(source)  # type: ignore[call-overload]
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; b"" at the end."""
        while not self._rest:
            piece: object
            if self._read is not None:
                piece = self._read(size)
                if not piece:
                    return b""
            else:
                try:
                    piece = next(self._pieces)
                except StopIteration:
                    return b""
            if isinstance(piece, str):
                piece = piece.encode()
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InvalidArgument(
                    f"a {type(piece).__name__} is no content", "put bytes or text"
                )
            self._rest = bytes(piece)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found
