"""The numbered event log's record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, durable, numbered from 1 without gaps a reader would miss.

    ``kind`` is ``noun.verb`` (``commit.finished``, ``job.state``); ``data`` names the
    things by id. A client that has seen number N resumes with N+1.
    """

    seq: int
    time: datetime
    kind: str
    data: dict[str, Any]
