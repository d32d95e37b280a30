"""What one job has to do: the datums of its input commits, as a difference from its base job.

The base is the nearest ancestor whose job succeeded, where it was planned from the same input
and salt and merged in the same way: the new plan is the difference of the input trees carried
through the algebra, and what did not change is not looked at. Otherwise there is no base:
everything is planned, and what was done before is found by its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

from pachybox.errors import NotFound
from pachybox.meta.tables import COMMITS, DATUMS, JOBS
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Job
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import Datum, DatumState, JobRecord, PipelineRecord
from pachybox.pfs.service import Pfs
from pachybox.pps import algebra, meta_file, planner
from pachybox.pps.known import of_job
from pachybox.store.trees import EMPTY

Roots = dict[Branch, tuple[CommitId, Hash] | None]


@dataclass(frozen=True, slots=True)
class Base:
    """The job that another builds on, and the commit it made."""

    record: JobRecord
    commit: CommitRecord

    @property
    def datums(self) -> Hash:
        """Its tree of datums."""
        return self.record.datums or EMPTY


@dataclass
class Plan:
    """The datums of a job: ``kept`` of the base's as they are, and those that ``datums`` gives.

    ``removed`` are ids of the base that are gone; complete once ``datums`` has been read to its
    end. ``total`` counts all datums of the job.
    """

    base: Base | None
    total: int
    kept: int
    removed: set[str]
    _datums: Iterator[Datum]
    key: str

    def datums(self) -> Iterator[Datum]:
        """The datums to look at, once."""
        for datum in self._datums:
            self.removed.discard(datum.id)
            yield datum


class Planner:
    """Plans jobs of one box; keeps the indexes of joins between them."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._cache = algebra.Indexes()

    def plan(
        self,
        pipeline: PipelineRecord,
        record: JobRecord,
        commit: CommitRecord,
        held: ExitStack,
        *,
        whole: bool = False,
    ) -> Plan:
        """The plan of a job whose output commit is ``commit``, with ``whole`` not as a difference.
        Trees it reads are held from the garbage collector until ``held`` is closed."""
        key = plan_key(pipeline)
        base = None if whole else self.base(record.job, commit)
        if base is not None and base.record.plan_key != key:
            base = None  # all is looked at and merged anew
        for root in (base.datums, base.commit.root) if base is not None else ():
            held.enter_context(self._pfs.reading(root))
        node = algebra.parse(pipeline.spec["input"])
        roots = self._roots(node, commit, held)
        if roots is None:
            raise NotFound(f"an input commit of job {record.job} was deleted", "run it again")
        commits = {branch: at[0] for branch, at in roots.items() if at is not None}
        plan = self._difference(pipeline, base, node, roots, commits, key, held)
        if plan is None:
            found = algebra.whole(node, roots, self._pfs.trees, self._cache)
            made = (planner.to_datum(c, commits, pipeline.salt) for c in found)
            total = sum(1 for _ in algebra.whole(node, roots, self._pfs.trees, self._cache))
            gone = (
                {e.name for e in self._pfs.trees.list(base.datums)} if base is not None else set()
            )
            plan = Plan(base, total, 0, gone, made, key)
        return plan

    def _difference(
        self,
        pipeline: PipelineRecord,
        base: Base | None,
        node: algebra.Node,
        roots: Roots,
        commits: dict[Branch, CommitId],
        key: str,
        held: ExitStack,
    ) -> Plan | None:
        """The plan as a change of the base's; None where that cannot be told."""
        if base is None or planner.skips_nothing(pipeline.spec):
            return None
        before = self._roots(node, base.commit, held)
        if before is None:
            return None
        delta = algebra.delta(node, before, roots, self._pfs.trees, self._cache)
        if delta is None:
            return None
        removed = {planner.datum_id(c) for c in delta.removed}
        added = {planner.datum_id(c) for c in delta.added}
        again = list(self._recovered(base, commits, removed | added))
        removed.update(datum.id for datum in again)
        kept = base.record.total - len(removed)
        total = kept + len(added) + len(again)
        made = (planner.to_datum(c, commits, pipeline.salt) for c in delta.added)
        return Plan(base, total, kept, removed, chain(made, again), key)

    def _roots(self, node: algebra.Node, commit: CommitRecord, held: ExitStack) -> Roots | None:
        """The trees that the job of an output commit read; None when one was deleted."""
        found: Roots = dict.fromkeys(algebra.branches(node))
        for branch, id_ in commit.direct_provenance:
            upstream = self._pfs.meta.get(COMMITS, Commit(branch.repo, id_))
            if upstream is None:
                return None
            held.enter_context(self._pfs.reading(upstream.root))
            found[branch] = (id_, upstream.root)
        return found

    def _recovered(
        self, base: Base, commits: dict[Branch, CommitId], changed: set[str]
    ) -> Iterator[Datum]:
        """Datums that only err_cmd saved in the base job, but for those that changed: they are
        tried again (reference §3.4)."""
        if not base.record.recovered:
            return
        job = base.record.job
        where, params = of_job(self._pfs.meta, job)
        for record in self._pfs.meta.select(
            DATUMS, f"WHERE {where} AND state = ?", [*params, DatumState.RECOVERED.value]
        ):
            if record.id in changed:
                continue
            inputs = meta_file.inputs(meta_file.read(self._pfs, record.dir))
            yield planner.renewed(record.id, record.hash, inputs, commits)

    def base(self, job: Job, commit: CommitRecord) -> Base | None:
        """The nearest finished ancestor whose job made it, whatever came of its egress."""
        parent = commit.parent
        while parent is not None:
            found = self._pfs.meta.get(COMMITS, Commit(job.pipeline.repo, parent))
            if found is None:
                return None
            record = self._pfs.meta.get(JOBS, Job(job.pipeline, found.commit.id))
            if record is not None and record.datums is not None and not found.error:
                return Base(record, found)
            parent = found.parent
        return None


def plan_key(pipeline: PipelineRecord) -> str:
    """Names what the datums of a job are planned from, apart from the commits, and how their
    outputs are put together."""
    made = [pipeline.spec["input"], pipeline.salt]
    if (policy := pipeline.spec.get("output_merge") or "error") != "error":
        made.append(policy)
    text = json.dumps(made, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
