"""The S3 door: a large object and many small ones, beside a bare server and ``rclone serve s3``.

Clients and servers are processes of their own on the loopback. ``rclone`` and ``s5cmd`` are found
in the environments of `make clients`, on the PATH, or by $RCLONE and $S5CMD.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import (
    Row,
    fresh,
    label,
    note,
    random_file,
    random_files,
    report,
    running,
    scaled,
    settle,
    short,
    timed,
)

SIZE = scaled(1 << 30, 64 << 20)
COUNT = scaled(10_000, 500)
CONNECTIONS = 16
TIMES = 3


def load(*arguments: object) -> float:
    """What one run of the load generator prints."""
    command = [sys.executable, "-m", "benchmarks.s3_load", *map(str, arguments)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


@contextmanager
def bare(file: Path) -> Iterator[int]:
    """The port of the bare server."""
    command = [sys.executable, "-m", "benchmarks.s3_load", "serve", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        try:
            yield int(it.stdout.readline())
        finally:
            assert it.stdin is not None
            it.stdin.close()


def _tool(name: str) -> str | None:
    """A client's program, None where it is not installed."""
    made = Path(__file__).parent.parent / ".venvs" / name / "bin" / name
    if found := os.environ.get(name.upper()):
        return found
    return str(made) if made.exists() else shutil.which(name)


@contextmanager
def rclone() -> Iterator[int | None]:
    """The port of ``rclone serve s3`` with a bucket; None where rclone is not installed."""
    program = _tool("rclone")
    if program is None:
        yield None
        return
    root = fresh("rclone")
    (root / "bucket").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", str(root)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(1000):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()


def large(port: int, bucket: str, file: Path) -> tuple[float, float]:
    """MiB/s of PUT and GET of one object."""
    puts, gets = [], []
    for number in range(TIMES):
        settle()
        puts.append(load("put", port, f"/{bucket}/big{number}", file))
        gets.append(load("get", port, f"/{bucket}/big{number}"))
    mib = file.stat().st_size / (1 << 20)
    return mib / statistics.median(puts), mib / statistics.median(gets)


def compared(name: str, figure: float, unit: str, bare_: float | None, peer: float | None) -> None:
    """Rows against the bare server (0.6 of it is asked) and against rclone."""
    if bare_ is not None:
        ratio = figure / bare_
        beside = f"bare server {short(bare_):,g} {unit}"
        report(Row(name, figure, unit, beside, ratio, "at least 0.6 times", ratio >= 0.6))
        name = f"{name}, beside rclone"
    if peer is None:
        report(Row(name, figure, unit, "rclone: not installed here"))
        return
    ratio = figure / peer
    beside = f"rclone serve s3 {short(peer):,g} {unit}"
    report(Row(name, figure, unit, beside, ratio, "not slower", ratio >= 1))


def s5cmd(port: int, bucket: str, folder: Path) -> Callable[[], object] | None:
    """An upload of a folder by s5cmd; None where it is not installed."""
    program = _tool("s5cmd")
    if program is None:
        return None
    command = [
        program, "--no-sign-request", "--endpoint-url", f"http://127.0.0.1:{port}",
        "--numworkers", str(CONNECTIONS), "cp", f"{folder}/", f"s3://{bucket}/up/",
    ]  # fmt: skip
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Each figure of the box beside its peers, measured in turn."""
    file = random_file(fresh("file") / "big", SIZE)
    files = random_files(fresh("files"), COUNT, 1024)
    mib = f"{SIZE >> 20} MiB"
    with running("S3") as box, rclone() as peer, bare(file) as sink, box.client() as client:
        port = int(client.status().address.rpartition(":")[2])
        box.cli("create", "repo", "data")
        for branch in ("large", "single", "window", "clients", "clients-window"):
            box.cli("create", "branch", f"data@{branch}")
        for branch in ("window", "clients-window"):
            box.cli("update", "branch", f"data@{branch}", "--s3-window", "2s")
        note(f"one object of {mib}")
        put_bare, get_bare = large(sink, "bucket", file)
        put_peer, get_peer = large(peer, "bucket", file) if peer else (None, None)
        put, get = large(port, "large.data", file)
        compared(f"S3 PUT of {mib}", put, "MiB/s", put_bare, put_peer)
        for path, what in (
            ("disk", "writes and syncs"),
            ("etag", "makes the MD5, writes and syncs"),  # what the protocol asks of any server
        ):
            times = []
            for _ in range(TIMES):
                settle()
                times.append(load("put", sink, f"/{path}/x", file))
            peer_s = (SIZE >> 20) / statistics.median(times)
            beside = f"bare server that {what} {short(peer_s):,g} MiB/s"
            name = f"S3 PUT of {mib}, beside one that {what}"
            report(Row(name, put, "MiB/s", beside, put / peer_s))
        compared(f"S3 GET of {mib}", get, "MiB/s", get_bare, get_peer)
        note(f"{COUNT} small objects")
        many = ("put-many", COUNT, CONNECTIONS)
        bare_rate = load("put-many", sink, "bucket", *many[1:])
        peer_rate = load("put-many", peer, "bucket", *many[1:]) if peer else None
        what = f"{label(COUNT)} S3 PUTs of 1 KiB on {CONNECTIONS} connections"
        for branch, how in (("single", "a commit each"), ("window", "in a window of 2 s")):
            settle()
            rate = load("put-many", port, f"{branch}.data", *many[1:])
            compared(f"{what}, {how}", rate, "PUT/s", None, peer_rate)
        report(Row(f"{what}, bare server", bare_rate, "PUT/s"))
        clients(port, peer, files, what)


def clients(port: int, peer: int | None, files: Path, what: str) -> None:
    """The same files sent by a real client."""
    theirs = None
    if peer is not None and (run := s5cmd(peer, "bucket", files)) is not None:
        theirs = COUNT / timed(run)
    for branch, how in (("clients", "a commit each"), ("clients-window", "in a window of 2 s")):
        run = s5cmd(port, f"{branch}.data", files)
        if run is not None:
            settle()
            compared(f"{what} by s5cmd, {how}", COUNT / timed(run), "PUT/s", None, theirs)


if __name__ == "__main__":
    main()
