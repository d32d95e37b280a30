"""What a source is told at its start, and how it and the box talk afterwards.

The box writes lines of JSON to the source's standard input: first the task, then orders, of which
there is one, ``{"order": "run"}`` (do now what you would do later). The end of that stream is the
end of the box, and of the source. SIGTERM asks a source to commit what is whole and end. The
source writes lines of JSON to standard output, each a report (``Report``); what it writes to
standard error is its log, lines that begin with ``OWN`` its own words, the rest those of a user's
program, if it runs one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

OWN = "\x1f"


@dataclass(frozen=True, slots=True)
class Task:
    """One source. ``spec`` is the part of its spec under its kind's name, every default filled in
    (of a spout what the box has put together for it); ``state`` is a directory of its own that
    outlives it; ``batch`` and ``offset`` say how far it has come; ``fifo`` (of a spout) is the
    pipe its program writes to; ``made`` tells the source from others of its name, before and
    after it."""

    project: str
    name: str
    kind: str
    version: int
    spec: Json
    to: str  # repo@branch, the repo with its project before a slash
    state: Path
    address: str
    batch: int = 0
    offset: Json = field(default_factory=dict)
    fifo: str = ""
    made: str = ""

    @property
    def full_name(self) -> str:
        """``project/name``."""
        return f"{self.project}/{self.name}"

    @classmethod
    def from_line(cls, line: str) -> Task:
        """The task as the box wrote it."""
        found = json.loads(line)
        return cls(**{**found, "state": Path(found["state"])})


@dataclass(frozen=True, slots=True)
class Report:
    """How a source does. ``lag_s``: how long the oldest thing it has seen and not committed has
    waited; ``pending``: how many such things; ``error``: what went wrong last, though the source
    went on, and ``errors``: how often something did since it started; ``reason``: what it waits
    for now, if it does."""

    lag_s: float = 0.0
    pending: int = 0
    reason: str = ""
    error: str = ""
    errors: int = 0

    def line(self) -> str:
        """As the box reads it."""
        return json.dumps(asdict(self)) + "\n"
