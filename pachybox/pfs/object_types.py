"""Values of the object service: what an S3 door speaks of, and the errors it tells. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, NotReady, Refused
from pachybox.model.files import Entry
from pachybox.model.ids import DEFAULT_PROJECT, Branch, Repo, is_commit_id
from pachybox.model.paths import clean
from pachybox.model.units import parse_duration

if TYPE_CHECKING:
    from pachybox.pfs.read import File

MASTER = "master"
MAX_PARTS = 10_000
"""Highest number of a part."""

PART_MINIMUM = 5 << 20
"""Bytes that every part but the last must have when an upload is completed."""


WINDOW = "s3-window"
"""The key in a branch's metadata that groups S3 writes, and in that of the commits it opens."""

LONGEST_S = 3600.0
"""The longest window in seconds."""


class NoSuchBucket(NotFound):
    """No branch (or repo, or commit) has the bucket's name."""


class NoSuchKey(NotFound):
    """The bucket has no object of that key."""


class NoSuchVersion(NotFound):
    """The version is no commit of the bucket's repo."""


class NoSuchUpload(NotFound):
    """The upload was completed, aborted or given up, or never was."""


class BucketExists(AlreadyExists):
    """The branch is there already."""


class BucketNotEmpty(Refused):
    """The branch still has files."""


class OutputBranch(Refused):
    """Only jobs write to this branch."""


class ReadOnly(Refused):
    """The bucket is a finished commit: it never changes."""


class InvalidBucketName(InvalidArgument):
    """The name is not ``[commit.]branch.repo[.project]``."""


class InvalidKey(InvalidArgument):
    """The key is no path of a repo, or collides with a file or directory there."""


class InvalidPart(InvalidArgument):
    """A part named at completion is missing or has another ETag."""


class InvalidPartOrder(InvalidArgument):
    """The parts named at completion do not rise."""


class EntityTooSmall(InvalidArgument):
    """A part that is not the last has less than PART_MINIMUM bytes."""


@dataclass(frozen=True, slots=True)
class PartInfo:
    """One part of a multipart upload. ``etag`` is the MD5 in hex; ``checksums`` by algorithm
    in base64; ``modified`` is None for the parts of a completed object."""

    number: int
    size: int
    etag: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an S3 PUT says of an object besides its bytes.

    ``etag``: MD5 in hex, of multipart the MD5 of the MD5s and ``-N``; empty when the object did
    not come by S3. ``headers``: cache-control, content-disposition, content-encoding,
    content-language, expires, in lower case. ``metadata``: x-amz-meta-* without the prefix, in
    lower case. ``checksums``: crc32, crc32c, crc64nvme, sha1, sha256 -> base64.
    ``checksum_type``: empty, FULL_OBJECT or COMPOSITE.
    """

    etag: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str = ""
    parts: tuple[PartInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A branch of a repo, or with ``commit`` that commit, read-only unless it is open."""

    repo: Repo
    branch: str
    commit: str = ""
    created: datetime | None = None

    @property
    def name(self) -> str:
        """The name as ListBuckets prints it."""
        tail = "" if self.repo.project == DEFAULT_PROJECT else f".{self.repo.project}"
        head = f"{self.commit}." if self.commit else ""
        return f"{head}{self.branch}.{self.repo.name}{tail}"

    @property
    def at(self) -> Branch:
        """The branch."""
        return Branch(self.repo, self.branch)

    @property
    def ref(self) -> str:
        """What to resolve in the repo."""
        return self.commit or self.branch


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of one object. ``version`` is a commit id; ``etag`` is always something.

    A directory marker (``key`` ends in ``/``) has an empty file. ``deleted``: a delete marker,
    in lists of versions only. ``latest``: nothing newer is known (in lists of versions).
    """

    key: str
    size: int
    modified: datetime
    version: str
    attributes: Attributes
    etag: str
    file: File
    latest: bool = True
    deleted: bool = False


Condition = Callable[[ObjectInfo | None], None]
"""Called inside the writer's transaction with the present object; raises to refuse."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Content that is in the store, held until its Intake ends. ``digests``: by name, raw;
    ``md5`` always. ``entry`` is a file without a name. ``keep`` says that it is named."""

    entry: Entry
    size: int
    digests: Mapping[str, bytes]
    keep: Callable[[], None]


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of an open file; call ``close`` when they were sent."""

    fd: int
    offset: int
    length: int
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list. ``next``: the key or prefix to go on ``after``, when ``truncated``."""

    objects: list[ObjectInfo]
    prefixes: list[str]
    truncated: bool
    next: str


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Part of a list of versions, newest first within a key, delete markers among them."""

    versions: list[ObjectInfo]
    prefixes: list[str]
    truncated: bool
    next_key: str
    next_version: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of one key: deleted (or was not there: no error), or ``error``. ``version``:
    the commit that lacks it, empty when nothing changed."""

    key: str
    version: str = ""
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload under way."""

    id: str
    bucket: Bucket
    key: str
    started: datetime
    attributes: Attributes
    checksum_algorithm: str = ""
    checksum_type: str = ""


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Part of a list of uploads."""

    uploads: list[Upload]
    prefixes: list[str]
    truncated: bool
    next_key: str
    next_id: str


@dataclass(frozen=True, slots=True)
class PartPage:
    """Part of a list of parts; ``next``: the number to go on ``after``, when ``truncated``."""

    parts: list[PartInfo]
    truncated: bool
    next: int


@lru_cache(1024)
def parse_bucket(name: str) -> Bucket:
    """``[commit.]branch.repo[.project]``; one part is master of that repo, two are
    ``branch.repo``. Says nothing of whether it is there."""
    parts = name.split(".")
    commit = ""
    if len(parts) > 2 and is_commit_id(parts[0]):
        commit = parts.pop(0)
    if not all(parts) or not 1 <= len(parts) <= 3:
        raise InvalidBucketName(
            f"bucket name {name[:80]!r} is not [commit.]branch.repo[.project]",
            "one part alone is the branch master of that repo",
        )
    if len(parts) == 1:
        parts.insert(0, MASTER)
    project = parts[2] if len(parts) == 3 else DEFAULT_PROJECT
    return Bucket(Repo(project, parts[1]), parts[0], commit)


def window_s(text: str) -> float:
    """A window in seconds; InvalidArgument."""
    seconds = parse_duration(text)
    if not 0 < seconds <= LONGEST_S:
        raise InvalidArgument(
            f"window {text!r} is not between 0 and 1h", "give the idle time as 2s or 500ms"
        )
    return seconds


def path_of(key: str) -> str:
    """The path of the object ``key``; of a marker (``foo/``) that of its directory.

    Keys that are no canonical path (an empty, ``.`` or ``..`` element, a NUL, an element of more
    than 255 bytes) raise InvalidKey: another key's object would be meant.
    """
    try:
        path = clean("/" + key)
    except InvalidArgument as e:
        raise InvalidKey(e.message, e.hint) from None
    if path[1:] != key.removesuffix("/") or not key:
        raise InvalidKey(
            f"key {key[:120]!r} has an empty element", "write a/b, not /a/b and not a//b"
        )
    return path


__all__ = [
    "MASTER",
    "MAX_PARTS",
    "PART_MINIMUM",
    "WINDOW",
    "Attributes",
    "Bucket",
    "BucketExists",
    "BucketNotEmpty",
    "Condition",
    "Deleted",
    "EntityTooSmall",
    "FileSlice",
    "InvalidBucketName",
    "InvalidKey",
    "InvalidPart",
    "InvalidPartOrder",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotReady",
    "ObjectInfo",
    "OutputBranch",
    "Page",
    "PartInfo",
    "PartPage",
    "ReadOnly",
    "Stored",
    "Upload",
    "UploadPage",
    "VersionPage",
    "parse_bucket",
    "path_of",
    "window_s",
]
