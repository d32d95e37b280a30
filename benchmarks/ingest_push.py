"""Records posted over HTTP, one a request and by the hundred, beside bare sinks.

The daemon, the source that commits what was posted, and the sinks are held to one processor, the
client to the others. What is asked: 5,000 records a second, for a minute in tens on four
connections, and one a request.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import (
    Box,
    Row,
    above,
    fresh,
    label,
    note,
    report,
    running,
    scaled,
    settle,
    short,
)

SINGLES = scaled(100_000, 2_000)
BATCHES = scaled(3_000, 100)
BATCH = 100
CONNECTIONS = 16
ASKED = 5_000
STEADY_S = scaled(60, 2)
STEADY_LAG_S = 10.0  # twice what a group waits at most


def load(
    port: int, path: str, requests: int, records: int, connections: int = CONNECTIONS, rate: int = 0
) -> float:
    """Requests a second by the load generator, which keeps off the daemon's processor."""
    command = [sys.executable, "-m", "benchmarks.post_load", "post", str(port), path,
               str(requests), str(records), str(connections), str(rate)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as it:
        _others(it.pid)
        assert it.stdout is not None
        text = it.stdout.read()
    if it.returncode:
        raise SystemExit(1)
    return float(text)


def _first(pid: int) -> None:
    """Hold a process, with all its threads, to one processor."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {min(os.sched_getaffinity(0))})


def _others(pid: int) -> None:
    all_ = os.sched_getaffinity(0)
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), all_ - {min(all_)} or all_)


@contextmanager
def sink(how: str) -> Iterator[int]:
    """The port of a bare sink."""
    command = [sys.executable, "-m", "benchmarks.post_load", "sink", how, str(fresh(how) / "kept")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        _first(it.pid)
        try:
            yield int(it.stdout.readline())
        finally:
            it.stdin.close()


def bare(how: str) -> tuple[float, float]:
    """Records a second of a sink: one a request, by the hundred."""
    with sink(how) as port:
        settle()
        singles = load(port, "/x", SINGLES, 1)
        return singles, BATCH * load(port, "/x", BATCHES, BATCH)


def measure(box: Box) -> tuple[float, float, float]:
    """Records a second of the box: one a request, by the hundred, and at the pace that is asked.
    Looks that all of them were committed, once, and those at the pace in time."""
    with box.client() as client:
        client.create_repo("raw")
        client.create_ingest({"name": "events", "to": "raw@master", "push": {"spool": "1GiB"}})
        port = int(client.status().address.rpartition(":")[2])
        load(port, "/ingest/events", 100, 1)
        _first(box.pid)
        _first(client.inspect_ingest("events").pid)
        settle()
        steady = 10 * load(port, "/ingest/events", STEADY_S * ASKED // 10, 10, 4, ASKED // 10)
        lag = client.inspect_ingest("events").lag_s
        assert lag < STEADY_LAG_S, f"commits are {lag:.1f} s behind"
        singles = load(port, "/ingest/events", SINGLES, 1)
        batches = BATCH * load(port, "/ingest/events", BATCHES, BATCH)
        expected = 100 + STEADY_S * ASKED + SINGLES + BATCH * BATCHES
        for _ in range(600):
            if (count := client.inspect_ingest("events").records) >= expected:
                break
            client.run_ingest("events")
            time.sleep(0.1)
        assert count == expected, f"{count} records of {expected}"
    return singles, batches, steady


def main() -> None:
    """The box's figures, each beside both sinks."""
    note(f"{SINGLES} requests of a record, {BATCHES} of {BATCH}, {CONNECTIONS} connections")
    dropped, kept = bare("drop"), bare("sync")
    with running("posted records") as box:
        figures = measure(box)
    unit = "records/s"
    above(
        f"posted records, in tens at 5,000 a second for {STEADY_S} s, on one core",
        figures[2],
        unit,
        0.99 * ASKED,
        "4 connections, with keys; the source that commits them on the same core",
    )
    above(
        "posted records, one a request, on one core",
        figures[0],
        unit,
        ASKED,
        f"{label(SINGLES)} requests with keys, {CONNECTIONS} connections",
    )
    for at, what in enumerate(("one a request", f"{BATCH} a request")):
        for peer, how in ((kept, "appends and syncs"), (dropped, "drops them")):
            report(
                Row(
                    f"posted records, {what}, beside a bare sink that {how}",
                    figures[at],
                    unit,
                    f"{short(peer[at]):,g} {unit}",
                    figures[at] / peer[at],
                )
            )


if __name__ == "__main__":
    main()
