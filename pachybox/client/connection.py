"""One connection to the box: bytes and descriptors, buffered, plain or encrypted.

Blocking calls can be ended from another thread through the ``Scope`` they ran in.
"""

from __future__ import annotations

import contextvars
import errno
import os
import select
import socket
import threading
from array import array
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pachybox.client.address import Address, connectable
from pachybox.errors import Internal

if TYPE_CHECKING:
    from pachybox.tls import TlsSocket

Buffer = bytes | bytearray | memoryview
BUFFER = 256 << 10
_SEND_BUFFER = 4 << 20
_MAX_FDS = 253  # the kernel's SCM_MAX_FD
_MAX_LINE = 64 << 10
CONNECT_TIMEOUT_S = 10.0

_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("scope", default=None)


class Cut(ConnectionError):
    """The connection ended before the message did."""


class Scope:
    """The connections used by the code run inside ``with scope:``; ``cancel`` cuts them.

    Safe from any thread. What runs in a cancelled scope sees its connection end.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a dropped stream may close within a lock
        self._open: set[Connection] = set()
        self._tokens: list[contextvars.Token[Scope | None]] = []
        self._ended = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until cancelled."""
        self._ended.wait(seconds)

    def __enter__(self) -> Scope:
        self._tokens.append(_scope.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        _scope.reset(self._tokens.pop())

    def add(self, connection: Connection) -> None:
        """Bind ``connection`` to this scope; cut it at once when the scope is cancelled."""
        with self._lock:
            self._open.add(connection)
            if self.cancelled:
                connection.cut()

    def drop(self, connection: Connection) -> None:
        """Forget ``connection``."""
        with self._lock:
            self._open.discard(connection)

    def cancel(self) -> None:
        """End every blocking call running in this scope, and those to come."""
        with self._lock:
            self._ended.set()
            for connection in self._open:
                connection.cut()


def current_scope() -> Scope | None:
    """The scope of the code that asks."""
    return _scope.get()


class Connection:
    """One socket with its read buffer; used by one thread at a time."""

    def __init__(self, address: Address, timeout_s: float | None) -> None:
        self.fds: deque[int] = deque()
        self.scope: Scope | None = None
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._ancillary = socket.CMSG_SPACE(_MAX_FDS * 4) if address.local else 0
        self.socket: socket.socket | TlsSocket = _connected(address)
        self.socket.settimeout(timeout_s)

    def close(self) -> None:
        """Close the socket and every descriptor nobody took."""
        self.socket.close()
        while self.fds:
            os.close(self.fds.popleft())

    def cut(self) -> None:
        """End the connection from another thread: reads and writes fail at once."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    @property
    def readable(self) -> bool:
        """Whether the peer sent something, or closed."""
        if self._end > self._start:
            return True
        if isinstance(self.socket, socket.socket):
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(0))
        # what came may be TLS's own, and say nothing
        try:
            n = self.socket.recv_into(self._view, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._start, self._end = 0, n
        return True

    def send(self, buffers: Sequence[Buffer], fds: Sequence[int] = ()) -> None:
        """Send all buffers, the descriptors with the first byte."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        sent = self.socket.sendmsg(buffers, rights)
        for buffer in buffers:
            size = len(buffer)
            if sent >= size:
                sent -= size
            else:
                self.socket.sendall(memoryview(buffer)[sent:])
                sent = 0

    def send_unless_answered(self, buffers: Sequence[Buffer], fds: Sequence[int]) -> bool:
        """As ``send``, but stop and return False once the peer says something or closes.

        A peer that has answered may never read the rest: a plain send would wait for ever.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        left = [view for buffer in buffers if (view := memoryview(buffer).cast("B"))]
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | select.POLLOUT)
        timeout = self.socket.gettimeout()
        while left:
            ready = poll.poll(None if timeout is None else timeout * 1000)
            if not ready:
                raise TimeoutError("timed out")
            if ready[0][1] & ~select.POLLOUT and self.readable:
                return False
            try:
                sent = self.socket.sendmsg(left, rights, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            rights = []
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]
        return True

    def _receive(self, into: memoryview) -> int:
        if not isinstance(self.socket, socket.socket) or not self._ancillary:
            return self.socket.recv_into(into)
        n, rights, _flags, _peer = self.socket.recvmsg_into(
            [into], self._ancillary, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                came = array("i")
                came.frombytes(data[: len(data) - len(data) % came.itemsize])
                self.fds.extend(came)
        return n

    def _fill(self) -> None:
        self._start, self._end = 0, self._receive(self._view)
        if not self._end:
            raise Cut(errno.ECONNRESET, "connection closed by the box")

    def line(self) -> bytes:
        """The next line without its end."""
        found = self._buffer.find(b"\n", self._start, self._end)
        if found >= 0:
            text = bytes(self._view[self._start : found])
            self._start = found + 1
            return text.rstrip(b"\r")
        parts = bytearray(self._view[self._start : self._end])
        while len(parts) < _MAX_LINE:
            self._fill()
            found = self._buffer.find(b"\n", 0, self._end)
            if found >= 0:
                parts += self._view[:found]
                self._start = found + 1
                return bytes(parts.rstrip(b"\r"))
            parts += self._view[: self._end]
        raise Internal("a header line of the answer is longer than 64 KiB")

    def some(self, into: memoryview) -> int:
        """Read at least one byte into ``into``; 0 when the peer closed."""
        if self._start == self._end:
            if len(into) >= BUFFER >> 2:
                return self._receive(into)
            self._start, self._end = 0, self._receive(self._view)
        n = min(len(into), self._end - self._start)
        into[:n] = self._view[self._start : self._start + n]
        self._start += n
        return n

    def piece(self, limit: int) -> bytes:
        """What is at hand, at most ``limit`` bytes, waiting for the first; b"" = closed."""
        if self._start == self._end:
            self._start, self._end = 0, self._receive(self._view)
        n = min(limit, self._end - self._start)
        data = bytes(self._view[self._start : self._start + n])
        self._start += n
        return data


def _connected(address: Address) -> socket.socket | TlsSocket:
    """A socket to the box, encrypted where the address says so. Raises OSError, Unreachable."""
    if not address.local:
        sock = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not address.secure:
            return sock
        from pachybox.client.secure import encrypted

        return encrypted(sock, address, CONNECT_TIMEOUT_S)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # perf: room for the next frames while the box works on one: 100,000 small files in
    # 1.0 s against 1.9. The kernel gives at most net.core.wmem_max.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    folder = None
    try:
        name, folder = connectable(address.path)
        sock.connect(name)
    except OSError:
        sock.close()
        raise
    finally:
        if folder is not None:
            os.close(folder)
    return sock
