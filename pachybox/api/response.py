"""HTTP/1.1 answers: whole, in pieces with descriptors and files, or as lines of JSON.

Lines are the form of every stream of messages: small ones are gathered into one write, and
what has waited for 20 ms goes out even while the handler is still thinking.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import monotonic, time

from pachybox.api.attendant import Attendant
from pachybox.api.http import Request
from pachybox.api.transport import Buffer, Gone, Wire
from pachybox.errors import PachyboxError

JSON = "application/json"
LINES = JSON  # as grpc-gateway says it, though it is an object a line
_BATCH_CHARS = 64 << 10


def error_object(error: PachyboxError) -> dict[str, object]:
    """The JSON form of an error, a google.rpc.Status: the same on every door."""
    return {
        "code": error.grpc_code,
        "message": error.message,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.code,
                "domain": "pachybox",
                "metadata": {"hint": error.hint} if error.hint else {},
            }
        ],
    }


def error_json(error: PachyboxError) -> str:
    """``error_object`` as text."""
    return json.dumps(error_object(error), ensure_ascii=False, separators=(",", ":"))


Headers = Sequence[tuple[str, str]]


class Response:
    """Writes one answer: whole with ``send``, or begun with ``begin`` and written in pieces.

    ``started`` tells whether the status went out; ``keep_alive`` whether the connection
    can carry another request.
    """

    __slots__ = ("_chunked", "_method", "_minor", "_pending", "keep_alive", "started", "status",
                 "wire")  # fmt: skip

    def __init__(self, wire: Wire, request: Request | None) -> None:
        self.wire = wire
        self.started = False
        self.status = 0
        self._method = request.method if request else ""
        self._minor = request.minor if request else 1
        self._chunked = False
        self._pending = b""
        connection = request.headers.get("connection", "").lower() if request else "close"
        self.keep_alive = "close" not in connection if self._minor else "keep-alive" in connection

    def send(self, status: int, content_type: str, body: Buffer, headers: Headers = ()) -> None:
        """The whole answer at once."""
        lines = list(headers)
        if status not in (204, 304):
            lines += [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        head = self._head(status, lines)
        self.started = True
        if self._method == "HEAD":
            self.wire.send(head)
        elif len(body) > 64 << 10:
            self.wire.send(head)
            self.wire.send(body)
        else:
            self.wire.send(head + body)

    def begin(
        self, status: int, content_type: str, length: int | None = None, headers: Headers = ()
    ) -> None:
        """Begin an answer of ``length`` bytes, or of unknown length (chunked).

        The head goes out with the first piece.
        """
        lines = [("Content-Type", content_type), *headers]
        if length is not None:
            lines.append(("Content-Length", str(length)))
        elif self._minor:
            self._chunked = True
            lines.append(("Transfer-Encoding", "chunked"))
        else:
            self.keep_alive = False
        self._pending = self._head(status, lines)
        self.started = True

    def framed(self, data: Buffer) -> bytes:
        """``data`` as it goes over the wire: with the head before the first, as a chunk."""
        head, self._pending = self._pending, b""
        if self._chunked:
            return b"".join((head, b"%x\r\n" % len(data), data, b"\r\n")) if data else head
        return b"".join((head, data))

    def write(self, data: Buffer, fds: Sequence[int] = ()) -> None:
        """One piece of the body, with descriptors attached to its first byte."""
        framed = self.framed(data)
        if fds:
            self.wire.send_with_fds(framed, fds)
        else:
            self.wire.send(framed)

    def write_file(self, fd: int, offset: int, length: int) -> None:
        """A piece of the body straight from a file."""
        if not length:
            return
        head, self._pending = self._pending, b""
        self.wire.send(head + (b"%x\r\n" % length if self._chunked else b""))
        self.wire.send_file(fd, offset, length)
        if self._chunked:
            self.wire.send(b"\r\n")

    def end(self) -> None:
        """End a body that was begun."""
        head, self._pending = self._pending, b""
        self.wire.send(head + b"0\r\n\r\n" if self._chunked else head)

    def close_head(self) -> None:
        """End an answer to HEAD that was begun: there is no body, however it is framed."""
        head, self._pending = self._pending, b""
        self.wire.send(head)

    def _head(self, status: int, headers: Headers) -> bytes:
        self.status = status
        lines = [_status_line(status), _date(int(time()))]
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        if not self.keep_alive:
            lines.append("Connection: close\r\n")
        elif not self._minor:
            lines.append("Connection: keep-alive\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")


@lru_cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"


@lru_cache(1)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n"


class Lines:
    """A stream of JSON lines as the body of an answer that was begun.

    One thread adds and flushes; the attendant flushes what grew old meanwhile.
    """

    def __init__(self, response: Response, attendant: Attendant) -> None:
        self._response = response
        self._attendant = attendant
        self._lock = threading.Lock()
        self._parts: list[str] = []
        self._size = 0
        self._oldest = 0.0
        self._armed = False
        self._ended = False

    def add(self, line: str) -> None:
        """Add one line (with its end). Raises Gone when the client left."""
        with self._lock:
            if not self._parts:
                self._oldest = monotonic()
            self._parts.append(line)
            self._size += len(line)
            arm, self._armed = not self._armed, True
        if self._size >= _BATCH_CHARS:
            self.flush()
        elif arm:
            self._attendant.flush_later(self._flush_old)

    def flush(self) -> None:
        """Write out what is held, the head too. Raises Gone when the client left."""
        with self._lock:
            if self._response.wire.gone:
                raise Gone
            if data := self._take() or self._response.framed(b""):
                self._response.wire.send(data)

    def end(self) -> None:
        """Write out what is held and end the body."""
        with self._lock:
            self._ended = True
            if data := self._take():
                self._response.wire.send(data)
            self._response.end()

    def _take(self) -> bytes:
        parts, self._parts = self._parts, []
        self._size = 0
        return self._response.framed("".join(parts).encode()) if parts else b""

    def _flush_old(self) -> float:
        """In the attendant's thread: never waits. Returns when to look again, 0 = not."""
        if not self._lock.acquire(blocking=False):
            return Attendant.FLUSH_AFTER_S  # its own thread is writing
        try:
            if self._ended or self._response.wire.gone:
                return 0.0
            if not self._parts and not self._response.wire.unsent:
                self._armed = False
                return 0.0
            wait = self._oldest + Attendant.FLUSH_AFTER_S - monotonic()
            if self._parts and wait > 0:
                return wait
            # A client that takes nothing is asked again rarely.
            return 0.001 if self._response.wire.try_send(self._take()) else 1.0
        finally:
            self._lock.release()
