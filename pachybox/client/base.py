"""What every method of the client stands on: one call, one stream, and when to try again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from pachybox.client.address import Address, resolve
from pachybox.client.connection import Scope, current_scope
from pachybox.client.errors import from_json, lost
from pachybox.client.shown import Records
from pachybox.client.transport import Response, Transport
from pachybox.client.values import Json
from pachybox.errors import Internal, Unreachable

T = TypeVar("T")
U = TypeVar("U")

PFS, PPS = "pfs_v2.API", "pps_v2.API"
BOX, TRANSACTIONS = "pachybox.v1.API", "transaction_v2.API"

_READS = (
    *("Inspect", "List", "Glob", "Walk", "Diff", "Find", "Get", "Resolve", "Status"),
    *("Read", "Follow", "Check", "Describe", "Preview"),
    "Page",
)
_BATCHABLE = frozenset(
    {
        "CreateRepo",
        "DeleteRepo",
        "StartCommit",
        "FinishCommit",
        "SquashCommitSet",
        "CreateBranch",
        "DeleteBranch",
        "StopJob",
        "CreatePipelines",
        "CreatePipeline",
        "CreatePipelineV2",
        "SquashCommit",
        "DropCommit",
        "DropCommitSet",
        "DeleteCommit",
    }
)
_PREFER = "handling=strict, return=minimal"  # unknown fields refused, unset ones left out
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0


class Stream(Generic[T]):
    """Records as they arrive. Iterate to the end or ``close`` (a ``with`` block does)."""

    def __init__(self, items: Iterator[T], close: Callable[[], None]) -> None:
        self._items = items
        self._close = close

    def __iter__(self) -> Iterator[T]:
        return self._items

    def __next__(self) -> T:
        return next(self._items)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving; the box stops sending."""
        self._close()

    def all(self) -> Records[T]:
        """Every record, to the end: a list that shows as a table in a notebook."""
        with self:
            return Records(self._items)

    def map(self, make: Callable[[T], U]) -> Stream[U]:
        """The same stream with ``make`` applied to every record."""
        return Stream(map(make, self._items), self._close)


class Base:
    """A box at an address. Safe to use from many threads; ``close`` when done.

    ``address`` is a socket's path, ``http://host:port`` or ``https://host:port`` (default:
    $PACHYBOX_ADDRESS, else the socket in the data directory); ``token`` defaults to
    $PACHYBOX_TOKEN, and ``ca``, the file of certificates an https box is known by, to
    $PACHYBOX_CA, else to what this machine trusts. ``project`` is where
    names without a project belong. ``transaction_id`` is that of an open transaction: what can
    be part of one is then queued instead of done. ``timeout_s`` bounds every wait for the box's
    next bytes, so leave it None for methods that wait for work. ``patience_s`` is how long a
    box that answered before and is gone now may take to come back before a read fails.
    """

    def __init__(
        self,
        address: str | Address | None = None,
        *,
        token: str | None = None,
        ca: str | None = None,
        project: str = "default",
        transaction_id: str = "",
        timeout_s: float | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self.address = address if isinstance(address, Address) else resolve(address, ca)
        self.project = project
        self.transaction_id = transaction_id
        self.patience_s = patience_s
        token = os.environ.get("PACHYBOX_TOKEN", "") if token is None else token
        self.transport = Transport(self.address, token, timeout_s)

    def __repr__(self) -> str:
        project = "" if self.project == "default" else f", project={self.project!r}"
        return f"{type(self).__name__}({str(self.address)!r}{project})"

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def call(self, service: str, method: str, **fields: object) -> Json:
        """Call a method that answers once. Raises the box's error, or Unreachable.

        Fields are those of the request message, in snake_case or lowerCamelCase; those that
        are None are left out. ``from_`` and ``continue_`` stand for the Python keywords.
        """
        with self._post(service, method, fields) as response:
            text = response.checked().body()
        answer = json.loads(text) if text else {}
        if not isinstance(answer, dict):
            raise Internal(f"the answer to {method} is not an object")
        return answer

    def stream(self, service: str, method: str, **fields: object) -> Stream[Json]:
        """Call a method that answers with a stream. Errors as ``call``, also in mid-stream."""
        response = self._post(service, method, fields)
        try:
            response.checked()
        except BaseException:
            response.close()
            raise
        return Stream(self._records(response, method), response.close)

    def _post(self, service: str, method: str, fields: dict[str, object]) -> Response:
        body = {k.rstrip("_"): v for k, v in fields.items() if v is not None}
        headers = {"Content-Type": "application/json", "Prefer": _PREFER}
        if self.transaction_id and method in _BATCHABLE:
            headers["pach-transaction"] = self.transaction_id
        read = method.startswith(_READS)

        def send() -> Response:
            return self.transport.request(
                "POST",
                f"/api/{service}/{method}",
                json.dumps(body).encode(),
                headers,
                idempotent=read,
            )

        return self._patiently(send) if read else send()

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """``attempt``, again while a box that has answered before is away, for a while."""
        deadline, wait = time.monotonic() + self.patience_s, _FIRST_WAIT_S
        scope = current_scope()
        while True:
            try:
                return attempt()
            except Unreachable:
                late = time.monotonic() + wait > deadline
                if late or not self.transport.answered or (scope and scope.cancelled):
                    raise
            pause(wait, scope)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _records(self, response: Response, method: str) -> Iterator[Json]:
        with response:
            for line in response.lines():
                try:
                    record = json.loads(line)
                except ValueError as e:
                    raise lost(self.address, method) from e
                if "error" in record:
                    raise from_json(record["error"])
                yield record["result"]


def pause(seconds: float, scope: Scope | None) -> None:
    """Sleep, or until ``scope`` is cancelled."""
    if scope:
        scope.wait(seconds)
    else:
        time.sleep(seconds)


def messages(texts: str | Iterable[str] | None, make: Callable[[str], Json]) -> list[Json] | None:
    """The messages for a list of names; None for none, so that the field stays out."""
    if texts is None:
        return None
    return [make(text) for text in ([texts] if isinstance(texts, str) else texts)] or None
