"""Bytes and descriptors over one client's socket.

Sockets stay blocking, with short kernel time-outs (SO_RCVTIMEO): each wait is cut into
ticks, and every phase (idle, request head, body, sending) has its own deadline checked at
the ticks. That costs no system call a request and lets one socket be written by the
attendant without waiting (MSG_DONTWAIT) while its own thread is busy elsewhere.
"""

from __future__ import annotations

import array
import logging
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pachybox.api.access.principal import Principal
from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    import ssl

    from pachybox.tls import TlsSocket

log = logging.getLogger("pachybox.api")

BUFFER_BYTES = 64 << 10
# perf: plain numbers; to or two flags takes a microsecond
_QUIET = int(socket.MSG_NOSIGNAL)
_QUIET_NOW = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
_PIECE_BYTES = 256 << 10  # of a file that is encrypted on its way
MAX_FDS_A_MESSAGE = 253  # SCM_MAX_FD of Linux
MAX_FDS_WAITING = 1024
_HELLO = 0x16  # the first byte of who speaks TLS
_INT = struct.calcsize("i")
_CREDENTIALS = struct.Struct("3i")  # process, user, group
_ANCILLARY = socket.CMSG_SPACE(MAX_FDS_A_MESSAGE * _INT)
Buffer = bytes | bytearray | memoryview


class Gone(Exception):
    """The client closed the connection, or it broke."""


class TimedOut(Exception):
    """The client was slower than the phase's deadline allows."""


class PlainText(Exception):
    """The client speaks HTTP where TLS is spoken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost. Times in seconds, sizes in bytes.

    ``idle_s`` between requests, ``head_s`` for a whole request head once its first byte
    came, ``body_s`` between two pieces of a body, ``send_s`` for a client that takes none
    of its answer (someone reading in a pager), ``message_bytes`` one JSON message. Past
    ``connections`` one that has idled for ``spare_s`` makes room, or the new one is refused; those
    by the unix socket are counted by themselves.
    """

    idle_s: float = 120.0
    head_s: float = 10.0
    body_s: float = 120.0
    send_s: float = 900.0
    tick_s: float = 5.0
    line_bytes: int = 16 << 10
    head_bytes: int = 48 << 10
    message_bytes: int = 32 << 20
    connections: int = 512
    spare_s: float = 1.0


class Wire:
    """One connected socket: buffered reading, whole writing, descriptors both ways."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self.sock: socket.socket | TlsSocket = sock
        self.secure = False  # whether what is read and written here is encrypted
        self.local = sock.family == socket.AF_UNIX
        self.fds: deque[int] = deque()
        self.gone = False
        self.patient = True  # whether sending waits for a client that does not take it
        self.idle_since = 0.0  # when the wait for the next request began; 0 = there is one
        self.on_gone: Callable[[], None] | None = None  # cancels the present call
        self.principal: Principal | None = None  # who sent the last request
        self._limits = limits
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._unsent = b""  # left over by try_send; goes before anything else
        tick = struct.pack("ll", int(limits.tick_s), int(limits.tick_s % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tick)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, tick)
        if not self.local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on, before anything was read. Raises PlainText, Gone, TimedOut."""
        from pachybox.tls import TlsSocket, greets

        sock = self.sock
        assert isinstance(sock, socket.socket)
        limits = self._limits
        self.idle_since = time.monotonic()  # it may make room for others until it says something
        first = self._first(sock, self.idle_since + limits.head_s)
        self.idle_since = 0.0
        if not greets(first):
            raise PlainText if first.isalpha() else Gone
        secure = TlsSocket(
            sock, context, server_side=True, timeout_s=limits.tick_s, late=BlockingIOError
        )
        try:
            secure.handshake(limits.head_s)
        except TimeoutError:
            raise TimedOut from None
        except OSError as e:
            self.gone = True
            log.debug("TLS was not agreed on error=%s", e)
            raise Gone from e
        self.sock, self.secure = secure, True

    def _first(self, sock: socket.socket, deadline: float) -> bytes:
        """The first byte the client sends, which stays; empty when it leaves."""
        while True:
            try:
                return sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimedOut from None
            except OSError as e:
                raise Gone from e

    @cached_property
    def peer(self) -> str:
        """Who is at the other end: ``host:port``, or on the unix socket the user's number."""
        try:
            if self.local:
                assert isinstance(self.sock, socket.socket)
                found = self.sock.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
                )
                return f"uid:{_CREDENTIALS.unpack(found)[1]}"
            host, port = self.sock.getpeername()[:2]
        except OSError:  # gone already
            return ""
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # reading

    def receive(self) -> int:
        """What has come, without waiting: its bytes, 0 when the client will send no more, -1 when
        there is nothing or no room. Raises Gone. For a TCP socket."""
        if self._start == self._end:
            self._start = self._end = 0
        if self._end == len(self._buffer):
            return -1
        try:
            n = self.sock.recv_into(self._view[self._end :], 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return -1
        except OSError as e:
            self.gone = True
            raise Gone from e
        self._end += n
        return n

    @property
    def held(self) -> bytes:
        """What has come and was not taken."""
        return bytes(self._view[self._start : self._end])

    def untake(self, count: int) -> None:
        """Have the last ``count`` bytes taken be there again; nothing was received since."""
        self._start -= count

    def head(self) -> bytes | None:
        """The next request head without its empty line; None when the client left or idled.

        Raises TimedOut when a begun head takes too long, OverflowError when it is too long.
        """
        begun = self._end > self._start
        now = time.monotonic()
        deadline = now + (self._limits.head_s if begun else self._limits.idle_s)
        self.idle_since = 0.0 if begun else now
        searched = 0  # bytes after the start that cannot begin the end any more
        while (found := self._buffer.find(b"\r\n\r\n", self._start + searched, self._end)) < 0:
            held = self._end - self._start
            if held > self._limits.head_bytes:
                raise OverflowError
            searched = max(0, held - 3)
            try:
                if not self._fill(deadline):
                    return None
            except TimedOut:
                if begun:
                    raise
                return None
            if not begun:
                begun, deadline = True, time.monotonic() + self._limits.head_s
                self.idle_since = 0.0
                if self._buffer[self._start] == _HELLO:
                    return self.held  # no head: TLS, which waits for an answer
            elif time.monotonic() > deadline:
                raise TimedOut
        if found - self._start > self._limits.head_bytes:
            raise OverflowError
        head = bytes(self._view[self._start : found])
        self._start = found + 4
        return head

    def line(self, limit: int) -> bytes:
        """One line without its CR LF. Raises Gone, TimedOut, OverflowError past ``limit``."""
        deadline = time.monotonic() + self._limits.body_s
        while (found := self._buffer.find(b"\r\n", self._start, self._end)) < 0:
            if self._end - self._start > limit:
                raise OverflowError
            if not self._fill(deadline):
                raise Gone
        line = bytes(self._view[self._start : found])
        self._start = found + 2
        return line

    def readinto(self, target: memoryview) -> int:
        """Some bytes into ``target`` (not empty). Raises Gone at the end of the connection."""
        held = self._end - self._start
        if held:
            n = min(held, len(target))
            target[:n] = self._view[self._start : self._start + n]
            self._start += n
            return n
        deadline = time.monotonic() + self._limits.body_s
        if len(target) >= BUFFER_BYTES:
            n = self._receive(target, deadline)
            if not n:
                raise Gone
            return n
        if not self._fill(deadline):
            raise Gone
        return self.readinto(target)

    def _fill(self, deadline: float) -> int:
        """More bytes into the buffer; 0 at the end of the connection."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            held = self._end - self._start
            self._buffer[:held] = self._buffer[self._start : self._end]
            self._start, self._end = 0, held
        n = self._receive(self._view[self._end :], deadline)
        self._end += n
        return n

    def _receive(self, target: memoryview, deadline: float) -> int:
        while True:
            try:
                sock = self.sock
                if not self.local or not isinstance(sock, socket.socket):
                    return sock.recv_into(target)
                n, ancillary, flags, _ = sock.recvmsg_into(
                    [target], _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimedOut from None
                continue
            except OSError as e:
                self.gone = True
                raise Gone from e
            if ancillary:
                self._take(ancillary, flags)
            return n

    def _take(self, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds.extend(array.array("i", data[: len(data) // _INT * _INT]))
        if flags & socket.MSG_CTRUNC or len(self.fds) > MAX_FDS_WAITING:
            self.close_fds()
            raise InvalidArgument(
                "too many descriptors were sent at once",
                f"send at most {MAX_FDS_A_MESSAGE} with one message and "
                f"{MAX_FDS_WAITING} before the frames that name them",
            )

    def close_fds(self) -> None:
        """Close the descriptors that came and were not taken."""
        while self.fds:
            os.close(self.fds.popleft())

    # writing

    def send(self, data: Buffer) -> None:
        """Write all of ``data``. Raises Gone, or TimedOut when the client takes nothing."""
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            self.send(unsent)
        self._send_all(data)

    def send_with_fds(self, data: Buffer, fds: Sequence[int]) -> None:
        """Write ``data`` with descriptors attached to its first byte (a unix socket only)."""
        self.send(b"")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self._try(lambda: self.sock.sendmsg([data], rights, socket.MSG_NOSIGNAL))
        self._send_all(memoryview(data)[sent:])

    def send_file(self, fd: int, offset: int, length: int) -> None:
        """Write ``length`` bytes of a file, without copying them through this process where
        nothing is encrypted."""
        self.send(b"")
        end = offset + length
        if self.secure:
            self._send_read(fd, offset, end)
            return
        while offset < end:
            at = offset
            count = min(end - offset, 1 << 30)
            sent = self._try(lambda: os.sendfile(self.sock.fileno(), fd, at, count))  # noqa: B023
            if not sent:
                raise Gone  # the file is shorter than said: the client must not take it as whole
            offset += sent

    def _send_read(self, fd: int, offset: int, end: int) -> None:
        piece = memoryview(bytearray(min(_PIECE_BYTES, end - offset)))
        while offset < end:
            n = os.preadv(fd, [piece[: end - offset]], offset)
            if not n:
                raise Gone  # as in send_file
            self.send(piece[:n])
            offset += n

    @property
    def unsent(self) -> bool:
        """Whether ``try_send`` left something over."""
        return bool(self._unsent)

    def try_send(self, data: Buffer) -> bool:
        """Write without waiting; what does not fit goes out before the next ``send``.

        True when nothing is left over. The caller holds the lock of the stream's writer.
        """
        waiting = self._unsent + bytes(data)
        try:
            sent = self.sock.send(waiting, _QUIET_NOW)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.gone = True
            return True
        self._unsent = waiting[sent:]
        return not self._unsent

    def _send_all(self, data: Buffer) -> None:
        if not data:
            return
        flags = _QUIET if self.patient else _QUIET_NOW
        try:
            sent = self.sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.gone = True
            raise Gone from e
        if sent == len(data):
            return  # perf: as nearly always
        if not self.patient:
            self._unsent = bytes(data[sent:])
            return
        view = memoryview(data)
        while sent < len(view):
            rest = view[sent:]
            sent += self._try(lambda: self.sock.send(rest, socket.MSG_NOSIGNAL))  # noqa: B023

    def _try(self, write: Callable[[], int]) -> int:
        deadline = 0.0
        while True:
            try:
                return write()
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + self._limits.send_s
                if self.gone or now > deadline:
                    raise Gone from None
            except OSError as e:
                self.gone = True
                raise Gone from e

    def linger(self, seconds: float = 2.0, limit: int = 256 << 20) -> None:
        """Half-close, then swallow what the client still sends, within bounds.

        Closing with unread input resets the connection, and the client would lose the
        answer which says why its upload was refused.
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
            if isinstance(self.sock, socket.socket):
                short = struct.pack("ll", 0, 200_000)
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, short)
            else:
                self.sock.settimeout(0.2)
            deadline = time.monotonic() + seconds
            while limit > 0 and time.monotonic() < deadline:
                n = self._receive(self._view, deadline)
                self.close_fds()
                if not n:
                    return
                limit -= n
        except (OSError, Gone, TimedOut, InvalidArgument):
            return

    def left(self) -> None:
        """The peer hung up: mark it and cancel the present call. From any thread."""
        self.gone = True
        if on_gone := self.on_gone:
            on_gone()

    def hang_up(self, how: int) -> None:
        """Shut the socket down from another thread (SHUT_RD, SHUT_RDWR); cancels the call."""
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # closed meanwhile
        self.left()

    def close(self) -> None:
        """Close the socket and every descriptor still held."""
        self.close_fds()
        self.sock.close()
