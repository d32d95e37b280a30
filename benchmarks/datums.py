"""Jobs of many datums of a static ``true``, beside bare fork and exec, and the smallest job."""

from __future__ import annotations

import os
import statistics

from benchmarks.bare import make_rate, spawn_rate, true
from benchmarks.harness import (
    Row,
    label,
    note,
    report,
    running,
    scaled,
    settle,
    short,
    timed,
)
from benchmarks.jobs import commit_many, commit_one, names, pipeline, succeeded
from pachybox.client import Client

TIMES = 15
ASKED = 700
CORES = os.cpu_count() or 1


def many(client: Client, count: int, workers: int) -> None:
    """The rows of one job of ``count`` datums with so many workers."""
    note(f"{count} datums, {workers} workers")
    by, bare = spawn_rate(count, workers)
    made = make_rate(count, workers)
    settle()
    repo = f"files{workers}"
    client.create_repo(repo)
    pipeline(client, f"true{workers}", repo, "/*", workers=workers)
    took, job = commit_many(client, repo, names(count), f"true{workers}")
    succeeded(job, count)
    rate = count / took
    what = f"{label(count)} datums of true, {workers} at a time"
    peers = f"{by} {bare:,.0f}/s" + ("" if made is None else f", make -j{workers} {made:,.0f}/s")
    asked = f"at least {ASKED} datums/s" if workers == CORES else ""
    report(Row(what, rate, "datums/s", peers, rate / bare, asked, rate >= ASKED if asked else None))


def warm(client: Client) -> None:
    """Jobs whose worker waits for them already."""
    note("warm jobs")
    client.create_repo("warm")
    pipeline(client, "small", "warm", "/")
    seconds = []
    for number in range(TIMES + 1):
        took, job = commit_one(client, "warm@master:/file", f"{number}".encode(), "small")
        succeeded(job, 1)
        seconds.append(took)
    client.create_repo("plain")
    alone = [
        timed(lambda: client.put_file("plain@master:/file", os.urandom(8))) for _ in range(TIMES)
    ]
    run = 1000 / spawn_rate(200, 1)[1]
    beside = f"commit alone {short(1000 * statistics.median(alone))} ms, true {short(run)} ms"
    report(
        Row(
            "a job of one datum, commit to finished",
            1000 * statistics.median(seconds[1:]),
            "ms",
            beside,
        )
    )


def again(client: Client, count: int) -> None:
    """Another thousand datums, by workers that have run a job before."""
    client.create_repo("again")
    pipeline(client, "often", "again", "/*", workers=CORES)
    succeeded(commit_many(client, "again", names(10), "often")[1], 10)
    took, job = commit_many(client, "again", names(count, "g"), "often")
    succeeded(job, count, 10)
    by, bare = spawn_rate(count, CORES)
    report(
        Row(
            f"{label(count)} datums of true on a warm worker, {CORES} at a time",
            count / took,
            "datums/s",
            f"{by} {bare:,.0f}/s",
            count / took / bare,
        )
    )


def main() -> None:
    """All in one box; each job has a repo and a pipeline of its own."""
    count = scaled(10_000, 200)
    note(f"user code: {true()}")
    with running("datums") as box, box.client() as client:
        for workers in sorted({CORES, 1}, reverse=True):
            many(client, count, workers)
        again(client, scaled(1_000, 100))
        warm(client)


if __name__ == "__main__":
    main()
