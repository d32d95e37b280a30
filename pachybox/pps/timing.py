"""Where the time of a job went: by worker, by phase, by datum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pachybox.meta.tables import DATUMS
from pachybox.model.pps import DatumState, JobRecord
from pachybox.pfs.service import Pfs
from pachybox.pps.bench import Running
from pachybox.pps.datum_pages import RUNNING, DatumPages, DatumRow
from pachybox.pps.known import of_job

SPANS = 400
"""At most so many are shown, the longest."""
_SLOWEST = 20
_TOOK = "download_us + process_us + upload_us"
_PHASES = ("download", "process", "upload")


@dataclass(frozen=True, slots=True)
class Span:
    """A datum on a worker's time line; seconds, ``start_s`` since the job began."""

    datum: str
    state: str
    start_s: float
    download_s: float
    process_s: float
    upload_s: float


@dataclass(frozen=True, slots=True)
class WorkerTime:
    """A worker by its number; ``busy_share`` is of the time since the job began, 0 to 1."""

    number: int
    spans: list[Span]
    busy_share: float


@dataclass(frozen=True, slots=True)
class JobTiming:
    """``phases``: seconds of the datum in the middle, of that behind 95 of 100, of the longest."""

    workers: list[WorkerTime]
    phases: dict[str, tuple[float, float, float]]
    slowest: list[DatumRow]


def timing(pfs: Pfs, pages: DatumPages, job: JobRecord, running: Sequence[Running]) -> JobTiming:
    """The times of a job, and of what it runs now."""
    began = job.started or job.created
    now = datetime.now(UTC)
    whole_s = max(1e-6, ((job.finished or now) - began).total_seconds())
    where, params = of_job(pfs.meta, job.job)
    mine = f"WHERE {where}"
    select = pfs.meta.select
    longest = select(DATUMS, f"{mine} ORDER BY {_TOOK} DESC, id LIMIT {SPANS}", params)
    spans: dict[int, list[Span]] = {}
    busy: dict[int, float] = {}
    for d in longest:
        if d.started is not None:
            start_s = (d.started - began).total_seconds()
            at = (start_s, d.stats.download_s, d.stats.process_s, d.stats.upload_s)
            spans.setdefault(d.worker, []).append(Span(d.id, d.state.value, *at))
    sums = f"SELECT worker, sum({_TOOK}) FROM datums {mine} AND started_us IS NOT NULL"
    for worker, took in pfs.meta.db.read(f"{sums} GROUP BY worker", params):
        busy[worker] = float(took) / 1e6
    for one in running:
        took_s = max(0.0, now.timestamp() - one.since)
        start_s = one.since - began.timestamp()
        mine_now = spans.setdefault(one.worker, [])
        mine_now.append(Span(one.datum.id, RUNNING, start_s, 0.0, took_s, 0.0))
        busy[one.worker] = busy.get(one.worker, 0.0) + took_s
    workers = [
        WorkerTime(
            number,
            sorted(spans.get(number, ()), key=lambda span: span.start_s),
            min(1.0, busy[number] / whole_s),
        )
        for number in sorted(busy)
    ]
    slowest = [pages.row(d) for d in longest if d.state is not DatumState.SKIPPED][:_SLOWEST]
    return JobTiming(workers, _phases(pfs, mine, params), slowest)


def _phases(pfs: Pfs, mine: str, params: list[Any]) -> dict[str, tuple[float, float, float]]:
    columns = ", ".join(
        f"quantile_cont({name}_us, [0.5, 0.95]), max({name}_us)" for name in _PHASES
    )
    row = pfs.meta.db.read(f"SELECT {columns} FROM datums {mine}", params)[0]
    if row[0] is None:
        return {}
    return {
        name: (row[2 * i][0] / 1e6, row[2 * i][1] / 1e6, row[2 * i + 1] / 1e6)
        for i, name in enumerate(_PHASES)
    }
