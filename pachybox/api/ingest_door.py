"""Records over HTTP: ``POST /ingest/NAME`` and ``/ingest/PROJECT/NAME``.

A request is answered when its records are on disk for good, where its source finds them. One with
``Idempotency-Key`` can be sent again after an unknown outcome: what came is not taken twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from pachybox.api.access.callers import Access, token_of
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import Principal, Role
from pachybox.api.guard import guard
from pachybox.api.http import Rejected, Request
from pachybox.api.ingest_body import BODY_MOST, cut, expand, too_large
from pachybox.api.response import JSON, Response
from pachybox.api.table import Call, Cancel
from pachybox.errors import (
    Exhausted,
    InvalidArgument,
    NotFound,
    NotReady,
    PachyboxError,
    Unauthenticated,
)
from pachybox.ingest.inbox import KeyReused, Posted, Taken, body_digest
from pachybox.ingest.pushes import Pushes, push_spec, secret_of
from pachybox.model.ids import DEFAULT_PROJECT
from pachybox.model.ingest import Ingest, IngestRecord

NAME = "POST /ingest"
"""What metrics call this door."""
PATHS = "/ingest/"
_NEVER = Cancel()  # nothing here waits for a client to leave

_KEY_MOST = 255
_BODY_S = 120.0
_TOGETHER = 8  # sources whose records are made durable at a time
_FULL_S, _SHUT_S = "1", "10"  # after which a client is told to try again


@dataclass(slots=True)
class Ask:
    """A request whose records are to be taken, and what came of it."""

    request: Request
    response: Response
    record: IngestRecord
    posted: Posted
    call: Call
    began: float = field(default_factory=monotonic)
    outcome: Taken | PachyboxError | None = None

    def answer(self) -> None:
        """Answer when the records were taken. Raises what kept them from it."""
        match self.outcome:
            case Taken(accepted, duplicate, position):
                again = "true" if duplicate else "false"
                body = f'{{"accepted":{accepted},"duplicate":{again},"position":"{position}"}}\n'
                self.response.send(200, JSON, body.encode())
            case KeyReused() as error:
                raise Rejected(422, error)
            case Exhausted() as error:
                raise Rejected(429, error, (("Retry-After", _FULL_S),))
            case NotReady() as error:
                raise _shut(error)
            case PachyboxError() as error:
                raise error
            case None:
                raise AssertionError("taken before it is answered")


class IngestDoor:
    """Answers requests with records. Shared by all connections; keeps no state of any."""

    def __init__(
        self,
        pushes: Pushes,
        access: Access,
        policy: Policy,
    ) -> None:
        """``access`` is the box's own rule."""
        self._pushes = pushes
        self._access = access
        self._policy = policy
        self._threads = ThreadPoolExecutor(_TOGETHER, "ingest")

    def claims(self, request: Request) -> bool:
        """Whether the request is for a source."""
        return request.path.startswith(PATHS)

    def serve(self, request: Request, response: Response, hosts: frozenset[str] | None) -> None:
        """Answer one request. Raises Gone, and what refuses it."""
        ask = self.read(request, response, hosts)
        if ask is not None:
            self.take([ask])
            ask.answer()

    def take(self, asks: Sequence[Ask]) -> None:
        """Have the records of requests be taken, those of a source together. Raises nothing."""
        groups: dict[int, list[Ask]] = defaultdict(list)
        for ask in asks:
            groups[id(ask.record)].append(ask)
        if len(asks) == 1:
            self._take_group(asks)
            return
        # perf: the disk makes what several sources got durable in the time of one. It is for one
        # source too: a busy machine wakes a thread that seldom runs before one that has just run
        # a lot, as the caller has.
        list(self._threads.map(self._take_group, groups.values()))

    def _take_group(self, group: Sequence[Ask]) -> None:
        outcomes: Sequence[Taken | PachyboxError]
        try:
            outcomes = self._pushes.take(group[0].record, [ask.posted for ask in group])
        except PachyboxError as e:
            outcomes = [e] * len(group)
        for ask, outcome in zip(group, outcomes, strict=True):
            ask.outcome = outcome
            code = outcome.code if isinstance(outcome, PachyboxError) else "ok"
            self._policy.changed(ask.call, ask.record.to.repo, code=code)

    def read(
        self, request: Request, response: Response, hosts: frozenset[str] | None
    ) -> Ask | None:
        """What a request brings; None when it asked for something else and has its answer.
        ``hosts``: see guard. Raises what refuses it."""
        if not request.local:
            guard(request, hosts)
        record, call = self._admit(request, response)
        if request.method in ("GET", "HEAD"):
            response.send(200, JSON, self._tell(record))
            return None
        if request.method != "POST":
            error = InvalidArgument(f"{request.method} is not for {PATHS}NAME", "use POST")
            raise Rejected(405, error, (("Allow", "POST, GET"),))
        try:
            self._pushes.require_open(record)
        except NotReady as e:
            raise _shut(e) from None
        headers = request.headers
        key = _key(headers.get("idempotency-key"))
        body = expand(_body(request), headers.get("content-encoding", "").strip().lower())
        spec = push_spec(record)
        records = cut(body, headers.get("content-type", ""), str(spec["format"]))
        posted = Posted(records, key, body_digest(body)) if key else Posted(records)
        return Ask(request, response, record, posted, call)

    def _admit(self, request: Request, response: Response) -> tuple[IngestRecord, Call]:
        """The source a request is for, and who sent it, when they may. Who shows no token learns
        nothing of what there is, nor does one that is bound to other repos."""
        parts = request.segments()[1:]
        if len(parts) not in (1, 2) or not all(parts):
            self._call(request, response)
            raise NotFound("that is no source's address", "POST to /ingest/NAME")
        ingest = Ingest(parts[0] if len(parts) == 2 else DEFAULT_PROJECT, parts[-1])
        try:
            record = self._pushes.find(ingest)
        except NotFound:
            self._policy.require(self._call(request, response), _role(request))
            raise
        if request.local or not secret_of(record):
            return record, self._judged(request, response, record)
        token, closed = token_of(request.headers), self._access.closed
        try:
            if token and self._pushes.opens(record, token):
                sender = Principal(f"source {ingest}", Role.WRITER)
                return record, self._call(request, response, sender)
        except NotReady as e:
            if not closed:
                raise _shut(e) from None
        if not closed:
            raise Unauthenticated(
                f"ingest {ingest} wants its own token",
                "send Authorization: Bearer TOKEN, the value in the secret that it names",
            )
        return record, self._judged(request, response, record)

    def _judged(self, request: Request, response: Response, record: IngestRecord) -> Call:
        """The call of who shows a token of the box, or needs none. Raises Denied."""
        call, repo = self._call(request, response), record.to.repo
        bound = call.principal.repos
        # where a source goes is told to nobody who does not know that repo, nor that there is one
        theirs = bound is None or (repo.project, repo.name) in bound
        self._policy.require(call, _role(request), *([repo] if theirs else []))
        return call

    def _call(
        self, request: Request, response: Response, principal: Principal | None = None
    ) -> Call:
        principal = principal or self._access.of_headers(request.headers, request.local)
        wire = response.wire
        wire.principal = principal
        return Call(
            NAME, _NEVER, principal, metadata=request.headers, local=request.local, door="ingest",
            peer=wire.peer,
        )  # fmt: skip

    def _tell(self, record: IngestRecord) -> bytes:
        why = ""
        try:
            self._pushes.require_open(record)
        except NotReady as e:
            why = e.message
        spec = push_spec(record)
        return (
            json.dumps(
                {
                    "ingest": f"{record.ingest.project}/{record.ingest.name}",
                    "accepts": not why,
                    "reason": why,
                    "format": spec["format"],
                    "max_record": spec["max_record"],
                    "max_body": BODY_MOST,
                }
            ).encode()
            + b"\n"
        )


def _role(request: Request) -> Role:
    """What is wanted of who asks."""
    return Role.READER if request.method in ("GET", "HEAD") else Role.WRITER


def _shut(error: NotReady) -> Rejected:
    return Rejected(503, error, (("Retry-After", _SHUT_S),))


def _key(value: str | None) -> bytes:
    """The idempotency key that a header gives; b"" without one. Raises InvalidArgument."""
    if value is None:
        return b""
    raw = value.encode("latin-1")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = value
    if not text or len(raw) > _KEY_MOST or not text.isprintable():
        raise InvalidArgument(
            "the idempotency key is not 1 to 255 printable characters", "send a UUID"
        )
    return raw


def _body(request: Request) -> bytes:
    try:
        return bytes(request.body.read_all(BODY_MOST, _BODY_S))
    except Rejected as e:
        raise (too_large() if e.status == 413 else e) from None
