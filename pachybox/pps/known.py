"""Results of datums by their hash: what earlier jobs did, whatever their pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pachybox.meta.tables import DATUMS, DatumRecord
from pachybox.pfs.service import Pfs

_FEW = 64  # datums looked up one by one


def with_hashes(pfs: Pfs, hashes: Sequence[str]) -> Iterator[DatumRecord]:
    """Every record with one of the hashes, of whatever pipeline and state."""
    # perf: DuckDB's index serves equality of one column only; a list is a scan (1.5 M datums:
    # 100 ms), another condition beside it costs 0.5 ms
    if len(hashes) > _FEW:
        yield from pfs.meta.select(DATUMS, "WHERE hash IN (SELECT unnest(?))", [list(hashes)])
        return
    for one in hashes:
        yield from pfs.meta.select(DATUMS, "WHERE hash = ?", [one])
