"""Names and ids: what things are called. Pure values, no I/O.

A commit id is global: every commit made by one transaction, in whatever repo,
has the same id, so one id is one run through the DAG.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import NewType

from pachybox.errors import InvalidArgument

Hash = NewType("Hash", bytes)
"""BLAKE3-256 of content: 32 bytes."""

CommitId = NewType("CommitId", str)
"""UUIDv4 in hex without dashes: 32 lower-case digits."""

DEFAULT_PROJECT = "default"
USER, SPEC, META = "user", "spec", "meta"

_NAME = re.compile(r"[a-zA-Z0-9_-]+\Z")
_PIPELINE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*\Z")
_COMMIT_ID = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}\Z")
MAX_PIPELINE_NAME = 63  # the 1.x limit; 2.x stops at 51 for Kubernetes' sake
MAX_NAME = 255


def new_commit_id() -> CommitId:
    """A fresh global id (UUIDv4 without dashes)."""
    return CommitId(uuid.uuid4().hex)


def is_commit_id(text: str) -> bool:
    """Whether ``text`` has the form of a whole commit id."""
    return _COMMIT_ID.match(text) is not None


def check_name(kind: str, name: str) -> str:
    """Return ``name`` when it is a legal repo, branch or project name.

    Raises InvalidArgument naming the rule otherwise.
    """
    if not name:
        raise InvalidArgument(f"{kind} name is empty", f"give the {kind} a name")
    if len(name) > MAX_NAME or not _NAME.match(name):
        raise InvalidArgument(
            f"{kind} name {_short(name)} is not allowed",
            f"use at most {MAX_NAME} letters, digits, underscores and dashes",
        )
    return name


def _short(name: str) -> str:
    """A name for a message: printable, and not pages long."""
    return repr(name) if len(name) <= 80 else f"{name[:60]!r}... ({len(name)} characters)"


def check_pipeline_name(name: str) -> str:
    """Return ``name`` when it is a legal pipeline name; raise InvalidArgument otherwise."""
    if not _PIPELINE.match(name or "") or len(name) > MAX_PIPELINE_NAME:
        raise InvalidArgument(
            f"pipeline name {_short(name)} is not allowed",
            f"begin with a letter or digit, then letters, digits, _ and -, "
            f"at most {MAX_PIPELINE_NAME} characters",
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class Repo:
    """A repo by name. ``type`` is ``user``, ``spec`` or ``meta``."""

    project: str
    name: str
    type: str = USER

    # perf: these are the keys of all tables, looked up 20 times a change; as dataclasses hash
    # them, each look-up is two or three calls
    def __hash__(self) -> int:
        return hash((self.name, self.type, self.project))

    def __str__(self) -> str:
        tail = self.name if self.type == USER else f"{self.name}.{self.type}"
        return tail if self.project == DEFAULT_PROJECT else f"{self.project}/{tail}"

    @property
    def full(self) -> str:
        """``project/name`` as Pachyderm's error texts print it."""
        tail = self.name if self.type == USER else f"{self.name}.{self.type}"
        return f"{self.project}/{tail}"


@dataclass(frozen=True, slots=True, order=True)
class Branch:
    """A branch by name."""

    repo: Repo
    name: str

    def __hash__(self) -> int:
        return hash((self.name, self.repo.name, self.repo.type, self.repo.project))

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Commit:
    """A commit by repo and global id."""

    repo: Repo
    id: CommitId

    def __hash__(self) -> int:
        # the id alone is that of all commits of one run: thousands in one place of a table
        return hash((self.id, self.repo.name))

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"


@dataclass(frozen=True, slots=True, order=True)
class Pipeline:
    """A pipeline by name; its output repo has the same project and name."""

    project: str
    name: str

    def __str__(self) -> str:
        return self.name if self.project == DEFAULT_PROJECT else f"{self.project}/{self.name}"

    @property
    def repo(self) -> Repo:
        """The output repo."""
        return Repo(self.project, self.name)

    @property
    def spec_repo(self) -> Repo:
        """The system repo whose commits mark the pipeline's versions."""
        return Repo(self.project, self.name, SPEC)


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """A job by pipeline and id; the id is that of its output commit."""

    pipeline: Pipeline
    id: CommitId

    def __str__(self) -> str:
        return f"{self.pipeline}@{self.id}"
