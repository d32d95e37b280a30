"""Records of pipelines, jobs and datums. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from pachybox.model.ids import CommitId, Hash, Job, Pipeline


class PipelineState(Enum):
    """Pachyderm's pipeline states (reference §3.5)."""

    STARTING = "PIPELINE_STARTING"
    RUNNING = "PIPELINE_RUNNING"
    RESTARTING = "PIPELINE_RESTARTING"
    FAILURE = "PIPELINE_FAILURE"
    PAUSED = "PIPELINE_PAUSED"
    STANDBY = "PIPELINE_STANDBY"
    CRASHING = "PIPELINE_CRASHING"


class JobState(Enum):
    """Pachyderm 2.x job states (reference §3.5)."""

    CREATED = "JOB_CREATED"
    STARTING = "JOB_STARTING"
    RUNNING = "JOB_RUNNING"
    FAILURE = "JOB_FAILURE"
    SUCCESS = "JOB_SUCCESS"
    KILLED = "JOB_KILLED"
    EGRESSING = "JOB_EGRESSING"
    FINISHING = "JOB_FINISHING"
    UNRUNNABLE = "JOB_UNRUNNABLE"

    @property
    def terminal(self) -> bool:
        """Whether the job can never change again."""
        return self in _TERMINAL

    @property
    def computed(self) -> bool:
        """Whether no datum of the job will run any more: it is over, or egresses."""
        return self in _TERMINAL or self is JobState.EGRESSING


_TERMINAL = frozenset({JobState.FAILURE, JobState.SUCCESS, JobState.KILLED, JobState.UNRUNNABLE})


class DatumState(Enum):
    """Pachyderm 2.x datum states (reference §3.5)."""

    UNKNOWN = "UNKNOWN"
    FAILED = "FAILED"
    SUCCESS = "SUCCESS"
    SKIPPED = "SKIPPED"
    STARTING = "STARTING"
    RECOVERED = "RECOVERED"


PROCESS, PODMAN, KUBERNETES = "process", "podman", "kubernetes"
"""What may run a pipeline, by name."""


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """One pipeline at its newest version.

    ``spec`` is the effective spec in canonical 2.x snake_case form, ``user_spec`` the
    text the user gave. ``salt`` is part of every datum's hash. ``runner`` is what runs it (""
    is process), ``image_pin`` the very image that its name led to when this version was made
    (pachybox.containers.images.Image.pin; "" without one).
    """

    pipeline: Pipeline
    version: int
    spec: dict[str, Any]
    user_spec: str
    salt: str
    state: PipelineState
    reason: str
    stopped: bool
    created: datetime
    updated: datetime
    spec_commit: CommitId
    runner: str = ""
    image_pin: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """What one or more datums cost. Times in seconds, sizes in bytes."""

    download_s: float = 0.0
    process_s: float = 0.0
    upload_s: float = 0.0
    download_bytes: int = 0
    upload_bytes: int = 0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.download_s + other.download_s,
            self.process_s + other.process_s,
            self.upload_s + other.upload_s,
            self.download_bytes + other.download_bytes,
            self.upload_bytes + other.upload_bytes,
            self.cpu_s + other.cpu_s,
            max(self.peak_rss_bytes, other.peak_rss_bytes),
        )


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job: one run of one pipeline version over one set of input commits.

    ``datums`` is the root of a tree with one directory per datum that has output in
    this job (its name the datum id, its content the datum's output); None until planned.
    ``plan_key`` names what the datums were planned from, the input and the salt: where two jobs
    have the same, the datums of one differ from the other's as their input commits do.
    """

    job: Job
    pipeline_version: int
    state: JobState
    reason: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0
    restarts: int = 0
    stats: Stats = Stats()
    datums: Hash | None = None
    plan_key: str = ""


@dataclass(frozen=True, slots=True)
class DatumInput:
    """One matched file or directory of one input.

    ``name`` is the directory under /pfs, ``path`` the absolute path in the repo,
    ``hash`` the content identity of what was matched. ``join_on`` and ``group_by`` are the keys
    by which it came to be in the datum.
    """

    name: str
    project: str
    repo: str
    branch: str
    commit: CommitId
    path: str
    hash: Hash
    size: int
    is_dir: bool
    join_on: str = ""
    group_by: str = ""


@dataclass(frozen=True, slots=True)
class Datum:
    """One unit of work. ``id`` does not depend on content, ``hash`` does (reference §3.2, 2.x)."""

    id: str
    hash: str
    inputs: tuple[DatumInput, ...]
