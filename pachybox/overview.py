"""The box at a glance: its pipelines, repos and jobs in a line each, and what is wrong.

All of it is in memory; what it costs grows with what is shown and not with what has been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import is_
from typing import Any

from pachybox.ingest.lateness import is_late
from pachybox.ingest.service import Ingests
from pachybox.meta.tables import BRANCHES, COMMITS, PIPELINES, REPOS
from pachybox.model.ids import USER, Branch, Commit, Pipeline, Repo
from pachybox.model.ingest import DEAD_LETTERS, IngestInfo, IngestKind, IngestState
from pachybox.model.pfs import BranchRecord, CommitRecord, RepoRecord
from pachybox.model.pps import JobRecord, JobState, PipelineRecord, PipelineState
from pachybox.pfs.service import Pfs
from pachybox.pps.newest import Newest
from pachybox.pps.sources import branch_of
from pachybox.pps.spec.inputs import leaves
from pachybox.watermarks import Level

MOST = 100
"""Things that want attention, at most."""


@dataclass(frozen=True, slots=True)
class PipelineLine:
    """A pipeline. ``kind`` is transform, cron, spout or service; ``head`` that of its output."""

    record: PipelineRecord
    kind: str
    inputs: tuple[Branch, ...]
    crons: tuple[Branch, ...]
    job: JobRecord | None
    head: CommitRecord | None
    memo: list[Any] = field(default_factory=list, compare=False)
    """What was made of it to be shown: the same line is given again while nothing changes."""

    @property
    def output(self) -> Branch:
        """The branch it writes."""
        return Branch(self.record.pipeline.repo, self.record.spec["output_branch"])


@dataclass(frozen=True, slots=True)
class RepoLine:
    """A repo. ``head`` is that of ``master``, else of the branch that changed last."""

    record: RepoRecord
    branches: tuple[str, ...]
    head: CommitRecord | None
    of_pipeline: bool
    memo: list[Any] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that is wrong: ``level`` is error or warn, ``kind`` job, pipeline, ingest, disk
    or box, ``ref`` the name of the thing."""

    level: str
    ref: str
    kind: str
    text: str
    remedy: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """The whole, as of event number ``seq``."""

    seq: int
    pipelines: list[PipelineLine]
    repos: list[RepoLine]
    jobs: list[JobRecord]
    ingests: list[IngestInfo]
    attention: list[Attention]


class Overview:
    """Looks at one box. Thread-safe."""

    def __init__(
        self,
        pfs: Pfs,
        ingests: Ingests,
        disk: Callable[[], tuple[Level, str]],
        warnings: Callable[[], list[str]],
    ) -> None:
        """``disk`` is its level and what to say of it, ``warnings`` what else is to be known."""
        self._pfs = pfs
        self._ingests = ingests
        self._disk = disk
        self._warnings = warnings
        self.newest = Newest(pfs.meta)
        self._began = datetime.now(UTC)
        self._level: tuple[Level, datetime] = (Level.FREE, self._began)
        self._pipelines: dict[Pipeline, PipelineLine] = {}
        self._repos: dict[Repo, tuple[Sequence[BranchRecord], RepoLine]] = {}
        self._lines: tuple[tuple[object, ...], list[RepoLine]] = ((), [])

    def glance(self) -> Glance:
        """Everything at once."""
        meta = self._pfs.meta
        seq = meta.last_event
        last, told, jobs = self.newest.look()
        records = sorted(meta.all(PIPELINES), key=_by_name)
        repos = self._repo_lines({p.pipeline.repo for p in records})
        heads = {line.record.repo: line.head for line in repos}
        pipelines = [self._pipeline(p, last.get(p.pipeline), heads) for p in records]
        self._pipelines = {line.record.pipeline: line for line in pipelines}
        ingests = self._ingests.list()
        wrong = [
            *self._of_jobs(records, told),
            *_of_pipelines(records),
            *(one for info in ingests for one in self._of_ingest(info)),
            *self._of_box(),
        ]
        wrong.sort(key=_newest_first)
        wrong.sort(key=lambda one: one.level != "error")
        return Glance(seq, pipelines, repos, jobs, ingests, wrong[:MOST])

    # ---- what there is

    def _pipeline(
        self,
        record: PipelineRecord,
        job: JobRecord | None,
        heads: dict[Repo, CommitRecord | None],
    ) -> PipelineLine:
        head = heads.get(record.pipeline.repo)
        known = self._pipelines.get(record.pipeline)
        if known is None or known.record.spec is not record.spec:
            return PipelineLine(record, *_shape(record), job, head)
        if known.record is record and known.job is job and known.head is head:
            return known
        return PipelineLine(record, known.kind, known.inputs, known.crons, job, head)

    def _repo_lines(self, outputs: set[Repo]) -> list[RepoLine]:
        meta = self._pfs.meta
        marks = (meta.mark(REPOS), meta.mark(BRANCHES), meta.mark(PIPELINES))
        before, lines = self._lines
        quiet = len(before) == len(marks) and all(map(is_, before, marks))
        if not quiet or any(_is_open(line.head) for line in lines):
            lines = self._new_lines(outputs)
            self._lines = marks, lines
        return lines

    def _new_lines(self, outputs: set[Repo]) -> list[RepoLine]:
        meta = self._pfs.meta
        branches: dict[Repo, list[BranchRecord]] = {}
        for branch in meta.all(BRANCHES):
            if branch.branch.repo.type == USER:
                branches.setdefault(branch.branch.repo, []).append(branch)
        found: dict[Repo, tuple[Sequence[BranchRecord], RepoLine]] = {}
        before = self._repos
        for record in meta.all(REPOS):
            repo = record.repo
            if repo.type != USER:
                continue
            mine = branches.get(repo, [])
            old = before.get(repo)
            same = old is not None and _same(old, record, mine, repo in outputs)
            if old is None or not same or not self._is_head(old[1].head, mine):
                names = tuple(sorted(b.branch.name for b in mine))
                old = mine, RepoLine(record, names, self._head(mine), repo in outputs)
            found[repo] = old
        self._repos = found
        return sorted((line for _, line in found.values()), key=_by_repo)

    def _is_head(self, known: CommitRecord | None, mine: Sequence[BranchRecord]) -> bool:
        """Whether the head of branches that are the same is: one that is finished stays."""
        return not _is_open(known) or self._head(mine) is known

    def _head(self, mine: Sequence[BranchRecord]) -> CommitRecord | None:
        with_head = [b for b in mine if b.head is not None]
        if not with_head:
            return None
        shown = next((b for b in with_head if b.branch.name == "master"), None)
        shown = shown or max(with_head, key=lambda b: b.updated)
        assert shown.head is not None
        return self._pfs.meta.get(COMMITS, Commit(shown.branch.repo, shown.head))

    # ---- what is wrong

    def _of_jobs(
        self, records: Sequence[PipelineRecord], told: dict[Pipeline, JobRecord]
    ) -> Iterator[Attention]:
        """The newest job of a pipeline that tells how it does has failed."""
        for record in records:
            job = told.get(record.pipeline)
            if job is None or job.state is JobState.SUCCESS:
                continue
            failed = f", {job.failed} of {job.total} datums" if job.failed else ""
            yield Attention(
                "error",
                str(job.job),
                "job",
                f"job of {record.pipeline} failed{failed}: {job.reason or job.state.value}",
                f"logs --job {job.job}; then update the pipeline, or rerun pipeline "
                f"{record.pipeline}",
                job.finished,
            )

    def _of_ingest(self, info: IngestInfo) -> Iterator[Attention]:
        record, status = info.record, info.status
        ref = str(record.ingest)
        what = f"{record.kind.value} {ref}"
        paused = status.state in (IngestState.PAUSED, IngestState.STOPPED)
        if status.state is IngestState.CRASHING:
            text, since = f"{what} is crashing: {status.reason}", status.since or status.error_time
            yield Attention("error", ref, "ingest", text, f"logs ingest {ref}", since)
        elif status.state is IngestState.HELD:
            remedy = "free some space; it goes on by itself"
            text = f"{what} is held: {status.reason}"
            yield Attention("warn", ref, "ingest", text, remedy, status.since)
        elif not paused and is_late(info):
            why = f" ({status.reason})" if status.reason else ""
            text = f"{what} is {status.lag_s:.0f} s late{why}"
            since = status.next_time if record.kind is IngestKind.CRON else record.last_time
            yield Attention("warn", ref, "ingest", text, f"inspect ingest {ref}", since)
        elif not paused and status.error and _after(status.error_time, record.last_time):
            text = f"{what} had an error: {status.error}"
            yield Attention("warn", ref, "ingest", text, f"logs ingest {ref}", status.error_time)
        if record.dead and (since := self._dead_letters(record.to.repo)):
            where = f"{record.to.repo}@{DEAD_LETTERS}"
            text = f"{what} has set aside {record.dead} dead letters"
            yield Attention("warn", ref, "ingest", text, f"list file {where}:/", since)

    def _dead_letters(self, repo: Repo) -> datetime | None:
        """Since when there are some that nobody has removed."""
        meta = self._pfs.meta
        branch = meta.get(BRANCHES, Branch(repo, DEAD_LETTERS))
        if branch is None or branch.head is None:
            return None
        head = meta.get(COMMITS, Commit(repo, branch.head))
        return head.started if head is not None and head.files else None

    def _of_box(self) -> Iterator[Attention]:
        level, text = self._disk()
        if level != self._level[0]:
            self._level = (level, datetime.now(UTC))
        if text:
            what, _, remedy = text.rpartition("; ")
            bad = "error" if level >= Level.PAUSE else "warn"
            yield Attention(bad, "", "disk", what, remedy, self._level[1])
        for warning in self._warnings():
            yield Attention("warn", "", "box", warning, "", self._began)


def _is_open(head: CommitRecord | None) -> bool:
    return head is not None and head.finished is None


def _by_name(record: PipelineRecord) -> tuple[str, str]:
    return record.pipeline.project, record.pipeline.name


def _by_repo(line: RepoLine) -> tuple[str, str]:
    return line.record.repo.project, line.record.repo.name


def _same(
    known: tuple[Sequence[BranchRecord], RepoLine],
    record: RepoRecord,
    mine: Sequence[BranchRecord],
    of_pipeline: bool,
) -> bool:
    """Whether a line still says what is, but for its head: all it was made of is there."""
    branches, line = known
    if line.record is not record or line.of_pipeline is not of_pipeline:
        return False
    return len(branches) == len(mine) and all(map(is_, branches, mine))


def _shape(record: PipelineRecord) -> tuple[str, tuple[Branch, ...], tuple[Branch, ...]]:
    """(kind, branches it reads, branches of ticks) of a pipeline."""
    inputs: dict[Branch, None] = {}
    crons: dict[Branch, None] = {}
    for kind, leaf in leaves(record.spec.get("input") or {}):
        (crons if kind == "cron" else inputs)[branch_of(kind, leaf)] = None
    if "spout" in record.spec:
        kind = "spout"
    elif record.spec.get("service"):
        kind = "service"
    else:
        kind = "cron" if crons and not inputs else "transform"
    return kind, tuple(inputs), tuple(crons)


def _of_pipelines(records: Sequence[PipelineRecord]) -> Iterator[Attention]:
    for record in records:
        if record.stopped or record.state not in (PipelineState.CRASHING, PipelineState.FAILURE):
            continue
        verb = "is crashing" if record.state is PipelineState.CRASHING else "has failed"
        text = f"pipeline {record.pipeline} {verb}: {record.reason}"
        remedy = f"inspect pipeline {record.pipeline}"
        yield Attention("error", str(record.pipeline), "pipeline", text, remedy, record.updated)


def _after(moment: datetime | None, other: datetime | None) -> bool:
    return moment is not None and (other is None or moment > other)


def _newest_first(one: Attention) -> float:
    return -one.since.timestamp() if one.since is not None else 0.0
