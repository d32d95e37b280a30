"""What the trees cost, at a million files beside ten thousand.

    python benchmarks/trees.py [--files N] [--leaf N] [--bits N]

The blobs are a dict, so that the figures are the trees' own: CPU, and the bytes of new
nodes. "ratio" compares with a tree of 10,000 files: 1 means that the size does not matter.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from blake3 import blake3

sys.path.insert(0, str(Path(__file__).parents[1]))
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.store.chunks import Shape
from pachybox.store.trees import EMPTY, Trees

SMALL = 10_000


class Memory:
    """Blobs in a dict; counts what is put."""

    def __init__(self) -> None:
        self.blobs: dict[Hash, bytes] = {}
        self.nodes = self.bytes = 0

    def put(self, data: bytes) -> Hash:
        name = Hash(blake3(data).digest())
        self.nodes += 1
        self.bytes += len(data)
        self.blobs[name] = data
        return name

    def get(self, name: Hash) -> bytes:
        return self.blobs[name]


def entry(i: int, salt: str = "") -> Entry:
    """A file with content of its own."""
    return Entry("", Kind.FILE, Hash(blake3(f"{salt}{i}".encode()).digest()), 1000 + i % 5000)


def paths(files: int, flat: bool) -> list[str]:
    """One directory, or directories of 1,000 (of 100 below 100,000)."""
    if flat:
        return [f"/file-{i:07}.dat" for i in range(files)]
    per = 1000 if files >= 100_000 else 100
    return [f"/dir-{i // per:05}/file-{i % per:04}.dat" for i in range(files)]


def timed(work: Callable[[], object], rounds: int = 1) -> float:
    """Median CPU milliseconds of ``rounds`` runs."""
    spent = []
    gc.collect()
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append((time.process_time() - start) * 1000)
    return median(spent)


def measure(files: int, flat: bool, shape: Shape) -> dict[str, float]:
    """All figures for one tree, ms unless the name says otherwise."""
    memory = Memory()
    trees = Trees(memory.get, shape=shape)
    where = paths(files, flat)
    random.Random(1).shuffle(where)
    where = ["/" + path[1:] for path in where]  # in memory as they arrive, like uploads
    puts: list[Edit] = [Put(path, entry(i)) for i, path in enumerate(where)]
    out: dict[str, float] = {}
    root = EMPTY

    def build() -> None:
        nonlocal root
        root = trees.edit(EMPTY, puts, memory.put)

    out["bulk build"] = timed(build)
    out["bulk build, nodes"], out["bulk build, KiB"] = memory.nodes, memory.bytes / 1024
    memory.nodes = memory.bytes = 0
    rng = random.Random(2)
    picked = [rng.choice(where) for _ in range(100)]
    at = iter(picked * 2)
    old = root

    def change() -> None:
        nonlocal root
        root = trees.edit(root, [Put(next(at), entry(rng.randrange(1 << 40), "new"))], memory.put)

    out["commit one file"] = timed(change, len(picked))
    out["commit one file, KiB"] = memory.bytes / len(picked) / 1024
    newer = root
    change()
    out["diff of adjacent commits"] = timed(lambda: list(trees.diff(newer, root)), 20)
    out["diff of 100 changed files"] = timed(lambda: list(trees.diff(old, newer)), 5)
    more: list[Edit] = [Put(p, entry(1, "more")) for p in rng.sample(where, min(1000, files))]
    out["commit 1,000 files"] = timed(lambda: trees.edit(root, more, memory.put), 3)
    parent = min(where).rpartition("/")[0]
    siblings = sorted(p.rpartition("/")[2] for p in where if p.startswith(parent + "/"))
    middle = siblings[len(siblings) // 2]
    out["list 50 from the middle"] = timed(
        lambda: list(islice(trees.list(root, parent or "/", after=middle), 50)), 20
    )
    out["look up a file"] = timed(lambda: [trees.get(root, p) for p in picked], 5) / len(picked)
    out["all rows"] = timed(lambda: sum(1 for _ in trees.rows(root)))
    out["walk"] = timed(lambda: sum(1 for _ in trees.walk(root)))
    return out


def union(files: int, shape: Shape) -> dict[str, float]:
    """Trees of one file each into one."""
    memory = Memory()
    trees = Trees(memory.get, shape=shape)
    parts, nested = [], []
    for i in range(files):
        root = trees.edit(EMPTY, [Put(f"/file-{i:06}", entry(i))], memory.put)
        parts.append((f"datum{i}", root))
        root = trees.edit(EMPTY, [Put(f"/out/file-{i:06}", entry(i))], memory.put)
        nested.append((f"datum{i}", root))
    whole = EMPTY

    def merge() -> None:
        nonlocal whole
        whole = trees.union(parts, memory.put)

    one = trees.edit(EMPTY, [Put("/one-more", entry(1))], memory.put)
    return {
        "union of trees of one file": timed(merge),
        "same, in a directory": timed(lambda: trees.union(nested, memory.put)),
        "union of one more into it": timed(lambda: trees.union([("x", one)], memory.put, whole), 5),
    }


def show(title: str, large: dict[str, float], small: dict[str, float]) -> None:
    """One table."""
    print(f"\n{title}")
    for name, value in large.items():
        print(f"  {name:28} {small[name]:12.3f} {value:12.3f}   ratio {value / small[name]:8.1f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--leaf", type=int, default=Shape().leaf)
    parser.add_argument("--bits", type=int, default=Shape().bits)
    args = parser.parse_args()
    shape = Shape(args.leaf, args.bits)
    print(f"ms of CPU: {SMALL} files, then {args.files} (union: a tenth of both); {shape}")
    for flat, title in ((False, "nested"), (True, "one directory")):
        show(title, measure(args.files, flat, shape), measure(SMALL, flat, shape))
    show("union", union(args.files // 10, shape), union(SMALL // 10, shape))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
