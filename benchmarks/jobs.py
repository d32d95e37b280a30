"""Pipelines and jobs as the benchmarks of datums make and time them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bare import true
from benchmarks.harness import Box, fill
from pachybox.client import Client
from pachybox.client.pipeline_values import JobInfo


def pipeline(
    client: Client,
    name: str,
    repo: str,
    glob: str,
    *,
    workers: int = 1,
    cmd: str = "",
    skip: bool = True,
    image: str = "",
) -> None:
    """Make a pipeline of ``cmd`` (default ``true``) over ``repo``, in containers of ``image`` when
    there is one. Without ``skip`` every job runs every datum, done before or not."""
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"name": "in", "repo": repo, "glob": glob}},
        "transform": {"cmd": [cmd or true()], **({"image": image} if image else {})},
        "parallelism_spec": {"constant": workers},
        "reprocess_spec": "until_success" if skip else "every_job",
    }
    client.create_pipelines(spec)


def names(count: int, prefix: str = "f") -> Iterator[str]:
    """``count`` paths in the root."""
    return (f"/{prefix}{number:06d}" for number in range(count))


def succeeded(job: JobInfo, processed: int, skipped: int = 0) -> JobInfo:
    """``job``, having done what it had to and nothing else."""
    assert job.state == "JOB_SUCCESS", f"{job}: {job.state} {job.reason}"
    assert (job.processed, job.skipped) == (processed, skipped), job
    assert job.failed == job.recovered == 0, job
    return job


def commit_many(client: Client, repo: str, paths: Iterator[str], of: str) -> tuple[float, JobInfo]:
    """Put the files in one commit; seconds from asking to finish it until the job of pipeline
    ``of`` is over, and the job."""
    commit = client.start_commit(f"{repo}@master")
    fill(client, f"{repo}@{commit}", paths)
    start = time.perf_counter()
    client.finish_commit(f"{repo}@{commit}")
    job = client.wait_job(f"{of}@{commit}")
    return time.perf_counter() - start, job


def commit_one(client: Client, file: str, data: bytes, of: str) -> tuple[float, JobInfo]:
    """Commit one file; seconds from putting it until the job of pipeline ``of`` is over, and the
    job."""
    start = time.perf_counter()
    with client.put(file.partition(":")[0]) as put:
        put.data(file.partition(":")[2], data)
    assert put.result is not None
    job = client.wait_job(f"{of}@{put.result.commit}")
    return time.perf_counter() - start, job


def one_changed(client: Client, file: str, of: str, skipped: int, times: int) -> float:
    """Median seconds from a change of one file to the end of its job, which has one datum to do
    and ``skipped`` to leave as they are."""
    seconds = []
    for _ in range(times):
        took, job = commit_one(client, file, os.urandom(16), of)
        succeeded(job, 1, skipped)
        seconds.append(took)
    return statistics.median(seconds)


def peak_from_now(box: Box) -> None:
    """Forget the daemon's peak of memory so far (see ``Box.memory``), but for what the row of the
    whole run shall tell."""
    box.peak_mb = max(box.peak_mb, box.memory("VmHWM"))
    Path(f"/proc/{box.pid}/clear_refs").write_text("5")
