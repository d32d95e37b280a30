"""Records of the file system's metadata: repos, branches, commits. Pure values.

Times are aware UTC datetimes, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from pachybox.model.ids import Branch, Commit, CommitId, Hash, Repo


class Origin(Enum):
    """Why a commit exists."""

    USER = "USER"
    AUTO = "AUTO"  # made by propagation: a job's output
    FSCK = "FSCK"  # placeholder made by fsck --fix


class CommitState(Enum):
    """How far a commit is; waiters name the state they wait for."""

    STARTED = "STARTED"
    READY = "READY"  # all its provenance is finished
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """An object that S3 put into an open commit, durable and not in the commit's trees yet.
    ``said``: what S3 says of it, as it will stand there. Notes count up box-wide."""

    number: int
    commit: Commit
    key: str
    content: bytes
    said: str


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A namespace of repos and pipelines."""

    name: str
    description: str
    created: datetime
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepoRecord:
    """A repo."""

    repo: Repo
    description: str
    created: datetime
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a branch moves to the head of another branch of its repo (reference §1.3).

    ``size`` is a decimal human size ("1MB"), ``commits`` a count, ``rate_limit_spec``
    and ``cron_spec`` cron expressions; ``all`` asks for every given condition
    instead of any.
    """

    branch: str
    size: str = ""
    commits: int = 0
    rate_limit_spec: str = ""
    cron_spec: str = ""
    all: bool = False


@dataclass(frozen=True, slots=True)
class BranchRecord:
    """A branch: a movable name for a commit, with declared provenance.

    A change of a branch in ``quiet``, some of the provenance, opens no commit here; the next
    one that another change opens has its then present head.
    """

    branch: Branch
    head: CommitId | None
    direct_provenance: tuple[Branch, ...]
    created: datetime
    updated: datetime
    trigger: Trigger | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    quiet: tuple[Branch, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit. ``root`` is the tree's hash (the parent's plus what was written so far
    while the commit is open); ``size`` and ``files`` are of the whole tree.

    ``seq`` orders commits by the time they were opened, box-wide.
    ``error`` is set on a finished commit whose job failed; its tree is then empty.
    ``attributes`` is the root of a second tree: what S3 says of the objects; None = nothing.
    """

    commit: Commit
    branch: str
    parent: CommitId | None
    origin: Origin
    description: str
    seq: int
    started: datetime
    finished: datetime | None
    error: str
    root: Hash
    size: int
    files: int
    direct_provenance: tuple[tuple[Branch, CommitId], ...]
    metadata: dict[str, str] = field(default_factory=dict)
    attributes: Hash | None = None


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """A multipart upload under way. ``commit`` is set when the bucket is an open commit;
    ``parts`` is the root of a tree with a file for each part, None = none."""

    id: str
    branch: Branch
    commit: str
    key: str
    started: datetime
    touched: datetime
    attributes_json: str
    algorithm: str
    checksum_type: str
    parts: Hash | None = None
