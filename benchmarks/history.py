"""10,000 one-file commits in a row: do they slow down, and what do they take on disk?"""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.harness import (
    Box,
    below,
    disk_usage,
    fill,
    grows,
    label,
    note,
    running,
    scaled,
    timed,
)
from benchmarks.large_repo import tree
from pachybox.client import Client

CONTENT = 100  # bytes a commit brings
FILES = 1_000


def commits(client: Client, count: int) -> list[float]:
    """Seconds of each of ``count`` commits, one file of a thousand each."""
    paths = list(tree(FILES))
    seconds = []
    for number in range(count):
        file = f"chain@master:{paths[number % FILES]}"
        seconds.append(timed(partial(client.put_file, file, f"{number:0{CONTENT}d}".encode())))
    return seconds


def measure(box: Box, count: int) -> None:
    """The rows of a chain of ``count`` commits."""
    with box.client() as client:
        client.create_repo("chain")
        fill(client, "chain@master", tree(FILES))
        commits(client, 20)  # warm
        before = disk_usage(box.home)
        note(f"{count} commits")
        seconds = commits(client, count)
        box.down()  # so that the database's log is folded in
        grown = disk_usage(box.home) - before - count * CONTENT
        box.up()
    first, last = statistics.median(seconds[:100]), statistics.median(seconds[-100:])
    name = f"{label(count)} one-file commits in a row"
    grows(f"{name}: the last hundred", 1000 * last, "ms", 1000 * first, "the first hundred", 1.2)
    below(f"{name}: disk a commit over the content", grown / count / 1000, "KB", 40)


def main() -> None:
    """One box, one chain."""
    with running("history") as box:
        measure(box, scaled(10_000, 300))


if __name__ == "__main__":
    main()
