"""pachybox.v1.API: what screens show. Pages of long lists, and the box at a glance."""

from __future__ import annotations

import socket
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pachybox import __version__
from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.ingests import ingest_info
from pachybox.api.handlers.jobs import to_job
from pachybox.api.handlers.pps import to_pipeline
from pachybox.api.handlers.reading import difference, file_ref, reader
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.meta.tables import BRANCHES, PIPELINES
from pachybox.model.ids import Commit, Job, Pipeline
from pachybox.model.pps import JobRecord, JobState
from pachybox.overview import PipelineLine, RepoLine
from pachybox.pfs.pages import window
from pachybox.pps import moving
from pachybox.pps.brief import done_share, left_s
from pachybox.pps.datum_pages import DatumRow
from pachybox.pps.job_pages import page_of_jobs
from pachybox.watermarks import Level


def job_summary(record: JobRecord, now: datetime) -> Any:
    """pachybox.v1.JobSummary."""
    made = ours.JobSummary(
        pipeline=str(record.job.pipeline),
        id=record.job.id,
        state=record.state.value,
        reason=record.reason,
        created=m.timestamp(record.created),
        started=m.timestamp(record.started),
        finished=m.timestamp(record.finished),
        total=record.total,
        processed=record.processed,
        skipped=record.skipped,
        failed=record.failed,
        recovered=record.recovered,
        restarts=record.restarts,
        done_share=done_share(record),
        download_bytes=record.stats.download_bytes,
        upload_bytes=record.stats.upload_bytes,
        output_commit=str(Commit(record.job.pipeline.repo, record.job.id)),
    )
    if (left := left_s(record, now)) is not None:
        made.left.CopyFrom(m.duration(left))
    return made


@handles("pachybox.v1.API/GetSummary")
def get_summary(box: Box, request: Any, call: Call) -> Any:
    now = datetime.now(UTC)
    glance = box.overview.glance()
    machine, disk, level = box.usage.machine(), box.usage.disk(), box.space.level
    return ours.Summary(
        time=m.timestamp(now),
        version=__version__,
        name=socket.gethostname(),
        address=box.address,
        runner=box.machinery.runner.name,
        read_only=level == Level.REFUSE,
        event_seq=glance.seq,
        machine=ours.Machine(**{f.name: getattr(machine, f.name) for f in fields(machine)}),
        disk=ours.DiskUse(
            data=disk.data,
            cache=disk.cache,
            images=disk.images,
            logs=disk.logs,
            growth_per_day=disk.growth_per_day,
            mark=_MARKS[level],
        ),
        pipelines=[_pipeline(line, now) for line in glance.pipelines],
        repos=map(_repo, glance.repos),
        jobs=[job_summary(job, now) for job in glance.jobs],
        ingests=map(ingest_info, glance.ingests),
        warnings=box.warnings(),
        attention=[
            ours.Attention(
                level=one.level,
                ref=one.ref,
                kind=one.kind,
                text=one.text,
                remedy=one.remedy,
                since=m.timestamp(one.since),
            )
            for one in glance.attention
        ],
    )


_MARKS = {Level.FREE: "", Level.WARN: "warn", Level.PAUSE: "held", Level.REFUSE: "refused"}


def _pipeline(line: PipelineLine, now: datetime) -> Any:
    """pachybox.v1.PipelineSummary."""
    if line.memo:
        return line.memo[0]
    record = line.record
    made = ours.PipelineSummary(
        name=str(record.pipeline),
        kind=line.kind,
        state=record.state.value,
        reason=record.reason,
        stopped=record.stopped,
        version=record.version,
        inputs=map(str, line.inputs),
        crons=[str(branch.repo) for branch in line.crons],
        output=str(line.output),
        job=None if line.job is None else job_summary(line.job, now),
        repo_bytes=line.head.size if line.head is not None else 0,
        runner=moving.runner_of(record),
    )
    if line.job is None or line.job.state is not JobState.RUNNING:  # else it says how long yet
        line.memo.append(made)
    return made


def _repo(line: RepoLine) -> Any:
    """pachybox.v1.RepoSummary."""
    if line.memo:
        return line.memo[0]
    head = line.head
    made = ours.RepoSummary(
        name=str(line.record.repo),
        description=line.record.description,
        branches=line.branches,
        head=head.commit.id if head is not None else "",
        head_time=m.timestamp(head.finished or head.started) if head is not None else None,
        size_bytes=head.size if head is not None else 0,
        provenance=line.of_pipeline,
    )
    line.memo.append(made)
    return made


@handles("pachybox.v1.API/PageJob")
def page_job(box: Box, request: Any, call: Call) -> Any:
    offset, limit = window(request.offset, request.limit)
    pipeline = to_pipeline(request.pipeline) if request.pipeline.name else None
    if pipeline is not None:
        box.pps.pipeline(pipeline)
    now = datetime.now(UTC)
    total, found = page_of_jobs(
        box.meta,
        pipeline,
        offset,
        limit,
        search=request.search,
        states=request.states,
        sort=request.sort,
        reverse=request.reverse,
    )
    return ours.JobPage(total=total, jobs=[job_summary(job, now) for job in found])


@handles("pachybox.v1.API/PageDatum")
def page_datum(box: Box, request: Any, call: Call) -> Any:
    offset, limit = window(request.offset, request.limit)
    job = to_job(box, request.job)
    page = box.pps.datum_pages.page(
        box.pps.job(job),
        offset,
        limit,
        search=request.search,
        states=request.states,
        sort=request.sort,
        reverse=request.reverse,
    )
    return ours.DatumPage(
        total=page.total,
        counts=[ours.StateCount(state=s, count=n) for s, n in page.counts.items()],
        datums=[_datum_row(job, row) for row in page.rows],
    )


def _datum_row(job: Job, row: DatumRow) -> Any:
    """pachybox.v1.DatumRow."""
    more = f" +{len(row.inputs) - 1}" if len(row.inputs) > 1 else ""
    return ours.DatumRow(
        id=row.id,
        input=row.inputs[0] + more if row.inputs else "",
        inputs=row.inputs,
        state=row.state,
        reason=row.reason,
        download_s=row.stats.download_s,
        process_s=row.stats.process_s,
        upload_s=row.stats.upload_s,
        tries=row.tries,
        download_bytes=row.stats.download_bytes,
        upload_bytes=row.stats.upload_bytes,
        worker=_worker(job, row.worker),
        started=m.timestamp(row.started),
    )


def _worker(job: Job, number: int | None) -> str:
    return "" if number is None else f"{job.pipeline.name}-{number}"


@handles("pachybox.v1.API/GetTiming")
def get_timing(box: Box, request: Any, call: Call) -> Any:
    job = to_job(box, request.job)
    found = box.pps.timing(job)
    return ours.JobTiming(
        workers=[
            ours.WorkerTime(
                name=_worker(job, one.number),
                spans=[
                    ours.Span(
                        datum=s.datum,
                        state=s.state,
                        start_s=s.start_s,
                        download_s=s.download_s,
                        process_s=s.process_s,
                        upload_s=s.upload_s,
                    )
                    for s in one.spans
                ],
                busy_share=one.busy_share,
            )
            for one in found.workers
        ],
        phases=[
            ours.PhaseTime(phase=name, p50=p50, p95=p95, max=most)
            for name, (p50, p95, most) in found.phases.items()
        ],
        slowest=[_datum_row(job, row) for row in found.slowest],
    )


@handles("pachybox.v1.API/PageFile")
def page_file(box: Box, request: Any, call: Call) -> Any:
    offset, limit = window(request.offset, request.limit, 500)
    datum = request.file.datum
    total, found = box.pages.files(
        reader(box, datum),
        file_ref(request.file),
        offset,
        limit,
        search=request.search,
        sort=request.sort,
        reverse=request.reverse,
    )
    return ours.FilePage(total=total, files=map(m.FileInfos(), found))


@handles("pachybox.v1.API/PageCommit")
def page_commit(box: Box, request: Any, call: Call) -> Any:
    offset, limit = window(request.offset, request.limit)
    total, found = box.pages.commits(
        m.to_repo(request.repo), request.branch, offset, limit, request.search
    )
    return ours.CommitPage(total=total, commits=map(m.commit_info, found))


@handles("pachybox.v1.API/PageDiff")
def page_diff(box: Box, request: Any, call: Call) -> Any:
    offset, limit = window(request.offset, request.limit)
    old = request.old_file.commit
    found = box.diff_pages.page(
        box.reader,
        file_ref(request.new_file),
        file_ref(request.old_file) if old.id or old.branch.name else None,
        offset,
        limit,
    )
    return ours.DiffPage(
        total=found.total,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        bytes_delta=found.bytes_delta,
        changes=map(difference, found.rows),
    )


@handles("pachybox.v1.API/ListRepoUsers")
def list_repo_users(box: Box, request: Any, call: Call) -> Any:
    repo = m.to_repo(request.repo)
    box.pfs.inspect_repo(repo)
    readers = {
        Pipeline(b.branch.repo.project, b.branch.repo.name)
        for b in box.meta.all(BRANCHES)
        if b.branch.repo.type == "user" and any(up.repo == repo for up in b.direct_provenance)
    }
    found = sorted(p for p in readers if box.meta.get(PIPELINES, p) is not None)
    return ours.ListRepoUsersResponse(pipelines=map(str, found))
