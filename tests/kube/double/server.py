"""The API's HTTP: reads requests, asks whether they are allowed, and lets faults have their way."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kube.double import discovery
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.api import Api
from tests.kube.double.faults import Fault, Faults
from tests.kube.double.kinds import ABOUT_ME, GROUP_ABOUT_ME, KINDS, Kind
from tests.kube.double.rights import Asked, Rights
from tests.kube.double.watching import Watch

_PATH = re.compile(
    r"(?P<prefix>/api/v1|/apis/[^/]+/v1)(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log|finalize))?/?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NO_NAMESPACE = {"status", "finalize"}


class Request(NamedTuple):
    """One request that was answered; ``status`` 0 when it was not, by a fault."""

    verb: str
    resource: str
    name: str
    status: int


@dataclass
class Parts:
    """What a server's handlers work with. ``log`` gives the output of a Pod: its object, the
    query, and whether its reader has gone."""

    api: Api
    faults: Faults
    rights: Callable[[str], Rights | None]
    log: Callable[[Object, dict[str, str], Callable[[], bool]], Iterator[bytes]]
    requests: list[Request]


class Server:
    """Listens on a port of loopback that stays the same; a thread for each connection."""

    def __init__(self, parts: Parts, context: ssl.SSLContext) -> None:
        self._parts, self._context = parts, context
        self._lock = threading.Lock()
        self._open: dict[socket.socket, bool] = {}  # whether it is a watch
        self._threads: set[threading.Thread] = set()
        self._listener, self._listening = _bound(0), False
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        """Take connections, from now on or again; no trouble when it does."""
        with self._lock:
            if self._listening:
                return
            self._listening = True
        self._listener.listen(128)
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        thread.start()

    def stop(self) -> None:
        """Refuse connections and cut those that there are. The port stays ours."""
        with self._lock:
            if not self._listening:
                return
            self._listening = False
        listener, port = self._listener, self.port
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self.cut()
        self._listener = _bound(port)

    def close(self) -> None:
        """End for good; waits for the threads of connections."""
        self.stop()
        self._listener.close()
        with self._lock:
            left = list(self._threads)
        for thread in left:
            thread.join(10)

    def cut(self, watches_only: bool = False) -> None:
        """Reset connections: all, or those that are watches."""
        with self._lock:
            chosen = [one for one, is_watch in self._open.items() if is_watch or not watches_only]
        for one in chosen:
            reset(one)

    def is_watch(self, connection: socket.socket, is_one: bool) -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection] = is_one

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, address), daemon=True)
            with self._lock:
                if listener is not self._listener:  # stopped meanwhile
                    reset(connection)
                self._open[connection] = False
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # ours stays a socket of its own: to be cut from another thread, whatever TLS is at
            raw = connection.dup()
            with self._context.wrap_socket(raw, server_side=True) as secured:
                Handler(secured, address, self, connection, self._parts)
        except (OSError, ValueError):  # cut, or no TLS
            pass
        finally:
            with self._lock:
                self._open.pop(connection, None)
                self._threads.discard(threading.current_thread())
            connection.close()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def reset(connection: socket.socket) -> None:
    """End a connection as a machine does that knows nothing of it."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection, one after another."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def __init__(
        self, secured: ssl.SSLSocket, address: Any, server: Server, raw: socket.socket, parts: Parts
    ) -> None:
        self._server, self._raw, self._parts = server, raw, parts
        self._begun = self._chunked = False
        super().__init__(secured, address, server)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who wants to know asks ``requests``."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    # ---- one request

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        self._begun = False
        asked = None
        try:
            rights = self._user()
            if (found := discovery.answer(url.path, self._parts.api.version)) is not None:
                asked = Asked("get", "", url.path)
                if fault := self._parts.faults.next("get", url.path):
                    return self._fail(asked, fault)
                return self._send(200, found)
            asked, kind = self._asked(url.path, query, raw)
            fault = self._parts.faults.next(asked.verb, asked.resource)
            if fault is not None and not fault.afterwards:
                return self._fail(asked, fault)
            rights.require(asked)
            if asked.verb == "watch":
                return self._watch(asked, query)
            if asked.subresource == "log":
                return self._log(asked, query)
            code, answer = self._done(asked, kind, query, raw, rights)
            if fault is not None:
                return self._fail(asked, fault)
            self._note(asked, code)
            self._send(code, answer)
        except ApiError as error:
            if asked is not None:
                self._note(asked, error.code)
            self._refuse(error)

    def _user(self) -> Rights:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        rights = self._parts.rights(token)
        if rights is None:
            raise ApiError(401, "Unauthorized")
        return rights

    def _asked(self, path: str, query: dict[str, str], raw: bytes) -> tuple[Asked, Kind | None]:
        found = _PATH.fullmatch(path)
        kind = KINDS.get(found["resource"]) if found else None
        about_me = found and path == f"/apis/{GROUP_ABOUT_ME}/v1/{ABOUT_ME}"
        if not found or not (about_me or (kind and kind.prefix == found["prefix"])):
            raise ApiError(404, "the server could not find the requested resource", "NotFound")
        name = unquote(found["name"] or "")
        namespace = unquote(found["namespace"] or "")
        verb = _VERBS.get(self.command, "")
        if self.command == "GET":
            watches = query.get("watch") in ("1", "true")
            verb = "watch" if watches else "get" if name else "list"
            if watches and name:
                query["fieldSelector"] = f"metadata.name={name}"
        if self.command == "DELETE":
            verb = "delete" if name else "deletecollection"
        if verb == "create" and not name and raw:
            name = str((_json(raw).get("metadata") or {}).get("name") or "")
        group = kind.group if kind else GROUP_ABOUT_ME
        if kind and kind.resource == "namespaces" and name:
            namespace = ""
        return Asked(verb, group, found["resource"], namespace, name, found["sub"] or ""), kind

    def _done(
        self, asked: Asked, kind: Kind | None, query: dict[str, str], raw: bytes, rights: Rights
    ) -> tuple[int, Object]:
        api, resource, namespace, name = (
            self._parts.api,
            asked.resource,
            asked.namespace,
            asked.name,
        )
        if kind is None:
            return 201, _about_me(_json(raw), rights)
        if kind.namespaced and not namespace and asked.verb not in ("list", "deletecollection"):
            raise ApiError(405, "the server does not allow this method on the requested resource")
        if asked.verb == "list":
            return 200, api.page(resource, namespace, query)
        if asked.verb == "get":
            return 200, api.store.get(resource, namespace, name)
        if asked.verb == "create":
            return 201, api.create(resource, namespace, _json(raw), bool(query.get("dryRun")))
        where = (namespace, name, asked.subresource)
        if asked.verb == "update":
            return 200, api.replace(resource, where, _json(raw))
        if asked.verb == "patch":
            how = self.headers.get("Content-Type") or ""
            return 200, api.patch(resource, where, how, _json(raw))
        options: Object = {**(_json(raw) if raw else {}), **query}
        if asked.verb == "deletecollection":
            return 200, api.delete_all(resource, namespace, query, options)
        return 200, api.delete(resource, namespace, name, options)

    def _watch(self, asked: Asked, query: dict[str, str]) -> None:
        parts = self._parts
        watch = Watch(parts.api.store, parts.faults, asked.resource, asked.namespace, query)
        self._note(asked, 200)
        self._server.is_watch(self._raw, True)
        lines = (json.dumps(one).encode() + b"\n" for one in watch.events(self._gone))
        self._stream("application/json", lines)
        self._server.is_watch(self._raw, False)

    def _log(self, asked: Asked, query: dict[str, str]) -> None:
        pod = self._parts.api.store.get("pods", asked.namespace, asked.name)
        lines = self._parts.log(pod, query, self._gone)
        first = next(lines, b"")  # raises what is wrong
        self._note(asked, 200)

        def all_of_it() -> Iterator[bytes]:
            yield first
            yield from lines

        self._stream("text/plain", all_of_it())

    def _gone(self) -> bool:
        """Whether the client has gone, or its connection was cut: then there is its end to read."""
        return bool(select.select([self._raw], [], [], 0)[0])

    # ---- answers

    def _note(self, asked: Asked, status: int) -> None:
        self._parts.requests.append(Request(asked.verb, asked.target, asked.name, status))

    def _fail(self, asked: Asked, fault: Fault) -> None:
        if isinstance(fault.how, int):
            raise fault.error()
        self._note(asked, 0)
        if fault.how == "hang":
            over, until = self._parts.faults.over, time.monotonic() + fault.seconds
            while time.monotonic() < until and not self._gone() and not over.is_set():
                over.wait(min(0.1, fault.seconds))
        reset(self._raw)
        self.close_connection = True

    def _refuse(self, error: ApiError) -> None:
        extra = {}
        if error.retry_after is not None:
            extra["Retry-After"] = str(error.retry_after)
        self._send(error.code, error.status(), extra)

    def _send(self, code: int, thing: Object, extra: dict[str, str] | None = None) -> None:
        body = json.dumps(thing).encode()
        self.send_response(code)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _stream(self, kind: str, pieces: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def _json(raw: bytes) -> Any:
    if raw.startswith(b"k8s\0"):
        known = "application/json"
        said = "the body of the request was in an unknown format - accepted media types include:"
        raise ApiError(415, f"{said} {known}")
    try:
        return json.loads(raw or b"{}")
    except ValueError as error:
        said = f"couldn't get version/kind; json parse error: {error}"
        raise ApiError(400, said) from error


def _about_me(body: Object, rights: Rights) -> Object:
    """The answer to: may I?"""
    of = (body.get("spec") or {}).get("resourceAttributes") or {}
    asked = Asked(
        of.get("verb", "*"), of.get("group", ""), of.get("resource", "*"),
        of.get("namespace", ""), of.get("name", ""), of.get("subresource", ""),
    )  # fmt: skip
    made = {"kind": "SelfSubjectAccessReview", "apiVersion": f"{GROUP_ABOUT_ME}/v1"}
    return {**made, **body, "metadata": {}, "status": {"allowed": rights.allow(asked)}}
