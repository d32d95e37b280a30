"""A box of a test's own, and small file systems that can be filled up."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """An empty directory where a sync costs nothing: in memory where there is room for it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or os.statvfs(memory).f_bavail * 4096 < 200 << 20:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RealBox]:
    """A running box."""
    made = RealBox(tmp_path / "home").start()
    yield made
    made.kill()


def _unmounted(where: Path) -> bool:
    return subprocess.run(["umount", str(where)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], SmallDisk]]:
    """Makes one file system of so many bytes; skips where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted: list[Path] = []

    def make(size: int) -> SmallDisk:
        where = tmp_path / f"disk{len(mounted)}"
        where.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(where)
        return SmallDisk(where)

    yield make
    for where in mounted:
        # what a killed box ran is dying, and lets go of it in its own time
        eventually(partial(_unmounted, where), f"{where} is unmounted", 10)
