"""A hundred pipelines, each reading the one before: one commit, until the last output is there."""

from __future__ import annotations

import os
import statistics

from benchmarks.bare import pass_on, spawn_rate, true
from benchmarks.harness import below, label, note, running, scaled, short, timed
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


def run(client: Client, name: str, last: str, length: int) -> float:
    """Median seconds of a commit's way through; every pipeline has one datum to run."""
    seconds = []
    for _ in range(TIMES + 1):
        took, job = commit_one(client, f"{name}@master:/file", os.urandom(16), last)
        succeeded(job, 1)
        ran = [one.processed for one in client.inspect_job_set(job.id)]
        assert ran == [1] * length, ran
        seconds.append(took)
    return statistics.median(seconds[1:])


def main() -> None:
    """Both chains in one box: of ``true``, and of a program that passes a file on."""
    length = scaled(100, 10)
    with running("chain") as box, box.client() as client:
        for name, cmd, does in (
            ("chain", true(), "true"),
            ("passing", pass_on(), "a program that links its input"),
        ):
            if cmd is None:
                continue
            note(f"{length} pipelines of {does}")
            made = timed(lambda name=name, cmd=cmd: build(client, name, length, cmd))
            note(f"made in {made:.1f} s")
            took = run(client, name, f"{name}{length - 1:03d}", length)
            bare = length / spawn_rate(length, 1)[1]
            below(
                f"{label(length)} chained pipelines of {does}, commit to last output",
                took,
                "s",
                ASKED_S,
                f"bare runs of it {short(bare)} s",
            )


if __name__ == "__main__":
    main()
