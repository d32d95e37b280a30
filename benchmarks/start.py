"""Start-up of the command and of the daemon, and what the daemon takes when nothing happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.harness import Box, below, fill, label, median, note, running, scaled, settle
from benchmarks.history import commits
from benchmarks.large_repo import tree

IDLE_S = 30
TIMES = 15


def restart(box: Box) -> float:
    """Median seconds from the command until the box is ready, of three starts."""
    seconds = []
    for _ in range(3):
        box.down()
        settle()
        seconds.append(box.up())
    return statistics.median(seconds)


def commands(box: Box) -> None:
    """Wall time of the lightest commands, beside a bare interpreter."""
    bare = 1000 * median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), TIMES)
    beside = f"python -c pass {bare:.0f} ms"
    below("pachybox --help", 1000 * median(lambda: box.cli("--help"), TIMES), "ms", 120, beside)
    listing = 1000 * median(lambda: box.cli("list", "repo"), TIMES)
    below("pachybox list repo", listing, "ms", 150, beside)


def idle(box: Box, of: str) -> None:
    """Memory and processor of a daemon left alone."""
    time.sleep(5)  # what starting left to do is no part of idling
    before = box.cpu_s()
    time.sleep(IDLE_S)
    share = 100 * (box.cpu_s() - before) / IDLE_S
    below(f"daemon at idle, {of}: memory", box.memory("VmRSS"), "MB", 150)
    below(f"daemon at idle, {of}: processor", share, "% of a core", 0.5)


def main() -> None:
    """Empty first; then with a large repo and a long history."""
    with running("start, empty") as box:
        commands(box)
        note("starts, empty")
        below("daemon ready, empty", restart(box), "s", 1.5)
        idle(box, "empty")
    files, history = scaled(1_000_000, 20_000), scaled(10_000, 300)
    with running("start, full") as box:
        note("filling")
        with box.client() as client:
            client.create_repo("large")
            fill(client, "large@master", tree(files))
            client.create_repo("chain")
            commits(client, history)
        full = f"{label(files)} files and {label(history)} commits"
        note("starts, full")
        below(f"daemon ready, {full}", restart(box), "s", 3)
        idle(box, full)


if __name__ == "__main__":
    main()
