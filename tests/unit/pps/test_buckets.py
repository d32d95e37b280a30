"""The buckets of a datum where a job does not show it."""

from __future__ import annotations

import os
from pathlib import Path

from pachybox.meta.writer import Meta
from pachybox.model.ids import Job, Pipeline, new_commit_id
from pachybox.model.pps import Datum
from pachybox.pfs import care
from pachybox.pfs.object_types import Attributes
from pachybox.pfs.service import Pfs
from pachybox.pps.buckets import OUT, DatumBuckets
from pachybox.store.blobs import BlobStore


def test_a_collection_spares_what_a_datum_wrote_in_parts(tmp_path: Path) -> None:
    """The upload is over, and no commit names its object yet."""
    blobs = BlobStore.open(tmp_path / "store")
    meta = Meta(tmp_path / "meta.duckdb", barrier=blobs.flush)
    pfs = Pfs(meta, blobs)
    job = Job(Pipeline("default", "p"), new_commit_id())
    data = [os.urandom(5 << 20), b"end"]
    with blobs.session() as session:
        buckets = DatumBuckets(pfs, session, job, Datum("", "", ()), (), writable=True)
        out = buckets.bucket(OUT)
        upload = buckets.create_upload(out, "x", Attributes())
        etags = []
        for number, one in enumerate(data, 1):
            with buckets.intake() as intake:
                intake.write(one)
                etags.append((number, buckets.put_part(upload, number, intake.finish()).etag))
        buckets.complete(upload, etags)
        buckets.close()
        care.collect_garbage(pfs)
        (put,) = buckets.edits()
        assert b"".join(pfs.content.read(put.entry)) == b"".join(data)
    meta.close()
    blobs.close()
