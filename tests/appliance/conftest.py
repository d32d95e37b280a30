"""The one file, built and unpacked once for all tests of a run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.arch.repo import ROOT

SOURCES = ("appliance", "k3s", "pachybox", "spouts", "tui")
BUILT = ROOT / "build" / "binary"
BUILD_S = 600

_WITH_BUILD_S = 900
"""A test that is the first to need the one file has it built, twice with Debian's own Python, and
the C library before where the compiler is new; on a busy machine that alone is five minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the one file may take as long as its build."""
    for item in items:
        if "binary" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_WITH_BUILD_S))


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
    yield ROOT / "requirements.lock"


def _hash() -> str:
    """What the file is made of."""
    of = hashlib.sha256(sys.version.encode())
    for path in _sources():
        of.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return of.hexdigest()[:16]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else changes what is built meanwhile."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with open(BUILT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def binary() -> Path:
    """The one file of these sources, quickly packed; kept for the next run in build/binary."""
    made = BUILT / _hash() / "pachybox"
    with _alone():
        if not made.exists():
            for old in BUILT.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            command = [sys.executable, "-m", "appliance.binary.build", "--level=-1", str(made)]
            done = _run(command)
            if newer := re.search(r"--glibc=[0-9.]+", done.stderr):  # of Debian's own Python
                done = _run([*command, newer[0]])
            if "has no libpython" in done.stderr:
                pytest.skip(done.stderr.strip())
            assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def unpacked(binary: Path) -> Path:
    """A cache as root leaves it, to be linked or copied from; kept beside the one file."""
    cache = binary.with_name("cache")
    with _alone():
        command = [str(binary), "version", "--client-only"]
        env = {**os.environ, "PACHYBOX_CACHE": str(cache)}
        subprocess.run(command, env=env, check=True, capture_output=True)
        cache.chmod(0o755)
    return cache


def put_cache(cache: Path, root: Path) -> None:
    """Have a copy of ``unpacked`` where root would have unpacked the one file in ``root``."""
    target = root / "var/cache/pachybox"
    how = "-al" if cache.stat().st_dev == target.parent.stat().st_dev else "-a"
    subprocess.run(["cp", how, cache, target], check=True)
