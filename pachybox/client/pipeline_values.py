"""Values of pipelines, jobs, datums, logs and of the box itself; see ``values``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pachybox.client.shown import Shown
from pachybox.client.values import (
    FileInfo,
    Json,
    commit_name,
    job_name,
    pipeline_name,
    project_name,
    seconds_of,
    time_of,
)


@dataclass(frozen=True, slots=True)
class PipelineInfo(Shown):
    """A pipeline at one version. States are the API's names (``PIPELINE_RUNNING``); ``runner`` is
    what runs it: ``process``, ``podman`` or ``kubernetes``."""

    project: str
    name: str
    version: int
    state: str
    reason: str
    stopped: bool
    last_job_state: str
    description: str
    input: Json
    created: datetime | None
    runner: str
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return pipeline_name(self.raw.get("pipeline") or {})

    @classmethod
    def from_json(cls, raw: Json) -> PipelineInfo:
        """From pps_v2.PipelineInfo."""
        pipeline, details = raw.get("pipeline") or {}, raw.get("details") or {}
        return cls(
            project_name(pipeline),
            pipeline.get("name", ""),
            int(raw.get("version") or 0),
            raw.get("state", ""),
            raw.get("reason", "") or details.get("reason", ""),
            bool(raw.get("stopped")),
            raw.get("lastJobState", ""),
            details.get("description", ""),
            details.get("input") or {},
            time_of(details.get("createdAt")),
            raw.get("runner", ""),
            raw,
        )


@dataclass(frozen=True, slots=True)
class JobInfo(Shown):
    """A job: one run of one pipeline. ``total`` counts its datums, failed ones too."""

    pipeline: str
    id: str
    version: int
    state: str
    reason: str
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    total: int
    processed: int
    skipped: int
    failed: int
    recovered: int
    restarts: int
    download_bytes: int
    upload_bytes: int
    output_commit: str
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.pipeline}@{self.id}"

    @property
    def done(self) -> bool:
        """Whether the job can never change again."""
        return self.state in ("JOB_SUCCESS", "JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE")

    @classmethod
    def from_json(cls, raw: Json) -> JobInfo:
        """From pps_v2.JobInfo."""
        job, stats = raw.get("job") or {}, raw.get("stats") or {}

        def number(key: str) -> int:
            return int(raw.get(key) or 0)

        return cls(
            pipeline_name(job.get("pipeline") or {}),
            job.get("id", ""),
            number("pipelineVersion"),
            raw.get("state", ""),
            raw.get("reason", ""),
            time_of(raw.get("created")),
            time_of(raw.get("started")),
            time_of(raw.get("finished")),
            number("dataTotal"),
            number("dataProcessed"),
            number("dataSkipped"),
            number("dataFailed"),
            number("dataRecovered"),
            number("restart"),
            int(stats.get("downloadBytes") or 0),
            int(stats.get("uploadBytes") or 0),
            commit_name(raw.get("outputCommit")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class JobSetInfo(Shown):
    """All jobs that share one id: one run through the pipelines."""

    id: str
    jobs: tuple[JobInfo, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> JobSetInfo:
        """From pps_v2.JobSetInfo."""
        jobs = tuple(JobInfo.from_json(j) for j in raw.get("jobs") or ())
        return cls((raw.get("jobSet") or {}).get("id", ""), jobs, raw)


@dataclass(frozen=True, slots=True)
class DatumInfo(Shown):
    """One unit of a job's work: its inputs, state and cost in seconds and bytes."""

    id: str
    job: str
    state: str
    inputs: tuple[FileInfo, ...]
    download_s: float
    process_s: float
    upload_s: float
    download_bytes: int
    upload_bytes: int
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> DatumInfo:
        """From pps_v2.DatumInfo."""
        datum, stats = raw.get("datum") or {}, raw.get("stats") or {}
        return cls(
            datum.get("id", ""),
            job_name(datum.get("job") or {}),
            raw.get("state", ""),
            tuple(FileInfo.from_json(f) for f in raw.get("data") or ()),
            seconds_of(stats.get("downloadTime")),
            seconds_of(stats.get("processTime")),
            seconds_of(stats.get("uploadTime")),
            int(stats.get("downloadBytes") or 0),
            int(stats.get("uploadBytes") or 0),
            raw,
        )


@dataclass(frozen=True, slots=True)
class ImageInfo(Shown):
    """The image of a pipeline. ``id`` is what its newest version is pinned to, ``digests`` the
    names by which its registry may have that; ``missing`` says why it is not here, "" when it is.
    """

    project: str
    pipeline: str
    version: int
    image: str
    id: str
    digests: tuple[str, ...]
    size_bytes: int
    missing: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> ImageInfo:
        """From pachybox.v1.ImageInfo."""
        pipeline = raw.get("pipeline") or {}
        return cls(
            project_name(pipeline),
            pipeline.get("name", ""),
            int(raw.get("version") or 0),
            raw.get("image", ""),
            raw.get("id", ""),
            tuple(raw.get("digests") or ()),
            int(raw.get("sizeBytes") or 0),
            raw.get("missing", ""),
            raw,
        )


@dataclass(frozen=True, slots=True)
class SecretInfo(Shown):
    """A secret; its values are never told."""

    name: str
    type: str
    created: datetime | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> SecretInfo:
        """From pps_v2.SecretInfo."""
        return cls(
            (raw.get("secret") or {}).get("name", ""),
            raw.get("type", ""),
            time_of(raw.get("creationTimestamp")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class LogMessage(Shown):
    """One line of a log. ``user``: written by the user's program."""

    time: datetime | None
    message: str
    pipeline: str
    job: str
    datum: str
    user: bool
    master: bool
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> LogMessage:
        """From pps_v2.LogMessage."""
        return cls(
            time_of(raw.get("ts")),
            raw.get("message", ""),
            raw.get("pipelineName", ""),
            raw.get("jobId", ""),
            raw.get("datumId", ""),
            bool(raw.get("user")),
            bool(raw.get("master")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class CreatedPipeline(Shown):
    """One pipeline of a spec file as the box took it. ``effective_spec`` is the parsed spec."""

    project: str
    name: str
    version: int
    created: bool
    effective_spec: Json
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> CreatedPipeline:
        """From an element of the answer to pachybox.v1.API/CreatePipelines."""
        import json

        text: Any = raw.get("effectiveSpecJson") or "{}"
        return cls(
            raw.get("project") or "default",
            raw.get("name", ""),
            int(raw.get("version") or 0),
            bool(raw.get("created")),
            json.loads(text),
            raw,
        )


@dataclass(frozen=True, slots=True)
class MovedPipeline(Shown):
    """A pipeline that has another runner now: which it was, and which it is."""

    project: str
    name: str
    version: int
    was: str
    runner: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> MovedPipeline:
        """From pachybox.v1.MovedPipeline."""
        named: Any = raw.get("pipeline") or {}
        return cls(
            (named.get("project") or {}).get("name") or "default",
            named.get("name", ""),
            int(raw.get("version") or 0),
            raw.get("was", ""),
            raw.get("runner", ""),
            raw,
        )


@dataclass(frozen=True, slots=True)
class FieldChange(Shown):
    """A field of a spec that differs: the JSON of its values, "" where it has none. A default is
    what the user did not write."""

    path: str
    old: str
    new: str
    old_is_default: bool
    new_is_default: bool
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> FieldChange:
        """From pachybox.v1.FieldChange."""
        return cls(
            raw.get("path", ""),
            raw.get("oldJson", ""),
            raw.get("newJson", ""),
            bool(raw.get("oldIsDefault")),
            bool(raw.get("newIsDefault")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class PipelineDifference(Shown):
    """What updating a pipeline would change and run. ``version`` is its present one, 0 when it
    would be made. ``changes`` are of the specs in effect, ``user_changes`` of what users wrote.

    ``job``: a job would start; ``datums_run`` of its ``datums_total`` would run, ``datums_new``
    of them the last job had not; ``datums_gone`` are of that job alone.
    """

    pipeline: str
    version: int
    changes: tuple[FieldChange, ...]
    user_changes: tuple[FieldChange, ...]
    job: bool
    datums_total: int
    datums_run: int
    datums_new: int
    datums_gone: int
    remarks: tuple[str, ...]
    downstream: tuple[str, ...]
    warnings: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> PipelineDifference:
        """From an element of the answer to pachybox.v1.API/DiffPipelines."""

        def number(key: str) -> int:
            return int(raw.get(key) or 0)

        return cls(
            pipeline_name(raw.get("pipeline") or {}),
            number("version"),
            tuple(map(FieldChange.from_json, raw.get("changes") or ())),
            tuple(map(FieldChange.from_json, raw.get("userChanges") or ())),
            bool(raw.get("job")),
            number("datumsTotal"),
            number("datumsRun"),
            number("datumsNew"),
            number("datumsGone"),
            tuple(raw.get("remarks") or ()),
            tuple(map(pipeline_name, raw.get("downstream") or ())),
            tuple(raw.get("warnings") or ()),
            raw,
        )


@dataclass(frozen=True, slots=True)
class BoxStatus(Shown):
    """The box at a glance."""

    version: str
    home: str
    pid: int
    started: datetime | None
    address: str
    grpc_address: str
    socket: str
    runner: str
    repos: int
    commits: int
    pipelines: int
    jobs_running: int
    store_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    warnings: tuple[str, ...]
    janitor: str
    scrub: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> BoxStatus:
        """From the answer to pachybox.v1.API/Status."""

        def number(key: str) -> int:
            return int(raw.get(key) or 0)

        return cls(
            raw.get("version", ""),
            raw.get("home", ""),
            number("pid"),
            time_of(raw.get("started")),
            raw.get("address", ""),
            raw.get("grpcAddress", ""),
            raw.get("socket", ""),
            raw.get("runner", ""),
            number("repos"),
            number("commits"),
            number("pipelines"),
            number("jobsRunning"),
            number("storeBytes"),
            number("diskFreeBytes"),
            number("diskTotalBytes"),
            tuple(raw.get("warnings") or ()),
            raw.get("janitor", ""),
            raw.get("scrub", ""),
            raw,
        )
