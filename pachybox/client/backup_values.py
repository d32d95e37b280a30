"""What the box tells of backups."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from pachybox.client.values import Json, time_of


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """One backup. Sizes in bytes: ``box_bytes`` of the box's content when it was made,
    ``sent_bytes`` what it added to the place. ``problem``: why it cannot be read, else ""."""

    id: str
    to: str
    time: datetime | None
    box: str
    host: str
    repos: int
    commits: int
    pipelines: int
    jobs: int
    secrets: int
    box_bytes: int
    sent_bytes: int
    with_key: bool
    problem: str
    raw: Json = field(repr=False)

    def __str__(self) -> str:
        return self.id

    @classmethod
    def from_json(cls, raw: Json) -> Self:
        """From a message of the API."""

        def number(name: str) -> int:
            return int(raw.get(name) or 0)

        return cls(
            id=str(raw.get("id", "")),
            to=str(raw.get("to", "")),
            time=time_of(raw.get("time")),
            box=str(raw.get("box", "")),
            host=str(raw.get("host", "")),
            repos=number("repos"),
            commits=number("commits"),
            pipelines=number("pipelines"),
            jobs=number("jobs"),
            secrets=number("secrets"),
            box_bytes=number("boxBytes"),
            sent_bytes=number("sentBytes"),
            with_key=bool(raw.get("withKey")),
            problem=str(raw.get("problem", "")),
            raw=raw,
        )
