"""The figures of a pipeline's jobs, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui import glyphs, shown

if TYPE_CHECKING:
    from pachybox.client.page_values import JobTiming
    from pachybox.client.view_values import JobSummary


def stats_text(
    jobs: Sequence[JobSummary], total: int, timing: JobTiming | None, *, ascii: bool = False
) -> str:
    """Of the newest ``jobs`` of ``total``, and where the time of the last one went."""
    if not jobs:
        return "no jobs yet"
    times = [
        (job.finished - job.started).total_seconds() for job in jobs if job.finished and job.started
    ]
    states: dict[str, int] = {}
    for job in jobs:
        word = glyphs.job(job.state).text(ascii)
        states[word] = states.get(word, 0) + 1
    old_first = list(reversed(jobs))
    lines = [
        f"jobs      {shown.count(total)}; of the last {len(jobs)}: "
        + ", ".join(f"{n} {word}" for word, n in states.items()),
        f"datums    {_sum(jobs, 'processed')} processed, {_sum(jobs, 'skipped')} skipped, "
        f"{_sum(jobs, 'failed')} failed, {_sum(jobs, 'recovered')} recovered",
        f"restarts  {_sum(jobs, 'restarts')}",
        f"bytes     {shown.size(sum(j.download_bytes for j in jobs))} in, "
        f"{shown.size(sum(j.upload_bytes for j in jobs))} out",
    ]
    if times:
        ordered = sorted(times)
        lines += [
            f"time      median {shown.span(ordered[len(ordered) // 2])}, "
            f"longest {shown.span(ordered[-1])}, last {shown.span(times[0])}",
            f"          {shown.spark(list(reversed(times)), 40, ascii=ascii)}  oldest to newest",
        ]
    lines.append(
        f"datums    {shown.spark([float(j.total) for j in old_first], 40, ascii=ascii)}"
        "  oldest to newest"
    )
    if timing is not None and timing.phases:
        lines += ["", "last job      p50      p95      longest"]
        for phase, (p50, p95, most) in timing.phases.items():
            cells = "".join(shown.span(value).ljust(9) for value in (p50, p95, most))
            lines.append(f"  {phase:<12}{cells}")
    if timing is not None and timing.slowest:
        lines += ["", "slowest datums of it"]
        for datum in timing.slowest[:10]:
            whole = datum.download_s + datum.process_s + datum.upload_s
            lines.append(f"  {shown.span(whole):>7}  {datum.input}")
    return "\n".join(lines)


def _sum(jobs: Sequence[JobSummary], name: str) -> str:
    return shown.count(sum(int(getattr(job, name)) for job in jobs))
