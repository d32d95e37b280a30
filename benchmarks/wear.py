"""Bytes written to the device for each byte that came: what flash wears by.

On an ext4 of its own in a file, whose block device counts all that reaches it, the journal of the
file system too; beside it what the daemon gave to the kernel (/proc/PID/io). Each load ends with
the box stopped and the disk synced, so nothing is left in memory. Where none can be mounted the
figure is that of the daemon alone, and the row says so.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Box, Row, fresh, label, note, random_file, report, scaled
from pachybox.client import Client

KIB = 1024
DISK_BYTES = 6 << 30  # a hole until it is written
REST_S = 3.0  # the box at rest is looked at for so long, times the scale


@dataclass
class Disk:
    """Where the boxes are. ``sectors``: what the kernel counts of the device, None for unknown."""

    folder: Path
    stat: Path | None = None

    def written(self) -> int:
        """Bytes that reached the device so far."""
        assert self.stat is not None
        return int(self.stat.read_text().split()[6]) * 512


def private_disk() -> Disk:
    """An ext4 of its own; else a folder, whose device others write to as well."""
    at, image = fresh("wear"), fresh("wear-image") / "image"
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, check=False)
    if made.returncode:
        return Disk(at)
    mount = ["mount", "-o", "loop", image, at]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return Disk(at)
    atexit.register(lambda: subprocess.run(["umount", "-l", at], check=False))
    device = at.stat().st_dev
    return Disk(at, Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"))


class Worn:
    """One load: the box while it lasts, then the bytes written."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.box = Box(Path(tempfile.mkdtemp(prefix=name.split(" ", 1)[0], dir=disk.folder)))
        self.disk = disk
        self.by_daemon = self.by_device = 0

    @contextmanager
    def measured(self) -> Iterator[Client]:
        """A client of the box; what the block does is what is measured."""
        self.box.up()
        client = self.box.client()
        os.sync()
        before = self._io(), self._device()
        try:
            yield client
        except BaseException:
            self.box.down()
            raise
        self.by_daemon = self._io() - before[0]
        client.close()
        self.box.down()
        os.sync()
        self.by_device = self._device() - before[1]

    def _device(self) -> int:
        return self.disk.written() if self.disk.stat is not None else 0

    def _io(self) -> int:
        for line in Path(f"/proc/{self.box.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        raise LookupError("write_bytes")


def one_large(client: Client, source: Path) -> int:
    """A file of random bytes."""
    with client.put("wear@master") as put:
        put.file("/large", str(source))
    return source.stat().st_size


def one_by_one(client: Client, count: int) -> int:
    """Files of 1 KiB, a commit each."""
    for number in range(count):
        client.put_file(f"wear@master:/{number % 100}/{number}", os.urandom(KIB))
    return count * KIB


def together(client: Client, count: int) -> int:
    """The same in one commit."""
    with client.put("wear@master") as put:
        for number in range(count):
            put.data(f"/{number % 100}/{number}", os.urandom(KIB))
    return count * KIB


def by_s3(client: Client, count: int) -> int:
    """The same as objects, sixteen at a time."""
    client.create_branch("wear@master")
    port = client.status().address.rpartition(":")[2]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.s3_load", "put-many", port, "wear", str(count), "16"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return count * KIB


def by_push(client: Client, count: int) -> int:
    """Records of some 200 bytes, ten a request."""
    client.create_ingest({"name": "wear", "to": "wear@master", "push": {}})
    connection = http.client.HTTPConnection(client.status().address.rpartition("/")[2], timeout=60)
    came = 0
    for first in range(0, count, 10):
        records = [{"id": first + i, "text": os.urandom(80).hex()} for i in range(10)]
        body = "".join(json.dumps(one) + "\n" for one in records).encode()
        kind = {"Content-Type": "application/x-ndjson"}
        connection.request("POST", "/ingest/wear", body, kind)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        came += len(body)
    connection.close()
    return came


def row(name: str, worn: Worn, came: int) -> Row:
    """What a byte cost."""
    by_daemon = worn.by_daemon / came
    if worn.disk.stat is None:
        return Row(f"written by the daemon for each byte: {name}", by_daemon, "bytes")
    figure = worn.by_device / came
    beside = f"{by_daemon:.3g} by the daemon"
    return Row(f"written to the device for each byte: {name}", figure, "bytes", beside)


def main() -> None:
    """Each load on a box of its own."""
    disk = private_disk()
    large = random_file(fresh("source") / "large", scaled(1 << 30, 16 << 20))
    few, many = scaled(2000, 50), scaled(50_000, 500)
    loads: list[tuple[str, Callable[[Client], int]]] = [
        ("one large file", lambda client: one_large(client, large)),
        (f"{label(few)} files of 1 KiB, a commit each", lambda client: one_by_one(client, few)),
        (f"{label(many)} files of 1 KiB in one commit", lambda client: together(client, many)),
        (f"{label(many)} S3 objects of 1 KiB, 16 at a time", lambda client: by_s3(client, many)),
        (f"{label(many)} posted records, ten a request", lambda client: by_push(client, many)),
    ]
    for name, load in loads:
        note(name)
        worn = Worn(disk, name)
        with worn.measured() as client:
            client.create_repo("wear")
            came = load(client)
        report(row(name, worn, came))
    at_rest(disk)


def at_rest(disk: Disk) -> None:
    """What a box writes in which nothing happens."""
    note("at rest")
    worn, rest_s = Worn(disk, "at rest"), max(REST_S, scaled(120))
    with worn.measured():
        time.sleep(rest_s)
    written = worn.by_device if disk.stat is not None else worn.by_daemon
    beside = "with its start and stop" if disk.stat is not None else ""
    report(Row(f"written in {rest_s:.0f} s at rest", written / KIB, "KiB", beside))


if __name__ == "__main__":
    main()
