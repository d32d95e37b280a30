"""What the benchmark scripts share: rows, fresh folders, peers, and a box to drive.

A script prints one JSON line a row (``report``); ``run.py`` gathers them into
docs/performance.md. Sizes are multiplied by $PACHYBOX_BENCH_SCALE (1 by default), so that a
script can be tried in seconds. Folders are fresh for every measurement and are removed only when
all is measured: on ext4, making files right after deleting many is ten times slower.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pachybox.client import Client

SCALE = float(os.environ.get("PACHYBOX_BENCH_SCALE", "1"))
PACHYBOX = Path(sys.executable).parent / "pachybox"
MEMORY_LIMIT_MB = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what, how much, beside what, how it compares, what is asked, whether it holds.

    ``met`` is None where nothing is asked or the peer is missing.
    """

    name: str
    figure: float
    unit: str
    beside: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


def report(row: Row) -> None:
    """Print the row as one JSON line, numbers to three digits."""
    fields = asdict(row) | {"figure": short(row.figure)}
    if row.ratio is not None:
        fields["ratio"] = short(row.ratio)
    print(json.dumps(fields), flush=True)


def short(value: float) -> float:
    """``value`` to three significant digits."""
    return float(f"{value:.3g}")


def note(text: str) -> None:
    """Tell the person who waits what is going on."""
    print(f"# {text}", file=sys.stderr, flush=True)


def scaled(count: int, least: int = 1) -> int:
    """``count`` at the scale of this run."""
    return max(least, round(count * SCALE))


def label(count: int) -> str:
    """``count`` as the names of rows spell it."""
    return f"{count:,}"


# ---- folders


@cache
def base() -> Path:
    """Where everything of this run lies: under $PACHYBOX_BENCH_DIR, else the temporary folder."""
    if given := os.environ.get("PACHYBOX_BENCH_DIR"):
        return Path(given)
    made = Path(tempfile.mkdtemp(prefix="pachybox-bench-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def fresh(name: str) -> Path:
    """A new empty folder."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base()))


def settle() -> None:
    """Let the disk finish what was written before, so that it is not charged to what comes."""
    os.sync()


def disk_usage(folder: Path) -> int:
    """Bytes that the folder takes on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def random_file(path: Path, size: int) -> Path:
    """A file of ``size`` bytes that do not compress."""
    with open(path, "wb") as out:
        for left in range(size, 0, -(8 << 20)):
            out.write(os.urandom(min(left, 8 << 20)))
    return path


def random_files(folder: Path, count: int, size: int, per_folder: int = 1000) -> Path:
    """``count`` files of ``size`` random bytes, in folders of ``per_folder``."""
    for number in range(count):
        parent = folder / f"d{number // per_folder:04d}"
        if number % per_folder == 0:
            parent.mkdir()
        (parent / f"f{number % per_folder:04d}").write_bytes(os.urandom(size))
    return folder


# ---- clocks


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median(action: Callable[[], object], times: int) -> float:
    """Median seconds of ``times`` runs."""
    return statistics.median(timed(action) for _ in range(times))


# ---- peers


def cp_fsync(source: Path, target: Path) -> float:
    """Seconds to copy one file and have it on disk."""

    def copy() -> None:
        subprocess.run(["cp", source, target], check=True)
        fd = os.open(target, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    return timed(copy)


def cp_r_sync(source: Path, target: Path) -> float:
    """Seconds to copy a tree and have it on disk."""

    def copy() -> None:
        subprocess.run(["cp", "-r", source, target], check=True)
        os.sync()

    return timed(copy)


def restic_backup(source: Path) -> float | None:
    """Seconds of ``restic backup`` into a fresh repository; None where restic is not installed."""
    if not shutil.which("restic"):
        return None
    folder = fresh("restic")
    env = {**os.environ, "RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(folder / "cache")}
    command = ["restic", "--quiet", "-r", str(folder / "repo")]
    subprocess.run([*command, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
    settle()
    return timed(lambda: subprocess.run([*command, "backup", str(source)], env=env, check=True))


# ---- a box


class Box:
    """A box in a fresh data directory, driven as users drive it. See ``running``."""

    def __init__(self, home: Path, runner: str = "process") -> None:
        self.home = home
        (home / "box.toml").write_text(f'http_port = 0\ngrpc_port = 0\nrunner = "{runner}"\n')
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX_")}
        self.env["PACHYBOX_HOME"] = str(home)
        self.peak_mb = 0.0

    def cli(self, *args: str, stdin: bytes = b"") -> str:
        """What ``pachybox ARGS`` prints; CalledProcessError when it fails."""
        done = subprocess.run(
            [PACHYBOX, *args], env=self.env, input=stdin, stdout=subprocess.PIPE, check=True
        )
        return done.stdout.decode()

    def up(self) -> float:
        """Start the daemon; seconds until it is ready for clients."""
        return timed(lambda: self.cli("up", "--detach"))

    def down(self) -> None:
        """Stop it; its peak of memory is remembered."""
        self.peak_mb = max(self.peak_mb, self.memory("VmHWM"))
        self.cli("down")

    def client(self) -> Client:
        """A client on the box's socket."""
        return Client(str(self.home / "run" / "box.sock"))

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return int((self.home / "run" / "box.pid").read_text().split()[0])

    def memory(self, field: str) -> float:
        """``VmRSS`` (now) or ``VmHWM`` (peak) of the daemon in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise LookupError(field)

    def cpu_s(self) -> float:
        """Processor seconds the daemon has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(name: str, runner: str = "process") -> Iterator[Box]:
    """A running box; afterwards it is down and a row holds the most memory it took."""
    box = Box(fresh(name), runner)
    box.up()
    try:
        yield box
        box.down()
    except BaseException:
        subprocess.run([PACHYBOX, "down"], env=box.env, check=False)
        raise
    report(
        Row(
            f"daemon's peak memory: {name}",
            box.peak_mb,
            "MB",
            target=f"at most {MEMORY_LIMIT_MB} MB",
            met=box.peak_mb <= MEMORY_LIMIT_MB,
        )
    )


def fill(client: Client, branch: str, paths: Iterator[str]) -> None:
    """One commit of a small file at each path (its content is the path)."""
    with client.put(branch) as put:
        for path in paths:
            put.data(path, path.encode())


# ---- rows of the usual forms


def faster(name: str, seconds: float, peer: str, peer_s: float | None, times: float) -> None:
    """A row that compares speeds: ``times`` as fast as the peer, or more, is asked."""
    if peer_s is None:
        report(Row(name, seconds, "s", f"{peer}: not installed here"))
        return
    ratio = peer_s / seconds
    report(
        Row(
            name,
            seconds,
            "s",
            f"{peer} {short(peer_s)} s",
            ratio,
            f"at least {times:g} times its speed",
            ratio >= times,
        )
    )


def grows(name: str, figure: float, unit: str, small: float, at: str, times: float) -> None:
    """A row that compares a large case with a small one: at most ``times`` it is asked."""
    ratio = figure / small
    report(
        Row(
            name,
            figure,
            unit,
            f"{short(small)} {unit} {at}",
            ratio,
            f"at most {times:g} times",
            ratio <= times,
        )
    )


def below(name: str, figure: float, unit: str, most: float, beside: str = "") -> None:
    """A row with a bound of its own."""
    report(Row(name, figure, unit, beside, None, f"at most {most:g} {unit}", figure <= most))


def above(name: str, figure: float, unit: str, least: float, beside: str = "") -> None:
    """A row with a bound of its own, from below."""
    report(Row(name, figure, unit, beside, None, f"at least {least:g} {unit}", figure >= least))


# ---- the machine


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import duckdb

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = subprocess.run(
        ["df", "--output=fstype", base()], capture_output=True, text=True, check=False
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "file_system": (found.stdout.split() or ["unknown"])[-1],
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
    }
