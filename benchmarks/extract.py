"""The whole box to one file and back, beside tar of the same store and of its unpacking."""

from __future__ import annotations

import os
import statistics
import subprocess
from functools import partial
from pathlib import Path

from benchmarks.harness import Box, faster, fresh, label, note, running, scaled, settle, timed

TIMES = 3
LARGE = 64 << 20


def fill(box: Box, files: int, large: int) -> None:
    """Many small files and a few large ones."""
    with box.client() as client:
        client.create_repo("small")
        client.create_repo("large")
        tail = os.urandom(1016)
        with client.put("small@master") as put:
            for i in range(files):
                put.data(f"/{i // 1000}/{i}", i.to_bytes(8, "little") + tail)
        for i in range(large):
            client.put_file(f"large@master:/{i}", os.urandom(LARGE))


def pack(home: Path, target: Path) -> None:
    """tar of what the box is made of, durable."""
    subprocess.run(["tar", "-cf", target, "-C", home, "store", "meta.duckdb"], check=True)
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def unpack(archive: Path, target: Path) -> None:
    """tar -x, durable."""
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    os.sync()


def main() -> None:
    """Medians of a few, in turns."""
    files, large = scaled(100_000), max(scaled(16), 1)
    with running("extract") as box:
        fill(box, files, large)
        out, packed = fresh("out"), fresh("packed")
        outs, packs, ins, unpacks = [], [], [], []
        for n in range(TIMES):
            note(f"extract and restore, {n + 1} of {TIMES}")
            settle()
            packs.append(timed(partial(pack, box.home, packed / "box.tar")))
            settle()
            outs.append(timed(partial(box.cli, "extract", str(out / "box.tar"))))
            with running("restore") as other:
                settle()
                ins.append(timed(partial(other.cli, "restore", str(out / "box.tar"))))
            target = fresh("unpacked")
            settle()
            unpacks.append(timed(partial(unpack, packed / "box.tar", target)))
    what = f"{label(files)} files of 1 KiB and {large * LARGE >> 20} MiB"
    faster(
        f"extract, {what}, durable", statistics.median(outs), "tar + fsync",
        statistics.median(packs), 0.5,
    )  # fmt: skip
    faster(
        f"restore, {what}, durable", statistics.median(ins), "tar -x + sync",
        statistics.median(unpacks), 0.4,
    )  # fmt: skip


if __name__ == "__main__":
    main()
