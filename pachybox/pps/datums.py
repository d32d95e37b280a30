"""The datums of a job as users see them: from its records, its tree of datums, and what runs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pachybox.errors import NotFound
from pachybox.meta.tables import DATUMS, DatumRecord
from pachybox.model.files import Entry
from pachybox.model.ids import CommitId, Job
from pachybox.model.pps import DatumInput, DatumState, JobRecord, Stats
from pachybox.pfs.service import Pfs
from pachybox.pps import meta_file
from pachybox.pps.bench import Running
from pachybox.pps.known import of_job


@dataclass(frozen=True, slots=True)
class DatumInfo:
    """A datum of a job as shown to users."""

    job: Job
    id: str
    state: DatumState
    reason: str
    stats: Stats
    inputs: tuple[DatumInput, ...]
    ran_in: CommitId | None


class Datums:
    """Lists and finds datums. ``running`` gives the datums of a job that run now."""

    def __init__(self, pfs: Pfs, running: Callable[[Job], Sequence[Running]]) -> None:
        self._pfs = pfs
        self._running = running

    def all(self, record: JobRecord) -> Iterator[DatumInfo]:
        """Every datum of a job known so far: failed first, then those running, then the rest."""
        mine = {d.id: d for d in self._records(record.job)}
        for state in (DatumState.FAILED, DatumState.RECOVERED):
            for d in mine.values():
                if d.state is state:
                    yield self._from_record(d)
        running = {r.datum.id: r.datum for r in self._running(record.job)}
        for datum in running.values():
            if datum.id not in mine:
                yield DatumInfo(
                    record.job, datum.id, DatumState.STARTING, "", Stats(), datum.inputs, None
                )
        shown = set(mine) | set(running)
        for d in mine.values():
            if d.state is DatumState.SUCCESS:
                yield self._from_record(d)
        if record.datums is not None:
            for entry in self._pfs.trees.list(record.datums):
                if entry.name not in shown:
                    yield self._from_tree(record.job, entry)

    def inspect(self, record: JobRecord, datum_id: str) -> DatumInfo:
        """One datum of a job; NotFound otherwise."""
        where, params = of_job(self._pfs.meta, record.job)
        found = self._pfs.meta.select(DATUMS, f"WHERE {where} AND id = ?", [*params, datum_id])
        if found:
            return self._from_record(found[0])
        if record.datums is not None:
            entry = self._pfs.trees.get(record.datums, f"/{datum_id}")
            if entry is not None:
                return self._from_tree(record.job, entry)
        for info in self.all(record):
            if info.id == datum_id or (len(datum_id) >= 8 and info.id.startswith(datum_id)):
                return info
        raise NotFound(f"datum {datum_id} not found in job {record.job}")

    def _records(self, job: Job) -> list[DatumRecord]:
        where, params = of_job(self._pfs.meta, job)
        return self._pfs.meta.select(DATUMS, f"WHERE {where} ORDER BY finished_us, id", params)

    def _from_record(self, record: DatumRecord) -> DatumInfo:
        meta = meta_file.read(self._pfs, record.dir)
        return DatumInfo(
            record.job,
            record.id,
            record.state,
            record.reason,
            record.stats,
            meta_file.inputs(meta),
            record.job.id,
        )

    def _from_tree(self, job: Job, entry: Entry) -> DatumInfo:
        meta = meta_file.read(self._pfs, entry.hash)
        ran_in = CommitId(meta["job"])
        state = DatumState(meta["state"]) if ran_in == job.id else DatumState.SKIPPED
        return DatumInfo(
            job,
            entry.name,
            state,
            meta["reason"],
            Stats(**meta["stats"]),
            meta_file.inputs(meta),
            ran_in,
        )


def matches(inputs: Sequence[DatumInput], datum_id: str, filters: Sequence[str]) -> bool:
    """Whether every filter is a path, a hex hash or the id of the datum (reference §3.10)."""
    names = {datum_id}
    for one in inputs:
        names |= {one.path, one.hash.hex(), base64.b64encode(one.hash).decode()}
    return all(f in names for f in filters)
