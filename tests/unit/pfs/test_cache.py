"""What clients keep in the cache beside filesets: no more than so many values, the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.errors import NotFound
from pachybox.meta.tables import CacheRecord
from pachybox.meta.writer import Meta, utc_now
from pachybox.pfs import filesets
from pachybox.pfs.filesets import Filesets
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import BlobStore


def test_of_many_values_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesets, "_CACHED", 2)
    blobs, meta = BlobStore.open(tmp_path / "store"), Meta(tmp_path / "meta.duckdb")
    cache = Filesets(Pfs(meta, blobs))

    def put(key: str, value: bytes) -> None:
        cache.put_cache(CacheRecord(key, "tag", "type", value, (), utc_now()))

    try:
        put("a", b"1")
        put("b", b"1")
        put("a", b"2")  # in place of the one before: nothing has to go
        assert [cache.get_cache(key).value for key in "ab"] == [b"2", b"1"]
        put("c", b"1")
        assert [cache.get_cache(key).value for key in "ac"] == [b"2", b"1"]
        with pytest.raises(NotFound):
            cache.get_cache("b")
    finally:
        meta.close()
        blobs.close()
