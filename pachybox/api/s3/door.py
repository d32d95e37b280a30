"""One S3 request to one answer.

guard -> address -> operation -> who asks -> the operation -> answer, or an error in XML
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic

from pachybox.api.access.callers import Access
from pachybox.api.access.needs import S3
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import Role
from pachybox.api.guard import guard
from pachybox.api.http import Request
from pachybox.api.metrics import Metrics
from pachybox.api.response import Response
from pachybox.api.s3 import absent, buckets, copies, deletes, listing, multipart, objects, puts
from pachybox.api.s3.auth import Gate, Identity
from pachybox.api.s3.context import XML, Ask
from pachybox.api.s3.errors import NotModified, S3Error, as_s3_error, error_xml
from pachybox.api.s3.form import is_form, post_object
from pachybox.api.s3.objects import check_values, wire_text
from pachybox.api.s3.puts import answer_put
from pachybox.api.s3.route import address, check_key, claims, operation, parse_query, virtual_bucket
from pachybox.api.table import Call, Cancel
from pachybox.api.transport import Gone, TimedOut
from pachybox.errors import PachyboxError
from pachybox.pfs.objects import Objects

log = logging.getLogger("pachybox.api")

_OPERATIONS: dict[str, Callable[[Ask], None]] = {
    **dict.fromkeys(absent.NAMES, absent.answer),
    **buckets.OPERATIONS,
    **copies.OPERATIONS,
    **deletes.OPERATIONS,
    **listing.OPERATIONS,
    **multipart.OPERATIONS,
    **objects.OPERATIONS,
    **puts.OPERATIONS,
}


_NEVER = Cancel()  # nothing here waits for a client to leave
_NOT_HOISTED = ("x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-copy-source", "x-amz-content-")


class S3Door:
    """Answers requests of S3. Shared by all connections; keeps no state of any."""

    def __init__(
        self,
        service: Objects,
        access: Access,
        policy: Policy | None = None,
        *,
        domains: tuple[str, ...] = ("localhost",),
    ) -> None:
        """``domains``: names (lower case) before which a bucket may stand in Host."""
        self._objects = service
        self._gate = Gate(access)
        self._policy = policy or Policy()
        self.domains = domains
        self._count = itertools.count(secrets.randbits(60))
        self._host_id = ("x-amz-id-2", secrets.token_urlsafe(24))

    def claims(self, request: Request) -> bool:
        """Whether the request is S3's."""
        return claims(request, self.domains)

    def answer(
        self,
        request: Request,
        response: Response,
        hosts: frozenset[str] | None,
        metrics: Metrics,
    ) -> None:
        """Answer one request, with an error if need be. ``hosts``: see guard.

        Raises Gone when the client left; then nothing more can be said to it.
        """
        ask = self._ask(request, response)
        self._step(ask, lambda: self._serve(ask, hosts), metrics)
        if ask.write is not None and not response.started:
            self._objects.make_all([ask.write])
            self._step(ask, lambda: answer_put(ask), metrics)

    def answer_all(
        self,
        pairs: Iterable[tuple[Request, Response]],
        hosts: frozenset[str] | None,
        metrics: Metrics,
    ) -> None:
        """Answer requests of which most are short PUTs: what is to be written is made durable
        together. Clients that left are marked by their wires."""
        asks = [self._ask(request, response) for request, response in pairs]
        for ask in asks:
            with suppress(Gone):
                self._step(ask, lambda ask=ask: self._serve(ask, hosts), metrics)  # type: ignore[misc]
        waiting = [ask for ask in asks if ask.write is not None and not ask.response.started]
        self._objects.make_all([ask.write for ask in waiting if ask.write is not None])
        for ask in waiting:
            with suppress(Gone):
                self._step(ask, lambda ask=ask: answer_put(ask), metrics)  # type: ignore[misc]

    def _ask(self, request: Request, response: Response) -> Ask:
        ids = ("x-amz-request-id", f"{next(self._count):016X}"), self._host_id
        return Ask(request, response, self._objects, ids, self._policy)

    def _step(self, ask: Ask, step: Callable[[], None], metrics: Metrics) -> None:
        """Come to an answer, with an error if need be, or to what is to be made before it."""
        code = "ok"
        try:
            step()
            if not ask.response.started:
                code = ""
        except Gone:
            code = "cancelled"
            raise
        except NotModified as e:
            ask.response.send(304, XML, b"", [*ask.ids, *e.headers])
        except Exception as e:
            error = as_s3_error(self._told(ask, e), ask.operation)
            code = error.code
            self._refuse(ask, error, slow=isinstance(e, TimedOut))
        finally:
            if code:
                self._note(ask, code)
                took = monotonic() - ask.began
                name = f"S3 {ask.operation or 'other'}"
                metrics.observe(name, code, took)
                log.debug("request method=%s code=%s seconds=%.4f", name, code, took)

    def _told(self, ask: Ask, error: Exception) -> Exception:
        """The error as the caller may know it."""
        if ask.call is None or not isinstance(error, PachyboxError):
            return error
        sight = self._policy.sight(ask.call.principal)
        return error if sight is None else sight.error(error)

    def _note(self, ask: Ask, code: str) -> None:
        changes = S3.get(ask.operation, Role.READER) is not Role.READER
        if changes and ask.call is not None and code != "AccessDenied":  # that is noted already
            self._policy.changed(ask.call, *ask.touched, code=code)

    def _admit(self, ask: Ask, identity: Identity) -> None:
        """It is known who asks: may they at all? Raises Denied."""
        principal, wire = identity.principal, ask.response.wire
        ask.identity, wire.principal = identity, principal
        ask.call = Call(
            f"S3 {ask.operation}", _NEVER, principal, metadata=ask.headers,
            local=ask.request.local, door="s3", peer=wire.peer,
        )  # fmt: skip
        role = S3.get(ask.operation, Role.READER)
        self._policy.require(ask.call, role, somewhere=True)

    def _serve(self, ask: Ask, hosts: frozenset[str] | None) -> None:
        request = ask.request
        form = request.method == "POST" and is_form(request)
        # With a token a form of another site's page is welcome: its policy is signed.
        if not request.local and not (form and self._gate.closed):
            guard(request, hosts, self.domains)
        ask.bucket_name, ask.key = address(request, self.domains)
        ask.query = query = parse_query(request.query)
        ask.closed = self._gate.closed
        ask.operation = operation(request.method, ask.bucket_name, ask.key, query, request.headers)
        if ask.operation == "PostObject":
            post_object(ask, self._gate, lambda identity: self._admit(ask, identity))
            return
        host = request.headers.get("host", "")
        identity = self._gate.check(request, query, virtual_bucket(host, self.domains))
        self._admit(ask, identity)
        if "X-Amz-Signature" in query:
            ask.headers = _with_hoisted(request.headers, query)
        if len(ask.key) > 255:
            check_key(ask.key)
        owner = request.headers.get("x-amz-expected-bucket-owner")
        if owner is not None and owner.strip("0"):
            raise S3Error("AccessDenied", "The bucket's owner is another: all zeros.")
        _OPERATIONS[ask.operation](ask)

    def _refuse(self, ask: Ask, error: S3Error, *, slow: bool) -> None:
        """Answer with an error; too late for that, cut the answer short."""
        request, response = ask.request, ask.response
        if response.started:
            log.warning("answer cut short path=%s error=%s", request.path, error)
            raise Gone from error
        try:
            if slow or not (request.body.small() and request.body.drain()):
                response.keep_alive = False
        except TimedOut:
            response.keep_alive = False
        body = error_xml(error, request.path, ask.ids[0][1], self._host_id[1])
        response.send(error.status, XML, body, [*ask.ids, *error.headers])


def _with_hoisted(headers: dict[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """``headers`` with those that a signer moved into a presigned address, where they are not
    given. Checksums are left out: signers put that of an empty body there, not knowing another."""
    found = {
        low: wire_text(value)
        for name, value in query.items()
        if (low := name.lower()).startswith("x-amz-")
        and low not in headers
        and not low.startswith(_NOT_HOISTED)
    }
    check_values(found)
    return {**headers, **found}
