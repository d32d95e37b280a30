"""pachybox.v1.API: tokens, and who did what. For administrators of the box."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pachybox.api.access.audit import Audit, Entry
from pachybox.api.access.principal import Role
from pachybox.api.access.tokens import Tokens
from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.errors import InvalidArgument
from pachybox.meta.tables import TokenRecord
from pachybox.model.ids import Repo

_MOST_S = 100 * 365 * 86_400  # a hundred years
_MOST_LINES = 1 << 20


def token_info(record: TokenRecord) -> Any:
    """pachybox.v1.Token."""
    now = datetime.now(UTC)
    state = "active"
    if record.revoked is not None:
        state = "revoked"
    elif record.expires is not None and record.expires <= now:
        state = "expired"
    return ours.Token(
        name=record.name,
        role=record.role,
        repos=[str(Repo(project, name)) for project, name in record.repos or ()],
        created=m.timestamp(record.created),
        expires=m.timestamp(record.expires),
        revoked=m.timestamp(record.revoked),
        used=m.timestamp(record.used),
        s3=bool(record.sealed),
        state=state,
    )


class TokenHandlers:
    """The handlers, of one box."""

    def __init__(self, tokens: Tokens, audit: Audit) -> None:
        self._tokens = tokens
        self._audit = audit

    @handles("pachybox.v1.API/CreateToken")
    def create_token(self, request: Any, call: Call) -> Any:
        if not 0 <= request.expires_s <= _MOST_S:
            raise InvalidArgument(
                f"a token cannot last {request.expires_s} seconds",
                f"give at most {_MOST_S}, a hundred years; 0 = until it is revoked",
            )
        record, token = self._tokens.create(
            request.name,
            Role.named(request.role),
            list(request.repos),
            timedelta(seconds=request.expires_s) if request.expires_s else None,
            s3=request.s3,
        )
        return ours.CreateTokenResponse(token=token, info=token_info(record))

    @handles("pachybox.v1.API/ListToken")
    def list_token(self, request: Any, call: Call) -> Iterator[Any]:
        return map(token_info, self._tokens.list())

    @handles("pachybox.v1.API/DeleteToken")
    def delete_token(self, request: Any, call: Call) -> Any:
        if request.all == bool(request.name):
            raise InvalidArgument("the request names no token", "set name, or all")
        if request.all:
            self._tokens.forget_all()
        else:
            self._tokens.revoke(request.name, purge=request.purge)
        return ours.DeleteTokenResponse()

    @handles("pachybox.v1.API/GetAudit")
    def get_audit(self, request: Any, call: Call) -> Iterator[Any]:
        if request.since_ms < 0 or not 0 <= request.tail <= _MOST_LINES:
            raise InvalidArgument("since_ms and tail are not below zero", "leave them out for all")
        edge = ""
        if request.since_ms:
            back = timedelta(milliseconds=min(request.since_ms, _MOST_S * 1000))
            edge = (datetime.now(UTC) - back).isoformat(timespec="milliseconds")

        def keep(entry: Entry) -> bool:
            # times are written alike, so that they compare as texts
            return entry["time"] >= edge and request.who in ("", entry["who"])

        found = self._audit.read(
            keep, tail=request.tail, follow=request.follow, wait=call.cancel.wait
        )
        return (None if entry is None else _entry(entry) for entry in found)


def _entry(entry: Entry) -> Any:
    made = ours.AuditEntry(**{k: v for k, v in entry.items() if k != "time"})
    made.time.FromDatetime(datetime.fromisoformat(entry["time"]))
    return made
