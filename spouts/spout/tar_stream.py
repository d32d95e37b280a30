"""Where the archives in a stream of tar end: back to back, in whatever pieces they come. Pure.

Knows of ustar, pax and GNU tar what tells how many bytes an entry has; what is in it is for
whoever reads the archive (tarfile, whose reading of sizes this follows).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from pachybox.errors import InvalidArgument

BLOCK = 512
_ZERO = bytes(BLOCK)
_WHOLE = "write whole archives, one writer at a time"
_EXTENSION_MAX = 1 << 20  # bytes of one extended header: whoever reads it has it in memory
_PAX = (b"x", b"X")
_EXTENSIONS = (*_PAX, b"g", b"L", b"K")  # they belong to the entry that follows


class Splitter:
    """Cuts a stream into archives. One ends with two blocks of zeros; further ones are skipped."""

    def __init__(self) -> None:
        self._held = b""  # of a block that has not come whole
        self._inside = False
        self._zero = False  # the last block was of zeros
        self._left = 0  # bytes of content that are still to come
        self._pax: bytearray | None = None  # the extended header that is coming
        self._size: int | None = None  # what one said of the entry that follows
        self._sparse = False  # blocks of a map come before the content

    @property
    def torn(self) -> bool:
        """Whether an archive would be incomplete if the stream ended here."""
        return self._inside or any(self._held)

    def feed(self, data: bytes) -> Iterator[tuple[bytes | memoryview, bool]]:
        """The bytes of ``data`` that are of archives, in pieces, each with whether its archive ends
        with it. Raises InvalidArgument for what is no tar; the splitter is then of no more use."""
        view = memoryview(data)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._content(piece)
                yield piece, False
                continue
            missing = BLOCK - len(self._held)
            self._held, view = self._held + bytes(view[:missing]), view[missing:]
            if len(self._held) < BLOCK:
                return
            block, self._held = self._held, b""
            if self._inside or block != _ZERO:
                yield block, self._block(block)

    def _content(self, piece: memoryview) -> None:
        self._left -= len(piece)
        if self._pax is None:
            return
        self._pax += piece
        if not self._left:
            self._size = _pax_size(bytes(self._pax))
            self._pax = None

    def _block(self, block: bytes) -> bool:
        """Take a block that is no content; whether the archive ends with it."""
        if self._sparse:
            self._sparse = block[504] != 0
            self._left = 0 if self._sparse else self._after_map
            return False
        if block == _ZERO:
            ends = self._zero
            self._zero, self._inside = not ends, not ends
            return ends
        if self._zero:
            raise InvalidArgument("a block of zeros is followed by more of an archive", _WHOLE)
        self._inside = True
        self._header(block)
        return False

    def _header(self, block: bytes) -> None:
        try:
            sums = tarfile.calc_chksums(block)  # type: ignore[attr-defined]  # as tarfile has it
            good = _number(block[148:156]) in sums
            size = _number(block[124:136])
        except (ValueError, tarfile.HeaderError) as e:
            raise _no_tar() from e
        if not good or size < 0:
            raise _no_tar()
        kind = block[156:157]
        if kind not in _EXTENSIONS:
            size, self._size = self._size if self._size is not None else size, None
            if not _has_content(kind, block):
                size = 0
        padded = (size + BLOCK - 1) // BLOCK * BLOCK
        if kind in _EXTENSIONS and size > _EXTENSION_MAX:
            raise InvalidArgument(
                f"an extended header of {size} bytes is too large",
                f"give the entry less beside its content ({_EXTENSION_MAX} bytes)",
            )
        if kind in _PAX and size:
            self._pax = bytearray()
        if kind == tarfile.GNUTYPE_SPARSE and block[482]:
            self._sparse, self._after_map = True, padded
        else:
            self._left = padded

    _after_map = 0


def _no_tar() -> InvalidArgument:
    return InvalidArgument(
        "what was written is no tar archive, or one was torn in the middle",
        _WHOLE,
    )


def _number(field: bytes) -> int:
    """A number as tar has it: octal, or in base 256. Raises ValueError or tarfile.HeaderError."""
    return int(tarfile.nti(field))  # type: ignore[attr-defined]  # as tarfile has it


def _has_content(kind: bytes, block: bytes) -> bool:
    """Whether an entry's size counts bytes that follow it."""
    if kind == tarfile.AREGTYPE and block[:100].rstrip(b"\0").endswith(b"/"):
        return False  # a directory, before there was a type for them
    return kind in tarfile.REGULAR_TYPES or kind not in tarfile.SUPPORTED_TYPES


def _pax_size(records: bytes) -> int | None:
    """What an extended header (``LENGTH KEY=VALUE\\n``...) says of the next entry's size."""
    found = None
    while records and records[0] != 0:
        length, blank, _ = records.partition(b" ")
        if not blank or not length.isdigit() or int(length) <= len(length) + 1:
            raise _no_tar()
        record, records = records[len(length) + 1 : int(length)], records[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"size":
            if not value.isdigit():
                raise _no_tar()
            found = int(value)
    return found
