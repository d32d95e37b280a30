"""What the client returns: frozen values, each made from the API's JSON and keeping it as ``raw``.

Times are aware datetimes, sizes bytes, durations seconds. ``raw`` is the record
exactly as the box sent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pachybox.client.shown import Shown

Json = dict[str, Any]


def time_of(text: str | None) -> datetime | None:
    """An RFC 3339 timestamp; None when absent."""
    return datetime.fromisoformat(text) if text else None


def seconds_of(text: str | None) -> float:
    """A protobuf JSON duration (``"1.5s"``) in seconds."""
    return float(text.rstrip("s")) if text else 0.0


def project_name(thing: Mapping[str, Any]) -> str:
    return (thing.get("project") or {}).get("name") or "default"


def repo_name(repo: Mapping[str, Any]) -> str:
    """How a repo is written: ``name``, ``name.spec``, ``project/name``."""
    kind = repo.get("type") or "user"
    name = repo.get("name", "") + ("" if kind == "user" else f".{kind}")
    project = project_name(repo)
    return name if project == "default" else f"{project}/{name}"


def commit_name(commit: Mapping[str, Any] | None) -> str:
    """How a commit is written: ``repo@id``, or ``repo@branch`` when it has no id."""
    if not commit:
        return ""
    branch = commit.get("branch") or {}
    repo = commit.get("repo") or branch.get("repo") or {}
    return f"{repo_name(repo)}@{commit.get('id') or branch.get('name', '')}"


def branch_name(branch: Mapping[str, Any]) -> str:
    """How a branch is written: ``repo@branch``."""
    return f"{repo_name(branch.get('repo') or {})}@{branch.get('name', '')}"


def pipeline_name(pipeline: Mapping[str, Any]) -> str:
    """How a pipeline is written: ``name`` or ``project/name``."""
    project = project_name(pipeline)
    name = str(pipeline.get("name", ""))
    return name if project == "default" else f"{project}/{name}"


def job_name(job: Mapping[str, Any]) -> str:
    """How a job is written: ``pipeline@id``."""
    return f"{pipeline_name(job.get('pipeline') or {})}@{job.get('id', '')}"


@dataclass(frozen=True, slots=True)
class ProjectInfo(Shown):
    """A namespace of repos and pipelines."""

    name: str
    description: str
    created: datetime | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> ProjectInfo:
        """From pfs_v2.ProjectInfo."""
        return cls(
            (raw.get("project") or {}).get("name", ""),
            raw.get("description", ""),
            time_of(raw.get("createdAt")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class RepoInfo(Shown):
    """A repo. ``size_bytes`` is that of the head of ``master``."""

    project: str
    name: str
    type: str
    description: str
    created: datetime | None
    size_bytes: int
    branches: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return repo_name(self.raw.get("repo") or {})

    @classmethod
    def from_json(cls, raw: Json) -> RepoInfo:
        """From pfs_v2.RepoInfo."""
        repo = raw.get("repo") or {}
        size = (raw.get("details") or {}).get("sizeBytes") or raw.get("sizeBytesUpperBound") or 0
        return cls(
            project_name(repo),
            repo.get("name", ""),
            repo.get("type") or "user",
            raw.get("description", ""),
            time_of(raw.get("created")),
            int(size),
            tuple(b.get("name", "") for b in raw.get("branches") or ()),
            raw,
        )


@dataclass(frozen=True, slots=True)
class BranchInfo(Shown):
    """A branch. ``head`` is a commit id, empty when it has none; provenance as ``repo@branch``."""

    repo: str
    name: str
    head: str
    direct_provenance: tuple[str, ...]
    trigger: Json
    raw: Json = field(repr=False, compare=False)
    metadata: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"

    @classmethod
    def from_json(cls, raw: Json) -> BranchInfo:
        """From pfs_v2.BranchInfo."""
        branch = raw.get("branch") or {}
        return cls(
            repo_name(branch.get("repo") or {}),
            branch.get("name", ""),
            (raw.get("head") or {}).get("id", ""),
            tuple(branch_name(b) for b in raw.get("directProvenance") or ()),
            raw.get("trigger") or {},
            raw,
            raw.get("metadata") or {},
        )


@dataclass(frozen=True, slots=True)
class CommitInfo(Shown):
    """A commit. ``finished`` is None while it is open; ``error`` is set when its job failed."""

    repo: str
    branch: str
    id: str
    origin: str
    description: str
    parent: str
    started: datetime | None
    finished: datetime | None
    error: str
    size_bytes: int
    direct_provenance: tuple[str, ...]
    direct_subvenance: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"

    @classmethod
    def from_json(cls, raw: Json) -> CommitInfo:
        """From pfs_v2.CommitInfo."""
        commit = raw.get("commit") or {}
        branch = commit.get("branch") or {}
        size = (raw.get("details") or {}).get("sizeBytes") or raw.get("sizeBytesUpperBound") or 0
        return cls(
            repo_name(commit.get("repo") or branch.get("repo") or {}),
            branch.get("name", ""),
            commit.get("id", ""),
            (raw.get("origin") or {}).get("kind", ""),
            raw.get("description", ""),
            (raw.get("parentCommit") or {}).get("id", ""),
            time_of(raw.get("started")),
            time_of(raw.get("finished")),
            raw.get("error", ""),
            int(size),
            tuple(commit_name(c) for c in raw.get("directProvenance") or ()),
            tuple(commit_name(c) for c in raw.get("directSubvenance") or ()),
            raw,
        )


@dataclass(frozen=True, slots=True)
class CommitSetInfo(Shown):
    """All commits that share one id: one run through the pipelines."""

    id: str
    commits: tuple[CommitInfo, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> CommitSetInfo:
        """From pfs_v2.CommitSetInfo."""
        commits = tuple(CommitInfo.from_json(c) for c in raw.get("commits") or ())
        return cls((raw.get("commitSet") or {}).get("id", ""), commits, raw)


@dataclass(frozen=True, slots=True)
class FileInfo(Shown):
    """A file or directory in a commit. ``size_bytes`` of a directory is that of all below it."""

    path: str
    is_dir: bool
    size_bytes: int
    committed: datetime | None
    commit: str
    hash: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> FileInfo:
        """From pfs_v2.FileInfo; ``hash`` stays in base64."""
        file = raw.get("file") or {}
        return cls(
            file.get("path", ""),
            raw.get("fileType") == "DIR",
            int(raw.get("sizeBytes") or 0),
            time_of(raw.get("committed")),
            (file.get("commit") or {}).get("id", ""),
            raw.get("hash", ""),
            raw,
        )


@dataclass(frozen=True, slots=True)
class FileChange(Shown):
    """One difference; ``old`` None = added, ``new`` None = removed."""

    old: FileInfo | None
    new: FileInfo | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> FileChange:
        """From pfs_v2.DiffFileResponse."""
        old, new = raw.get("oldFile"), raw.get("newFile")
        return cls(
            FileInfo.from_json(old) if old else None, FileInfo.from_json(new) if new else None, raw
        )


@dataclass(frozen=True, slots=True)
class PutResult(Shown):
    """What an upload made."""

    commit: str
    files: int
    bytes: int
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> PutResult:
        """From the answer to /files/put."""
        info = raw.get("commit") or {}
        return cls(
            (info.get("commit") or info).get("id", ""),
            int(raw.get("files") or 0),
            int(raw.get("bytes") or 0),
            raw,
        )
