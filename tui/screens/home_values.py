"""What Home shows of a box's summary: nodes of the graph, rows and lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from tui import glyphs, shown
from tui.glyphs import Mark
from tui.places import INGEST, JOB, PIPELINE, REPO, Place
from tui.widgets.lines import Entry
from tui.widgets.picture import Item, Look, Piece
from tui.widgets.rows import Column, Row

if TYPE_CHECKING:
    from pachybox.client.ingest_values import IngestInfo
    from pachybox.client.view_values import (
        Attention,
        JobSummary,
        PipelineSummary,
        RepoSummary,
        Summary,
    )

WORDS = 8
"""Columns of the graph that a pipeline's progress may take."""
WARN_AT = 0.85
"""The share of the disk from which on its use is a warning."""
_ID = 8  # characters of an id; as many as the command line accepts as a prefix
_RUNNING = ("running", "egressing", "finishing")
_BAR = 10
_NO_WORDS = " "  # the sign says it all, where there is no room
_LATE_S = 2.0  # as the box itself has it
_YOUNG_S = 62.0  # an age in seconds goes on until it is one in minutes

JOB_COLUMNS = (
    Column("job", "JOB", 18, 1, keep=9),
    Column("state", "STATE", 10, keep=8),
    Column("datums", "DATUMS", 18, keep=7),
    Column("age", "AGE", 4, right=True, keep=5),
    Column("left", "LEFT", 5, right=True, keep=6),
    Column("size", "SIZE", 8, right=True, keep=4),
)
PIPELINE_COLUMNS = (
    Column("pipeline", "PIPELINE", 16, 1, sort="name", keep=9),
    Column("state", "STATE", 10, sort="state", keep=8),
    Column("last", "LAST JOB", 12, sort="last", keep=7),
    Column("datums", "DATUMS", 12, keep=6),
    Column("age", "AGE", 5, right=True, sort="age", keep=5),
    Column("reads", "READS", 12, 1, keep=3),
    Column("size", "SIZE", 9, right=True, sort="size", keep=4),
)


class Thing(NamedTuple):
    """What verbs act on: ``kind`` is pipeline, repo, ingest, job, disk or box. ``ref`` is the id
    of a job."""

    kind: str
    name: str = ""
    ref: str = ""

    @classmethod
    def of(cls, text: str) -> Thing:
        """From the id of a line or a node, as ``__str__`` writes it."""
        kind, _, rest = text.partition(":")
        name, _, ref = rest.partition("@")
        return cls(kind, name, ref)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}@{self.ref}" if self.ref else f"{self.kind}:{self.name}"

    @property
    def full(self) -> str:
        """Its name as the command line takes it."""
        return f"{self.name}@{self.ref}" if self.ref else self.name

    @property
    def place(self) -> Place | None:
        """Where it is shown; None where it has no view."""
        mode = {"pipeline": PIPELINE, "repo": REPO, "ingest": INGEST, "job": JOB}.get(self.kind)
        return Place(mode, self.name, self.ref) if mode else None


def is_young(summary: Summary, now: datetime) -> bool:
    """Whether an age is told in seconds, or was a moment ago."""
    begun = [job.started or job.created for job in summary.jobs]
    ended = [p.job.finished for p in summary.pipelines if p.job is not None]
    other = [one.since for one in summary.attention]
    other += [one.last_time for one in summary.ingests] + [one.head_time for one in summary.repos]
    times = (time for time in (*begun, *ended, *other) if time is not None)
    return any((now - time).total_seconds() < _YOUNG_S for time in times)


# the graph


def graph(summary: Summary) -> list[Item]:
    """Pipelines, and the repos and ticks that they read."""
    makers = {_repo(p.output) or p.name: p.name for p in summary.pipelines}
    items: dict[str, Item] = {}
    for pipeline in summary.pipelines:
        reads: dict[str, None] = {}
        for tick in map(_repo, pipeline.crons):
            node = str(Thing("ingest", tick))
            items.setdefault(node, Item(node, tick))
            reads[node] = None
        for repo in map(_repo, pipeline.inputs):
            if repo in makers:
                node = str(Thing("pipeline", makers[repo]))
            else:
                node = str(Thing("repo", repo))
                items.setdefault(node, Item(node, repo))
            reads[node] = None
        node = str(Thing("pipeline", pipeline.name))
        items[node] = Item(node, pipeline.name, tuple(reads), WORDS)
    return list(items.values())


def looks(summary: Summary, items: Iterable[Item]) -> dict[str, Look]:
    """How the nodes of the graph are now."""
    ingests = {info.name: info for info in summary.ingests}
    out = {str(Thing("pipeline", p.name)): _look(p, ingests) for p in summary.pipelines}
    for item in items:
        kind, name, _ = Thing.of(item.id)
        if kind == "repo":
            out[item.id] = Look(glyphs.REPO)
        elif kind == "ingest":
            out[item.id] = Look(ingest_mark(ingests[name]) if name in ingests else glyphs.CRON)
    return out


def _look(pipeline: PipelineSummary, ingests: dict[str, IngestInfo]) -> Look:
    mark = glyphs.pipeline(pipeline.state, stopped=pipeline.stopped)
    if mark.word in ("paused", "crashing", "failure", "restarting"):
        return Look(mark, mark.word, _NO_WORDS)
    job = pipeline.job
    if pipeline.kind == "spout" and pipeline.name in ingests:
        info = ingests[pipeline.name]
        return Look(
            ingest_mark(info), shown.rate(rate_of(info)) if rate_of(info) else "", _NO_WORDS
        )
    if job is None:
        return Look(mark)
    mark = glyphs.job(job.state)
    if mark.word in _RUNNING:
        progress = shown.datums(job.total, job.processed, job.skipped, job.failed, job.recovered)
        share = shown.share(job.done_share)
        return Look(mark, progress if len(progress) <= WORDS else share, share)
    if mark.style == "bad":
        failed = f"{job.failed} failed" if 0 < job.failed < 10 else mark.word[:WORDS]
        return Look(mark, failed, str(job.failed or _NO_WORDS))
    return Look(mark)


def _repo(branch: str) -> str:
    return branch.partition("@")[0]


# tables


def job_rows(summary: Summary, now: datetime, *, ascii: bool = False) -> list[Row]:
    """Running jobs, then the latest."""
    return [_job_row(job, now, ascii) for job in summary.jobs]


def _job_row(job: JobSummary, now: datetime, ascii: bool) -> Row:
    mark = glyphs.job(job.state)
    bar = shown.bar(_share(job), _BAR, ascii=ascii)
    counts = shown.datums(
        job.total, job.processed, job.skipped, job.failed, job.recovered, ascii=ascii
    )
    running = mark.word in _RUNNING
    cells = (
        f"{mark.sign(ascii)} {job.pipeline}@{job.id[:_ID]}",
        mark.word,
        f"{bar} {counts}",
        shown.age(job.started or job.created, now),
        shown.left(job.left_s) if running else shown.NONE,
        shown.size(job.upload_bytes or job.download_bytes),
    )
    return Row(str(Thing("job", job.pipeline, job.id)), cells, row_style(mark))


def _share(job: JobSummary) -> float:
    return 1.0 if job.done and not job.total else job.done_share


def pipeline_rows(summary: Summary, now: datetime, *, ascii: bool = False) -> list[Row]:
    """The pipelines as a list, trouble first."""
    rows = [_pipeline_row(p, now, ascii) for p in summary.pipelines]
    return sorted(rows, key=lambda row: (row.style not in ("failed", "warning"), row.id))


def _pipeline_row(pipeline: PipelineSummary, now: datetime, ascii: bool) -> Row:
    mark = glyphs.pipeline(pipeline.state, stopped=pipeline.stopped)
    job = pipeline.job
    last = glyphs.job(job.state) if job else None
    worst = mark if mark.style in ("bad", "warn") or last is None else last
    when = (job.finished or job.started or job.created) if job else None
    cells = (
        f"{worst.sign(ascii)} {pipeline.name}",
        mark.word,
        last.text(ascii) if last else shown.NONE,
        shown.datums(job.total, job.processed, job.skipped, job.failed, job.recovered, ascii=ascii)
        if job
        else shown.NONE,
        shown.age(when, now),
        ", ".join([*map(_repo, pipeline.inputs), *map(_repo, pipeline.crons)]) or shown.NONE,
        shown.size(pipeline.repo_bytes),
    )
    seconds = (now - when).total_seconds() if when else -1.0
    keys = (pipeline.name, mark.word, last.word if last else "", "", seconds, "",
            float(pipeline.repo_bytes))  # fmt: skip
    return Row(str(Thing("pipeline", pipeline.name)), cells, row_style(worst), keys)


def row_style(mark: Mark) -> str:
    """The style of a table's row for a state."""
    return {"bad": "failed", "warn": "warning", "busy": "running"}.get(mark.style, "")


# lines


def attention(summary: Summary, now: datetime, width: int, *, ascii: bool = False) -> list[Entry]:
    """What is wrong, worst first, as the box orders it."""
    return [_attention(one, n, now, width, ascii) for n, one in enumerate(summary.attention)]


def _attention(one: Attention, number: int, now: datetime, width: int, ascii: bool) -> Entry:
    mark = glyphs.level(one.level)
    name, _, ref = one.ref.partition("@")
    what = f"{name}@{ref[:_ID]}" if ref else name or one.kind
    age = shown.age(one.since, now)
    said = one.text.partition(f"{name} ")[2] or one.text if name else one.text
    said = shown.visible(said.replace("\n", " "))
    room = max(0, width - 2 - shown.columns(what) - 1 - len(age) - 1)
    pieces = (
        Piece(f"{mark.sign(ascii)} ", mark.style),
        Piece(shown.visible(what), "text"),
        Piece(" " + shown.pad(said, room, ascii=ascii), mark.style),
        Piece(f" {age}", "quiet"),
    )
    return Entry(_trouble_id(one, number), pieces)


def _trouble_id(one: Attention, number: int) -> str:
    name, _, ref = one.ref.partition("@")
    return str(Thing(one.kind, name, ref)) if name else f"{one.kind}:{number}"


def trouble(summary: Summary, id: str) -> Attention | None:
    """What a line of ``attention`` is of."""
    found = enumerate(summary.attention)
    return next((one for n, one in found if _trouble_id(one, n) == id), None)


def ingests(summary: Summary, now: datetime, width: int, *, ascii: bool = False) -> list[Entry]:
    """The sources, trouble first."""
    entries = [(ingest_mark(i), i) for i in summary.ingests]
    entries.sort(key=lambda pair: (pair[0].style not in ("bad", "warn"), pair[1].name))
    return [_ingest(mark, info, now, width, ascii) for mark, info in entries]


def ingest_mark(info: IngestInfo) -> Mark:
    """The state of a source; a cron whose tick is overdue is late."""
    late = info.kind == "cron" and info.state == "running" and info.lag_s > _LATE_S
    return glyphs.ingest("late" if late else info.state, info.kind)


def rate_of(info: IngestInfo) -> float:
    """Records a second over the last ten seconds."""
    last = info.rates[-10:]
    return sum(last) / len(last) if last else 0.0


def _ingest(mark: Mark, info: IngestInfo, now: datetime, width: int, ascii: bool) -> Entry:
    name = shown.pad(shown.visible(info.name), 12, ascii=ascii)
    if mark.word != "running":
        said = f"{mark.word} {shown.span(info.lag_s)}" if mark.word == "late" else mark.word
        said = f"{said}: {info.reason}" if info.reason else said
    elif info.next_time is not None:
        soon = (info.next_time - now).total_seconds() < 86_400
        when = shown.clock(info.next_time) if soon else shown.stamp(info.next_time)[5:16]
        said = f"next {when}  last {shown.age(info.last_time, now)}"
    else:
        spark = shown.spark(info.rates, 8, ascii=ascii)
        said = f"{shown.rate(rate_of(info))} {spark} lag {shown.span(info.lag_s)}"
    room = max(0, width - 2 - 12 - 1)
    return Entry(
        str(Thing("ingest", info.name)),
        (
            Piece(f"{mark.sign(ascii)} ", mark.style),
            Piece(f"{name} ", "text"),
            Piece(shown.pad(shown.visible(said), room, ascii=ascii), mark.style),
        ),
    )


def repos(summary: Summary, now: datetime, width: int, *, ascii: bool = False) -> list[Entry]:
    """The repos that nothing makes first, then outputs of pipelines."""
    found = sorted(summary.repos, key=lambda repo: (repo.provenance, repo.name))
    return [_repo_line(repo, now, width, ascii) for repo in found]


def _repo_line(repo: RepoSummary, now: datetime, width: int, ascii: bool) -> Entry:
    size = shown.size(repo.size_bytes)
    age = shown.age(repo.head_time, now)
    right = f"{repo.head[:4] or shown.NONE:>5} {age:>4} {size:>8}"
    room = max(6, width - 2 - len(right))
    return Entry(
        str(Thing("repo", repo.name)),
        (
            Piece(f"{glyphs.REPO.sign(ascii)} ", "dim" if repo.provenance else "plain"),
            Piece(shown.pad(shown.visible(repo.name), room, ascii=ascii), "text"),
            Piece(right, "quiet"),
        ),
    )


def disk(summary: Summary, width: int, *, ascii: bool = False) -> list[Entry]:
    """How full the disk is, what of it is the box's, and how fast that grows."""
    machine, use = summary.machine, summary.disk
    if not machine.memory_total:  # the box tells who is bound to repos nothing of its machine
        return [Entry("disk:", (Piece("this token may not see it", "quiet"),))]
    part = machine.disk_used / machine.disk_total if machine.disk_total else 0.0
    style = disk_style(summary)
    words = {"held": ": ingest is held", "refused": ": nothing can be written"}.get(use.mark, "")
    if style == "warn" and not words:
        words = f": over {shown.share(WARN_AT)}"
    head = f" {shown.share(part)} {shown.used(machine.disk_used, machine.disk_total or 1)}{words}"
    room = max(4, min(12, width - len(head)))
    rows = [Entry("disk:", (Piece(shown.bar(part, room, ascii=ascii), style), Piece(head, style)))]
    parts = (("data", use.data), ("cache", use.cache), ("images", use.images), ("logs", use.logs))
    for at in (0, 2):
        said = "".join(shown.pad(f"{n:7}{shown.size(v)}", 18) for n, v in parts[at : at + 2])
        rows.append(Entry(f"disk:{at}", (Piece(said, "text"),)))
    rows.append(Entry("disk:growth", tuple(_growth(summary))))
    return rows


def disk_style(summary: Summary) -> str:
    """How much the use of the disk is to be worried about."""
    if summary.disk.mark in ("held", "refused"):
        return "bad"
    total = summary.machine.disk_total
    full = bool(total) and summary.machine.disk_used / total >= WARN_AT
    return "warn" if summary.disk.mark or full else "ok"


def _growth(summary: Summary) -> Iterator[Piece]:
    grows = summary.disk.growth_per_day
    yield Piece(shown.growth(grows), "text")
    machine = summary.machine
    room = WARN_AT * machine.disk_total - machine.disk_used
    if grows > 0 and room > 0 and room / grows < 365:
        yield Piece(f", {shown.share(WARN_AT)} in {shown.left(room / grows * 86_400)[1:]}", "quiet")
