"""The gRPC door: the table of methods to Pachyderm's clients, at a port of its own.

    door = GrpcDoor(table, authenticate, metrics)
    host, port = door.listen("127.0.0.1", 30650)
    ...
    door.stop()

gRPC's asyncio server runs on a thread of its own; handlers run on others (``grpc_calls``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from pachybox.api.access.callers import Authenticate
from pachybox.api.certificates import Certificates
from pachybox.api.grpc_builtin import Builtin
from pachybox.api.grpc_calls import Calls, named, refuse
from pachybox.api.grpc_queues import Budget
from pachybox.api.metrics import Metrics
from pachybox.api.table import Method, Table
from pachybox.api.threads import Threads
from pachybox.errors import NotFound, PachyboxError, Refused, Unauthenticated, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger("pachybox.api")

MESSAGE_BYTES = 20 << 20
"""The largest request message, as in Pachyderm; clients send pieces of 19 MiB."""

_ENVELOPE = 64 << 10  # what a message of that content has around it
REQUESTS_BYTES = 128 << 20  # of requests that all calls together hold
CONNECTIONS = 512
_CALLS = 1000
_REOPEN_S = 0.05
_STUCK_S = 120.0
_FLUSH_S = 0.5  # for the last statuses to be written

# What Pachyderm 1.x called its services; today's have "_v2" in their names.
_OLD_PACKAGES = frozenset(
    {"pfs", "pps", "auth", "admin", "debug", "enterprise", "identity", "license", "transaction"}
    | {"versionpb", "health"}
)

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES + _ENVELOPE),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else two boxes could share a port
    # pachctl pings every 20 s, whether or not it has a call open.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    # who says nothing, or no more, takes a descriptor all the same
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
)


class GrpcDoor:
    """Serves a table over gRPC until ``stop``. Methods are for one thread, the composer's."""

    def __init__(
        self,
        table: Table,
        authenticate: Authenticate,
        metrics: Metrics,
        requests_bytes: int = REQUESTS_BYTES,
        connections: int = CONNECTIONS,
    ) -> None:
        """``requests_bytes``: of requests that all calls together hold. ``connections``: at most
        at each port; others are hung up on."""
        self._table = table
        self._requests_bytes = requests_bytes
        self._options = (*_OPTIONS, ("grpc.max_allowed_incoming_connections", connections))
        self._authenticate = authenticate
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self._calls: Calls | None = None
        self._builtin: Builtin | None = None
        self._rows: _Rows | None = None
        self._bound: list[tuple[str, int, Any]] = []  # host, port, credentials of TLS
        self._reopening: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._asked = 0.0  # when the loop was asked to answer; 0.0 when it has

    def listen(
        self, host: str, port: int, tls: Certificates | None = None, *, inner: bool = False
    ) -> tuple[str, int]:
        """Listen at ``host``:``port`` (0 = any free port), behind ``tls``; returns where it does.
        With ``inner`` also in the clear, at ``inner_port`` of 127.0.0.1.

        Raises Refused when the port is taken.
        """
        wanted = [(host, port, _credentials(tls) if tls else None)]
        if inner:
            wanted.append(("127.0.0.1", 0, None))
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="grpc", daemon=True)
        self._thread.start()
        try:
            self._on_loop(self._open(loop, wanted))
        except BaseException:
            self._end()
            raise
        bound = self._bound[0][1]
        log.info("listening address=grpc%s://%s:%d", "s" if tls else "", host, bound)
        return host, bound

    @property
    def inner_port(self) -> int:
        """The port in the clear; there is one when ``listen`` was told so."""
        return self._bound[-1][1]

    def end_dead(self) -> None:
        """End the calls of callers that may ask no more. Callable from any thread."""
        if self._calls is not None:
            self._calls.end_dead()

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more calls, cancel streams, let others end within ``grace_s``, hang up.

        A second call does nothing.
        """
        if self._loop is None or not self._loop.is_running():
            return
        self._on_loop(self._close(grace_s))
        self._end()
        assert self._calls is not None
        self._calls.threads.stop()

    def troubles(self) -> Iterator[str]:
        """Why no call would be answered. Asks the loop, and sees at its next question whether it
        has answered."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or self._stopping:
            return
        if not thread.is_alive():
            yield "the thread of gRPC has ended"
            return
        asked = self._asked  # race: once, since the loop answers at any time
        if not asked:
            self._asked = time.monotonic()
            with suppress(RuntimeError):  # the loop is closed: the door was shut just now
                loop.call_soon_threadsafe(self._answer)
        elif (waited := time.monotonic() - asked) > _STUCK_S:
            yield f"gRPC's loop has not answered for {waited:.0f} s"

    def _answer(self) -> None:
        self._asked = 0.0

    # ---- the thread

    def _serve(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._unexpected)
        self._loop.run_forever()

    def _on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.set_exception_handler(None)  # it names this door, and gRPC keeps the loop
        self._loop.close()

    # ---- on the loop

    async def _open(
        self, loop: asyncio.AbstractEventLoop, wanted: list[tuple[str, int, Any]]
    ) -> None:
        self._calls = calls = Calls(
            loop,
            Threads("grpc-call", _CALLS),
            Budget(loop, self._requests_bytes),
            self._authenticate,
            self._metrics,
        )
        built = {method.service for method in self._table if method.handler is not None}
        self._builtin = Builtin(sorted(built), self._authenticate)
        self._rows = _Rows(self._table, calls, self._builtin, self._refused)
        await self._start(wanted)

    def _refused(self, method: Method, metadata: Any) -> PachyboxError | None:
        """Why who sends ``metadata`` may not ask at all. That is found before gRPC reads anything:
        else strangers could have it hold requests, as many as they like."""
        try:
            self._authenticate(named(metadata), False)
        except Unauthenticated as e:
            self._metrics.observe(method.full_name, e.code, 0.0)
            return e
        return None

    async def _start(self, wanted: list[tuple[str, int, Any]]) -> None:
        """A server at these places."""
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((self._rows,))
        bound = [(host, _add(server, host, port, tls), tls) for host, port, tls in wanted]
        await server.start()
        self._server = server
        self._bound = bound

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """In place of asyncio's own words on standard error."""
        error = context.get("exception")
        if isinstance(error, UnicodeDecodeError) and not self._stopping:
            task = loop.create_task(self._reopen(error))
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)
            return
        log.error("on the loop of gRPC: %s", context.get("message"), exc_info=error)

    async def _reopen(self, error: Exception) -> None:
        """gRPC's server ends when a call's path is not UTF-8: have another in its place. The calls
        under way go on."""
        log.warning("a call with a path that is no text ended gRPC's server error=%s", error)
        ended = self._server
        while not self._stopping:
            try:
                await self._start(self._bound)
                break
            except Refused as e:
                log.warning("gRPC's server cannot be opened again yet: %s", e)
                await asyncio.sleep(_REOPEN_S)
        with suppress(UnicodeDecodeError):  # that again, when the last call is over
            await ended.wait_for_termination()
        await ended.stop(None)

    async def _close(self, grace_s: float) -> None:
        assert self._calls is not None
        assert self._builtin is not None
        loop = asyncio.get_running_loop()
        await self._builtin.stop()
        calls, until = self._calls, loop.time() + grace_s
        self._stopping = True
        stopping = loop.create_task(self._server.stop(grace_s + _FLUSH_S))
        await asyncio.sleep(0)  # from here on no call is taken
        calls.stop()
        while calls.busy and loop.time() < until:
            await asyncio.sleep(0.01)
        await asyncio.wait((stopping,), timeout=_FLUSH_S)
        if not stopping.done():  # clients that do not take what they asked for
            await self._server.stop(None)
            await stopping
        if self._reopening:
            await asyncio.wait(self._reopening, timeout=_FLUSH_S)


class _Rows(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of a call by its path."""

    def __init__(
        self,
        table: Table,
        calls: Calls,
        builtin: Builtin,
        refused: Callable[[Method, Any], PachyboxError | None],
    ) -> None:
        self._refused = refused
        self._builtin = builtin
        self._known = {f"/{method.full_name}": method for method in table}
        self._made: dict[str, Any] = {}
        self._calls = calls
        self._table = table

    def service(self, handler_call_details: Any) -> Any:
        """gRPC's handler; of a method that is not there, one that says so."""
        path = handler_call_details.method
        method = self._known.get(path)
        if method is not None:
            error = self._refused(method, handler_call_details.invocation_metadata)
            if error is not None:
                return _refusal(error)
        made = self._made.get(path)
        if made is not None:
            return made
        made = self._builtin.find(path) if method is None else self._calls.behaviour(method)
        if made is None:
            return _refusal(_unknown(self._table, path))
        self._made[path] = made
        return made


def _unknown(table: Table, path: str) -> PachyboxError:
    name = path[1:]
    package = name.partition(".")[0]
    if package in _OLD_PACKAGES and name.startswith(f"{package}.API/"):
        return Unimplemented(
            f"{name} belongs to Pachyderm 1.x", "upgrade the client to version 2 or later"
        )
    try:
        table.find(name)
    except NotFound as e:
        return Unimplemented(e.message, e.hint)
    raise AssertionError(name)  # pragma: no cover  # known names were looked up before


def _refusal(error: PachyboxError) -> Any:
    async def answer(request: Any, context: Any) -> None:
        await refuse(context, error)

    return grpc.stream_stream_rpc_method_handler(answer)


def _add(server: Any, host: str, port: int, tls: Any) -> int:
    """Have ``server`` listen; the port it does. Raises Refused."""
    with _quiet():
        try:
            if tls is None:
                return int(server.add_insecure_port(_target(host, port)))
            return int(server.add_secure_port(_target(host, port), tls))
        except RuntimeError as e:
            raise Refused(
                f"cannot listen on {host}:{port}: {_reason(host, port)}",
                "stop what uses the port, or set grpc_port = 0 for any free one",
            ) from e


def _credentials(tls: Certificates) -> Any:
    """gRPC's form of a certificate, which asks for a new one at each connection."""
    changed: Callable[[], tuple[bytes, bytes] | None] = tls.changes()

    def fetch() -> Any:
        pair = changed()
        return None if pair is None else grpc.ssl_server_certificate_configuration([pair])

    first = grpc.ssl_server_certificate_configuration([tls.pair()])
    return grpc.dynamic_ssl_server_credentials(first, fetch, require_client_authentication=False)


def _target(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _reason(host: str, port: int) -> str:
    """Why nothing can listen there, which gRPC does not tell."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(found[0][4])
    except OSError as e:
        return e.strerror or str(e)
    return "the port is taken"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep gRPC's core from writing what an exception says anyway to standard error."""
    before = os.environ.get("GRPC_VERBOSITY")
    os.environ["GRPC_VERBOSITY"] = "NONE"
    try:
        yield
    finally:
        if before is None:
            del os.environ["GRPC_VERBOSITY"]
        else:
            os.environ["GRPC_VERBOSITY"] = before
