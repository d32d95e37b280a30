"""Hashes that begin alike, as somebody can make them who has some minutes, are two all the same."""

from __future__ import annotations

import numpy as np

from pachybox.backup.known import Held
from pachybox.backup.packs import ROW, Index, Kind
from pachybox.backup.walk import Seen, keys_of
from pachybox.model.ids import Hash
from pachybox.store.gc import contains

HEAD = bytes(range(8))
ALIKE = [HEAD + bytes([i]) * 24 for i in (3, 1, 2)]


def test_each_comes_for_the_first_time() -> None:
    seen = Seen()
    assert seen.new(b"".join(ALIKE[:2])) == b"".join(ALIKE[:2])
    assert seen.new(b"".join(ALIKE)) == ALIKE[2]
    assert contains(seen.keys, keys_of(b"".join(ALIKE))).all()
    assert not contains(seen.keys, keys_of(HEAD + bytes(24))).any()


def test_each_is_found_by_itself() -> None:
    rows = np.zeros(2, ROW)
    rows["hash"] = np.frombuffer(b"".join(ALIKE[:2]), "V32")
    rows["length"] = rows["total"] = 5
    rows["kind"] = [Kind.DATA, Kind.TREE]
    held = Held([Index("i", [("p", 9)], [], rows)], {"p": 9})
    assert held.has(b"".join(ALIKE)).tolist() == [True, True, False]
    assert held.has(b"".join(ALIKE), Kind.TREE).tolist() == [False, True, False]
    assert [len(held.pieces(Hash(h))) for h in ALIKE] == [1, 1, 0]
