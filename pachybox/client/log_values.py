"""What the client returns of logs read in parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pachybox.client.shown import Shown
from pachybox.client.values import Json, time_of


@dataclass(frozen=True, slots=True)
class LogEntry(Shown):
    """One line of a log.

    ``at`` is where it begins in its log, in bytes. ``level`` is what the line says of itself:
    ``error``, ``warn``, ``info``, ``debug`` or nothing. ``attempt`` counts from 1 how often the
    worker began its datum in this job. ``user``: of the user's program, not of the box. ``job``
    is the id of the job, where the log is that of a pipeline or a job.
    """

    time: datetime | None
    text: str
    level: str
    datum: str
    worker: str
    at: int
    attempt: int
    user: bool
    job: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def from_json(cls, raw: Json) -> LogEntry:
        """From pachybox.v1.LogEntry."""
        return cls(
            time_of(raw.get("time")),
            raw.get("text", ""),
            raw.get("level", ""),
            raw.get("datum", ""),
            raw.get("worker", ""),
            int(raw.get("at") or 0),
            int(raw.get("attempt") or 0),
            bool(raw.get("user")),
            raw.get("job", ""),
        )


@dataclass(frozen=True, slots=True)
class LogPart(Shown):
    """Some lines of a log, in order: those that begin in bytes ``start`` to ``end`` of a log that
    has ``size`` now. ``end`` is where to read or follow on, ``start`` where to read back."""

    lines: tuple[LogEntry, ...]
    start: int
    end: int
    size: int

    @classmethod
    def from_json(cls, raw: Json) -> LogPart:
        """From pachybox.v1.LogPart."""
        return cls(
            tuple(map(LogEntry.from_json, raw.get("lines") or ())),
            int(raw.get("start") or 0),
            int(raw.get("end") or 0),
            int(raw.get("size") or 0),
        )
