"""Short blobs out of packs, many by one read, each proven.

A restore reads with this, and so does whoever proves that a restore can be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pachybox.backup.packs import Rows, damaged, unpacked
from pachybox.errors import Corrupt
from pachybox.store.format import digest

_GAP = 256 << 10  # unwanted bytes that are read along rather than asked around
_SPAN = 16 << 20

Read = Callable[[int, int], bytes | memoryview]
"""Gives bytes of a pack, by where they begin and how many. Raises Corrupt."""


def short_blobs(rows: Rows, read: Read, shown: str) -> Iterator[tuple[int, bytes | Corrupt]]:
    """The blobs of ``rows``, which are of one pack (``shown`` in messages), in its order, and have
    their blobs whole: which row, and the blob, or why it could not be had."""
    for first, end in _spans(rows):
        some = rows[first:end]
        start = int(some[0]["offset"])
        try:
            data = memoryview(read(start, int(_ends(some).max()) - start))
        except Corrupt as e:
            yield from ((i, e) for i in range(first, end))
            continue
        for i, row in enumerate(some, first):
            try:
                yield i, _proven(row, data, start, shown)
            except Corrupt as e:
                yield i, e


def _proven(row: np.void, data: memoryview, start: int, shown: str) -> bytes:
    at = int(row["offset"]) - start
    blob = unpacked(row, data[at : at + int(row["stored"])], shown)
    if digest(blob) != row["hash"].tobytes():
        raise damaged(shown, f"blob {row['hash'].tobytes().hex()} is not what its name says")
    return blob


def _ends(rows: Rows) -> npt.NDArray[np.int64]:
    ends: npt.NDArray[np.int64] = rows["offset"].astype(np.int64) + rows["stored"]
    return ends


def _spans(rows: Rows) -> Iterator[tuple[int, int]]:
    """(first, end) of runs of rows that are read at once: near each other, and not too many bytes.

    An empty blob lies where another begins, and may stand behind it: the last row of a run need not
    be the one that reaches furthest.
    """
    offsets, ends = rows["offset"].tolist(), np.maximum.accumulate(_ends(rows)).tolist()
    first = 0
    for i in range(1, len(rows)):
        if offsets[i] - ends[i - 1] > _GAP or offsets[i] - offsets[first] > _SPAN:
            yield first, i
            first = i
    if len(rows):
        yield first, len(rows)
