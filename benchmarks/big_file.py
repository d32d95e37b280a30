"""One file of 1 GiB in and out, beside cp."""

from __future__ import annotations

import statistics
import subprocess
from functools import partial
from pathlib import Path

from benchmarks.harness import (
    Box,
    cp_fsync,
    faster,
    fresh,
    note,
    random_file,
    running,
    scaled,
    settle,
    timed,
)

TIMES = 3


def put(box: Box, source: Path, number: int) -> float:
    """Seconds from the command's start until the commit is durable."""
    settle()
    return timed(lambda: box.cli("put", "file", f"big@master:/f{number}", "-f", str(source)))


def main() -> None:
    """Put and cp + fsync by turns, then get and cp by turns; medians."""
    size = scaled(1 << 30)
    sources = [random_file(fresh("source") / "file", size) for _ in range(TIMES)]
    with running("1 GiB file") as box:
        box.cli("create", "repo", "big")
        puts, copies = [], []
        for number, source in enumerate(sources):
            note(f"put file, {number + 1} of {TIMES}")
            settle()
            copies.append(cp_fsync(source, fresh("cp") / "file"))
            puts.append(put(box, source, number))
        faster(
            "put file, 1 GiB, durable",
            statistics.median(puts),
            "cp + fsync",
            statistics.median(copies),
            0.7,
        )
        gets, copies = [], []
        for number, source in enumerate(sources):
            settle()
            target = fresh("cp") / "file"
            copies.append(timed(partial(subprocess.run, ["cp", source, target], check=True)))
            settle()
            target = fresh("get") / "file"
            command = ("get", "file", f"big@master:/f{number}", "-o", str(target))
            gets.append(timed(partial(box.cli, *command)))
            assert target.stat().st_size == size
        faster("get file, 1 GiB", statistics.median(gets), "cp", statistics.median(copies), 0.7)


if __name__ == "__main__":
    main()
