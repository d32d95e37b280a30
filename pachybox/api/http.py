"""HTTP/1.1 requests: a strict head, and a body read as it comes.

Hand-made because it is part of every call: a whole small call takes 50 us, where an echo on
``http.server`` that parses and prints nothing takes 95. What a request may not be is refused
here (RFC 9112): folded or malformed headers, two lengths, a length beside chunks, unknown
codings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from urllib.parse import parse_qsl, unquote_to_bytes

from pachybox.api.transport import Limits, TimedOut, Wire
from pachybox.errors import Exhausted, InvalidArgument, PachyboxError

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]+) HTTP/1\.([01])")
_FIELD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+"
# perf: all lines in one call; a call each is a tenth of a small request. The group is not
# possessive, as Python 3.11.2 does not go back to where a half-matched repetition began.
_FIELDS = re.compile(rf"(?:{_FIELD}\r\n)*{_FIELD}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_DIGITS = re.compile(r"[0-9]{1,18}")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)
_TRAILER_LINES = 100
_ROOM = 1 << 20  # made at once for a body whose length is known


class Rejected(Exception):
    """A request refused for its form or origin: an error with a status of its own."""

    def __init__(
        self, status: int, error: PachyboxError, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers


def rejected(status: int, message: str, hint: str = "") -> Rejected:
    """A refusal with ``status`` whose error is InvalidArgument."""
    return Rejected(status, InvalidArgument(message, hint))


@dataclass(slots=True)
class Request:
    """One request: its head parsed, its body still on the wire.

    ``path`` is still percent-encoded, ``headers`` have lower-case names.
    """

    method: str
    path: str
    query: str
    minor: int
    headers: dict[str, str]
    body: Body
    local: bool

    def parameters(self) -> dict[str, str]:
        """The query's parameters; of a repeated one, the last. Raises InvalidArgument."""
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, errors="strict")
        except ValueError as e:
            raise InvalidArgument(f"the query cannot be read: {e}") from e
        return dict(pairs)

    def segments(self) -> list[str]:
        """The path's segments, decoded. Raises InvalidArgument when they are not UTF-8."""
        try:
            return [unquote_to_bytes(s).decode() for s in self.path.split("/")[1:]]
        except UnicodeDecodeError as e:
            raise InvalidArgument("the path is not UTF-8 after decoding") from e


def parse_head(head: bytes, limits: Limits) -> tuple[str, str, int, dict[str, str]]:
    """Method, target, minor version and headers of a request head.

    Raises Rejected for anything RFC 9112 tells a server to refuse.
    """
    first, _, rest = head.decode("latin-1").partition("\r\n")
    if len(first) > limits.line_bytes:
        raise rejected(414, "the request line is too long")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        if re.fullmatch(r"[A-Z]+ [!-~]+ HTTP/(?!1\.[01]$)[0-9.]+", first):
            raise rejected(505, "only HTTP/1.1 and 1.0 are spoken here")
        raise rejected(400, "the request line is malformed")
    headers: dict[str, str] = {}
    if not rest:
        return match[1], match[2], int(match[3]), headers
    if not _FIELDS.fullmatch(rest):
        raise rejected(400, "a header line is malformed")
    for line in rest.split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in ("host", "content-length", "transfer-encoding", "content-type"):
                raise rejected(400, f"header {name} is given twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return match[1], match[2], int(match[3]), headers


def read_request(wire: Wire, limits: Limits) -> Request | None:
    """The next request of a connection, or None when the client is done.

    Raises Rejected, TimedOut.
    """
    try:
        head = wire.head()
    except OverflowError:
        raise Rejected(431, Exhausted("the request head is too long")) from None
    if head is None:
        return None
    method, target, minor, headers = parse_head(head.lstrip(b"\r\n"), limits)
    if target[0] != "/":
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise rejected(400, "the request target is not a path")
        headers["host"] = match[1]
        target = match[2] or "/"
    if minor and "host" not in headers and not wire.local:
        raise rejected(400, "header host is missing")
    path, _, query = target.partition("?")
    return Request(method, path, query, minor, headers, _body(wire, minor, headers), wire.local)


def _body(wire: Wire, minor: int, headers: dict[str, str]) -> Body:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    remaining: int | None = 0
    if coding is not None:
        if coding.lower() != "chunked":
            raise rejected(501, f"transfer coding {coding!r} is not known", "send chunked")
        if length is not None or not minor:
            raise rejected(400, "chunks and a content length exclude each other")
        remaining = None
    elif length is not None:
        if not _DIGITS.fullmatch(length):
            raise rejected(400, "header content-length is not a number")
        remaining = int(length)
    # Another expectation may be ignored (RFC 9110 10.1.1); S3 does.
    awaited = bool(minor) and headers.get("expect", "").lower() == "100-continue"
    return Body(wire, remaining, awaited=awaited)


class Body:
    """A request's body, read as it comes: of a known length, or chunked.

    Reading raises Gone when the client leaves before its end, TimedOut when it stalls and
    Rejected when its chunks are malformed.
    """

    __slots__ = ("_awaited", "_chunked", "_left", "_wire", "finished")

    def __init__(self, wire: Wire, length: int | None, *, awaited: bool) -> None:
        self._wire = wire
        self._chunked = length is None
        self._left = length or 0  # of the body, or of the present chunk
        self._awaited = awaited  # the client waits for "100 Continue" before sending
        self.finished = length == 0

    def small(self) -> bool:
        """Whether what is left is known to be little, and probably here already."""
        return self.finished or (not self._chunked and not self._awaited and self._left < 1 << 16)

    def readinto(self, target: memoryview) -> int:
        """Some bytes into ``target`` (not empty); 0 at the end of the body."""
        if self.finished:
            return 0
        if self._awaited:
            self._awaited = False
            self._wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._chunked and not self._left and not self._next_chunk():
            return 0
        n = self._wire.readinto(target[: self._left])
        self._left -= n
        if not self._left:
            if not self._chunked:
                self.finished = True
            elif self._line():
                raise rejected(400, "a chunk does not end where it said")
        return n

    def _line(self) -> bytes:
        try:
            return self._wire.line(8192)
        except OverflowError:
            raise rejected(400, "a chunk's line is too long") from None

    def _next_chunk(self) -> bool:
        match = _CHUNK_SIZE.fullmatch(self._line())
        if match is None:
            raise rejected(400, "a chunk's size is malformed")
        self._left = int(match[1], 16)
        if self._left:
            return True
        for _ in range(_TRAILER_LINES):
            if not self._line():
                self.finished = True
                return False
        raise rejected(400, "too many trailers")

    def fill(self, target: memoryview) -> int:
        """Bytes until ``target`` is full or the body ends; how many."""
        got = 0
        while got < len(target):
            n = self.readinto(target[got:])
            if not n:
                break
            got += n
        return got

    def read_all(self, limit: int, seconds: float) -> bytes | bytearray:
        """The whole body.

        Raises Rejected (413) past ``limit`` bytes, TimedOut when it takes over ``seconds``.
        """
        if self.finished:
            return b""
        if not self._chunked and self._left > limit:
            raise too_large(limit)
        deadline = monotonic() + seconds
        data = bytearray()
        got = 0
        while not self.finished:
            if got == len(data):  # room is made as bytes come: a length alone takes none
                more = 0 if self._chunked else min(self._left, max(got, _ROOM))
                data += bytes(more or max(got, 64 << 10))
            with memoryview(data) as whole, whole[got:] as target:
                got += self.readinto(target)
            if got > limit:
                raise too_large(limit)
            if monotonic() > deadline:
                raise TimedOut
        del data[got:]
        return data

    def lines(self, limit: int) -> Iterator[bytes]:
        """The body's lines without their ends, empty ones left out.

        Raises Rejected (413) when a line passes ``limit`` bytes.
        """
        piece = bytearray(64 << 10)
        parts: list[bytes] = []
        size = 0
        while n := self.readinto(memoryview(piece)):
            first, *rest = bytes(piece[:n]).split(b"\n")
            parts.append(first)
            size += len(first)
            if size > limit:
                raise too_large(limit)
            for following in rest:
                if whole := b"".join(parts).strip():
                    yield whole
                parts, size = [following], len(following)
        if whole := b"".join(parts).strip():
            yield whole

    def drain(self, limit: int = 256 << 10) -> bool:
        """Read what is left, so that the connection can be used again; False when it cannot."""
        if self.finished:
            return True
        if self._awaited or (not self._chunked and self._left > limit):
            return False
        waste = memoryview(bytearray(64 << 10))
        while limit > 0:
            n = self.readinto(waste)
            if not n:
                return True
            limit -= n
        return False


def too_large(limit: int) -> Rejected:
    """The refusal of a message past ``limit`` bytes."""
    return Rejected(
        413,
        Exhausted(
            f"the message is larger than {limit >> 20} MiB",
            "send files through /files/put, which takes any size",
        ),
    )
