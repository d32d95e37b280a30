"""From the second at which a tick is due to the start of its job and of the code in it, beside a
program that sleeps until then and starts another."""

from __future__ import annotations

import os
import statistics
import time
from datetime import datetime

from benchmarks.bare import true
from benchmarks.harness import Row, below, label, note, report, running, scaled, short
from pachybox.client import Client

TICKS = 20
ASKED_MS = 100
DATE = "date +%s.%N > /pfs/out/time"


def bare(count: int) -> float:
    """Median milliseconds from the second until a process of ``true`` has run."""
    late = []
    for _ in range(count):
        due = int(time.time()) + 1
        time.sleep(due - time.time())
        os.waitpid(os.posix_spawn(true(), [true()], {}), 0)
        late.append(time.time() - due)
    return 1000 * statistics.median(late)


def pipeline(client: Client, name: str, spec: str, command: str) -> None:
    """Make a pipeline with a cron input."""
    client.create_pipelines(
        {
            "pipeline": {"name": name},
            "input": {"cron": {"name": "tick", "spec": spec, "overwrite": True}},
            "transform": {"cmd": ["sh"], "stdin": [command]},
        }
    )


def late(client: Client, name: str, count: int) -> tuple[list[float], list[float]]:
    """Wait for ``count`` jobs; milliseconds from the second of each tick to the start of its job,
    and to that of the user's code, first job first."""
    while len(jobs := [job for job in client.list_job(name) if job.done]) < count:
        time.sleep(0.5)
    jobs_ms, code_ms = [], []
    for job in sorted(jobs, key=lambda job: str(job.created))[:count]:
        assert job.state == "JOB_SUCCESS", job
        assert job.started is not None
        (tick,) = client.list_file(f"{name}_tick@{job.id}:/")
        second = datetime.fromisoformat(tick.path[1:].replace("Z", "+00:00")).timestamp()
        jobs_ms.append(1000 * (job.started.timestamp() - second))
        code_ms.append(1000 * (float(client.get_file(f"{name}@{job.id}:/time")) - second))
    return jobs_ms, code_ms


def rows(what: str, found: tuple[list[float], list[float]], beside: float) -> None:
    """The rows of one box; the first job is told apart, for it finds no worker."""
    peer = f"sleep and fork/exec {short(beside)} ms"
    jobs_ms, code_ms = found
    note(f"{what}: jobs {[round(ms) for ms in jobs_ms]}, code {[round(ms) for ms in code_ms]}")
    below(f"tick to job start, {what}", statistics.median(jobs_ms[1:]), "ms", ASKED_MS, peer)
    report(Row(f"tick to user code, {what}", statistics.median(code_ms[1:]), "ms", peer))
    report(Row(f"tick to user code, {what}, first of all", code_ms[0], "ms", peer))


def main() -> None:
    """One cron input by the second; then beside a hundred more."""
    ticks = scaled(TICKS, 5)
    beside = bare(ticks)
    with running("cron") as box, box.client() as client:
        pipeline(client, "one", "@every 1s", DATE)
        rows("one cron input", late(client, "one", ticks), beside)
        client.delete_pipeline("one")
        many = scaled(100, 10)
        note(f"{many} pipelines")
        for number in range(many):
            pipeline(client, f"p{number}", "@every 10s", "true")
        pipeline(client, "one", "@every 1s", DATE)
        rows(f"beside {label(many)} by 10 s", late(client, "one", ticks), beside)


if __name__ == "__main__":
    main()
