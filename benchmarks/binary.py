"""The one file: its size, its first start on a machine, its later ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from appliance.binary.build import build
from benchmarks.harness import PACHYBOX, base, below, fresh, median, note, running, settle, timed

TIMES = 15


def run(file: Path, cache: Path, *words: str, **env: str) -> None:
    """One command of the one file."""
    subprocess.run(
        [file, *words],
        env={"PATH": os.environ["PATH"], "PACHYBOX_CACHE": str(cache), **env},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def main() -> None:
    """Build it as ``make binary`` does; unpack it; list repos of a running box."""
    file = base() / "one" / "pachybox"
    note("building")
    seconds = timed(lambda: build(file))
    below("the one file: size", file.stat().st_size / (1 << 20), "MiB", 100)
    below("the one file: built", seconds, "s", 300)
    colds = []
    for _ in range(3):
        cache = fresh("cache")
        settle()
        colds.append(timed(lambda cache=cache: run(file, cache, "version", "--client-only")))
    unpacked = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    below("the one file: first start", sorted(colds)[1], "s", 10, f"{unpacked >> 20} MiB unpacked")
    with running("binary") as box:
        home = {"PACHYBOX_HOME": box.env["PACHYBOX_HOME"]}
        listing = 1000 * median(lambda: run(file, cache, "list", "repo", **home), TIMES)
        checkout = 1000 * median(lambda: box.cli("list", "repo"), TIMES)
        beside = f"{PACHYBOX.name} of the checkout {checkout:.0f} ms"
        below("the one file: list repo", listing, "ms", 200, beside)
    bare = 1000 * median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), TIMES)
    version = 1000 * median(lambda: run(file, cache, "version", "--client-only"), TIMES)
    below("the one file: version", version, "ms", 150, f"python -c pass {bare:.0f} ms")
    shutil.rmtree(cache)


if __name__ == "__main__":
    main()
