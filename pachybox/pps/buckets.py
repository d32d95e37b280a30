"""The buckets of one datum: its S3 inputs by their names, fixed and read-only, and ``out``.

``out`` is write-only (reference §6): what is put there is the datum's output once it ends well, and
is gone when it does not. Its content is held by the job's session, as that of /pfs/out is.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pachybox.errors import NotReady, PachyboxError, Unimplemented
from pachybox.meta.writer import utc_now
from pachybox.model.files import Put
from pachybox.model.ids import Commit, CommitId, Hash, Job, Repo
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.model.pps import Datum
from pachybox.pfs.change import Change
from pachybox.pfs.object_types import (
    Attributes,
    Bucket,
    NoSuchBucket,
    NoSuchKey,
    ObjectInfo,
    Page,
    ReadOnly,
    Upload,
    VersionPage,
)
from pachybox.pfs.object_write import Batch, Op
from pachybox.pfs.objects import Intake, Objects
from pachybox.pfs.read import File, Reader
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

OUT = "out"


@dataclass(frozen=True, slots=True)
class _Named(Bucket):
    """A bucket by the name that user code knows."""

    alias: str = ""

    @property
    def name(self) -> str:
        """The input's name, or ``out``."""
        return self.alias


class DatumBuckets(Objects):
    """What the S3 door of one attempt at a datum serves."""

    def __init__(
        self,
        pfs: Pfs,
        session: Session,
        job: Job,
        datum: Datum,
        by_s3: Collection[str],
        *,
        writable: bool,
    ) -> None:
        """``by_s3`` names the inputs to be served; with ``writable`` there is ``out``."""
        super().__init__(pfs, Reader(pfs))
        self.writable = writable
        self._session = session
        self._job = job
        self._lock = threading.Lock()
        self._over = False
        self._root = EMPTY
        self._buckets: dict[str, _Named] = {}
        for one in datum.inputs:
            if one.name in by_s3:
                repo = Repo(one.project, one.repo)
                self._buckets[one.name] = _Named(repo, one.branch, one.commit, None, one.name)
        if writable:
            # a name of its own, since datums of a job run side by side
            self._buckets[OUT] = _Named(job.pipeline.repo, OUT, uuid.uuid4().hex, utc_now(), OUT)

    def close(self) -> None:
        """Take nothing more; uploads that were not completed are given up."""
        with self._lock:
            self._over = True
        if self.writable:
            self._multipart.abandon(self._buckets[OUT])

    def edits(self) -> list[Put]:
        """What was written, as edits of an output."""
        return [
            Put(path, replace(entry, attrs=b""))
            for path, entry in self.pfs.trees.walk(self._root, "/")
            if not entry.is_dir
        ]

    # ---- buckets

    def buckets(self) -> list[Bucket]:
        """The inputs, and ``out``."""
        return [self.bucket(name) for name in sorted(self._buckets)]

    def bucket(self, name: str) -> Bucket:
        """The bucket; NoSuchBucket."""
        found = self._buckets.get(name)
        if found is None:
            known = ", ".join(sorted(self._buckets))
            raise NoSuchBucket(f"bucket {name} not found", f"the datum has {known}")
        if found.created is None:
            commit = self.reader.commit(found.repo, found.commit)
            found = self._buckets[name] = replace(found, created=commit.started)
        return found

    def _is_out(self, bucket: Bucket) -> bool:
        out = self._buckets.get(OUT)
        return self.writable and out is not None and bucket.commit == out.commit

    def create_bucket(self, name: str) -> Bucket:
        """Not in a job."""
        raise Unimplemented(f"bucket {name}: a job has the buckets that its pipeline names")

    def delete_bucket(self, bucket: Bucket) -> None:
        """Not in a job."""
        raise Unimplemented(f"bucket {bucket.name}: a job cannot delete its buckets")

    def versioned(self, bucket: Bucket) -> bool:
        """Whether commits are versions: not in ``out``."""
        return not self._is_out(bucket)

    # ---- objects

    def intake(self, digests: Collection[str] = ()) -> Intake:
        """See Objects; the job's session holds what comes."""
        return Intake(self._session, digests, own=False)

    def _submit(self, bucket: Bucket, ops: list[Op], *, apart: bool = False) -> None:
        """Put into ``out``, in place of a commit."""
        if not self._is_out(bucket):
            raise ReadOnly(f"bucket {bucket.name} is an input of the job", "write to out")
        for op in ops:  # copies and joined parts came by sessions that end before the datum does
            if op.entry is not None and op.blob is None and not op.marker:
                self._hold(self._session, op.entry)
        with self._lock:
            if self._over:
                raise NotReady(f"the datum of job {self._job} is over")
            # a change of its own: it asks the conditions, and ends an upload where that is the op
            self._root = self.pfs.change(lambda ch: self._edit(ch, bucket, ops))

    def _edit(self, ch: Change, bucket: Bucket, ops: Sequence[Op]) -> Hash:
        now = CommitRecord(
            Commit(bucket.repo, CommitId(bucket.commit)), OUT, None, Origin.AUTO, "", 0, ch.now,
            None, "", self._root, 0, 0, (),
        )  # fmt: skip
        batch = Batch(self.pfs.trees, self._session.put, now, "", ch.now)
        for op in ops:
            try:
                batch.take(ch, op)
            except PachyboxError as e:
                op.error = e
        batch.settle()
        for op, entry in batch.done:
            if op.entry is not None:
                file = File(now, op.path, entry)
                op.info = ObjectInfo(
                    op.key, entry.size, ch.now, "", op.attributes, op.attributes.etag, file
                )
        return batch.root

    def get(self, bucket: Bucket, key: str, version: str = "") -> ObjectInfo:
        """See Objects; ``out`` shows nothing."""
        if self._is_out(bucket):
            raise NoSuchKey(f"object {key} not found: out is write-only")
        return super().get(bucket, key, version)

    def versions(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", key_marker: str = "",
        version_marker: str = "", limit: int = 1000,
    ) -> VersionPage:  # fmt: skip
        """See Objects; ``out`` shows nothing."""
        if self._is_out(bucket):
            return VersionPage([], [], False, "", "")
        return super().versions(bucket, prefix, delimiter, key_marker, version_marker, limit)

    def create_upload(
        self, bucket: Bucket, key: str, attributes: Attributes,
        checksum_algorithm: str = "", checksum_type: str = "",
    ) -> Upload:  # fmt: skip
        """See Objects."""
        if not self._is_out(bucket):
            raise ReadOnly(f"bucket {bucket.name} is an input of the job", "write to out")
        return self._multipart.create(
            bucket, key, attributes, checksum_algorithm, checksum_type, checked=True
        )

    def list(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", after: str = "",
        limit: int = 1000,
    ) -> Page:  # fmt: skip
        """See Objects; ``out`` shows nothing."""
        if self._is_out(bucket):
            return Page([], [], False, "")
        return super().list(bucket, prefix, delimiter, after, limit)
