"""kill -9 of a process that writes and collects, at any moment: nothing promised is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore
from pachybox.store.check import check
from pachybox.store.gc import collect

ROUNDS = 12
MEMORY = Path("/dev/shm")  # a kill loses nothing that was written, synced or not
SIZES = (0, 10, 300, 2000, 50_000, 131_073, 1_200_000)
LARGE = 4_500_000  # of every 250th: threads hash and write it


def made(name: int) -> bytes:
    """The content numbered ``name``: parent and child make the same."""
    draw = random.Random(name)
    return b"%d" % name + draw.randbytes(draw.choice(SIZES) if name % 250 else LARGE)


def child(root: Path, seed: int) -> None:
    """Put, flush, tell; now and then drop what was told and collect. Until killed."""
    fmt.PACK_BYTES = 1_000_000
    draw = random.Random(seed)
    store = BlobStore.open(root)
    named: set[Hash] = set()
    for line in (root.parent / "live").read_text().split():
        named.add(Hash(bytes.fromhex(line)))
    lock = threading.Lock()

    def work(n: int) -> None:
        own = random.Random(f"{seed} {n}")
        while True:
            names = [own.randrange(2000) for _ in range(own.randrange(1, 9))]
            with store.session() as s:
                hashes = s.put_many([made(name) for name in names])
                if own.random() < 0.3:
                    path = root.parent / f"out{n}"
                    path.write_bytes(made(names[0]))
                    s.adopt(path)
                store.flush()
                with lock:
                    named.update(hashes)
                    os.write(1, b"".join(b"+%s\n" % h.hex().encode() for h in hashes))

    for n in range(2):
        threading.Thread(target=work, args=(n,), daemon=True).start()

    def roots() -> list[Hash]:
        with lock:
            for h in draw.sample(sorted(named), len(named) // 3):
                named.discard(h)
                os.write(1, b"-%s\n" % h.hex().encode())
            return list(named)

    while True:
        collect(store, roots)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a place, so that the disk sets no pace."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name)


def test_everything_flushed_survives_kill_at_random_moments(folder: Path) -> None:
    root = folder / "store"
    live: set[str] = set()
    names = {fmt.digest(made(n)).hex(): n for n in range(2000)}
    draw = random.Random(7)
    collected = 0
    for round_ in range(ROUNDS):
        (folder / "live").write_text(" ".join(live))
        with subprocess.Popen(
            [sys.executable, __file__, str(root), str(round_)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(draw.randrange(1, 600))]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        for line in (raw.decode() for raw in told if len(raw) == 66):
            (live.add if line[0] == "+" else live.discard)(line[1:-1])
            collected += line[0] == "-"
        store = BlobStore.open(root)
        hashes = [Hash(bytes.fromhex(line)) for line in live]
        assert [p for p in check(store, hashes) if p.level == "error"] == []
        for h in draw.sample(hashes, min(50, len(hashes))):
            assert store.get(h) == made(names[h.hex()])
        assert os.listdir(root / "tmp") == []
        store.close()
    assert live
    assert collected > 20
    store = BlobStore.open(root)
    collect(store, list)
    assert store.usage().objects == 0
    assert store.usage().pack_bytes < 1024
    store.close()


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2]))
