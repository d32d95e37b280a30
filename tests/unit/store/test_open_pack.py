"""The table of the pack that grows: everything is found in it, and it stays small."""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store import open_pack
from pachybox.store.blobs import BlobStore
from pachybox.store.bulk import locate_many
from pachybox.store.index import Place, prefixes
from pachybox.store.open_pack import OpenPack
from pachybox.store.pack import OpenFile, Pack
from tests.examples import many


def name(number: int) -> Hash:
    """Of three in a row the first eight bytes are the same."""
    return Hash((number // 3).to_bytes(8, "big") + number.to_bytes(24, "big"))


@settings(max_examples=many(60), deadline=None)
@given(
    frames=st.lists(st.lists(st.integers(0, 40), max_size=12, unique=True), max_size=12),
    fold=st.integers(1, 20),
    many=st.sampled_from([1, 1000]),
    again=st.booleans(),
)
def test_a_blob_is_found_where_it_was_written_last(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[list[int]],
    fold: int,
    many: int,
    again: bool,
) -> None:
    """``again``: the table is made anew from the headers, as at a start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_pack, "_FOLD", fold)
        patch.setattr(open_pack, "_MANY", many)
        path = tmp_path_factory.mktemp("pack") / "00000007.pack"
        path.touch()
        pack = Pack(7, path, 0)
        table = OpenPack(pack, OpenFile(path))
        wanted: dict[Hash, Place] = {}
        for numbers in frames:
            blobs = [b"x" * (1 + 40 * n) for n in numbers]  # short ones and some on blocks
            frame = fmt.encode(7, pack.end, 0, [name(n) for n in numbers], blobs)
            with open(path, "ab") as file:
                file.write(frame.data)
            table.add(pack.end, frame.hashes)
            pack.end = frame.end
            for h, offset, length in zip(frame.hashes, frame.offsets, frame.lengths, strict=True):
                wanted[h] = Place(7, offset, length)
        if again:
            table = OpenPack(pack, OpenFile(path))
            table.load([one for one in pack.frames() if isinstance(one, fmt.Header)])
        names = [name(n) for n in range(45)]
        assert [table.find(h) for h in names] == [wanted.get(h) for h in names]
        data = b"".join(names)
        found = table.find_many(np.frombuffer(data, "V32"), prefixes(data))
        places = zip(found.pack.tolist(), found.offset.tolist(), found.length.tolist(), strict=True)
        for n, (h, place) in enumerate(zip(names, places, strict=True)):
            alone = sum(name(n // 3 * 3 + i) in wanted for i in range(3)) == 1
            if place[0]:
                assert Place(*place) == wanted[h]
            else:
                assert h not in wanted or not alone
        assert len(wanted) <= len(table) <= sum(map(len, frames))


def test_a_store_finds_what_it_took_and_memory_has_a_few_bytes_of_each_blob(tmp_path: Path) -> None:
    store = BlobStore.open(tmp_path)
    blobs = [random.Random(i).randbytes(20) for i in range(40_000)]
    hashes: list[Hash] = []
    with store.session() as session:
        session.put_many(blobs[:100])  # what is made once
        store.flush()
        tracemalloc.start()
        for at in range(0, len(blobs), 1000):
            hashes += session.put_many(blobs[at : at + 1000])
            store.flush()
        del blobs[30_000:]
        held = tracemalloc.get_traced_memory()[0] - sys.getsizeof(hashes)
        tracemalloc.stop()
    assert store.usage().packs == 1
    assert held < 10_000_000, "the hashes that this test and the session hold are 6 MB of it"
    before = store.usage().bytes
    with store.session() as session:
        session.put_many(blobs)  # are there
    store.flush()
    assert store.usage().bytes == before
    assert [store.get(h) for h in hashes[:30_000:500]] == blobs[::500]
    located = locate_many(store, b"".join(hashes))
    assert set(located.pack.tolist()) == {1}
    assert set(located.length.tolist()) == {20}
    store.close()
    store = BlobStore.open(tmp_path)
    assert [store.get(h) for h in hashes[:30_000:500]] == blobs[::500]
    again = locate_many(store, b"".join(hashes[:2000]))
    assert again.offset.tolist() == located.offset[:2000].tolist()
    store.close()
