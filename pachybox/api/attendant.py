"""The thread that attends to all connections at once (see ``transport`` for a single one)."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.tls import TlsSocket

log = logging.getLogger("pachybox.api")


class Attendant:
    """One thread for all connections: notices clients that leave, flushes what grew old.

    It sleeps in epoll and wakes for nothing else, so an idle server costs no time.
    """

    FLUSH_AFTER_S = 0.02

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._lock = threading.Lock()
        self._watched: dict[int, Callable[[], None]] = {}
        self._due: list[tuple[float, int, Callable[[], float]]] = []
        self._count = itertools.count()
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name="api-attendant", daemon=True)
        self.thread.start()

    def watch(self, sock: socket.socket | TlsSocket, on_gone: Callable[[], None]) -> None:
        """Call ``on_gone`` once, from the attendant's thread, when the peer hangs up. Does nothing
        for a socket that is watched."""
        fd = sock.fileno()
        with self._lock:
            if fd not in self._watched:
                self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)
                self._watched[fd] = on_gone

    def unwatch(self, sock: socket.socket | TlsSocket) -> None:
        """Forget a socket, before it is closed."""
        with self._lock:
            if self._watched.pop(sock.fileno(), None) is not None:
                self._epoll.unregister(sock.fileno())

    def flush_later(self, flush: Callable[[], float]) -> None:
        """Call ``flush`` in FLUSH_AFTER_S; it returns when to call again (0 = never)."""
        self._schedule(time.monotonic() + self.FLUSH_AFTER_S, flush)

    def _schedule(self, when: float, flush: Callable[[], float]) -> None:
        with self._lock:
            heapq.heappush(self._due, (when, next(self._count), flush))
            first = self._due[0][2] is flush
        if first:
            os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """End the thread. Watched sockets are no longer watched."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self.thread.join()
        self._epoll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for fd, _ in self._epoll.poll(wait):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                else:
                    self._hung_up(fd)
            self._flush()

    def _hung_up(self, fd: int) -> None:
        with self._lock:
            on_gone = self._watched.get(fd)
            # race: the socket may have been closed and its number given to a new one
            # since epoll answered, so ask again about the one that has it now.
            ask = select.poll()
            ask.register(fd, select.POLLRDHUP)
            if on_gone is None or not ask.poll(0):
                return
        try:
            on_gone()
        except Exception:
            log.exception("a call-back of a cancelled call failed")

    def _flush(self) -> None:
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > time.monotonic():
                    return
                _, _, flush = heapq.heappop(self._due)
            if again := flush():
                self._schedule(time.monotonic() + again, flush)
