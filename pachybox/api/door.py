"""One request to one answer: who may ask, which route it is, how errors are said.

S3 door | guard (host, origin) -> authenticate -> route -> JSON | files | web door | a page
        | posted records: guard -> the source, and who may -> the source's inbox
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Protocol

from pachybox.api import files_door, jsonschema, openapi, web_door
from pachybox.api import metrics as metrics_page
from pachybox.api.access.callers import Authenticate, token_of
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import OWNER, Principal, Role
from pachybox.api.archive_door import PATHS as ARCHIVE_PATHS
from pachybox.api.archive_door import ArchiveDoor, Archives
from pachybox.api.attendant import Attendant
from pachybox.api.failures import as_error
from pachybox.api.files_door import FilesDoor
from pachybox.api.guard import guard
from pachybox.api.http import Rejected, Request
from pachybox.api.ingest_door import NAME as INGEST
from pachybox.api.ingest_door import PATHS, Ask, IngestDoor
from pachybox.api.json_door import JsonDoor, StreamFailed
from pachybox.api.response import JSON, Response, error_json
from pachybox.api.s3.door import S3Door
from pachybox.api.table import Call, Cancel, Table
from pachybox.api.transport import Gone, Limits, TimedOut
from pachybox.errors import (
    InvalidArgument,
    NotFound,
    PachyboxError,
    Unauthenticated,
)

log = logging.getLogger("pachybox.api")

Checks = Mapping[str, Callable[[], Sequence[str]]]
"""By path: what keeps the box from being well, a line a reason; cheap."""
ALWAYS_WELL: Checks = {path: tuple for path in ("/healthz", "/readyz")}

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HTML = "text/html; charset=utf-8"
_PAGE_HEADERS = (
    ("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
_Served = tuple[str, PachyboxError | None]


def open_to_all(headers: Mapping[str, str], local: bool) -> Principal:
    """The rule on loopback without tokens: everyone on this machine is the owner."""
    return OWNER


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask. ``hosts`` are the names a TCP client may call this server by. When ``closed``,
    ``authenticate`` wants a token of those who do not come by the socket, and any name will do."""

    authenticate: Authenticate = open_to_all
    hosts: frozenset[str] = LOOPBACK_NAMES
    closed: Callable[[], bool] = lambda: False

    @property
    def names(self) -> frozenset[str] | None:
        """The names that do now; None = any."""
        return None if self.closed() else self.hosts


class Routes(files_door.Routes, web_door.Pages, Protocol):
    """What the box offers beside the table."""


class Door:
    """Answers requests. Shared by all connections; keeps no state of any."""

    def __init__(
        self,
        table: Table,
        routes: Routes,
        attendant: Attendant,
        *,
        access: Access,
        policy: Policy,
        limits: Limits,
        metrics: metrics_page.Metrics,
        version: str,
        archives: Archives | None = None,
        s3: S3Door | None = None,
        ingest: IngestDoor | None = None,
        checks: Checks = ALWAYS_WELL,
    ) -> None:
        self._table = table
        self._json = JsonDoor(table, attendant, limits)
        self._files = FilesDoor(routes)
        self._web = web_door.WebDoor(routes)
        self._archives = ArchiveDoor(archives) if archives is not None else None
        self._s3 = s3
        self._ingest = ingest
        self._checks = checks
        self._access = access
        self._policy = policy
        self._metrics = metrics
        self._version = version

    def is_check(self, request: Request) -> bool:
        """Whether it asks how the box is."""
        return request.path in self._checks

    def answer(self, request: Request, response: Response) -> None:
        """Answer one request, with an error if need be.

        Raises Gone when the client left; then nothing more can be said to it.
        """
        s3 = self._s3
        if s3 is not None and s3.claims(request):
            s3.answer(request, response, self._access.names, self._metrics)
            return
        self._attempt(request, response, lambda: self._serve(request, response))

    def _attempt(
        self,
        request: Request,
        response: Response,
        serve: Callable[[], _Served | None],
        began: float = 0.0,
    ) -> None:
        """Have ``serve`` answer, or answer with its error. It returns None when it is to go on
        with the request later. Raises Gone."""
        began = began or monotonic()
        name, code = "other", "ok"
        try:
            served = serve()
            if served is None:
                code = ""
                return
            name, error = served
            if error is not None:
                code = error.code
        except Gone:
            code = "cancelled"
            raise
        except TimedOut as e:
            code = "timeout"
            self._refuse(request, response, 408, as_error(e, request.path))
        except Rejected as e:
            code = e.error.code
            self._refuse(request, response, e.status, e.error, e.headers)
        except StreamFailed as e:
            code = e.error.code
            self._refuse(request, response, e.error.http_status, e.error, form='{"error":%s}\n')
        except Exception as e:
            error = as_error(e, f"{request.method} {request.path}")
            code = error.code
            self._refuse(request, response, error.http_status, error)
        finally:
            if code:
                if name == "other":
                    name = self._label(request)
                took = monotonic() - began
                self._metrics.observe(name, code, took)
                log.debug("request method=%s code=%s seconds=%.4f", name, code, took)

    def answer_all(self, pairs: Sequence[tuple[Request, Response]]) -> None:
        """Answer requests that are small and whole, those of S3 together, and posted records.
        Clients that left are marked by their wires."""
        objects, records = [], []
        for pair in pairs:
            if self._s3 is not None and self._s3.claims(pair[0]):
                objects.append(pair)
            elif self._ingest is not None and self._ingest.claims(pair[0]):
                records.append(pair)
            else:
                with suppress(Gone):
                    self.answer(*pair)
        if self._s3 is not None and objects:
            self._s3.answer_all(objects, self._access.names, self._metrics)
        if self._ingest is not None and records:
            self._take_all(self._ingest, records)

    def _take_all(self, ingest: IngestDoor, pairs: Sequence[tuple[Request, Response]]) -> None:
        """Answer requests with records, whose records are made durable together."""
        asks: list[Ask] = []
        for request, response in pairs:

            def read(request: Request = request, response: Response = response) -> _Served | None:
                ask = ingest.read(request, response, self._access.names)
                if ask is None:
                    return INGEST, None
                asks.append(ask)
                return None

            with suppress(Gone):
                self._attempt(request, response, read)
        ingest.take(asks)
        for ask in asks:

            def answer(ask: Ask = ask) -> _Served:
                ask.answer()
                return INGEST, None

            with suppress(Gone):
                self._attempt(ask.request, ask.response, answer, ask.began)

    def _serve(self, request: Request, response: Response) -> _Served:
        if not request.local:
            guard(request, self._access.names)
        path = request.path
        if (check := self._checks.get(path)) is not None:
            _allow(request, "GET", "HEAD")
            reasons = check()
            text = "\n".join(reasons or ("ok",)) + "\n"
            response.send(503 if reasons else 200, "text/plain", text.encode())
            return f"GET {path}", None
        headers = request.headers
        if self._ingest is not None and self._ingest.claims(request):
            self._ingest.serve(request, response, self._access.names)
            return INGEST, None
        if path.startswith(("/pfs/", "/archive/")):
            web_door.token_of(request)
        principal = self._access.authenticate(headers, request.local)
        response.wire.principal = principal
        if path.startswith("/api/"):
            _allow(request, "POST")
            method = self._table.find(path[5:])
            call = _call(method.full_name, "json", request, response, principal)
            return method.full_name, self._json.serve(method, request, response, call)
        if path == "/files/put":
            _allow(request, "POST")
            name = "POST /files/put"
            self._files.put(request, response, _call(name, "files", request, response, principal))
            return name, None
        if path == "/files/get":
            _allow(request, "GET")
            name = "GET /files/get"
            call = _call(name, "files", request, response, principal)
            return name, self._files.get(request, response, call)
        if path in ARCHIVE_PATHS and self._archives is not None:
            return self._archive(self._archives, request, response, principal)
        if path.startswith("/pfs/"):
            _allow(request, "GET", "HEAD")
            name = "GET /pfs"
            self._web.page(request, response, _call(name, "web", request, response, principal))
            return name, None
        if path.startswith("/archive/"):
            _allow(request, "GET")
            name = "GET /archive"
            self._web.archive(request, response, _call(name, "web", request, response, principal))
            return name, None
        return self._page(path, request, response, principal), None

    def _archive(
        self, archives: ArchiveDoor, request: Request, response: Response, principal: Principal
    ) -> _Served:
        _allow(request, "POST")
        name = f"POST {request.path}"
        call = _call(name, "archive", request, response, principal)
        self._policy.require(call, Role.ADMIN)
        self._policy.changed(call)
        return name, archives.serve(request, response, call)

    def _page(self, path: str, request: Request, response: Response, principal: Principal) -> str:
        if path == "/metrics":
            _allow(request, "GET", "HEAD")
            call = _call("GET /metrics", "web", request, response, principal)
            self._policy.require(call, Role.READER)
            response.send(200, metrics_page.CONTENT_TYPE, self._metrics.text().encode())
        elif path == "/openapi.json":
            _allow(request, "GET", "HEAD")
            response.send(200, JSON, self._openapi)
        elif path in ("/docs", "/docs/"):
            _allow(request, "GET", "HEAD")
            page = Path(__file__).with_name("docs.html").read_bytes()
            response.send(200, _HTML, page, _PAGE_HEADERS)
        elif path == "/":
            _allow(request, "GET", "HEAD")
            response.send(302, _HTML, b"", [("Location", "/docs")])
        elif path.startswith("/jsonschema/"):
            _allow(request, "GET", "HEAD")
            kind, body = jsonschema.page(path)
            response.send(200, kind, body, _PAGE_HEADERS)
            return "GET /jsonschema"
        else:
            raise NotFound(f"nothing is at {path[:200]}", "see /docs for what there is")
        return f"GET {path}"

    @cached_property
    def _openapi(self) -> bytes:
        return json.dumps(openapi.document(self._table, self._version)).encode()

    def _label(self, request: Request) -> str:
        """A metric's label for a request that failed: never a text the client invents."""
        if request.path.startswith("/api/"):
            try:
                return self._table.find(request.path[5:]).full_name
            except NotFound:
                return "other"
        if request.path in ARCHIVE_PATHS:
            return f"POST {request.path}"
        if request.path in ("/files/put", "/files/get"):
            return f"{'POST' if request.path == '/files/put' else 'GET'} {request.path}"
        if request.path.startswith(PATHS):
            return INGEST
        for part in ("/pfs", "/archive"):
            if request.path.startswith(f"{part}/"):
                return f"GET {part}"
        return "other"

    def _refuse(
        self,
        request: Request,
        response: Response,
        status: int,
        error: PachyboxError,
        headers: tuple[tuple[str, str], ...] = (),
        form: str = "%s",
    ) -> None:
        """Answer with an error, in ``form``; too late for that, cut the answer short."""
        if response.started:
            log.warning("answer cut short path=%s error=%s", request.path, error)
            raise Gone from error
        try:
            if not (request.body.small() and status != 408 and request.body.drain()):
                response.keep_alive = False
        except TimedOut:
            response.keep_alive = False
        if isinstance(error, Unauthenticated):
            headers = (*headers, ("WWW-Authenticate", "Bearer"))
        response.send(status, JSON, (form % error_json(error)).encode(), headers)


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        error = InvalidArgument(
            f"{request.method} is not for {request.path[:200]}", f"use {methods[0]}"
        )
        raise Rejected(405, error, (("Allow", ", ".join(methods)),))


def _call(name: str, door: str, request: Request, response: Response, principal: Principal) -> Call:
    headers = request.headers
    call = Call(
        name, Cancel(), principal, token_of(headers), headers.get("pach-transaction", ""), headers,
        request.local, door, response.wire.peer,
    )  # fmt: skip
    wire = response.wire
    wire.on_gone = call.cancel.set
    if wire.gone:
        call.cancel.set()
    return call
