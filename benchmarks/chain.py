"""A hundred pipelines, each reading the one before: one commit, until the last output is there."""

from __future__ import annotations

import os
import statistics

from benchmarks.bare import pass_on, spawn_rate, true
from benchmarks.harness import Row, below, label, note, report, running, scaled, short
from benchmarks.jobs import commit_one, pipeline, succeeded
from pachybox.client import Client

TIMES = 5
ASKED_S = 3


def build(client: Client, name: str, length: int, cmd: str) -> str:
    """Make the repo and the pipelines; the name of the last one."""
    client.create_repo(name)
    before = name
    for number in range(length):
        pipeline(client, f"{name}{number:03d}", before, "/", cmd=cmd, skip=False)
        before = f"{name}{number:03d}"
    return before


def run(client: Client, name: str, last: str, length: int) -> list[float]:
    """Seconds of each commit's way through; every pipeline has one datum to run."""
    seconds = []
    for _ in range(TIMES + 1):
        took, job = commit_one(client, f"{name}@master:/file", os.urandom(16), last)
        succeeded(job, 1)
        ran = [one.processed for one in client.inspect_job_set(job.id)]
        assert ran == [1] * length, ran
        seconds.append(took)
    return seconds


def measure(client: Client, name: str, cmd: str, length: int) -> None:
    """The rows of one chain. The first commit starts the workers, the others find them."""
    note(f"{length} pipelines of {name}")
    last = build(client, name, length, cmd)
    cold, *warm = run(client, name, last, length)
    bare = f"bare runs of it {short(length / spawn_rate(length, 1)[1])} s"
    what = f"{label(length)} chained pipelines of {name}, commit to last output"
    report(Row(f"{what}, workers to be started", cold, "s", bare))
    below(what, statistics.median(warm), "s", ASKED_S, bare)


def main() -> None:
    """A chain of ``true``, and one of a program that passes its input on, each in its own box."""
    length = scaled(100, 10)
    for name, cmd in (("true", true()), ("link", pass_on())):
        if cmd is not None:
            with running(f"chain of {name}") as box, box.client() as client:
                measure(client, name, cmd, length)


if __name__ == "__main__":
    main()
