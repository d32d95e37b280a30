"""Objects over branches: the service under the S3 door. Keys are paths without the first slash.

A bucket is a branch, a version a commit. Content first goes to the store through an Intake;
then one change names it. Every method may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager

from pachybox.errors import Unimplemented
from pachybox.pfs.object_types import (
    Attributes,
    Bucket,
    Condition,
    Deleted,
    FileSlice,
    ObjectInfo,
    Page,
    PartInfo,
    PartPage,
    Stored,
    Upload,
    UploadPage,
    VersionPage,
)
from pachybox.pfs.read import Reader
from pachybox.pfs.service import Pfs

_SOON = Unimplemented("not yet")


class Intake:
    """One body on its way into the store. Leaving the block gives it up unless something
    names it by then."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; ``data`` may be reused on return."""
        raise _SOON

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        raise _SOON

    def finish(self) -> Stored:
        """No more comes: the content and its digests. Not durable until something names it."""
        raise _SOON


class Objects:
    """All S3 semantics but the protocol."""

    def __init__(self, pfs: Pfs, reader: Reader) -> None:
        self.pfs = pfs
        self.reader = reader

    # ---- buckets

    def buckets(self) -> list[Bucket]:
        """Every branch of every user repo, by name."""
        raise _SOON

    def bucket(self, name: str) -> Bucket:
        """The bucket; NoSuchBucket, InvalidBucketName."""
        raise _SOON

    def create_bucket(self, name: str) -> Bucket:
        """Make the branch, and its repo when that is missing; BucketExists, and NotFound for
        a project that is not there."""
        raise _SOON

    def delete_bucket(self, bucket: Bucket) -> None:
        """Delete the branch, and its repo with the last of them; BucketNotEmpty."""
        raise _SOON

    # ---- objects

    def intake(
        self, digests: Collection[str] = (), expected: int | None = None
    ) -> AbstractContextManager[Intake]:
        """Take one body in. MD5 is always taken; ``digests`` names others: crc32, crc32c,
        crc64nvme, sha1, sha256. ``expected``: the body's length where it is known."""
        raise _SOON

    def put(
        self,
        bucket: Bucket,
        key: str,
        stored: Stored,
        attributes: Attributes,
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Set the object, durable on return: one commit, or in the open commit of the branch, or
        grouped by the branch's window. A key with a ``/`` at its end and no content is a
        directory marker. OutputBranch, ReadOnly, InvalidKey."""
        raise _SOON

    def get(self, bucket: Bucket, key: str, version: str = "") -> ObjectInfo:
        """The object as it is now or in the commit ``version``; NoSuchKey, NoSuchVersion."""
        raise _SOON

    def read(
        self, info: ObjectInfo, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes | FileSlice]:
        """The bytes of the object: verified pieces, or slices for the kernel to send."""
        raise _SOON

    def versions(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", key_marker: str = "",
        version_marker: str = "", limit: int = 1000,
    ) -> VersionPage:  # fmt: skip
        """Versions and delete markers by key, newest first. With ``version_marker``: behind that
        version of ``key_marker``; else behind ``key_marker``."""
        raise _SOON

    def delete(
        self, bucket: Bucket, keys: Sequence[str], condition: Condition | None = None
    ) -> list[Deleted]:
        """Delete all ``keys`` in one commit; keys that are not there are no error. ``condition``
        is asked for each key; what it raises is that key's error."""
        raise _SOON

    def copy(
        self, source: ObjectInfo, bucket: Bucket, key: str,
        attributes: Attributes | None = None, condition: Condition | None = None,
    ) -> ObjectInfo:  # fmt: skip
        """Set ``key`` to the content of ``source``; no bytes move. ``attributes`` None: the
        source's; else with the etag and checksums of the source where these are not given."""
        raise _SOON

    # ---- multipart

    def create_upload(
        self, bucket: Bucket, key: str, attributes: Attributes,
        checksum_algorithm: str = "", checksum_type: str = "",
    ) -> Upload:  # fmt: skip
        """Begin an upload, durable on return."""
        raise _SOON

    def upload(self, bucket: Bucket, key: str, upload_id: str) -> Upload:
        """The upload; NoSuchUpload."""
        raise _SOON

    def put_part(
        self, upload: Upload, number: int, stored: Stored, checksums: dict[str, str] | None = None
    ) -> PartInfo:
        """Set part ``number`` (1 to MAX_PARTS), durable on return. NoSuchUpload."""
        raise _SOON

    def copy_part(
        self, upload: Upload, number: int, source: ObjectInfo, offset: int = 0,
        length: int | None = None,
    ) -> PartInfo:  # fmt: skip
        """Set a part to a range of an object; its bytes are read for their MD5, not rewritten."""
        raise _SOON

    def parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        """The parts above number ``after``."""
        raise _SOON

    def uploads(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", key_marker: str = "",
        id_marker: str = "", limit: int = 1000,
    ) -> UploadPage:  # fmt: skip
        """Uploads under way by key, then by start."""
        raise _SOON

    def complete(
        self,
        upload: Upload,
        chosen: Sequence[tuple[int, str]],
        condition: Condition | None = None,
        checksums: dict[str, str] | None = None,
    ) -> ObjectInfo:
        """Make the object of the parts (number, etag without quotes) and end the upload, in one
        change. ``checksums``: of the whole, as the door made them. InvalidPart,
        InvalidPartOrder, EntityTooSmall, NoSuchUpload."""
        raise _SOON

    def abort(self, upload: Upload) -> None:
        """Give the upload up; its parts are freed by the next collection. NoSuchUpload."""
        raise _SOON

    # last: the name hides the type behind it

    def list(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", after: str = "",
        limit: int = 1000,
    ) -> Page:  # fmt: skip
        """Objects and common prefixes in the order of their keys' bytes, behind ``after`` (a key
        or a common prefix). ``limit`` counts both."""
        raise _SOON
