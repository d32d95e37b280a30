"""Listening: on the unix socket and TCP, a thread for each connection, until stopped.

What answers the requests is the subclass's: the box's Server, or the S3 door of a job.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pachybox.api.attendant import Attendant
from pachybox.api.certificates import Certificates
from pachybox.api.http import Rejected, Request, read_request, rejected
from pachybox.api.lane import Lane, Together
from pachybox.api.metrics import Metrics
from pachybox.api.response import JSON, Response, error_json
from pachybox.api.threads import Threads
from pachybox.api.transport import Gone, Limits, PlainText, TimedOut, Wire
from pachybox.errors import PachyboxError, Refused

log = logging.getLogger("pachybox.api")

_BACKLOG = 256
_SPARE = 2  # threads that are kept for whoever asks how the box is
_ROOM_S = 1.0  # for a connection that was hung up on to end
_STUCK_S = 300.0  # one round of small writes takes as long as the writer's longest group
_SUN_PATH = 107  # bytes a unix socket's address can hold


class Listener(ABC):
    """Hands requests to ``answer`` until ``stop``. The other methods are for one thread, the
    composer's."""

    def __init__(self, limits: Limits, metrics: Metrics, together: Together | None = None) -> None:
        """``together``: what answers many small writes at the price of few (see Lane)."""
        self._limits = limits
        self._attendant = Attendant()
        self._metrics = metrics
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._wires: set[Wire] = set()
        # perf: many clients connect anew for each request, and a thread costs 100 us to make
        self._threads = Threads("api", limits.connections)
        # the owner and the watchdog are not to wait for whoever floods the port
        self._own_threads = Threads("api-own", limits.connections)
        # by whether a caller is of this machine's user: nobody else can use those up
        self._spare = {local: Threads("api-spare", _SPARE) for local in (True, False)}
        self._listeners: list[tuple[socket.socket, threading.Thread]] = []
        self._unix: list[tuple[Path, int]] = []
        self._stopping = threading.Event()
        self._lane = Lane(limits, together, self._begin, self._leave) if together else None

    @abstractmethod
    def answer(self, request: Request, response: Response) -> None:
        """Answer one request. Raises Gone when nothing more can be said to the client."""

    def urgent(self, request: Request) -> bool:
        """Whether it is answered however busy all are, at once; a health check is."""
        return False

    def listen_unix(self, path: Path) -> None:
        """Listen at ``path``, for its owner only; a stale socket there is replaced.

        The caller holds the lock on the data directory, so a socket found is stale.
        """
        sock = socket.socket(socket.AF_UNIX)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        # Made under another name and closed to others before it is renamed to its own:
        # at no moment can another user connect, or a client find a socket nobody serves.
        with _short(new) as address:
            sock.bind(address)
        new.chmod(0o600)
        sock.listen(_BACKLOG)
        inode = new.stat().st_ino
        new.rename(path)
        self._unix.append((path, inode))
        self._accept(sock, f"unix:{path}")

    def listen_tcp(
        self, host: str, port: int, *, remote: bool = False, tls: Certificates | None = None
    ) -> tuple[str, int]:
        """Listen at ``host``:``port`` (0 = any free port), behind ``tls``; returns where it does.

        Raises Refused when ``host`` is not loopback and ``remote`` is not set, or when
        the port is taken.
        """
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        if not remote and not ipaddress.ip_address(address[0]).is_loopback:
            raise Refused(
                f"{host} is reachable from other machines", "listen on 127.0.0.1, or set a token"
            )
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as e:
            sock.close()
            raise Refused(
                f"cannot listen on {host}:{port}: {e.strerror}",
                "stop what uses the port, or set http_port = 0 for any free one",
            ) from e
        sock.listen(_BACKLOG)
        bound: tuple[str, int] = sock.getsockname()[:2]
        self._accept(sock, f"{'https' if tls else 'http'}://{bound[0]}:{bound[1]}", tls)
        return bound

    def _accept(self, sock: socket.socket, name: str, tls: Certificates | None = None) -> None:
        thread = threading.Thread(
            target=self._listen, args=(sock, tls), name=f"api-accept-{name}", daemon=True
        )
        self._listeners.append((sock, thread))
        thread.start()
        log.info("listening address=%s", name)

    def _listen(self, listener: socket.socket, tls: Certificates | None) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError as e:
                if not self._stopping.is_set():
                    log.warning("accept failed error=%r", e)
                    self._stopping.wait(0.1)  # descriptors ran out: let some connections end
                continue
            try:
                self._admit(Wire(sock, self._limits), tls)
            except (OSError, RuntimeError) as e:
                log.warning("connection not served error=%r", e)  # no thread could be made
                sock.close()

    def _admit(self, wire: Wire, tls: Certificates | None) -> None:
        with self._lock:
            self._wires.add(wire)
            self._metrics.connected(1)
        self._begin(wire, tls)

    def _begin(self, wire: Wire, tls: Certificates | None = None) -> None:
        """Have a thread serve the connection, or when all are busy one that is spared refuse it,
        unless it is urgent. ``tls``: it is to be encrypted first."""

        def serve() -> None:
            self._serve(wire, tls)

        def serve_urgent() -> None:
            self._serve(wire, tls, full=True)

        threads = self._own_threads if wire.local else self._threads
        if (
            not threads.run(serve)
            and not (self._made_room(local=wire.local) and threads.run(serve, _ROOM_S))
            and not self._spare[wire.local].run(serve_urgent)
        ):
            if tls is None:  # else there is no way yet to say it
                wire.try_send(_FULL)
            self._leave(wire)

    def _made_room(self, *, local: bool) -> bool:
        """Hang up on the connection that has idled longest, as any server may, among those by the
        unix socket (``local``) or the others; False when none has for a while."""
        idle_before = time.monotonic() - self._limits.spare_s
        with self._lock:
            idle = [
                w for w in self._wires if w.local == local and 0.0 < w.idle_since <= idle_before
            ]
        if not idle:
            return False
        min(idle, key=lambda w: w.idle_since).hang_up(socket.SHUT_RD)
        return True

    def _serve(self, wire: Wire, tls: Certificates | None, *, full: bool = False) -> None:
        taken = False
        try:
            self._attendant.watch(wire.sock, wire.left)
            if tls is not None:
                wire.encrypt(tls.context())
            wire.send(b"")  # what the lane could not
            while not self._stopping.is_set() and (request := self._one(wire, full)) is not None:
                if self._lane is not None and self._lane.take(wire, request):
                    taken = True
                    break
        except (Gone, TimedOut, Rejected, PachyboxError):
            pass  # nothing can be said to this client any more
        except PlainText:
            _dismiss(wire, rejected(400, "this port speaks TLS", "use an https:// address"))
        except Exception:
            log.exception("connection failed")
        finally:
            if not taken:
                self._leave(wire)

    def _leave(self, wire: Wire) -> None:
        """The connection is over."""
        self._attendant.unwatch(wire.sock)
        wire.close()
        with self._ended:
            self._wires.discard(wire)
            self._metrics.connected(-1)
            self._ended.notify_all()

    def _one(self, wire: Wire, full: bool) -> Request | None:
        """Serve one request; the request when the connection can carry another. ``full``: serve
        what is urgent, and no other after it."""
        try:
            request = read_request(wire, self._limits)
        except TimedOut:
            _dismiss(wire, rejected(408, "the request's head came too slowly"))
            return None
        except Rejected as e:
            _dismiss(wire, e)
            return None
        if request is None:
            return None
        if full and not self.urgent(request):
            wire.try_send(_FULL)
            wire.linger(0.5)
            return None
        response = Response(wire, request)
        try:
            self.answer(request, response)
        finally:
            wire.on_gone = None
            wire.close_fds()
        if response.keep_alive and not full and not wire.gone and request.body.drain():
            return request
        if not request.body.finished:
            wire.linger()
        return None

    def troubles(self) -> Iterator[str]:
        """Why no request, or not each, would be answered."""
        if self._stopping.is_set():
            return
        threads = [thread for _, thread in self._listeners]
        threads.append(self._attendant.thread)
        if self._lane is not None:
            threads.append(self._lane.thread)
            if (seconds := self._lane.at_work()) > _STUCK_S:
                yield f"small writes have been answered for {seconds:.0f} s"
        for thread in threads:
            if not thread.is_alive():
                yield f"the thread {thread.name} has ended"

    def end_dead(self) -> None:
        """Hang up on callers that may ask no more. Callable from any thread."""
        with self._lock:
            wires = [w for w in self._wires if w.principal is not None and not w.principal.live]
        for wire in wires:
            wire.hang_up(socket.SHUT_RDWR)

    def stop(self, grace_s: float = 5.0) -> None:
        """Stop listening, cancel streams, let other calls end within ``grace_s``, hang up.

        A second call does nothing.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        for listener, thread in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            thread.join()
            listener.close()
        for path, inode in self._unix:
            try:
                if path.stat().st_ino == inode:
                    path.unlink()
            except FileNotFoundError:
                pass
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.hang_up(socket.SHUT_RD)
        for wire in wires:
            if not self._has_ended(wire, grace_s):
                wire.hang_up(socket.SHUT_RDWR)
                self._has_ended(wire, 1.0)
        if self._lane is not None:
            self._lane.stop()
        for threads in (self._threads, self._own_threads, *self._spare.values()):
            threads.stop()
        self._attendant.stop()

    def _has_ended(self, wire: Wire, timeout_s: float) -> bool:
        """Whether the connection is over, within that time."""
        with self._ended:
            return self._ended.wait_for(lambda: wire not in self._wires, timeout_s)


def _dismiss(wire: Wire, refusal: Rejected) -> None:
    Response(wire, None).send(refusal.status, JSON, error_json(refusal.error).encode())
    wire.linger(0.5)


_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
    b"Connection: close\r\n\r\n"
)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """An address for ``path`` that fits a unix socket's, however deep the directory is."""
    if len(os.fsencode(path)) <= _SUN_PATH:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
