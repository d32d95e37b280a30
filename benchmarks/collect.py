"""Outputs taken into the store and committed: a large file, many small ones, nothing."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from blake3 import blake3

from benchmarks.harness import (
    Row,
    below,
    fresh,
    label,
    note,
    random_file,
    random_files,
    report,
    scaled,
    settle,
    short,
    timed,
)
from benchmarks.offline import commit, opened
from pachybox.model.ids import Hash
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.pps.collect import Collector

TIMES = 5


def no_input(one: DatumInput) -> Hash:
    """These datums have no inputs."""
    raise LookupError(one)


def collect(pfs: Pfs, out: Path) -> None:
    """Take an output and commit it, durably."""
    with pfs.blobs.session() as s:
        made = Collector(pfs, s, out, (), no_input).collect()
        commit(pfs, s, "out", made.edits)


def hash_and_fsync(path: Path) -> None:
    """The least that any store that names content by its hash must do."""
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    hasher.digest()
    with open(path, "rb") as f:
        os.fsync(f.fileno())


def large(size: int) -> None:
    """One large file as a datum left it: written, and not yet on the disk."""
    ours, least = [], []
    with opened("collect-large") as (pfs, folder):
        for n in range(TIMES):
            note(f"large output, {n + 1} of {TIMES}")
            settle()
            peer = random_file(fresh("peer") / "file", size)
            least.append(timed(lambda path=peer: hash_and_fsync(path)))  # type: ignore[misc]
            out = folder / f"out{n}"
            out.mkdir()
            settle()
            random_file(out / "file", size)
            ours.append(timed(lambda out=out: collect(pfs, out)))  # type: ignore[misc]
    seconds, peer_s = statistics.median(ours), statistics.median(least)
    ratio = peer_s / seconds
    name = f"a {size / (1 << 30):g} GiB output file collected and committed"
    beside = f"hash + fsync {short(peer_s)} s"
    report(Row(name, seconds, "s", beside, ratio, "at least 0.6 times its speed", ratio >= 0.6))


def read_and_hash(out: Path) -> None:
    """Every file read and hashed, nothing stored."""
    buffer = bytearray(4096)
    for folder, _, names in os.walk(out):
        for name in names:
            fd = os.open(f"{folder}/{name}", os.O_RDONLY)
            n = os.readv(fd, (buffer,))
            os.close(fd)
            blake3(buffer[:n]).digest()


def many(count: int) -> None:
    """Many small files."""
    note(f"{label(count)} small outputs")
    with opened("collect-many") as (pfs, _):
        out = random_files(fresh("out"), count, 1024)
        settle()
        least = min(timed(lambda: read_and_hash(out)) for _ in range(2)) / count * 1e6
        seconds = timed(lambda: collect(pfs, out)) / count * 1e6
    name = f"{label(count)} output files of 1 KiB collected and committed"
    report(Row(name, seconds, "us a file", f"read + hash {least:.2f} us", seconds / least))


def nothing() -> None:
    """A datum that wrote nothing."""
    times = 2000
    with opened("collect-nothing") as (pfs, folder), pfs.blobs.session() as s:
        (folder / "out").mkdir()

        def run() -> None:
            for _ in range(times):
                Collector(pfs, s, folder / "out", (), no_input).collect()

        below("an empty output collected", timed(run) / times * 1e6, "us", 20)


def main() -> None:
    """All of them."""
    nothing()
    many(scaled(100_000))
    large(scaled(1 << 30, 1 << 20))


if __name__ == "__main__":
    main()
