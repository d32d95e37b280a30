"""What the client returns of long lists: pieces of them, and where the time of a job went.

Names and states are written as in ``view_values``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pachybox.client.shown import Shown
from pachybox.client.values import CommitInfo, FileChange, FileInfo, Json, time_of
from pachybox.client.view_values import JobSummary, each, number, share, texts


@dataclass(frozen=True, slots=True)
class JobPage(Shown):
    """A piece of a list of jobs; ``total`` counts the whole list."""

    total: int = 0
    rows: tuple[JobSummary, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> JobPage:
        """From pachybox.v1.JobPage."""
        return cls(number(raw, "total"), tuple(map(JobSummary.from_json, each(raw, "jobs"))))


@dataclass(frozen=True, slots=True)
class DatumRow(Shown):
    """A datum in a line. ``input`` is the first of ``inputs`` with how many more there are;
    ``state`` is FAILED, RUNNING, RECOVERED, WAITING, SUCCESS or SKIPPED. ``worker`` and
    ``started`` are known of datums that this job ran."""

    id: str
    input: str = ""
    inputs: tuple[str, ...] = ()
    state: str = ""
    reason: str = ""
    download_s: float = 0.0
    process_s: float = 0.0
    upload_s: float = 0.0
    tries: int = 0
    download_bytes: int = 0
    upload_bytes: int = 0
    worker: str = ""
    started: datetime | None = None

    @classmethod
    def from_json(cls, raw: Json) -> DatumRow:
        """From pachybox.v1.DatumRow."""
        return cls(
            raw.get("id", ""),
            raw.get("input", ""),
            texts(raw, "inputs"),
            raw.get("state", ""),
            raw.get("reason", ""),
            share(raw, "downloadS"),
            share(raw, "processS"),
            share(raw, "uploadS"),
            number(raw, "tries"),
            number(raw, "downloadBytes"),
            number(raw, "uploadBytes"),
            raw.get("worker", ""),
            time_of(raw.get("started")),
        )


@dataclass(frozen=True, slots=True)
class DatumPage(Shown):
    """A piece of the list of a job's datums; ``total`` counts those that the search and the
    states keep, ``counts`` all of the job by state."""

    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    rows: tuple[DatumRow, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> DatumPage:
        """From pachybox.v1.DatumPage."""
        return cls(
            number(raw, "total"),
            {one.get("state", ""): number(one, "count") for one in each(raw, "counts")},
            tuple(map(DatumRow.from_json, each(raw, "datums"))),
        )


@dataclass(frozen=True, slots=True)
class Span(Shown):
    """One datum on a worker's time line; ``start_s`` counts from the start of the job."""

    datum: str
    state: str = ""
    start_s: float = 0.0
    download_s: float = 0.0
    process_s: float = 0.0
    upload_s: float = 0.0

    @classmethod
    def from_json(cls, raw: Json) -> Span:
        """From pachybox.v1.Span."""
        return cls(
            raw.get("datum", ""),
            raw.get("state", ""),
            share(raw, "startS"),
            share(raw, "downloadS"),
            share(raw, "processS"),
            share(raw, "uploadS"),
        )


@dataclass(frozen=True, slots=True)
class WorkerTime(Shown):
    """What a worker of a job did, and which share of the job's time it was at work."""

    name: str
    spans: tuple[Span, ...] = ()
    busy_share: float = 0.0

    @classmethod
    def from_json(cls, raw: Json) -> WorkerTime:
        """From pachybox.v1.WorkerTime."""
        return cls(
            raw.get("name", ""),
            tuple(map(Span.from_json, each(raw, "spans"))),
            share(raw, "busyShare"),
        )


@dataclass(frozen=True, slots=True)
class JobTiming(Shown):
    """Where the time of a job went. ``workers`` show at most 400 spans in all; ``phases`` has
    (median, 95 of 100, longest) seconds a datum for download, process and upload; ``slowest``
    are the 20 datums that took longest."""

    workers: tuple[WorkerTime, ...] = ()
    phases: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    slowest: tuple[DatumRow, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> JobTiming:
        """From pachybox.v1.JobTiming."""
        return cls(
            tuple(map(WorkerTime.from_json, each(raw, "workers"))),
            {
                one.get("phase", ""): (share(one, "p50"), share(one, "p95"), share(one, "max"))
                for one in each(raw, "phases")
            },
            tuple(map(DatumRow.from_json, each(raw, "slowest"))),
        )


@dataclass(frozen=True, slots=True)
class FilePage(Shown):
    """A piece of a directory; ``total`` counts all that the search keeps."""

    total: int = 0
    rows: tuple[FileInfo, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> FilePage:
        """From pachybox.v1.FilePage."""
        return cls(number(raw, "total"), tuple(map(FileInfo.from_json, each(raw, "files"))))


@dataclass(frozen=True, slots=True)
class CommitPage(Shown):
    """A piece of a list of commits, newest first; ``total`` counts all that the search keeps."""

    total: int = 0
    rows: tuple[CommitInfo, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> CommitPage:
        """From pachybox.v1.CommitPage."""
        return cls(number(raw, "total"), tuple(map(CommitInfo.from_json, each(raw, "commits"))))


@dataclass(frozen=True, slots=True)
class DiffPage(Shown):
    """A piece of the files in which two trees differ (no directories). ``added``, ``removed`` and
    ``changed`` count all of them, ``bytes_delta`` is by how much the new ones are larger."""

    total: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    bytes_delta: int = 0
    rows: tuple[FileChange, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> DiffPage:
        """From pachybox.v1.DiffPage."""
        return cls(
            number(raw, "total"),
            number(raw, "added"),
            number(raw, "removed"),
            number(raw, "changed"),
            number(raw, "bytesDelta"),
            tuple(map(FileChange.from_json, each(raw, "changes"))),
        )
