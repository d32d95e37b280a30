"""Jobs and datums as rows of a table, fetched by the page."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tui import glyphs, shown
from tui.feed import Feed
from tui.widgets.filters import matcher, split
from tui.widgets.rows import PAGE, Column, Page, Query, Row

if TYPE_CHECKING:
    from pachybox.client.page_values import DatumPage, DatumRow
    from pachybox.client.view_values import JobSummary

JOBS = (
    Column("glyph", "", 1, keep=99),
    Column("job", "JOB", 14, grow=2, sort="pipeline", keep=98),
    Column("state", "STATE", 10, sort="state", keep=90),
    Column("done", "", 10, keep=20),
    Column("datums", "DATUMS", 11, right=True, sort="total", keep=80),
    Column("age", "AGE", 5, right=True, sort="created", keep=70),
    Column("took", "TOOK", 6, right=True, sort="time", keep=40),
    Column("left", "LEFT", 5, right=True, keep=50),
    Column("size", "SIZE", 8, right=True, keep=30),
    Column("reason", "REASON", 16, grow=3, keep=10),
)
DATUMS = (
    Column("glyph", "", 1, keep=99),
    Column("id", "ID", 8, keep=90),
    Column("input", "INPUT", 12, grow=3, sort="input", keep=98),
    Column("state", "STATE", 9, sort="state", keep=80),
    Column("dl", "DL", 6, right=True, keep=40),
    Column("run", "RUN", 6, right=True, sort="time", keep=70),
    Column("up", "UP", 6, right=True, keep=30),
    Column("try", "TRY", 3, right=True, keep=60),
    Column("reason", "REASON", 14, grow=2, keep=20),
)
JOB_STATES = tuple(
    f"JOB_{word.upper()}"
    for word in (
        "created", "starting", "running", "egressing", "finishing", "success", "failure", "killed",
        "unrunnable",
    )
)  # fmt: skip
DATUM_STATES = ("FAILED", "RUNNING", "RECOVERED", "WAITING", "SUCCESS", "SKIPPED")
MOST = 20
"""Pages that are fetched to filter here what the box cannot filter."""

_YOUNG_S = 62.0

T = TypeVar("T")


class Fetched(NamedTuple):
    """Rows from the box, and how many there are of them."""

    total: int
    rows: Sequence[Row]


Fetch = Callable[[str, Sequence[str], int, int], Awaitable[Fetched]]


async def filtered(
    query: Query, offset: int, limit: int, columns: Sequence[Column], states: Sequence[str],
    fetch: Fetch,
) -> Page:  # fmt: skip
    """A page of what the filter keeps: by the box where it can, else of the first pages here."""
    free, named = split(query.filter, ("state",))
    kept: Sequence[str] = ()
    if value := named.get("state", "").upper():
        kept = [state for state in states if value in state]
        if not kept:
            return Page(0, ())
    if re.fullmatch(r"[\w@/.:-]*", free):
        found = await fetch(free, kept, offset, limit)
        return Page(found.total, found.rows)
    match, keys = matcher(free, [column.key for column in columns]), []
    total = 1
    for number in range(MOST):
        if number * PAGE >= total:
            break
        found = await fetch("", kept, number * PAGE, PAGE)
        total = found.total
        keys += [row for row in found.rows if match([str(cell) for cell in row.cells])]
        if total > MOST * PAGE and len(keys) >= offset + limit:
            break  # more than is looked through at all: what is in sight is enough
    return Page(len(keys), keys[offset : offset + limit], total > MOST * PAGE)


class JobRows:
    """Jobs of all pipelines, or of one, newest first."""

    def __init__(
        self, feed: Feed, now: Callable[[], datetime], *, pipeline: str = "", ascii: bool = False
    ) -> None:
        self._feed, self._now, self._ascii = feed, now, ascii
        self.pipeline = pipeline
        self.jobs: dict[str, JobSummary] = {}
        """Those that were seen, by name."""
        self.live = False
        """Whether one of the first page is still at work, or its age is told in seconds."""

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""

        async def fetch(search: str, states: Sequence[str], offset: int, limit: int) -> Fetched:
            page = await self._feed.box.page_job(
                pipeline=self.pipeline or None,
                offset=offset,
                limit=limit,
                search=search,
                states=states,
                sort=query.sort or "created",
                reverse=query.reverse,
            )
            if offset == 0:
                now = self._now()
                self.live = any(not job.done or is_young(job, now) for job in page.rows)
            return Fetched(page.total, [self._row(job) for job in page.rows])

        return await filtered(query, offset, limit, JOBS, JOB_STATES, fetch)

    def _row(self, job: JobSummary) -> Row:
        self.jobs[str(job)] = job
        return job_row(job, self._now(), self._ascii)


def job_row(job: JobSummary, now: datetime, ascii: bool) -> Row:
    """A job in a line."""
    mark = glyphs.job(job.state)
    counts = shown.datums(
        job.total, job.processed, job.skipped, job.failed, job.recovered, ascii=ascii
    )
    return Row(
        str(job),
        (
            mark.sign(ascii),
            short(str(job)),
            mark.word,
            shown.bar(job.done_share, 10, ascii=ascii) if job.total else "",
            counts if job.total else shown.NONE,
            shown.age(job.created, now),
            shown.span(took(job, now)),
            shown.NONE if job.done else shown.left(job.left_s),
            shown.size(job.download_bytes + job.upload_bytes),
            short_ids(job.reason),
        ),
        mark.style if mark.style in ("bad", "busy") else "",
    )


def is_young(job: JobSummary, now: datetime) -> bool:
    """Whether its age is told in seconds, or was a moment ago."""
    return job.created is not None and (now - job.created).total_seconds() < _YOUNG_S


def took(job: JobSummary, now: datetime) -> float | None:
    """Seconds from its start, to now while it is at work."""
    if job.started is None:
        return None
    return ((job.finished or now) - job.started).total_seconds()


def short(job: str) -> str:
    """``pipeline@4f2a9c01``."""
    pipeline, _, id = job.partition("@")
    return f"{pipeline}@{id[:8]}"


def datums(count: int) -> str:
    """``1 datum``, ``3 datums``."""
    return f"{shown.count(count)} datum{'' if count == 1 else 's'}"


def short_ids(text: str) -> str:
    """The text with eight letters of each id, as all views show them."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", r"\1", text)


class DatumRows:
    """Datums of a job, trouble first."""

    def __init__(self, feed: Feed, job: str, *, ascii: bool = False) -> None:
        self._feed, self._job, self._ascii = feed, job, ascii
        self.state = ""
        """Only this state, whatever the filter says."""
        self.counts: dict[str, int] = {}
        """All datums of the job by their state."""
        self.datums: dict[str, DatumRow] = {}
        """Those that were seen, by id."""

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""

        async def fetch(search: str, states: Sequence[str], offset: int, limit: int) -> Fetched:
            page = await self._feed.box.page_datum(
                self._job,
                offset=offset,
                limit=limit,
                search=search,
                states=self._only(states),
                sort=query.sort or "trouble",
                reverse=query.reverse,
            )
            return self._took(page)

        return await filtered(query, offset, limit, DATUMS, DATUM_STATES, fetch)

    def _only(self, states: Sequence[str]) -> Sequence[str]:
        return [self.state] if self.state and not states else states

    def _took(self, page: DatumPage) -> Fetched:
        self.counts = dict(page.counts)
        if len(self.datums) > 100_000:  # seen while going through a very long list
            self.datums.clear()
        self.datums |= {datum.id: datum for datum in page.rows}
        return Fetched(page.total, [datum_row(datum, self._ascii) for datum in page.rows])


def datum_row(datum: DatumRow, ascii: bool) -> Row:
    """A datum in a line."""
    mark = glyphs.datum(datum.state)
    ran = datum.state not in ("WAITING", "SKIPPED")
    times = (datum.download_s, datum.process_s, datum.upload_s)
    return Row(
        datum.id,
        (
            mark.sign(ascii),
            datum.id[:8],
            datum.input,
            mark.word,
            *(shown.span(seconds) if ran and seconds else shown.NONE for seconds in times),
            str(datum.tries) if datum.tries else shown.NONE,
            datum.reason,
        ),
        mark.style if mark.style in ("bad", "busy", "warn", "quiet") else "",
    )


def by_glyph(counts: dict[str, int], ascii: bool) -> list[tuple[str, str]]:
    """``38 ✓`` and so on for each state that there is, with its style."""
    order: Iterable[str] = ("SUCCESS", "FAILED", "RUNNING", "RECOVERED", "WAITING", "SKIPPED")
    parts = []
    for state in order:
        if count := counts.get(state, 0):
            mark = glyphs.datum(state)
            parts.append((f"{shown.count(count)} {mark.sign(ascii)}", mark.style))
    return parts
