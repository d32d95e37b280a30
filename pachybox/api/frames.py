"""Bulk upload: the frames of a request body into typed operations.

A frame is a 32-bit little-endian header length, a header (a JSON array of operations) and
the data bytes of its operations in order; a header length of 0 ends the stream. Costs are
per frame where they can be: a run of small files is one operation here (``PutBatch``), and
a big file's later pieces go from the socket into the reader's own buffer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from pachybox.api.http import Body
from pachybox.errors import InvalidArgument

MAX_DATA_BYTES = 4 << 20  # of one frame
MAX_HEADER_BYTES = 16 << 20
_PIECE = 256 << 10
_LENGTH = struct.Struct("<I")
_FILES = ("p", "a")
_DATA = ("p", "a", "s")  # the operations which have data bytes

Read = Callable[[memoryview], int]
"""Fills (a part of) a buffer that is not empty; returns how many bytes, 0 at the end."""


@dataclass(frozen=True, slots=True)
class PutBatch:
    """Whole files: ``data`` holds their contents one after another.

    ``data`` is valid until the next operation is asked for.
    """

    paths: list[str]
    sizes: list[int]
    data: memoryview
    append: bool = False

    def pieces(self) -> list[memoryview]:
        """Each file's content."""
        data, ends = self.data, list(accumulate(self.sizes))
        return [data[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]


@dataclass(frozen=True, slots=True)
class PutData:
    """A file of more than one frame. ``size`` is that of its first piece; read to the end."""

    path: str
    append: bool
    size: int
    read: Read


@dataclass(frozen=True, slots=True)
class PutFd:
    """A file handed over as a descriptor, closed when the next operation is asked for."""

    path: str
    append: bool
    fd: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete what is at a path, or what a glob matches."""

    path: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy from a commit of any repo; no content moves."""

    src_project: str
    src_repo: str
    src_ref: str
    src_path: str
    path: str
    append: bool = False


@dataclass(frozen=True, slots=True)
class Url:
    """Fetch a URL into a path."""

    path: str
    url: str
    recursive: bool = False
    append: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """A file to be split into many under ``path``."""

    path: str
    split: str
    read: Read
    target_file_datums: int = 0
    target_file_bytes: int = 0
    header_records: int = 0
    append: bool = False


Op = PutBatch | PutData | PutFd | Remove | Copy | Url | Split

_COPY_FIELDS = {
    "src_project": str,
    "src_repo": str,
    "src_ref": str,
    "src_path": str,
    "path": str,
    "append": bool,
}
_URL_FIELDS = {"recursive": bool, "append": bool}
_SPLIT_FIELDS = {
    "split": str,
    "target_file_datums": int,
    "target_file_bytes": int,
    "header_records": int,
    "append": bool,
}


class FrameReader:
    """The operations of one upload. Single use, one thread."""

    def __init__(self, body: Body, take_fd: Callable[[], int], close_fd: Callable[[int], None]):
        """``take_fd`` gives the next descriptor received or raises IndexError."""
        self._body = body
        self._take_fd = take_fd
        self._close_fd = close_fd
        self._rest: list[list[Any]] = []  # operations of this frame whose data is unread
        self._ended = False
        self._buffer = memoryview(bytearray(1 << 20))
        self.files = 0
        self.bytes = 0

    def ops(self) -> Iterator[Op]:
        """The operations in order.

        Raises InvalidArgument for a malformed frame and when the body ends without the
        end frame: the upload must then be given up as a whole.
        """
        while ops := self._peek():
            self._rest = []
            yield from self._frame(ops)

    def _peek(self) -> list[list[Any]]:
        """The operations which come next, without taking them; empty at the end."""
        while not self._rest and not self._ended:
            self._rest = self._header()
        return self._rest

    def _header(self) -> list[list[Any]]:
        word = self._exactly(memoryview(bytearray(4)))
        (length,) = _LENGTH.unpack(word)
        if length == 0:
            self._ended = True
            return []
        if length > MAX_HEADER_BYTES:
            _malformed(f"its header has {length} bytes", "cut it into smaller frames")
        text = self._text(length)
        try:
            ops = json.loads(text)
        except (ValueError, RecursionError) as e:
            _malformed(f"its header is not JSON ({e})")
        if not isinstance(ops, list) or not all(type(op) is list and op for op in ops):
            _malformed("its header is not a list of operations")
        if b"\\ud" in text or b"\\uD" in text:
            try:
                json.dumps(ops, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                _malformed("a path is not Unicode")
        return ops

    def _text(self, length: int) -> bytes:
        """The header's bytes. Room is made as they come: a length says nothing of them."""
        text = bytearray()
        while len(text) < length:
            text += self._exactly(memoryview(bytearray(min(length - len(text), _PIECE))))
        return bytes(text)

    def _exactly(self, target: memoryview) -> memoryview:
        if self._body.fill(target) != len(target):
            raise InvalidArgument(
                "the upload ended before its end frame; nothing was committed", "send it again"
            )
        return target

    def _frame(self, ops: list[list[Any]]) -> Iterator[Op]:
        ops = _joined(ops)
        total = sum(op[2] for op in ops if op[0] in _DATA)
        if total > MAX_DATA_BYTES:
            _malformed(f"it has {total} data bytes", f"at most {MAX_DATA_BYTES} go into one frame")
        if total > len(self._buffer):
            self._buffer = memoryview(bytearray(MAX_DATA_BYTES))
        data = self._exactly(self._buffer[:total])
        self.bytes += total
        last = ops[-1]
        streamed = last[0] in _FILES and self._continues()
        at = 0
        index = 0
        count = len(ops) - streamed
        while index < count:
            letter = ops[index][0]
            if letter in _FILES:
                first = index
                while index < count and ops[index][0] == letter:
                    index += 1
                paths = [op[1] for op in ops[first:index]]
                sizes = [op[2] for op in ops[first:index]]
                end = at + sum(sizes)
                self.files += len(paths)
                yield PutBatch(paths, sizes, data[at:end], letter == "a")
                at = end
            elif letter == "s":
                size = ops[index][2]
                yield from self._split(ops[index], data[at : at + size], index == len(ops) - 1)
                at += size
                index += 1
            else:
                yield from self._other(ops[index])
                index += 1
        if streamed:
            self.files += 1
            stream = _Stream(self, data[at:], continues=True)
            yield PutData(last[1], last[0] == "a", last[2], stream.read)
            stream.drain()

    def _continues(self) -> bool:
        rest = self._peek()
        return bool(rest) and rest[0][0] == "m"

    def more(self) -> int:
        """Take the ``m`` operation that comes next: its size; -1 when there is none."""
        if not self._continues():
            return -1
        op = self._rest[0]
        if len(op) != 2 or type(op[1]) is not int or not 0 <= op[1] <= MAX_DATA_BYTES:
            _malformed(f"operation {_shown(op)} is not [m, size]")
        self._rest = self._rest[1:]
        self.bytes += op[1]
        return int(op[1])

    def direct(self, target: memoryview) -> int:
        """Some data bytes straight from the body."""
        n = self._body.readinto(target)
        if not n:
            self._exactly(target[:1])  # raises
        return n

    def _split(self, op: list[Any], data: memoryview, is_last: bool) -> Iterator[Op]:
        values = _fields(op, op[3] if len(op) > 3 else {}, _SPLIT_FIELDS, needed=("split",))
        stream = _Stream(self, data, continues=is_last)
        self.files += 1
        yield Split(path=op[1], read=stream.read, **values)
        stream.drain()

    def _other(self, op: list[Any]) -> Iterator[Op]:
        match op:
            case ["d", str(path)]:
                yield Remove(path)
            case ["f" | "fa" as letter, str(path)]:
                try:
                    fd = self._take_fd()
                except IndexError:
                    raise InvalidArgument(
                        f"no descriptor came with {path}",
                        "send it over the unix socket with the frame that names it",
                    ) from None
                self.files += 1
                try:
                    yield PutFd(path, letter == "fa", fd)
                finally:
                    self._close_fd(fd)
            case ["c", dict(values)]:
                needed = ("src_repo", "src_path", "path")
                values = _fields(op, values, _COPY_FIELDS, needed)
                yield Copy(**{"src_project": "", "src_ref": "", **values})
            case ["u", str(path), str(url), *options] if len(options) < 2:
                yield Url(path, url, **_fields(op, options[0] if options else {}, _URL_FIELDS))
            case ["m", *_]:
                _malformed("it begins with more bytes of no file")
            case _:
                _malformed(f"operation {_shown(op)} is not known")


class _Stream:
    """Reads one file's data: the piece at hand, then the ``m`` operations that follow."""

    def __init__(self, frames: FrameReader, first: memoryview, *, continues: bool) -> None:
        self._frames = frames
        self._first = first
        self._continues = continues
        self._left = 0

    def read(self, target: memoryview) -> int:
        if self._first:
            n = min(len(self._first), len(target))
            target[:n] = self._first[:n]
            self._first = self._first[n:]
            return n
        while not self._left:
            size = self._frames.more() if self._continues else -1
            if size < 0:
                self._continues = False
                return 0
            self._left = size
        n = self._frames.direct(target[: self._left])
        self._left -= n
        return n

    def drain(self) -> None:
        """Skip what was not read, so that the next operation can be."""
        self._first = self._first[:0]
        if self._continues:
            waste = memoryview(bytearray(64 << 10))
            while self.read(waste):
                pass


def _joined(ops: list[list[Any]]) -> list[list[Any]]:
    """Check the operations that have data, and join an ``m`` to the file before it."""
    out: list[list[Any]] = []
    for op in ops:
        letter = op[0]
        if letter == "p" or letter == "a" or letter == "s":
            if len(op) < 3 or type(op[1]) is not str or type(op[2]) is not int or op[2] < 0:
                _malformed(f"operation {_shown(op)} is not [{letter}, path, size]")
            out.append(op)
        elif letter == "m" and out and out[-1][0] in _DATA:
            if len(op) != 2 or type(op[1]) is not int or op[1] < 0:
                _malformed(f"operation {_shown(op)} is not [m, size]")
            out[-1] = [*out[-1][:2], out[-1][2] + op[1], *out[-1][3:]]
        elif type(letter) is not str or not letter:
            _malformed(f"operation {_shown(op)} is not known")
        else:
            out.append(op)
    return out


def _fields(
    op: list[Any],
    values: Any,
    kinds: Mapping[str, type],
    needed: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(values, dict):
        _malformed(f"the options of {_shown(op)} are not an object")
    for name, value in values.items():
        if name not in kinds:
            _malformed(f"option {name!r} is not known", f"known: {', '.join(kinds)}")
        if type(value) is not kinds[name] or (type(value) is int and value < 0):
            _malformed(f"option {name!r} is not {kinds[name].__name__}")
    for name in needed:
        if not values.get(name):
            _malformed(f"option {name!r} is missing")
    return values


def _shown(op: object) -> str:
    return repr(op)[:80]


def _malformed(what: str, hint: str = "") -> NoReturn:
    raise InvalidArgument(f"malformed upload frame: {what}", hint)
