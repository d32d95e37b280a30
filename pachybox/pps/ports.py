"""The ports of services, on loopback: where users connect, and where the program listens.

A process has the machine's own network, and so has a container: the program listens on
``internal_port`` of the machine, and connections to another ``external_port`` are carried there
while it runs. In a Pod it listens on a port of the Pod's own, and all connections are carried.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pachybox.errors import Refused
from pachybox.model.ids import Pipeline
from pachybox.model.pps import KUBERNETES, PipelineRecord

log = logging.getLogger("pachybox.services")

LOOPBACK = "127.0.0.1"
"""Where users connect to, whatever runs the program."""

_CHUNK = 1 << 16
_PATIENCE_S = 10.0  # for a program that was just started to listen
_RETRY_S = 0.02
_FREED_S = 2.0  # for a port to be free again after a box or program before this was killed
_LOOK_S = 0.05


def of(service: Mapping[str, Any]) -> tuple[int, int]:
    """Where users connect to and where the program listens: the same unless said otherwise."""
    inner = int(service["internal_port"])
    return int(service.get("external_port") or inner), inner


def published(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The service of a pipeline or of its spout; None: it has none."""
    found: Mapping[str, Any] | None = spec.get("service") or (spec.get("spout") or {}).get(
        "service"
    )
    return found


def check(
    pipeline: Pipeline, spec: Mapping[str, Any], runner: str, others: Iterable[PipelineRecord]
) -> None:
    """Refuse a service that would have a port of this machine that is another's, which is not
    stopped."""
    mine = _taken(spec, runner)
    for other in others:
        if other.stopped or other.pipeline == pipeline:
            continue
        if both := mine & _taken(other.spec, other.runner):
            raise Refused(
                f"port {min(both)} of service {pipeline} is that of service {other.pipeline}",
                "choose another: services share the machine's ports, and without a Pod a program "
                "listens on its internal_port itself",
            ).about(_field(spec, runner, min(both)))


def _taken(spec: Mapping[str, Any], runner: str) -> set[int]:
    """The ports of this machine that a pipeline has."""
    service = published(spec)
    if not service:
        return set()
    outer, inner = of(service)
    return {outer} if apart(runner) else {outer, inner}


def apart(runner: str) -> bool:
    """Whether programs that a runner runs have ports of their own."""
    return runner == KUBERNETES


def _field(spec: Mapping[str, Any], runner: str, port: int) -> str:
    """The field that says a port of a pipeline's service."""
    service = published(spec) or {}
    inner = service.get("internal_port") == port and not apart(runner)
    name = "internal_port" if inner else "external_port"
    return f"{'service' if spec.get('service') else 'spout.service'}.{name}"


def require_free(port: int) -> None:
    """Raises Refused when a program listens on ``port`` already."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as e:
        raise Refused(
            f"port {port} cannot be had: {e.strerror}",
            "end the program that has it, or choose another port for the service",
        ) from e


def await_free(service: Mapping[str, Any], over: Callable[[], bool]) -> None:
    """Wait a while until the port that a program will listen on is free, or until ``over``.

    Raises Refused when another program keeps it: the service's users would be connected to that.
    """
    until = time.monotonic() + _FREED_S
    while not over():
        try:
            require_free(of(service)[1])
            return
        except Refused:
            if time.monotonic() > until:
                raise
        time.sleep(_LOOK_S)


class Publisher:
    """Carries connections to where the program listens, while it is open.

    Nothing is to be done where both ports are one of this machine: the program listens there.
    """

    def __init__(
        self, service: Mapping[str, Any], where: Callable[[], str], *, runner: str = ""
    ) -> None:
        """``where`` gives the address at which the program of now listens, "" when none runs:
        nobody is connected to another. ``runner`` runs it."""
        self._outer, self._inner = of(service)
        self._service = service
        self._apart = apart(runner)
        self._where = where
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def ready(self, over: Callable[[], bool]) -> None:
        """Begin to listen, if not begun yet, and wait a while until the program can, or until
        ``over``. Raises Refused when a port is another program's."""
        self._listen()
        if not self._apart:
            await_free(self._service, over)

    def _listen(self) -> None:
        if self._listener is not None or (self._outer == self._inner and not self._apart):
            return
        try:
            self._listener = socket.create_server((LOOPBACK, self._outer))
        except OSError as e:
            raise Refused(
                f"cannot listen on port {self._outer} for the service: {e.strerror}",
                "end the program that has it, or choose another service.external_port",
            ) from e
        threading.Thread(target=self._accept, name=f"port-{self._outer}", daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """End the connections there are: their program has ended."""
        with self._lock:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the other side was faster

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            try:
                outer, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._forward, args=(outer,), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        """To the program, which may be about to listen; None when it does not."""
        until = time.monotonic() + _PATIENCE_S
        while self._listener is not None:
            if address := self._where():
                try:
                    made = socket.create_connection((address, self._inner), _PATIENCE_S)
                    made.settimeout(None)
                    return made
                except OSError:
                    pass  # not up yet
            if time.monotonic() > until:
                return None
            time.sleep(_RETRY_S)
        return None

    def _forward(self, outer: socket.socket) -> None:
        with outer:
            inner = self._connect()
            if inner is None:
                return  # the caller's connection ends, as if nobody listened
            with inner:
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
