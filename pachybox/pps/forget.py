"""Forgetting what datums made whose jobs were squashed by retention.

Results of datums outlive their jobs, so that a datum which comes back is not run again. Where old
commits go for ever, these would be what never goes. So of a pipeline that has rules of retention
at its output or above it, the results are forgotten whose job is gone and which the newest job
does not have among its own.

A job that runs may have found one of them just before: their trees are held until all jobs that
were open then are over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from pachybox.meta.tables import DATUMS, JOBS, PIPELINES
from pachybox.model.ids import Branch, CommitId, Hash, Job, Pipeline
from pachybox.model.pps import PipelineRecord
from pachybox.pfs.branches import closure
from pachybox.pfs.change import Change
from pachybox.pfs.retention import rules_of
from pachybox.pfs.service import Pfs

_PAGE = 2000  # results looked at together, and forgotten in one change
_MINE = "project = ? AND pipeline = ?"

Row = tuple[int, CommitId, str, Hash, str]
"""``seq`` of the job, the job, the datum, its tree, its hash."""


class Forgetter:
    """Forgets results; ``forget`` by one thread at a time."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._held: list[tuple[set[Job], ExitStack]] = []

    def forget(self) -> int:
        """Do so; how many results went. Their space is free after a collection."""
        self._let_go()
        ruled = set(rules_of(self._pfs.meta))
        if not ruled:
            return 0
        return sum(
            self._of(record.pipeline)
            for record in self._pfs.meta.all(PIPELINES)
            if not ruled.isdisjoint(closure(self._pfs.meta, [_output(record)]))
        )

    def _of(self, pipeline: Pipeline) -> int:
        newest = self._pfs.meta.select(
            JOBS,
            f"WHERE {_MINE} AND datums IS NOT NULL ORDER BY created_us DESC LIMIT 1",
            (pipeline.project, pipeline.name),
        )
        if not newest or newest[0].datums is None:
            return 0
        find = self._pfs.trees.lookup(newest[0].datums)
        count = 0
        for page in self._without_job(pipeline):
            gone = []
            for row in page:
                entry = find(f"/{row[2]}")
                if entry is None or entry.hash != row[3]:
                    gone.append(row)
            if gone:
                self._remove(pipeline, gone)
                count += len(gone)
        return count

    def _without_job(self, pipeline: Pipeline) -> Iterator[list[Row]]:
        key = (pipeline.project, pipeline.name)
        read = self._pfs.meta.db.read
        jobs = read(
            f"SELECT DISTINCT seq, job FROM datums WHERE {_MINE} "
            f"AND job NOT IN (SELECT id FROM jobs WHERE {_MINE}) ORDER BY seq, job",
            (*key, *key),
        )
        page: list[Row] = []
        for seq, job in jobs:
            rows = read(
                f"SELECT id, dir, hash FROM datums WHERE seq = ? AND {_MINE} AND job = ?",
                (seq, *key, job),
            )
            page += [(seq, CommitId(job), id_, Hash(tree), hash_) for id_, tree, hash_ in rows]
            while len(page) >= _PAGE:
                yield page[:_PAGE]
                page = page[_PAGE:]
        yield page

    def _remove(self, pipeline: Pipeline, gone: list[Row]) -> None:
        held = ExitStack()
        for _, _, _, tree, _ in gone:
            held.enter_context(self._pfs.reading(tree))

        def run(ch: Change) -> None:
            for seq, job, id_, _, _ in gone:
                ch.tx.remove(DATUMS, (seq, Job(pipeline, job), id_))

        try:
            self._pfs.change(run, solo=True)
        except BaseException:
            held.close()
            raise
        # race: only after it, since a job that is begun now finds none of them any more
        self._held.append((self._open(pipeline), held))
        self._pfs.meta.hashes.forget((row[4], row[0]) for row in gone)
        self._let_go()

    def _open(self, pipeline: Pipeline) -> set[Job]:
        rows = self._pfs.meta.db.read(
            f"SELECT id FROM jobs WHERE {_MINE} AND finished_us IS NULL",
            (pipeline.project, pipeline.name),
        )
        return {Job(pipeline, CommitId(row[0])) for row in rows}

    def _let_go(self) -> None:
        """Hold no longer what no job can still want."""
        kept = []
        for jobs, held in self._held:
            found = (self._pfs.meta.get(JOBS, job) for job in jobs)
            if any(record is not None and record.finished is None for record in found):
                kept.append((jobs, held))
            else:
                held.close()
        self._held = kept


def _output(record: PipelineRecord) -> Branch:
    return Branch(record.pipeline.repo, record.spec["output_branch"])
