"""The port of a service, on loopback: connections to ``external_port`` reach ``internal_port``."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Mapping
from typing import Any

from pachybox.errors import Refused

log = logging.getLogger("pachybox.services")

_CHUNK = 1 << 16
_CONNECT_S = 5.0


class Publisher:
    """Forwards connections while it is open. Nothing is to be done where both ports are one:
    the program itself listens there."""

    def __init__(self, service: Mapping[str, Any]) -> None:
        self._inner = int(service.get("internal_port") or 0)
        self._outer = int(service.get("external_port") or 0)
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def open(self) -> None:
        """Begin to listen. Raises Refused when the port is taken."""
        if not self._outer or self._outer == self._inner or not self._inner:
            return
        try:
            self._listener = socket.create_server(("127.0.0.1", self._outer))
        except OSError as e:
            raise Refused(
                f"cannot listen on port {self._outer} for the service: {e.strerror}",
                "choose another service.external_port",
            ) from e
        threading.Thread(target=self._accept, name=f"port-{self._outer}", daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the other side was faster

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._forward, args=(outer,), daemon=True).start()

    def _forward(self, outer: socket.socket) -> None:
        with outer:
            try:
                inner = socket.create_connection(("127.0.0.1", self._inner), _CONNECT_S)
            except OSError:
                return  # not up yet: the caller's connection ends, as if nobody listened
            with inner:
                inner.settimeout(None)
                with self._lock:
                    self._open |= {outer, inner}
                try:
                    _pump(outer, inner)
                finally:
                    with self._lock:
                        self._open -= {outer, inner}


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended."""
    with selectors.DefaultSelector() as ways:
        ways.register(one, selectors.EVENT_READ, other)
        ways.register(other, selectors.EVENT_READ, one)
        while ways.get_map():
            for key, _ in ways.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                try:
                    data = source.recv(_CHUNK)
                    if data:
                        target.sendall(data)
                        continue
                    target.shutdown(socket.SHUT_WR)
                except OSError:
                    return
                ways.unregister(source)
