"""What the lanes of one job share, and what they say of the datums under way. Values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pachybox.model.ids import Job
from pachybox.model.pps import Datum, PipelineRecord
from pachybox.pps import gate
from pachybox.pps.buckets import DatumBuckets
from pachybox.pps.layout import Presenter
from pachybox.pps.runners.base import WorkerWaits
from pachybox.pps.sets import ENDLESS, SetSize
from pachybox.pps.workshop import Workshop
from pachybox.store.blobs import Session


@dataclass(frozen=True)
class Bench:
    """What the lanes of one job share. ``work`` and ``logs`` are directories of the job. ``waits``
    is told why a lane has no worker yet, and by None that one came."""

    shop: Workshop
    pipeline: PipelineRecord
    job: Job
    session: Session
    presenter: Presenter
    work: Path
    logs: Path
    set_size: SetSize = ENDLESS
    waits: Callable[[WorkerWaits | None], None] = lambda _: None

    @cached_property
    def by_s3(self) -> frozenset[str]:
        """The inputs that are not under /pfs."""
        return gate.s3_inputs(self.pipeline.spec)

    @property
    def s3_out(self) -> bool:
        """Whether output is written by S3."""
        return bool(self.pipeline.spec.get("s3_out"))

    def open_door(self, datum: Datum) -> gate.Door | None:
        """The S3 door of one attempt at a datum, where its pipeline wants one."""
        if not self.by_s3 and not self.s3_out:
            return None
        buckets = DatumBuckets(
            self.shop.pfs, self.session, self.job, datum, self.by_s3, writable=self.s3_out
        )
        return gate.Door(buckets, self.shop.gates)


@dataclass(frozen=True, slots=True)
class Running:
    """A datum under way: since when (seconds since 1970), on which worker of the job, at which
    try."""

    datum: Datum
    since: float
    worker: int
    tries: int = 1
