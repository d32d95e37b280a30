"""One changed file among many datums, and what a job of many takes of memory."""

from __future__ import annotations

import os

from benchmarks.bare import make_one_of, spawn_rate, true
from benchmarks.harness import (
    Box,
    Row,
    below,
    grows,
    label,
    note,
    report,
    running,
    scaled,
    settle,
    short,
)
from benchmarks.jobs import commit_many, names, one_changed, peak_from_now, pipeline, succeeded
from pachybox.client import Client

TIMES = 7
CORES = os.cpu_count() or 1
MEMORY_MB = 300


def first_job(box: Box, client: Client, count: int) -> None:
    """Have ``count`` datums done, by running each: what else would be no job of so many."""
    note(f"{count} datums, for the first time")
    repo, name = f"files{count}", f"true{count}"
    client.create_repo(repo)
    pipeline(client, name, repo, "/*", workers=CORES)
    settle()
    peak_from_now(box)
    took, job = commit_many(client, repo, names(count), name)
    succeeded(job, count)
    by, bare = spawn_rate(min(count, 10_000), CORES)
    what = f"{label(count)} datums of true, {CORES} at a time"
    rate = count / took
    report(Row(what, rate, "datums/s", f"{by} {bare:,.0f}/s", rate / bare))
    memory = f"{what}: daemon's peak memory, upload and job"
    below(memory, box.memory("VmHWM"), "MB", MEMORY_MB)


def change(client: Client, count: int) -> float:
    """Median seconds from a change of one file to the end of the job."""
    path = f"/f{count // 2:06d}"
    return one_changed(client, f"files{count}@master:{path}", f"true{count}", count - 1, TIMES)


def main() -> None:
    """The large and the small case in one box."""
    large, small = scaled(100_000, 2_000), scaled(1_000, 200)
    note(f"user code: {true()}")
    with running("one change") as box, box.client() as client:
        first_job(box, client, large)
        first_job(box, client, small)
        note("one changed file")
        made = make_one_of(large)
        change(client, small)  # warm
        at_small, at_large = change(client, small), change(client, large)
        peak = box.memory("VmHWM")
    what = f"one changed file among {label(large)} datums, commit to finished job"
    below(what, at_large, "s", 1, "" if made is None else f"make {short(made)} s")
    grows(f"{what} (growth)", at_large, "s", at_small, f"among {label(small)}", 3)
    below(f"{what}: daemon's peak memory", peak, "MB", MEMORY_MB)


if __name__ == "__main__":
    main()
