"""Between Pachyderm's messages and our values, both directions. No service is called here
except to look up what a message shows beyond its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pachybox.api.definitions import pfs
from pachybox.errors import InvalidArgument
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    USER,
    Branch,
    Commit,
    CommitId,
    Repo,
)
from pachybox.model.pfs import BranchRecord, CommitRecord, ProjectRecord, Trigger
from pachybox.model.refs import parse_commit_ref
from pachybox.pfs import branches
from pachybox.pfs.read import File
from pachybox.pfs.service import Pfs, RepoInfo

T = TypeVar("T")


_LONGEST = timedelta(days=36_500)  # further back no clock reaches


def span(duration: Any) -> timedelta:
    """A protobuf duration, which may be longer than anything: at most a hundred years."""
    most = int(_LONGEST.total_seconds())
    seconds = max(-most, min(duration.seconds, most))
    return timedelta(seconds=seconds, microseconds=duration.nanos // 1000)


def moment(stamp: Any, what: str) -> datetime:
    """A protobuf timestamp. Raises InvalidArgument for one outside of the years 1 to 9999."""
    try:
        found: datetime = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as e:
        raise InvalidArgument(f"{what} is no moment: {e}", "give one like 2026-01-31T12:00Z") from e
    return found


def as_dict(message: Any, *, proto_names: bool = False) -> dict[str, Any]:
    """A message as JSON's values. Raises InvalidArgument for what has no such form: a moment
    beyond all years, a number that is none."""
    try:
        return json_format.MessageToDict(message, preserving_proto_field_name=proto_names)
    except (json_format.Error, ValueError, OverflowError) as e:
        raise InvalidArgument(f"the request cannot be read: {e}") from e


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A protobuf timestamp; None stays None (field unset)."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def duration(seconds: float) -> Duration:
    """A protobuf duration."""
    made = Duration()
    made.FromTimedelta(timedelta(seconds=seconds))
    return made


# ---- requests


def enum_name(enum: Any, number: int) -> str:
    """The name of an enum's value; InvalidArgument for a number it has not."""
    found = enum.DESCRIPTOR.values_by_number.get(number)
    if found is None:
        known = ", ".join(enum.keys())
        raise InvalidArgument(f"{enum.DESCRIPTOR.name} has no value {number}", f"use {known}")
    return str(found.name)


def at_most(records: Iterator[T], number: int) -> Iterator[T]:
    """The first ``number`` records, all of them for 0."""
    if number < 0:
        raise InvalidArgument(f"number is {number}", "give a count, or 0 for all")
    return islice(records, number) if number else records


def to_repo(message: Any) -> Repo:
    """The repo named; an empty project is ``default``, an empty type ``user``."""
    if not message.name:
        raise InvalidArgument("the request names no repo", "set repo.name")
    return Repo(message.project.name or DEFAULT_PROJECT, message.name, message.type or USER)


def to_branch(message: Any) -> Branch:
    """The branch named; an empty name is ``master``."""
    return Branch(to_repo(message.repo), message.name or "master")


def to_ref(message: Any) -> tuple[Repo, str]:
    """Repo and reference text of a commit message: its id, else its branch's name. Either may
    carry ancestry (``master^2``)."""
    repo = message.repo if message.repo.name else message.branch.repo
    text = message.id or message.branch.name
    if not text:
        raise InvalidArgument(
            f"the request names no commit of repo {repo.name}", "set commit.id or commit.branch"
        )
    return to_repo(repo), text


def to_trigger(message: Any) -> Trigger | None:
    """The trigger asked for; a message without a branch is none."""
    if not message.branch:
        return None
    return Trigger(
        message.branch,
        message.size,
        message.commits,
        message.rate_limit_spec,
        message.cron_spec,
        message.all,
    )


def parse_commit(text: str) -> tuple[Repo, str]:
    """Repo and reference text of ``[project/]repo@ref``."""
    found = parse_commit_ref(text)
    if found.ref is None:
        raise InvalidArgument(f"{text!r} names no commit", "write repo@branch or repo@id")
    return found.repo, str(found.ref)


def pick_repo(picker: Any) -> Repo:
    """The repo a picker names."""
    name = picker.name
    return Repo(name.project.name or DEFAULT_PROJECT, name.name, name.type or USER)


def pick_branch(picker: Any) -> Branch:
    """The branch a picker names."""
    return Branch(pick_repo(picker.name.repo), picker.name.name)


def pick_commit(service: Pfs, picker: Any) -> CommitRecord:
    """The commit a picker names: by id, as a branch's head, an ancestor, or from the root."""
    if picker.HasField("id"):
        return service.resolve(pick_repo(picker.id.repo), picker.id.id)
    if picker.HasField("branch_head"):
        branch = pick_branch(picker.branch_head)
        return service.resolve(branch.repo, branch.name)
    if picker.HasField("ancestor"):
        start = pick_commit(service, picker.ancestor.start)
        back = picker.ancestor.offset
        return service.resolve(start.commit.repo, f"{start.commit.id}^{back}")
    if picker.HasField("branch_root"):
        branch = pick_branch(picker.branch_root.branch)
        return service.resolve(branch.repo, f"{branch.name}.{picker.branch_root.offset}")
    raise InvalidArgument("the request picks no commit", "set id, branch_head, ancestor or root")


# ---- answers


def repo(value: Repo) -> Any:
    """pfs_v2.Repo."""
    return pfs.Repo(name=value.name, type=value.type, project=pfs.Project(name=value.project))


def branch(value: Branch) -> Any:
    """pfs_v2.Branch."""
    return pfs.Branch(repo=repo(value.repo), name=value.name)


def commit(value: Commit, branch_name: str = "") -> Any:
    """pfs_v2.Commit."""
    made = pfs.Commit(repo=repo(value.repo), id=value.id)
    if branch_name:
        made.branch.CopyFrom(branch(Branch(value.repo, branch_name)))
    return made


def project_info(record: ProjectRecord) -> Any:
    """pfs_v2.ProjectInfo."""
    return pfs.ProjectInfo(
        project=pfs.Project(name=record.name),
        description=record.description,
        created_at=timestamp(record.created),
        metadata=record.metadata,
    )


def repo_info(info: RepoInfo) -> Any:
    """pfs_v2.RepoInfo."""
    return pfs.RepoInfo(
        repo=repo(info.record.repo),
        created=timestamp(info.record.created),
        size_bytes_upper_bound=info.size,
        description=info.record.description,
        branches=[branch(b.branch) for b in info.branches],
        details=pfs.RepoInfoDetails(size_bytes=info.size),
        metadata=info.record.metadata,
    )


def branch_info(service: Pfs, record: BranchRecord) -> Any:
    """pfs_v2.BranchInfo."""
    direct = record.direct_provenance
    above = [b for b in branches.closure(service.meta, direct) if b != record.branch]
    made = pfs.BranchInfo(
        branch=branch(record.branch),
        provenance=[branch(b) for b in above],
        subvenance=[branch(b) for b in branches.subvenance(service.meta, record.branch)],
        direct_provenance=[branch(b) for b in direct],
        metadata=record.metadata,
        created_at=timestamp(record.created),
        updated_at=timestamp(record.updated),
    )
    if record.head is not None:
        made.head.CopyFrom(commit(Commit(record.branch.repo, record.head), record.branch.name))
    if (t := record.trigger) is not None:
        made.trigger.CopyFrom(
            pfs.Trigger(
                branch=t.branch,
                all=t.all,
                rate_limit_spec=t.rate_limit_spec,
                size=t.size,
                commits=t.commits,
                cron_spec=t.cron_spec,
            )
        )
    return made


def commit_info(
    record: CommitRecord,
    *,
    children: Sequence[CommitRecord] = (),
    downstream: Sequence[CommitRecord] = (),
) -> Any:
    """pfs_v2.CommitInfo. Children and subvenance are shown where the caller looked them up."""
    made = pfs.CommitInfo(
        commit=commit(record.commit, record.branch),
        origin=pfs.CommitOrigin(kind=pfs.OriginKind.Value(record.origin.value)),
        description=record.description,
        child_commits=[commit(c.commit, c.branch) for c in children],
        started=timestamp(record.started),
        finishing=timestamp(record.finished),
        finished=timestamp(record.finished),
        direct_provenance=[commit(Commit(b.repo, i), b.name) for b, i in record.direct_provenance],
        direct_subvenance=[commit(c.commit, c.branch) for c in downstream],
        error=record.error,
        size_bytes_upper_bound=record.size,
        metadata=record.metadata,
        created_at=timestamp(record.started),
        updated_at=timestamp(record.finished or record.started),
    )
    if record.finished is not None:
        made.details.CopyFrom(pfs.CommitInfoDetails(size_bytes=record.size))
    if record.parent is not None:
        made.parent_commit.CopyFrom(
            commit(Commit(record.commit.repo, CommitId(record.parent)), record.branch)
        )
    return made


def full_commit_info(service: Pfs, record: CommitRecord) -> Any:
    """pfs_v2.CommitInfo with children and direct subvenance."""
    below = [
        c
        for c in service.downstream(record)
        if any(
            b.repo == record.commit.repo and i == record.commit.id for b, i in c.direct_provenance
        )
    ]
    return commit_info(record, children=service.children(record), downstream=below)


class FileInfos:
    """Makes pfs_v2.FileInfo messages; the commit's part is made once per commit."""

    def __init__(self) -> None:
        self._last: CommitRecord | None = None
        self._base: Any = None

    def __call__(self, file: File) -> Any:
        """The message of one file or directory; directories end with ``/``."""
        if file.commit is not self._last:
            self._base = pfs.FileInfo(
                file=pfs.File(commit=commit(file.commit.commit, file.commit.branch)),
                committed=timestamp(file.commit.finished),
            )
            self._last = file.commit
        made = pfs.FileInfo()
        made.CopyFrom(self._base)
        entry = file.entry
        if entry.is_dir:
            made.file.path = file.path if file.path == "/" else f"{file.path}/"
            made.file_type = 2
        else:
            made.file.path = file.path
            made.file_type = 1
        made.size_bytes = entry.size
        made.hash = entry.hash
        return made
