"""What the client returns of the box at a glance, for screens.

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
from pachybox.client.values import Json, seconds_of, time_of


def number(raw: Json, key: str) -> int:
    """An integer; 0 where it is not told."""
    return int(raw.get(key) or 0)


def share(raw: Json, key: str) -> float:
    """A fraction, or another number with a point; 0.0 where it is not told."""
    return float(raw.get(key) or 0.0)


def texts(raw: Json, key: str) -> tuple[str, ...]:
    """Texts; none where none is told."""
    return tuple(raw.get(key) or ())


def each(raw: Json, key: str) -> Iterable[Any]:
    """Records of a list; none where none is told."""
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
            share(raw, "cpu"),
            number(raw, "memoryUsed"),
            number(raw, "memoryTotal"),
            number(raw, "diskUsed"),
            number(raw, "diskTotal"),
            number(raw, "diskFree"),
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
            number(raw, "data"),
            number(raw, "cache"),
            number(raw, "images"),
            number(raw, "logs"),
            share(raw, "growthPerDay"),
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
            number(raw, "total"),
            number(raw, "processed"),
            number(raw, "skipped"),
            number(raw, "failed"),
            number(raw, "recovered"),
            number(raw, "restarts"),
            share(raw, "doneShare"),
            None if left is None else seconds_of(left),
            number(raw, "downloadBytes"),
            number(raw, "uploadBytes"),
            raw.get("outputCommit", ""),
        )


@dataclass(frozen=True, slots=True)
class PipelineSummary(Shown):
    """A pipeline in a line. ``kind`` is transform, cron (all it reads are ticks), spout or
    service. ``inputs`` and ``output`` are ``repo@branch``, ``crons`` the repos of its ticks;
    ``job`` is its newest job, ``repo_bytes`` the size of its output's head; ``runner`` is process,
    podman or kubernetes."""

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
    runner: str = ""

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
            number(raw, "version"),
            texts(raw, "inputs"),
            texts(raw, "crons"),
            raw.get("output", ""),
            JobSummary.from_json(job) if job else None,
            number(raw, "repoBytes"),
            raw.get("runner", ""),
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
            texts(raw, "branches"),
            raw.get("head", ""),
            time_of(raw.get("headTime")),
            number(raw, "sizeBytes"),
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
            number(raw, "eventSeq"),
            Machine.from_json(raw.get("machine") or {}),
            DiskUse.from_json(raw.get("disk") or {}),
            tuple(map(PipelineSummary.from_json, each(raw, "pipelines"))),
            tuple(map(RepoSummary.from_json, each(raw, "repos"))),
            tuple(map(JobSummary.from_json, each(raw, "jobs"))),
            tuple(map(IngestInfo.from_json, each(raw, "ingests"))),
            texts(raw, "warnings"),
            tuple(map(Attention.from_json, each(raw, "attention"))),
        )
