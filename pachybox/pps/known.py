"""Where results of datums are found in the database: by their job, and by their hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pachybox.meta.tables import COMMITS, DATUMS, DatumRecord
from pachybox.meta.writer import Meta
from pachybox.model.ids import Commit, Job
from pachybox.pfs.service import Pfs

_FEW = 16  # jobs looked at together


def of_job(meta: Meta, job: Job) -> tuple[str, list[Any]]:
    """The condition on ``datums`` that tells those a job ran itself, and its parameters."""
    mine = "project = ? AND pipeline = ? AND job = ?"
    key = [job.pipeline.project, job.pipeline.name, job.id]
    made = meta.get(COMMITS, Commit(job.pipeline.repo, job.id))
    if made is None:
        return mine, key
    # perf: by it the database knows which parts of the table to read
    return f"seq = ? AND {mine}", [made.seq, *key]


def with_hashes(pfs: Pfs, hashes: Sequence[str]) -> Iterator[DatumRecord]:
    """Every record with one of the hashes, of whatever pipeline and state."""
    found = sorted(pfs.meta.hashes.find(hashes))
    for few in (found[at : at + _FEW] for at in range(0, len(found), _FEW)):
        yield from pfs.meta.select(
            DATUMS,
            f"WHERE seq IN ({', '.join('?' * len(few))}) AND hash IN (SELECT unnest(?))",
            [*few, list(hashes)],
        )
