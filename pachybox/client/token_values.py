"""Tokens, and what the audit log says, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pachybox.client.shown import Shown
from pachybox.client.values import Json, time_of


@dataclass(frozen=True, slots=True)
class Token(Shown):
    """What is known of a token. ``repos`` empty: it is for the whole box. ``state``: active,
    expired or revoked; ``s3``: its name is an access key of S3."""

    name: str
    role: str
    repos: tuple[str, ...]
    created: datetime | None
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None
    s3: bool
    state: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> Token:
        """From pachybox.v1.Token."""
        return cls(
            raw.get("name", ""),
            raw.get("role", ""),
            tuple(raw.get("repos") or ()),
            time_of(raw.get("created")),
            time_of(raw.get("expires")),
            time_of(raw.get("revoked")),
            time_of(raw.get("used")),
            bool(raw.get("s3")),
            raw.get("state", ""),
            raw,
        )


@dataclass(frozen=True, slots=True)
class AuditEntry(Shown):
    """One thing that somebody did, or was refused. ``code``: ok, or that of the error."""

    time: datetime | None
    who: str
    role: str
    door: str
    peer: str
    method: str
    things: tuple[str, ...]
    code: str
    request: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> AuditEntry:
        """From pachybox.v1.AuditEntry."""
        return cls(
            time_of(raw.get("time")),
            raw.get("who", ""),
            raw.get("role", ""),
            raw.get("door", ""),
            raw.get("peer", ""),
            raw.get("method", ""),
            tuple(raw.get("things") or ()),
            raw.get("code", ""),
            raw.get("request", ""),
            raw,
        )
