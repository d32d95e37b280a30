"""Backups of the whole box beside a copy of its directory, and beside restic where there is one."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from collections.abc import Callable
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
        with client.put("small@master") as put:
            for i in range(files):
                put.data(f"/{i // 1000}/{i}", os.urandom(1024))
        for i in range(large):
            client.put_file(f"large@master:/{i}", os.urandom(LARGE))


def change(box: Box, files: int, seed: int) -> None:
    """A commit that changes one small file of a hundred, all over the place."""
    with box.client() as client, client.put("small@master") as put:
        for i in range(seed, files, 100):
            put.data(f"/{i // 1000}/{i}", os.urandom(1024))


def copied(home: Path, target: Path) -> None:
    """cp -r of what the box is made of, durable."""
    target.mkdir()
    subprocess.run(["cp", "-r", home / "store", home / "meta.duckdb", target], check=True)
    os.sync()


def by_restic(home: Path, target: Path) -> None:
    """restic backup of the same."""
    env = {**os.environ, "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": str(target / "cache")}
    repository = ["restic", "-q", "-r", target / "restic"]
    if not (target / "restic").exists():
        subprocess.run([*repository, "init"], env=env, check=True)
    subprocess.run(
        [*repository, "backup", home / "store", home / "meta.duckdb"], env=env, check=True
    )
    os.sync()


def times(act: Callable[[], object]) -> float:
    """Seconds, on a machine that has nothing else to write."""
    settle()
    return timed(act)


def main() -> None:
    """Medians of a few, in turns."""
    files, large = scaled(100_000), max(scaled(16), 1)
    found: dict[str, list[float]] = {}
    with running("backup") as box:
        fill(box, files, large)
        for n in range(TIMES):
            note(f"backup and restore, {n + 1} of {TIMES}")
            out = fresh("backups")
            create = partial(box.cli, "backup", "create", str(out / "own"))
            copy = out / "copy"
            each = {
                "copy": partial(copied, box.home, copy),
                "first": create,
                "again": create,
            }
            for name, act in each.items():
                found.setdefault(name, []).append(times(act))
            if shutil.which("restic"):
                found.setdefault("restic", []).append(times(partial(by_restic, box.home, out)))
            change(box, files, n)
            found.setdefault("changed", []).append(times(create))
            home = str(out / "home")
            restore = partial(box.cli, "backup", "restore", "--from", str(out / "own"))
            found.setdefault("restore", []).append(times(partial(restore, "--home", home)))
    middle = {name: statistics.median(some) for name, some in found.items()}
    what = f"{label(files)} files of 1 KiB and {large * LARGE >> 20} MiB"
    faster(f"backup, {what}, the first", middle["first"], "cp -r + sync", middle["copy"], 0.3)
    faster("the same, nothing changed", middle["again"], "cp -r + sync", middle["copy"], 2.0)
    faster("the same, 1 % of files changed", middle["changed"], "cp -r + sync", middle["copy"], 1.0)
    faster("restore", middle["restore"], "cp -r + sync", middle["copy"], 0.2)
    if "restic" in middle:
        faster(f"backup, {what}", middle["first"], "restic", middle["restic"], 1.0)


if __name__ == "__main__":
    main()
