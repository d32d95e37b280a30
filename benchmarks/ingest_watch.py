"""10,000 files that come to a watched folder, until they are committed, beside ``put file -r``."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path

from benchmarks.harness import (
    Box,
    Row,
    fresh,
    label,
    note,
    random_files,
    report,
    running,
    scaled,
    settle,
    short,
    timed,
)
from pachybox.client import Client

TIMES = 5
SETTLE_S = 2.0
MOST = 1.5


def main() -> None:
    """Each time other files, since content that is known is not stored again. Puts and drops take
    turns, so that what else the machine does falls on all alike."""
    count = scaled(10_000, 100)
    name = f"{label(count)} files of 1 KiB"
    puts, copied, renamed = [], [], []
    with running("watched folder") as box, box.client() as client:
        folder = fresh("watched")
        client.create_repo("watched")
        box.cli("watch", str(folder), "watched@master", "--name", "watched")
        for number in range(TIMES):
            puts.append(put(box, client, count, number))
            copied.append(drop(client, folder, count, number, copy=True))
            renamed.append(drop(client, folder, count, number, copy=False))
    peer = statistics.median(puts)
    row(f"watched folder, {name} copied in, to commit less settle", copied, peer)
    row(f"watched folder, {name} renamed in, to commit less settle", renamed, peer)


def row(name: str, seconds: list[float], put_s: float) -> None:
    """A row: at most ``MOST`` times what a put takes."""
    took = statistics.median(seconds)
    ratio = took / put_s
    report(
        Row(
            name,
            took,
            "s",
            f"put file -r {short(put_s)} s",
            ratio,
            f"at most {MOST:g} times",
            ratio <= MOST,
        )
    )


def put(box: Box, client: Client, count: int, number: int) -> float:
    """Seconds of one put of new files."""
    source = random_files(fresh("source"), count, 1024)
    client.create_repo(f"put{number}")
    settle()
    note("put file -r")
    return timed(lambda: box.cli("put", "file", "-r", f"put{number}@master:/", "-f", str(source)))


def drop(client: Client, folder: Path, count: int, number: int, *, copy: bool) -> float:
    """Seconds from the moment that the last file was written until the commit that has it was
    finished, by the box's own stamp, less the settle time."""
    source = random_files(fresh("source"), count, 1024)
    before = client.inspect_ingest("watched").files
    settle()
    note("copy to the watched folder" if copy else "rename into the watched folder")
    if copy:
        shutil.copytree(source, folder / f"copied{number}", copy_function=shutil.copyfile)
        start = time.time()
    else:
        start = time.time()  # they settle from now on
        for path in source.glob("*/*"):
            os.utime(path, (start, start))
        source.rename(folder / f"renamed{number}")
    while client.inspect_ingest("watched").files < before + count:
        time.sleep(0.1)
    finished = client.inspect_commit("watched@master").finished
    assert finished is not None
    return finished.timestamp() - start - SETTLE_S


if __name__ == "__main__":
    main()
