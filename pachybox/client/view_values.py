"""What the client returns for screens: the box at a glance, and pages of long lists.

Names are written as people write them (``pipeline``, ``repo@branch``, with ``project/`` in front
where it is not ``default``), states as the API has them (``JOB_RUNNING``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pachybox.client.ingest_values import IngestInfo
from pachybox.client.shown import Shown
from pachybox.client.values import CommitInfo, FileChange, FileInfo, Json, seconds_of, time_of


def _number(raw: Json, key: str) -> int:
    return int(raw.get(key) or 0)


def _share(raw: Json, key: str) -> float:
    return float(raw.get(key) or 0.0)


def _texts(raw: Json, key: str) -> tuple[str, ...]:
    return tuple(raw.get(key) or ())


def _all(raw: Json, key: str) -> Iterable[Any]:
    return raw.get(key) or ()


@dataclass(frozen=True, slots=True)
class Machine(Shown):
    """The machine the box runs on. ``cpu`` is the share in use, 0 to 1, of all processors; the
    rest is bytes, of the disk those of the file system of the data directory."""

    cpu: float = 0.0
    memory_used: int = 0
    memory_total: int = 0
    disk_used: int = 0
    disk_total: int = 0
    disk_free: int = 0

    @classmethod
    def from_json(cls, raw: Json) -> Machine:
        """From pachybox.v1.Machine."""
        return cls(
            _share(raw, "cpu"),
            _number(raw, "memoryUsed"),
            _number(raw, "memoryTotal"),
            _number(raw, "diskUsed"),
            _number(raw, "diskTotal"),
            _number(raw, "diskFree"),
        )


@dataclass(frozen=True, slots=True)
class DiskUse(Shown):
    """What the box takes of the disk, in bytes: ``data`` is content and metadata, ``cache`` what
    it can make again. ``mark`` is "" while there is room, then warn, held (nothing comes in by
    itself) or refused (nothing is written)."""

    data: int = 0
    cache: int = 0
    images: int = 0
    logs: int = 0
    growth_per_day: float = 0.0
    mark: str = ""

    @classmethod
    def from_json(cls, raw: Json) -> DiskUse:
        """From pachybox.v1.DiskUse."""
        return cls(
            _number(raw, "data"),
            _number(raw, "cache"),
            _number(raw, "images"),
            _number(raw, "logs"),
            _share(raw, "growthPerDay"),
            raw.get("mark", ""),
        )


@dataclass(frozen=True, slots=True)
class JobSummary(Shown):
    """A job in a line. ``done_share`` is how much of its datums is done, 0 to 1; ``left_s`` how
    long the rest will take at the pace so far, None when that is not known."""

    pipeline: str
    id: str
    state: str
    reason: str = ""
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0
    restarts: int = 0
    done_share: float = 0.0
    left_s: float | None = None
    download_bytes: int = 0
    upload_bytes: int = 0
    output_commit: str = ""

    def __str__(self) -> str:
        return f"{self.pipeline}@{self.id}"

    @property
    def done(self) -> bool:
        """Whether the job can never change again."""
        return self.state in ("JOB_SUCCESS", "JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE")

    @classmethod
    def from_json(cls, raw: Json) -> JobSummary:
        """From pachybox.v1.JobSummary."""
        left = raw.get("left")
        return cls(
            raw.get("pipeline", ""),
            raw.get("id", ""),
            raw.get("state", ""),
            raw.get("reason", ""),
            time_of(raw.get("created")),
            time_of(raw.get("started")),
            time_of(raw.get("finished")),
            _number(raw, "total"),
            _number(raw, "processed"),
            _number(raw, "skipped"),
            _number(raw, "failed"),
            _number(raw, "recovered"),
            _number(raw, "restarts"),
            _share(raw, "doneShare"),
            None if left is None else seconds_of(left),
            _number(raw, "downloadBytes"),
            _number(raw, "uploadBytes"),
            raw.get("outputCommit", ""),
        )


@dataclass(frozen=True, slots=True)
class PipelineSummary(Shown):
    """A pipeline in a line. ``kind`` is transform, cron (all it reads are ticks), spout or
    service. ``inputs`` and ``output`` are ``repo@branch``, ``crons`` the repos of its ticks;
    ``job`` is its newest job, ``repo_bytes`` the size of its output's head."""

    name: str
    kind: str = "transform"
    state: str = ""
    reason: str = ""
    stopped: bool = False
    version: int = 0
    inputs: tuple[str, ...] = ()
    crons: tuple[str, ...] = ()
    output: str = ""
    job: JobSummary | None = None
    repo_bytes: int = 0

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_json(cls, raw: Json) -> PipelineSummary:
        """From pachybox.v1.PipelineSummary."""
        job = raw.get("job")
        return cls(
            raw.get("name", ""),
            raw.get("kind", ""),
            raw.get("state", ""),
            raw.get("reason", ""),
            bool(raw.get("stopped")),
            _number(raw, "version"),
            _texts(raw, "inputs"),
            _texts(raw, "crons"),
            raw.get("output", ""),
            JobSummary.from_json(job) if job else None,
            _number(raw, "repoBytes"),
        )


@dataclass(frozen=True, slots=True)
class RepoSummary(Shown):
    """A repo in a line. ``head`` is the id of the newest commit of ``master``, or of the branch
    that changed last where there is no such; time and size are of that. ``provenance``: it is
    the output of a pipeline."""

    name: str
    description: str = ""
    branches: tuple[str, ...] = ()
    head: str = ""
    head_time: datetime | None = None
    size_bytes: int = 0
    provenance: bool = False

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_json(cls, raw: Json) -> RepoSummary:
        """From pachybox.v1.RepoSummary."""
        return cls(
            raw.get("name", ""),
            raw.get("description", ""),
            _texts(raw, "branches"),
            raw.get("head", ""),
            time_of(raw.get("headTime")),
            _number(raw, "sizeBytes"),
            bool(raw.get("provenance")),
        )


@dataclass(frozen=True, slots=True)
class Attention(Shown):
    """Something that wants somebody's attention. ``level`` is error or warn, ``kind`` job,
    pipeline, ingest, disk or box; ``ref`` is the name of the thing (a job's is
    ``pipeline@id``), "" of the disk and the box."""

    level: str
    ref: str
    kind: str
    text: str
    remedy: str = ""
    since: datetime | None = None

    @classmethod
    def from_json(cls, raw: Json) -> Attention:
        """From pachybox.v1.Attention."""
        return cls(
            raw.get("level", ""),
            raw.get("ref", ""),
            raw.get("kind", ""),
            raw.get("text", ""),
            raw.get("remedy", ""),
            time_of(raw.get("since")),
        )


@dataclass(frozen=True, slots=True)
class Summary(Shown):
    """The whole box at a glance, as of event number ``event_seq``: follow ``events`` from there.

    ``jobs`` are those that run, then the latest others, 50 in all; ``attention`` is what is
    wrong, worst first. ``read_only``: nothing can be written now, the disk is full.
    """

    time: datetime | None = None
    version: str = ""
    name: str = ""
    address: str = ""
    runner: str = ""
    read_only: bool = False
    event_seq: int = 0
    machine: Machine = field(default_factory=Machine)
    disk: DiskUse = field(default_factory=DiskUse)
    pipelines: tuple[PipelineSummary, ...] = ()
    repos: tuple[RepoSummary, ...] = ()
    jobs: tuple[JobSummary, ...] = ()
    ingests: tuple[IngestInfo, ...] = ()
    warnings: tuple[str, ...] = ()
    attention: tuple[Attention, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> Summary:
        """From pachybox.v1.Summary."""
        return cls(
            time_of(raw.get("time")),
            raw.get("version", ""),
            raw.get("name", ""),
            raw.get("address", ""),
            raw.get("runner", ""),
            bool(raw.get("readOnly")),
            _number(raw, "eventSeq"),
            Machine.from_json(raw.get("machine") or {}),
            DiskUse.from_json(raw.get("disk") or {}),
            tuple(map(PipelineSummary.from_json, _all(raw, "pipelines"))),
            tuple(map(RepoSummary.from_json, _all(raw, "repos"))),
            tuple(map(JobSummary.from_json, _all(raw, "jobs"))),
            tuple(map(IngestInfo.from_json, _all(raw, "ingests"))),
            _texts(raw, "warnings"),
            tuple(map(Attention.from_json, _all(raw, "attention"))),
        )


@dataclass(frozen=True, slots=True)
class JobPage(Shown):
    """A piece of a list of jobs; ``total`` counts the whole list."""

    total: int = 0
    rows: tuple[JobSummary, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> JobPage:
        """From pachybox.v1.JobPage."""
        return cls(_number(raw, "total"), tuple(map(JobSummary.from_json, _all(raw, "jobs"))))


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
            _texts(raw, "inputs"),
            raw.get("state", ""),
            raw.get("reason", ""),
            _share(raw, "downloadS"),
            _share(raw, "processS"),
            _share(raw, "uploadS"),
            _number(raw, "tries"),
            _number(raw, "downloadBytes"),
            _number(raw, "uploadBytes"),
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
            _number(raw, "total"),
            {one.get("state", ""): _number(one, "count") for one in _all(raw, "counts")},
            tuple(map(DatumRow.from_json, _all(raw, "datums"))),
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
            _share(raw, "startS"),
            _share(raw, "downloadS"),
            _share(raw, "processS"),
            _share(raw, "uploadS"),
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
            tuple(map(Span.from_json, _all(raw, "spans"))),
            _share(raw, "busyShare"),
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
            tuple(map(WorkerTime.from_json, _all(raw, "workers"))),
            {
                one.get("phase", ""): (_share(one, "p50"), _share(one, "p95"), _share(one, "max"))
                for one in _all(raw, "phases")
            },
            tuple(map(DatumRow.from_json, _all(raw, "slowest"))),
        )


@dataclass(frozen=True, slots=True)
class FilePage(Shown):
    """A piece of a directory; ``total`` counts all that the search keeps."""

    total: int = 0
    rows: tuple[FileInfo, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> FilePage:
        """From pachybox.v1.FilePage."""
        return cls(_number(raw, "total"), tuple(map(FileInfo.from_json, _all(raw, "files"))))


@dataclass(frozen=True, slots=True)
class CommitPage(Shown):
    """A piece of a list of commits, newest first; ``total`` counts all that the search keeps."""

    total: int = 0
    rows: tuple[CommitInfo, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> CommitPage:
        """From pachybox.v1.CommitPage."""
        return cls(_number(raw, "total"), tuple(map(CommitInfo.from_json, _all(raw, "commits"))))


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
            _number(raw, "total"),
            _number(raw, "added"),
            _number(raw, "removed"),
            _number(raw, "changed"),
            _number(raw, "bytesDelta"),
            tuple(map(FileChange.from_json, _all(raw, "changes"))),
        )
