"""HTTP/1.1 as the client speaks it, plain and encrypted: keep-alive, chunks, descriptors.

A ``Transport`` lends connections to one caller at a time and keeps idle ones. A
``Response`` hands out the decoded body: by lines, by exact reads, whole. Descriptors
(SCM_RIGHTS) that arrive with the bytes queue up on the connection in order.
"""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pachybox import __version__
from pachybox.client.address import Address
from pachybox.client.connection import BUFFER, Buffer, Connection, Cut, current_scope
from pachybox.client.errors import from_json, late, lost, unreachable
from pachybox.errors import Internal, InvalidArgument, Unreachable

if TYPE_CHECKING:
    pass

_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)  # what a URL carries as it is (RFC 3986); urllib.parse would cost every start 4 ms


def target(path: str, query: Mapping[str, str]) -> str:
    """``path?query`` with the values escaped; empty ones are left out."""
    pairs = (f"{name}={escaped(value)}" for name, value in query.items() if value)
    return f"{path}?{'&'.join(pairs)}"


def escaped(text: str) -> str:
    """``text`` percent-encoded."""
    return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in _utf8(text))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{text!a} is not valid UTF-8") from None


class Response:
    """An answer whose status and headers are read; the body is read by its methods.

    Whoever holds it reads it to the end or calls ``close``; only a body read to its end
    gives the connection back for another request.
    """

    def __init__(
        self, transport: Transport, connection: Connection, during: str, *, reuse: bool = True
    ) -> None:
        self._connection: Connection | None = connection
        self._transport = transport
        self._during = during
        self._left: int | None  # bytes left of the body or chunk; None = until the peer closes
        try:
            self.status, self.headers = _head(connection)
        except (OSError, ValueError) as e:
            self.close()
            raise self._cut(e) from e
        except BaseException:
            self.close()
            raise
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        self._left = 0 if self._chunked else int(length) if length is not None else None
        self._keep = (
            reuse
            and self.headers.get("connection", "").lower() != "close"
            and (self._chunked or length is not None)
        )
        if self._left == 0 and not self._chunked:
            self._done()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the rest of the body, and with it the connection."""
        connection, self._connection = self._connection, None
        if connection:
            self._transport.release(connection, keep=False)

    def __del__(self) -> None:
        self.close()  # a stream that was dropped instead of closed

    def _done(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._transport.release(connection, keep=self._keep and not connection.fds)

    def _cut(self, cause: BaseException) -> Unreachable:
        transport = self._transport
        if isinstance(cause, TimeoutError):
            error = late(transport.address, transport.timeout_s)
        else:
            error = lost(transport.address, self._during)
        error.__cause__ = cause
        return error

    def _available(self) -> int | None:
        """Bytes of the body that may be read now (None: no known bound); 0 at its end."""
        connection = self._connection
        if connection is None:
            return 0
        if self._left == 0 and self._chunked:
            line = connection.line() or connection.line()  # the end of the chunk before
            self._left = int(line.partition(b";")[0], 16)
            if self._left == 0:
                while connection.line():
                    pass
                self._done()
        return self._left

    def read(self, limit: int = BUFFER) -> bytes:
        """Some of the body, at most ``limit`` bytes; b"" at its end. Unreachable when cut off."""
        try:
            available = self._available()
            if available == 0 or self._connection is None:
                return b""
            data = self._connection.piece(limit if available is None else min(limit, available))
            return data if self._took(len(data)) else b""
        except (OSError, ValueError) as e:
            self.close()
            raise self._cut(e) from e

    def read_into(self, view: memoryview) -> None:
        """Fill ``view`` from the body. Unreachable when the body ends before."""
        try:
            while view:
                available = self._available()
                if available == 0 or self._connection is None:
                    raise Cut(errno.ECONNRESET, "the answer ended early")
                n = self._connection.some(view if available is None else view[:available])
                if not self._took(n):
                    raise Cut(errno.ECONNRESET, "the answer ended early")
                view = view[n:]
        except (OSError, ValueError) as e:
            self.close()
            raise self._cut(e) from e

    def _took(self, n: int) -> bool:
        """Account for ``n`` bytes read; False at the end of a body of unknown length."""
        if n == 0:
            if self._left is not None:
                raise Cut(errno.ECONNRESET, "connection closed by the box")
            self._done()
            return False
        if self._left is not None:
            self._left -= n
            if self._left == 0 and not self._chunked:
                self._done()
        return True

    def body(self) -> bytes:
        """The whole body."""
        parts = []
        while data := self.read():
            parts.append(data)
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they arrive."""
        rest = b""
        while data := self.read():
            *whole, rest = (rest + data).split(b"\n") if rest else data.split(b"\n")
            for line in whole:
                if line:
                    yield line
        if rest:
            yield rest

    def fd(self) -> int:
        """The next descriptor received; the caller closes it."""
        if self._connection is None or not self._connection.fds:
            raise Internal("the box announced a descriptor and sent none")
        return self._connection.fds.popleft()

    def checked(self) -> Response:
        """This answer when its status is a success; otherwise raise the error it carries."""
        if self.status < 300:
            return self
        text = self.body()
        try:
            error = json.loads(text)
        except ValueError:
            error = None
        if not isinstance(error, dict):
            error = {"message": text.decode(errors="replace").strip()}
        inner = error.get("error")  # what ends a stream is wrapped
        raise from_json(inner if isinstance(inner, dict) else error, self.status)


def _head(connection: Connection) -> tuple[int, dict[str, str]]:
    while True:
        parts = connection.line().split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
            raise ValueError("the answer is not HTTP")
        status, headers = int(parts[1]), {}
        while line := connection.line():
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        if status >= 200:  # 1xx are notes on the way
            return status, headers


class Transport:
    """Connections to one box. Safe to use from many threads.

    ``timeout_s`` bounds each wait for bytes (None: wait for ever, as following needs).
    """

    def __init__(self, address: Address, token: str = "", timeout_s: float | None = None) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.answered = False  # once true, a refused connection is a restart rather than no box
        self._token = token
        self._idle: list[Connection] = []
        self._lock = threading.RLock()  # a dropped stream may close within a lock
        self._closed = False

    def close(self) -> None:
        """Close the idle connections; those in use close when their answers end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def acquire(self, fresh: bool = False) -> tuple[Connection, bool]:
        """A connection, and whether it served before. Unreachable when the box does not answer."""
        connection = None
        while not fresh and connection is None:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if connection.readable:  # closed by the box while idle
                connection.close()
                connection = None
        used = connection is not None
        if connection is None:
            try:
                connection = Connection(self.address, self.timeout_s)
            except OSError as e:
                raise unreachable(self.address, e) from e
        connection.scope = current_scope()
        if connection.scope:
            connection.scope.add(connection)
        return connection, used

    def release(self, connection: Connection, keep: bool) -> None:
        """Take back a connection; close it unless it can serve again."""
        if connection.scope:
            connection.scope.drop(connection)
            keep = keep and not connection.scope.cancelled
            connection.scope = None
        with self._lock:
            if keep and not self._closed and len(self._idle) < 8:
                self._idle.append(connection)
                return
        connection.close()

    def head(self, method: str, target: str, headers: dict[str, str]) -> bytes:
        """The bytes of a request's head."""
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {self.address.netloc}",
            f"User-Agent: pachybox/{__version__}",
        ]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        idempotent: bool = True,
    ) -> Response:
        """Send a request, return the answer with its body unread.

        An idempotent request is sent again, once, when the connection turns out to be
        dead before any answer. Raises Unreachable; the status is the caller's to check.
        """
        head = {"Content-Length": str(len(body)), **(headers or {})} if body or headers else {}
        data = self.head(method, target, head)
        for fresh in (False, True):
            connection, _used = self.acquire(fresh)
            whole = True
            try:
                connection.send([data, body])
            except OSError as e:
                whole = False
                if not connection.readable:  # else: the box has said why
                    self.release(connection, keep=False)
                    if idempotent and not fresh:
                        continue
                    raise lost(self.address, target) from e
            except BaseException:
                self.release(connection, keep=False)
                raise
            try:
                response = Response(self, connection, target, reuse=whole)
            except Unreachable as e:
                if idempotent and not fresh and not isinstance(e.__cause__, TimeoutError):
                    continue
                raise
            self.answered = True
            return response
        raise lost(self.address, target)  # pragma: no cover  # the loop returns or raises

    def upload(self, target: str, headers: dict[str, str]) -> Upload:
        """Begin a POST whose body is sent in pieces."""
        head = self.head("POST", target, {"Transfer-Encoding": "chunked", **headers})
        for fresh in (False, True):
            connection, used = self.acquire(fresh)
            try:
                connection.send([head])
            except OSError as e:
                self.release(connection, keep=False)
                if used:  # closed while idle; nothing was sent that could count
                    continue
                raise lost(self.address, target) from e
            return Upload(self, connection, target)
        raise lost(self.address, target)  # pragma: no cover  # the loop returns or raises


class Upload:
    """A request body under way; ends with ``finish`` or ``abort``."""

    def __init__(self, transport: Transport, connection: Connection, target: str) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self._target = target

    def send(self, buffers: Sequence[Buffer], fds: Sequence[int] = ()) -> None:
        """Send one piece. When the box answers before the end, its error is raised."""
        connection = self._connection
        if connection is None:
            raise Internal("the upload has ended")
        size = sum(map(len, buffers))
        try:
            pieces = [b"%x\r\n" % size, *buffers, b"\r\n"]
            if not connection.send_unless_answered(pieces, fds):
                self._early()
        except OSError as e:
            self._early(e)

    def _early(self, cause: OSError | None = None) -> None:
        """The box answered or vanished in mid-body: raise what it says."""
        with self._answer(reuse=False) as response:
            response.checked().body()
        raise lost(self._transport.address, self._target) from cause

    def _answer(self, *, reuse: bool) -> Response:
        connection, self._connection = self._connection, None
        if connection is None:
            raise Internal("the upload has ended")
        return Response(self._transport, connection, self._target, reuse=reuse)

    def finish(self) -> dict[str, Any]:
        """End the body, return the box's answer; raises the error it carries."""
        if self._connection is None:
            raise Internal("the upload has ended")
        try:
            self._connection.send([b"0\r\n\r\n"])
        except OSError as e:
            self._early(e)
        with self._answer(reuse=True) as response:
            answer = json.loads(response.checked().body())
        self._transport.answered = True
        if not isinstance(answer, dict):
            raise Internal("the box's answer to an upload is not an object")
        return answer

    def abort(self) -> None:
        """Drop the connection: the box commits nothing of what was sent."""
        connection, self._connection = self._connection, None
        if connection:
            self._transport.release(connection, keep=False)
