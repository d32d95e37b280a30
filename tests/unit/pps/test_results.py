"""Results of datums on their way to the disk, when what comes before them does not get there."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from pachybox.errors import Exhausted
from pachybox.meta.tables import DATUMS, JOBS
from pachybox.meta.writer import utc_now
from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.model.pps import DatumState, JobRecord, JobState, Stats
from pachybox.pps.results import Outcome, Results
from pachybox.store.trees import EMPTY
from tests.unit.pps.world import opened


def test_no_result_is_written_of_a_job_whose_beginning_was_not(tmp_path: Path) -> None:
    """A full disk kept the change that began the job away; by now there is room again."""
    job = Job(Pipeline("default", "p"), CommitId("1" * 32))
    begun: Future[None] = Future()
    begun.set_exception(Exhausted("the disk is full"))
    broken: list[BaseException] = []
    with opened(tmp_path) as pfs, pfs.blobs.session() as session:
        record = JobRecord(job, 1, JobState.CREATED, "", utc_now(), None, None)
        pfs.meta.write(lambda tx: tx.put(JOBS, record))
        results = Results(
            pfs, session, job, seq=1, kept=0, again=False, begun=begun, broken=broken.append
        )
        results.put(Outcome("d", "ab", DatumState.SUCCESS, "", EMPTY, Stats()))
        results.close()
        pfs.meta.write(lambda tx: None)  # whatever waits is written in front of this
        assert pfs.meta.select(DATUMS, "") == []
        with pytest.raises(Exhausted):
            results.stands()
