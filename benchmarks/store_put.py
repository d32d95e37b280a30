"""The blob store alone: large and small content in and out, and what a million blobs weigh."""

from __future__ import annotations

import os
import random
import resource
import statistics
from functools import partial
from pathlib import Path

from benchmarks.harness import (
    Row,
    below,
    cp_fsync,
    faster,
    fresh,
    label,
    note,
    random_file,
    report,
    scaled,
    settle,
    timed,
)
from pachybox.model.ids import Hash
from pachybox.store.blobs import BlobStore

TIMES = 5
MEMORY_MB = 150


def put_file(store: BlobStore, source: Path) -> Hash:
    """Put one file, durably."""
    with open(source, "rb") as f, store.session() as s:
        h, _ = s.put_fd(f.fileno())
        store.flush()
    return h


def adopt_file(store: BlobStore, source: Path) -> None:
    """Take one file over, durably."""
    with store.session() as s:
        s.adopt(source)
        store.flush()


def copy_out(store: BlobStore, h: Hash, target: Path) -> None:
    """Copy one blob to a file, durably."""
    with open(target, "wb", buffering=0) as f:
        store.copy_to(h, f.fileno())
        os.fsync(f.fileno())


def large(size: int) -> None:
    """One large file: put, adopted and copied out, beside cp."""
    puts, adopts, outs, copies = [], [], [], []
    for n in range(TIMES):
        note(f"large file, {n + 1} of {TIMES}")
        source = random_file(fresh("source") / "file", size)
        settle()
        copies.append(cp_fsync(source, fresh("cp") / "file"))
        store = BlobStore.open(fresh("put") / "store")
        settle()
        puts.append(timed(partial(put_file, store, source)))
        settle()
        h = put_file(store, source)  # found: only the address is wanted
        outs.append(timed(partial(copy_out, store, h, fresh("out") / "file")))
        store.close()
        store = BlobStore.open(fresh("adopt") / "store")
        settle()
        adopts.append(timed(partial(adopt_file, store, source)))
        store.close()
    peer, copy = "cp + fsync", statistics.median(copies)
    mib = size >> 20
    faster(f"store: put {mib} MiB, durable", statistics.median(puts), peer, copy, 0.7)
    faster(f"store: copy {mib} MiB out, durable", statistics.median(outs), peer, copy, 0.7)
    faster(f"store: adopt {mib} MiB, durable", statistics.median(adopts), peer, copy, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    below("store: peak memory of many blobs and of a large one", peak, "MB", 500)


def put_blobs(store: BlobStore, blobs: list[bytes]) -> list[Hash]:
    """Put many blobs, durably."""
    with store.session() as s:
        hashes = s.put_many(blobs)
        store.flush()
    return hashes


def get_blobs(store: BlobStore, hashes: list[Hash]) -> None:
    """Read many blobs, one by one."""
    for h in hashes:
        store.get(h)


def small(count: int) -> None:
    """Many small blobs from memory: put, found again, read."""
    blobs = [os.urandom(1024) for _ in range(count)]
    times = []
    for n in range(TIMES):
        note(f"small blobs, {n + 1} of {TIMES}")
        store = BlobStore.open(fresh("small") / "store")
        settle()
        times.append(timed(partial(put_blobs, store, blobs)))
        if n < TIMES - 1:
            store.close()
    name = f"store: put {label(count)} blobs of 1 KiB, durable"
    below(name, statistics.median(times), "s", count / 100_000)
    again = timed(partial(put_blobs, store, blobs))
    report(Row(f"store: find {label(count)} blobs that are there", again, "s"))
    order = random.Random(1).sample(put_blobs(store, blobs), count)
    for kind in ("open", "sealed"):
        seconds = timed(partial(get_blobs, store, order))
        below(f"store: get 1 KiB, {kind} pack", seconds / count * 1e6, "us", 10)
        store.packs.seal()
    store.close()


def many(count: int) -> None:
    """Memory of a store of very many blobs, and how long opening it takes."""
    note(f"{label(count)} blobs")
    folder = fresh("many") / "store"
    store = BlobStore.open(folder)
    with store.session() as s:
        for at in range(0, count, 10_000):
            s.put_many([b"%d" % n * 20 for n in range(at, min(count, at + 10_000))])
        store.flush()
    store.close()
    before = resident_mb()
    stores: list[BlobStore] = []
    seconds = timed(lambda: stores.append(BlobStore.open(folder)))
    report(Row(f"store: open with {label(count)} blobs", seconds * 1000, "ms"))
    name = f"store: resident memory for {label(count)} blobs"
    below(name, max(0.0, resident_mb() - before), "MB", MEMORY_MB)
    stores[0].close()


def resident_mb() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """All of them."""
    many(scaled(1_000_000))
    large(scaled(1 << 30, 1 << 20))
    small(scaled(100_000))


if __name__ == "__main__":
    main()
