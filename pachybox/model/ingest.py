"""Records of ingest sources: what brings data in by itself. Pure values.

Five kinds, of two families. *Specs* of their own: ``watch`` (a folder), ``push`` (records posted
over HTTP) and ``command`` (a program's standard output). *Parts of pipelines*: ``cron`` (a cron
input, named by the repo of its ticks) and ``spout`` (named by its pipeline).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from pachybox.model.ids import Branch, CommitId, Pipeline

DEAD_LETTERS = "dead-letters"
"""The branch, in the repo that a source writes to, for what could not be taken."""


SPOUT_MARKER = "marker"
"""The branch for what tells a spout of Pachyderm 1.x where to resume."""


@dataclass(frozen=True, order=True, slots=True)
class Ingest:
    """The name of a source."""

    project: str
    name: str

    def __str__(self) -> str:
        return self.name if self.project == "default" else f"{self.project}/{self.name}"


class IngestKind(Enum):
    """What a source is."""

    WATCH = "watch"
    PUSH = "push"
    COMMAND = "command"
    CRON = "cron"
    SPOUT = "spout"

    @property
    def of_pipeline(self) -> bool:
        """Whether it belongs to a pipeline, which makes and ends it."""
        return self in (IngestKind.CRON, IngestKind.SPOUT)


class IngestState(Enum):
    """What a source does now."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"  # by a user
    HELD = "held"  # by the box: the disk is nearly full; goes on by itself
    CRASHING = "crashing"  # it ended or cannot work; the reason is shown, it is tried again
    STOPPED = "stopped"  # its pipeline is


@dataclass(frozen=True, slots=True)
class IngestRecord:
    """What is durable about a source. One of a pipeline has a record once it was paused or has
    committed something.

    ``batch`` numbers what it committed: each advance brings the next number, ``offset`` (JSON
    text that only the source reads: where it is to go on) and the data in one transaction, so
    that an advance whose answer was lost can be sent again. ``records``, ``bytes``, ``files``,
    ``commits`` and ``dead`` count what came in since it was made.
    """

    ingest: Ingest
    kind: IngestKind
    spec: dict[str, Any]
    to: Branch
    version: int
    created: datetime
    updated: datetime
    paused: bool = False
    batch: int = 0
    offset: str = ""
    records: int = 0
    bytes: int = 0
    files: int = 0
    commits: int = 0
    dead: int = 0
    last_commit: CommitId | None = None
    last_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """What is known of a source now; nothing of it is durable.

    ``lag_s``: how long the oldest thing that waits to be committed has waited (of a cron, how late
    its next tick is); 0 when nothing waits. ``pending``: things that wait. ``rates``: records (of
    a watched folder files, of a cron ticks) committed in each of the last 60 seconds, newest last.
    ``errors`` counts since the box started; ``error`` is the last.
    """

    state: IngestState
    reason: str = ""
    since: datetime | None = None
    lag_s: float = 0.0
    pending: int = 0
    rates: tuple[float, ...] = ()
    errors: int = 0
    error: str = ""
    error_time: datetime | None = None
    restarts: int = 0
    pid: int = 0
    next_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class IngestInfo:
    """A source: what it is, what it has done, what it does now."""

    record: IngestRecord
    status: IngestStatus
    pipeline: Pipeline | None = None
