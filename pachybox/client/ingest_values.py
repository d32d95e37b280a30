"""What the client returns about ingest sources."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from pachybox.client.shown import Shown
from pachybox.client.values import Json, pipeline_name, time_of


def ingest_name(raw: Json) -> str:
    """How a source is written: ``name`` or ``project/name``."""
    project = raw.get("project") or "default"
    name = str(raw.get("name", ""))
    return name if project == "default" else f"{project}/{name}"


@dataclass(frozen=True, slots=True)
class IngestInfo(Shown):
    """A source of data.

    ``kind`` is watch, push, command, cron or spout; the last two belong to ``pipeline``. ``to`` is
    the branch it writes. ``state`` is starting, running, paused, held (the disk is nearly full),
    crashing or stopped, and ``reason`` why. ``records``, ``bytes``, ``files``, ``commits`` and
    ``dead_letters`` count what came in since it was made; ``rates`` has the records (files, ticks)
    of each of the last 60 seconds, newest last. ``lag_s``: how long the oldest of the ``pending``
    things has waited to be committed. ``errors`` since the box started, ``error`` the last.
    """

    name: str
    kind: str
    to: str
    state: str
    reason: str
    since: datetime | None
    paused: bool
    pipeline: str
    spec: Json
    version: int
    created: datetime | None
    updated: datetime | None
    batch: int
    offset: Json
    records: int
    bytes: int
    files: int
    commits: int
    dead_letters: int
    last_commit: str
    last_time: datetime | None
    next_time: datetime | None
    lag_s: float
    pending: int
    rates: tuple[float, ...]
    errors: int
    error: str
    error_time: datetime | None
    restarts: int
    pid: int
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_json(cls, raw: Json) -> IngestInfo:
        """From pachybox.v1.IngestInfo."""
        of = raw.get("pipeline")
        return cls(
            name=ingest_name(raw.get("ingest") or {}),
            kind=raw.get("kind", ""),
            to=raw.get("to", ""),
            state=raw.get("state", ""),
            reason=raw.get("reason", ""),
            since=time_of(raw.get("since")),
            paused=bool(raw.get("paused")),
            pipeline=pipeline_name(of) if of else "",
            spec=json.loads(raw.get("specJson") or "{}"),
            version=int(raw.get("version") or 0),
            created=time_of(raw.get("created")),
            updated=time_of(raw.get("updated")),
            batch=int(raw.get("batch") or 0),
            offset=json.loads(raw.get("offsetJson") or "{}"),
            records=int(raw.get("records") or 0),
            bytes=int(raw.get("bytes") or 0),
            files=int(raw.get("files") or 0),
            commits=int(raw.get("commits") or 0),
            dead_letters=int(raw.get("deadLetters") or 0),
            last_commit=raw.get("lastCommit", ""),
            last_time=time_of(raw.get("lastTime")),
            next_time=time_of(raw.get("nextTime")),
            lag_s=float(raw.get("lagS") or 0),
            pending=int(raw.get("pending") or 0),
            rates=tuple(float(rate) for rate in raw.get("rates") or ()),
            errors=int(raw.get("errors") or 0),
            error=raw.get("error", ""),
            error_time=time_of(raw.get("errorTime")),
            restarts=int(raw.get("restarts") or 0),
            pid=int(raw.get("pid") or 0),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class CreatedIngest(Shown):
    """A source that was made or changed. ``created``: it was not there before."""

    name: str
    version: int
    created: bool
    warnings: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_json(cls, raw: Json) -> CreatedIngest:
        """From pachybox.v1.CreatedIngest."""
        return cls(
            ingest_name(raw.get("ingest") or {}),
            int(raw.get("version") or 0),
            bool(raw.get("created")),
            tuple(raw.get("warnings") or ()),
            raw,
        )
