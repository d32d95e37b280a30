"""A job in a line: how far it is, and how long the rest will take."""

from __future__ import annotations

from datetime import datetime

from pachybox.model.pps import JobRecord, JobState


def done_share(job: JobRecord) -> float:
    """How much of a job is done, 0 to 1: the datums that are over, of all. One that succeeded is
    done, with or without datums."""
    if job.state is JobState.SUCCESS:
        return 1.0
    over = job.processed + job.skipped + job.failed + job.recovered
    return min(1.0, over / job.total) if job.total else 0.0


def left_s(job: JobRecord, now: datetime) -> float | None:
    """How long a running job will still take: as long for each datum that is left as those took
    that it ran, in the mean. None before the first is done, and for a job that does not run."""
    if job.state is not JobState.RUNNING or job.started is None:
        return None
    ran = job.processed + job.failed + job.recovered
    left = job.total - ran - job.skipped
    if not ran:
        return 0.0 if job.total and left <= 0 else None
    return max(0.0, (now - job.started).total_seconds()) / ran * max(0, left)
