"""The collector: frees what nobody needs, and nothing that anybody may need."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore
from pachybox.store.check import check
from pachybox.store.gc import collect

from .test_blobs import address, content
from .test_blobs_damage import errors, flip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    opened = BlobStore.open(tmp_path / "store")
    yield opened
    opened.close()


def put_all(store: BlobStore, blobs: Iterable[bytes]) -> list[Hash]:
    with store.session() as s:
        hashes = s.put_many(list(blobs))
        store.flush()
    return hashes


def blobs_of(kind: int, n: int = 40) -> list[bytes]:
    return [content(3000, kind * 1000 + i) for i in range(n)]


def on_disk(store: BlobStore) -> int:
    return sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file())


def test_nothing_live_leaves_nothing(store: BlobStore) -> None:
    hashes = put_all(store, [*blobs_of(1), content(1 << 20), content(3 << 20)])
    before = on_disk(store)
    done = collect(store, list)
    assert (done.packs_removed, done.objects_removed) == (1, 2)
    assert done.scanned == len(hashes)
    assert abs(before - done.freed_bytes) < 4096
    assert all(store.size(h) is None for h in hashes)
    assert on_disk(store) < 1000
    assert store.usage().bytes == 0
    assert os.listdir(store.root / "index") == []
    with pytest.raises(Corrupt):
        store.get(hashes[0])


def test_everything_live_stays_where_it_is(store: BlobStore) -> None:
    hashes = put_all(store, [*blobs_of(1), content(1 << 20)])
    places = [store.locate(h) for h in hashes]
    done = collect(store, lambda: hashes)
    assert (done.packs_removed, done.objects_removed, done.freed_bytes) == (0, 0, 0)
    assert [store.locate(h) for h in hashes] == places


def test_a_pack_less_than_half_alive_is_rewritten_and_others_stay(tmp_path: Path) -> None:
    store = BlobStore.open(tmp_path)
    live: list[Hash] = []
    everything: dict[Hash, bytes] = {}
    for kind, share in enumerate((40, 30, 10, 0)):
        hashes = put_all(store, blobs_of(kind))
        everything.update(zip(hashes, blobs_of(kind), strict=True))
        live += hashes[:share]
        store.packs.seal()
    done = collect(store, lambda: iter(live))
    assert done.packs_removed == 2
    assert store.usage().dead_bytes == 10 * 3000
    for _ in range(2):
        assert all(store.get(h) == everything[h] for h in live)
        assert store.locate(live[-1]).path.name == "00000005.pack"
        assert errors(store, live) == []
        store.close()
        store = BlobStore.open(tmp_path)
    put_all(store, blobs_of(3))  # what was removed can come back
    assert collect(store, lambda: everything).packs_removed == 0
    store.close()


def test_what_a_session_put_or_found_before_or_during_a_collection_is_kept(
    store: BlobStore,
) -> None:
    found = put_all(store, [b"found before", b"found during", content(1 << 20)])
    store.packs.seal()
    with store.session() as before:
        kept = [
            before.put(b"found before"),
            before.put(content(2 << 20)),
            before.put(b"put before"),
        ]
        during = store.session()

        def roots() -> Iterator[Hash]:
            kept.append(during.put(b"found during"))
            kept.append(during.put(b"put during"))
            kept.append(during.put(content(1 << 20)))
            store.flush()
            during.end()  # even though it ends before the sweep
            yield from ()

        done = collect(store, roots)
        assert done.objects_removed == 0
        assert all(store.size(h) for h in kept)
        assert set(found) < set(kept)
        assert errors(store, kept) == []
    collect(store, list)
    assert not any(store.size(h) for h in kept)


def test_when_the_roots_cannot_be_told_nothing_is_removed(store: BlobStore) -> None:
    hashes = put_all(store, blobs_of(1))

    def roots() -> Iterator[Hash]:
        yield hashes[0]
        raise RuntimeError("the metadata cannot be read")

    with pytest.raises(RuntimeError):
        collect(store, roots)
    assert all(store.size(h) for h in hashes)
    assert collect(store, list).packs_removed == 1


def test_a_pack_with_a_corrupt_live_blob_is_left_alone(store: BlobStore) -> None:
    hashes = put_all(store, blobs_of(1))
    at = store.locate(hashes[0])
    flip(at.path, at.offset)
    done = collect(store, lambda: hashes[:3])
    assert done.packs_removed == 0
    assert hashes[0].hex() in done.skipped[0]
    assert store.get(hashes[1])
    assert errors(store) == [str(at.path)]


def test_left_over_uploads_go_and_those_under_way_stay(store: BlobStore) -> None:
    (store.root / "tmp" / "900").write_bytes(b"left over")
    data = content(2 << 20)
    at = 0

    def readinto(view: memoryview) -> int:
        nonlocal at
        if at > 1 << 20:
            collect(store, list)
        n = min(len(view), 400_000, len(data) - at)
        view[:n] = data[at : at + n]
        at += n
        return n

    with store.session() as s:
        h, _ = s.put_stream(readinto)
        assert not (store.root / "tmp" / "900").exists()
        collect(store, list)
        assert store.get(h) == data


def test_collecting_while_others_write_and_read_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(fmt, "PACK_BYTES", 50_000)
    interval = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    sys.setswitchinterval(1e-6)  # threads take turns at the least likely places
    store = BlobStore.open(tmp_path)
    live: dict[Hash, bytes] = {}
    lock = threading.Lock()
    done = threading.Event()

    def roots() -> list[Hash]:
        with lock:
            return list(live)

    def write(n: int) -> None:
        draw = random.Random(n)
        for _ in range(60):
            with store.session() as s:
                blobs = [content(draw.choice((50, 3000)), draw.randrange(300)) for _ in range(20)]
                blobs.append(content(200_000, draw.randrange(8)))
                hashes = s.put_many(blobs)
                store.flush()
                with lock:  # the commit: from here on the roots name them
                    live.update(zip(hashes, blobs, strict=True))
            with lock:
                for h in draw.sample(sorted(live), len(live) // 2):
                    del live[h]

    def read() -> int:
        draw, n = random.Random(0), 0
        while not done.is_set():
            with store.session() as s:
                with lock:
                    if not live:
                        continue
                    h, blob = draw.choice(list(live.items()))
                    s.hold([h])
                assert store.get(h) == blob
                n += 1
        return n

    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(read)
        writing = [pool.submit(write, n) for n in range(2)]
        removed = 0
        while not all(w.done() for w in writing):
            got = collect(store, roots)
            assert got.skipped == ()
            removed += got.packs_removed + got.objects_removed
        done.set()
        for w in writing:
            w.result()
        assert reading.result() > 0
    assert removed > 0
    assert all(store.get(h) == blob for h, blob in live.items())
    assert errors(store, list(live)) == []
    collect(store, roots)
    assert on_disk(store) < 3 * sum(map(len, live.values())) + 1_000_000
    store.close()
    store = BlobStore.open(tmp_path)
    assert errors(store, list(live)) == []
    store.close()


def test_check_counts_what_is_unreferenced(store: BlobStore) -> None:
    hashes = put_all(store, blobs_of(1))
    [info] = check(store, hashes[:10])
    assert (info.level, info.detail[:2]) == ("info", "30")
    assert errors(store, [address(b"gone")]) == [address(b"gone").hex()]
