"""What DuckDB keeps in memory of what was read and written: nothing that grows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pachybox.meta import connect, writer
from pachybox.meta.tables import FACTS, REPOS
from pachybox.meta.writer import Meta
from pachybox.model.ids import Repo
from pachybox.model.pfs import RepoRecord

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_LIBC: Any = ctypes.CDLL(None)


class _Mallinfo(ctypes.Structure):
    _fields_ = [(f"field{n}", ctypes.c_size_t) for n in range(10)]


def malloced() -> int:
    """Bytes that are allocated of glibc."""
    _LIBC.mallinfo2.restype = _Mallinfo
    return int(_LIBC.mallinfo2().field7)  # uordblks


@pytest.fixture
def meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meta]:
    monkeypatch.setattr(writer, "_LOG_BYTES", 1)
    made = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    yield made
    made.close()


def work(meta: Meta, times: int) -> None:
    """Changes of every kind, each a transaction; what they made goes again."""
    record = RepoRecord(Repo("default", "r"), "", NOW, {})
    keys = [f"key {n}" for n in range(8)]
    for _ in range(times):
        meta.write(lambda tx: [tx.put(FACTS, (key, "x" * 50)) for key in keys])
        meta.write(lambda tx: tx.put(REPOS, record))
        meta.write(lambda tx: [tx.remove(FACTS, key) for key in keys])


def kept(meta: Meta) -> int:
    """Bytes of blocks."""
    rows = meta.db.read("SELECT sum(memory_usage_bytes) FROM duckdb_memory()")
    return int(rows[0][0])


def limit(meta: Meta) -> object:
    return meta.db.read("SELECT current_setting('memory_limit')")[0][0]


def test_blocks_go_at_a_checkpoint_and_are_read_again(meta: Meta) -> None:
    before = limit(meta)
    work(meta, 5)
    meta.write(lambda tx: tx.put(FACTS, ("a", "b")))
    assert kept(meta) > 500_000
    meta.checkpoint()
    assert kept(meta) < 300_000
    assert limit(meta) == before
    assert meta.db.read("SELECT value FROM facts WHERE name = 'a'") == [("b",)]


@pytest.mark.skipif(not hasattr(_LIBC, "mallinfo2"), reason="not glibc, or an old one")
def test_transactions_leave_nothing_behind(meta: Meta) -> None:
    """1 to 3 KB each would stay. What is made large enough once, and what the process does beside
    this, is in one round or another, but not in all."""
    work(meta, 100)
    grown = []
    for _ in range(3):
        meta.checkpoint()
        before = malloced()
        work(meta, 200)
        meta.checkpoint()
        grown.append(malloced() - before)
    assert min(grown) < 200 * 3 * 200


def test_readers_see_no_lower_limit(meta: Meta) -> None:
    meta.write(lambda tx: [tx.put(FACTS, (f"{n:04}", "x" * 500)) for n in range(3000)])
    expected = meta.db.read("SELECT value, count(*), max(name) FROM facts GROUP BY ALL")

    def read(_: int) -> bool:
        return expected == meta.db.read("SELECT value, count(*), max(name) FROM facts GROUP BY ALL")

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(read, n) for n in range(100)]
        while not all(one.done() for one in reads):
            meta.write(lambda tx: meta.db.let_go(), solo=True)
        assert all(one.result() for one in reads)


def test_a_long_read_keeps_its_blocks(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_ALONE_S", 0.001)
    meta.write(lambda tx: [tx.put(FACTS, (f"{n:04}", "x" * 500)) for n in range(3000)])
    with meta.db.cursor() as con:
        result = con.execute("SELECT name FROM facts ORDER BY name")
        meta.write(lambda tx: meta.db.let_go(), solo=True)
        assert kept(meta) > 500_000
        assert len(result.fetchall()) == 3000
