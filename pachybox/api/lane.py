"""Small writes of many connections, answered together by one thread: PUTs of S3, posted records.

A client that uploads small objects one after the other asks for little each time, and a thread a
connection spends as much on waking up, and on waiting for the write of all, as on the request. So
a connection that has just sent such a write is watched here, among others like it. What has come by
the time the thread looks is answered in one go: the requests are read and judged one after the
other, their writes are made durable together, and then all are answered. Anything but a small write
that came whole goes back to a thread of its own, unread; so does a client that is slow.

The requests read here wait for each other's write, which they would do anyhow: there is one writer.
"""

from __future__ import annotations

import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable

from pachybox.api.http import Rejected, Request, read_request
from pachybox.api.response import Response
from pachybox.api.transport import Gone, Limits, TimedOut, Wire
from pachybox.errors import PachyboxError

log = logging.getLogger("pachybox.api")

Together = Callable[[list[tuple[Request, Response]]], None]
"""Answers small writes, whose bodies are there, together. Raises nothing."""

MOST_BYTES = 32 << 10
"""Of a body that is taken here: with its head it has room in a wire's buffer."""

_WRITE = re.compile(rb"(?:PUT /[^/? ]+/[^? ]+|POST /ingest/[^? ]+) HTTP/1\.1\r\n")
_METHODS = (b"PUT ", b"POST ")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,6})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
_OTHER = re.compile(
    rb"\r\n(?:expect:|transfer-encoding:|x-amz-copy-[a-z-]*:|content-encoding:[^\r]*gzip)",
    re.IGNORECASE,
)
"""What needs more than its bytes tell: a small body that is packed may be a large one."""


class _Seat:
    """A connection here. ``since``: when it last sent something; ``begun``: a part of a request
    has come."""

    __slots__ = ("begun", "since", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.since = time.monotonic()
        self.begun = False


class Lane:
    """``take`` by the threads of connections; the rest is the lane's own thread's."""

    def __init__(
        self,
        limits: Limits,
        together: Together,
        give_back: Callable[[Wire], None],
        leave: Callable[[Wire], None],
    ) -> None:
        """``give_back`` has a thread serve the connection; ``leave`` ends it."""
        self._limits = limits
        self._together = together
        self._give_back = give_back
        self._leave = leave
        self._seats: dict[int, _Seat] = {}
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._stopping = False
        self._looked = time.monotonic()
        self._answering = 0.0  # since when; 0.0 when it waits
        self.thread = threading.Thread(target=self._run, name="api-lane", daemon=True)
        self.thread.start()

    def at_work(self) -> float:
        """For how many seconds it has answered what came together; 0.0 when nothing has."""
        began = self._answering
        return time.monotonic() - began if began else 0.0

    def take(self, wire: Wire, last: Request) -> bool:
        """Watch a connection whose ``last`` request is answered; False when it sends other things,
        and is to keep its thread."""
        length = last.headers.get("content-length", "")
        if (
            not (last.method == "PUT" or (last.method == "POST" and _posts(last)))
            or wire.local
            or wire.held
            or self._stopping
            or len(self._seats) >= self._limits.connections
            or not length.isdigit()
            or int(length) > MOST_BYTES
            or "expect" in last.headers
            or "gzip" in last.headers.get("content-encoding", "").lower()
            or last.query
        ):
            return False
        fd = wire.sock.fileno()
        wire.patient = False
        wire.idle_since = 0.0  # it has no thread that another could need
        self._seats[fd] = _Seat(wire)
        self._epoll.register(fd, select.EPOLLIN)
        return True

    def stop(self) -> None:
        """End the thread. Connections that are left are ended."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self.thread.join()
        for seat in list(self._seats.values()):
            self._end(seat)
        self._epoll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping:
            events = self._epoll.poll(self._limits.tick_s)
            now = time.monotonic()
            pairs: list[tuple[Request, Response]] = []
            seats: list[_Seat] = []
            for fd, _ in events:
                seat = self._seats.get(fd)
                if seat is None:
                    continue
                seat.since = now
                request = self._received(seat)
                if request is not None:
                    seats.append(seat)
                    pairs.append((request, Response(seat.wire, request)))
            if pairs:
                self._answering = now
                try:
                    self._together(pairs)
                except Exception:
                    log.exception("requests failed")
                for seat, (request, response) in zip(seats, pairs, strict=True):
                    self._answered(seat, request, response)
                self._answering = 0.0
            if now - self._looked > self._limits.tick_s:
                self._look(now)

    def _received(self, seat: _Seat) -> Request | None:
        """The request that has come whole; else it may be the connection is not here any more."""
        wire = seat.wire
        try:
            if wire.receive() == 0:
                self._end(seat)
                return None
        except Gone:
            self._end(seat)
            return None
        held = wire.held
        missing = _missing(held)
        if missing:
            seat.begun = True
            if missing < 0:
                self._back(seat)
            return None
        seat.begun = False
        try:
            return read_request(wire, self._limits)
        except (Rejected, PachyboxError):
            wire.untake(len(held) - len(wire.held))  # its thread says what is wrong
            self._back(seat)
            return None

    def _answered(self, seat: _Seat, request: Request, response: Response) -> None:
        wire = seat.wire
        try:
            more = response.keep_alive and not wire.gone and request.body.drain()
        except (Gone, TimedOut, Rejected):
            more = False
        if not (more and response.started):
            self._end(seat)
        elif wire.unsent or wire.held:
            self._back(seat)

    def _look(self, now: float) -> None:
        """Give those a thread that are slow, and end those that have idled for long."""
        self._looked = now
        for seat in list(self._seats.values()):
            if seat.begun and now - seat.since > self._limits.tick_s:
                self._back(seat)
            elif now - seat.since > self._limits.idle_s:
                self._end(seat)

    def _back(self, seat: _Seat) -> None:
        self._forget(seat)
        seat.wire.patient = True
        self._give_back(seat.wire)

    def _end(self, seat: _Seat) -> None:
        self._forget(seat)
        self._leave(seat.wire)

    def _forget(self, seat: _Seat) -> None:
        fd = seat.wire.sock.fileno()
        del self._seats[fd]
        self._epoll.unregister(fd)


def _posts(request: Request) -> bool:
    return request.path.startswith("/ingest/")


def _missing(held: bytes) -> int:
    """0 when a small write stands there whole, 1 when its rest is to come, -1 when it is anything
    else."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return 1 if len(held) < 5 or (held.startswith(_METHODS) and len(held) < MOST_BYTES) else -1
    head = held[: end + 2]
    length = _LENGTH.search(head)
    if _WRITE.match(head) is None or length is None or _OTHER.search(head) is not None:
        return -1
    size = int(length[1])
    if size > MOST_BYTES or end > MOST_BYTES // 2:
        return -1
    return 0 if len(held) >= end + 4 + size else 1
