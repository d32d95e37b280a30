"""Frames: how files travel in bulk, both ways. Pure but for reading the files handed to it.

A frame is a little-endian u32 header length, the header (a JSON array of operations)
and the bytes of its operations in order. A header of length 0 ends the stream. See
docs/api.md for the operations.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quote  # in C: 0.1 us a path
from typing import Any, Protocol

from pachybox.errors import CHECK_FILE, Internal, InvalidArgument

END = b"\0\0\0\0"
FRAME_BYTES = 1 << 20  # what a frame is filled to
INLINE_BYTES = 256 << 10  # a larger local file goes by descriptor where that is possible
MAX_DATA = 4 << 20  # of one frame, agreed with the box
MAX_HEADER = 16 << 20
_MAX_OPS = 16_384
_MAX_FDS = 64  # in flight at once: they count against the limit of open files

Send = Callable[[Sequence[bytes | bytearray | memoryview], Sequence[int]], None]


class Readable(Protocol):
    """What a binary file offers."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; b"" at the end."""


class FrameWriter:
    """Turns operations into frames of about 1 MiB and hands each to ``send``.

    The bytes of a file are read straight into the frame, and what the header announces is
    what was read, so a file that changes meanwhile cannot break the framing. ``send`` must
    be done with its buffers when it returns. ``files`` and ``bytes`` count what was written.
    """

    def __init__(self, send: Send, *, descriptors: bool = False) -> None:
        self.files = 0
        self.bytes = 0
        self._send = send
        self._descriptors = descriptors
        self._room = FRAME_BYTES + INLINE_BYTES + 1
        self._buffer = bytearray(self._room)
        self._view = memoryview(self._buffer)
        self._at = 0
        self._ops: list[str] = []
        self._fds: list[int] = []

    def put_data(self, path: str, data: bytes | memoryview, *, append: bool = False) -> None:
        """A file from bytes at hand."""
        verb, view = "a" if append else "p", memoryview(data).cast("B")
        self.files += 1
        head = f'["{verb}",{_path(path)},'
        while True:
            piece = view[: FRAME_BYTES - self._at]
            self._view[self._at : self._at + len(piece)] = piece
            self._op(f"{head}{len(piece)}]", len(piece))
            view, head = view[len(piece) :], '["m",'
            if not view:
                return

    def put_file(self, path: str, name: str, *, append: bool = False) -> None:
        """A regular file of this machine, opened here. Raises InvalidArgument naming it."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as e:
            raise unreadable(name, e) from e
        self.put_open(path, fd, name, append=append)

    def put_open(self, path: str, fd: int, name: str, *, append: bool = False) -> None:
        """A regular file that is open, from its beginning; ``fd`` is closed. ``name`` is for
        errors."""
        keep = False
        try:
            at = self._at
            n = os.readv(fd, [self._view[at : at + INLINE_BYTES + 1]])
            self.files += 1
            if n <= INLINE_BYTES:  # a short read of a regular file is its end
                self._op(f'["{"a" if append else "p"}",{_path(path)},{n}]', n)
            elif self._descriptors:
                keep = True
                os.lseek(fd, 0, os.SEEK_SET)
                self._by_descriptor(path, fd, append)
            else:
                self._op(f'["{"a" if append else "p"}",{_path(path)},{n}]', n)
                self._more(fd)
        except OSError as e:
            raise unreadable(name, e) from e
        finally:
            if not keep:
                os.close(fd)

    def put_stream(self, path: str, stream: Readable, *, append: bool = False) -> None:
        """A file from anything with ``read``, to its end."""
        self._stream(f'["{"a" if append else "p"}",{_path(path)},', "]", stream)

    def split(self, path: str, stream: Readable, how: Mapping[str, object]) -> None:
        """A split put: the records of ``stream`` become the files of directory ``path``."""
        self._stream(f'["s",{_path(path)},', f",{json.dumps(dict(how))}]", stream)

    def _stream(self, head: str, tail: str, stream: Readable) -> None:
        self.files += 1
        first = True
        while True:
            n = len(data := stream.read(FRAME_BYTES - self._at))
            if n or first:
                self._view[self._at : self._at + n] = data
                self._op(f"{head}{n}{tail}", n)
            if not n:
                return
            head, tail, first = '["m",', "]", False

    def delete(self, path: str) -> None:
        """Remove a path, everything below it, or all that a glob matches."""
        self._op(f'["d",{_path(path)}]', 0)

    def copy(self, what: Mapping[str, object]) -> None:
        """Copy from another place in the box: the fields of operation ``c``."""
        self._op(f'["c",{json.dumps(dict(what))}]', 0)

    def url(self, path: str, url: str, *, recursive: bool = False, append: bool = False) -> None:
        """Have the box fetch ``url``."""
        how = json.dumps({"recursive": recursive, "append": append})
        self.files += 1
        self._op(f'["u",{_path(path)},{json.dumps(url)},{how}]', 0)

    def flush(self) -> None:
        """Send the frame at hand, if it holds anything."""
        if not self._ops:
            return
        header = f"[{','.join(self._ops)}]".encode()
        fds, at = self._fds, self._at
        self._ops, self._fds, self._at = [], [], 0
        try:
            self._send([len(header).to_bytes(4, "little"), header, self._view[:at]], fds)
        finally:
            for fd in fds:
                os.close(fd)

    def end(self) -> None:
        """Send what is left and the mark without which nothing is committed."""
        self.flush()
        self._send([END], ())

    def close(self) -> None:
        """Drop what was not sent."""
        fds, self._fds, self._ops = self._fds, [], []
        for fd in fds:
            os.close(fd)
        # a cycle holds this writer and its user; what is large in it need not wait for a collection
        self._buffer, self._view = bytearray(), memoryview(b"")

    def _op(self, op: str, size: int) -> None:
        self._ops.append(op)
        self._at += size
        self.bytes += size
        if self._at >= FRAME_BYTES or len(self._ops) >= _MAX_OPS:
            self.flush()

    def _by_descriptor(self, path: str, fd: int, append: bool) -> None:
        self._fds.append(fd)
        self.bytes += os.fstat(fd).st_size
        self._op(f'["{"fa" if append else "f"}",{_path(path)}]', 0)
        if len(self._fds) >= _MAX_FDS:
            self.flush()

    def _more(self, fd: int) -> None:
        while True:
            n = os.readv(fd, [self._view[self._at : FRAME_BYTES]])
            if n == 0:
                return
            self._op(f'["m",{n}]', n)


def _path(path: str) -> str:
    text = quote(path)
    if "\\ud" in text:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"{path!a} is not a UTF-8 name", "rename the file") from None
    return text


def unreadable(name: str, error: OSError) -> InvalidArgument:
    """A file of this machine cannot be read."""
    return InvalidArgument(f"cannot read {name}: {error.strerror or error}", CHECK_FILE)


class Source(Protocol):
    """Where frames come from: a response body."""

    def read_into(self, view: memoryview, /) -> None:
        """Fill ``view``."""

    def fd(self) -> int:
        """The next descriptor received."""


class Sink(Protocol):
    """Where the files of a download go. Calls come in stream order."""

    def begin(self, path: str) -> None:
        """A file begins; its bytes follow by ``data`` or ``fd``."""

    def data(self, piece: memoryview) -> None:
        """The next bytes of the file."""

    def fd(self, fd: int, size: int) -> None:
        """The whole file is the first ``size`` bytes of ``fd``; the sink does not close it."""

    def directory(self, path: str) -> None:
        """A directory."""


def frames(source: Source) -> Iterator[tuple[list[list[Any]], memoryview]]:
    """The frames of a stream: operations and the data of the frame, valid until the next.

    Raises Internal when the stream is not made of frames.
    """
    prefix = memoryview(bytearray(4))
    buffer = bytearray(FRAME_BYTES)
    while True:
        source.read_into(prefix)
        size = int.from_bytes(prefix, "little")
        if size == 0:
            return
        if size > MAX_HEADER:
            raise Internal(f"the box sent a frame header of {size} bytes")
        header = memoryview(bytearray(size))
        source.read_into(header)
        try:
            ops = json.loads(bytes(header))
            total = sum(op[-1] for op in ops if op[0] in "pm")
        except (ValueError, TypeError, IndexError) as e:
            raise Internal("the box sent a frame that cannot be read") from e
        if not 0 <= total <= MAX_DATA:
            raise Internal(f"the box sent a frame of {total} bytes")
        if total > len(buffer):
            buffer = bytearray(total)
        data = memoryview(buffer)[:total]
        source.read_into(data)
        yield ops, data
