"""What a repository of backups has: by hash, from its indexes.

Pieces in packs that are not there any more count as missing, so that the next backup sends them
again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pachybox.backup.packs import ROW, Index, Kind, Rows
from pachybox.model.ids import Hash

Numbers = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


def halves(hashes: bytes | bytearray) -> tuple[Numbers, Numbers]:
    """The first and the second eight bytes of hashes that are laid end to end."""
    words = np.frombuffer(hashes, ">u8").reshape(-1, 4)
    return words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)


def _firsts(rows: Rows) -> Numbers:
    """The first eight bytes of each row's hash."""
    if not len(rows):
        return np.zeros(0, np.uint64)
    words = np.ndarray(len(rows), ">u8", rows, 0, rows.strides)
    return words.astype(np.uint64)


class Held:
    """All pieces, found by hash. ``lost``: packs that indexes name and that are not whole."""

    def __init__(self, indexes: Iterable[Index], packs: Mapping[str, int]) -> None:
        """``packs``: the name and size of those that are there."""
        self.packs: list[str] = []
        self.indexes: list[str] = []
        self.lost: set[str] = set()
        numbers: dict[str, int] = {}
        todo = deque(indexes)
        del indexes
        self.rows = np.zeros(sum(len(index.rows) for index in todo), ROW)
        count = 0
        while todo:  # memory: each goes when its rows are copied
            index = todo.popleft()
            self.indexes.append(index.name)
            there = np.zeros(len(index.packs), bool)
            places = np.zeros(len(index.packs), np.uint32)
            for i, (name, size) in enumerate(index.packs):
                there[i] = packs.get(name) == size
                if not there[i]:
                    self.lost.add(name)
                elif name not in numbers:
                    numbers[name] = len(self.packs)
                    self.packs.append(name)
                places[i] = numbers.get(name, 0)
            mine = index.rows[there[index.rows["pack"]]]
            rows = self.rows[count : count + len(mine)]
            rows[:] = mine
            rows["pack"] = places[mine["pack"]]
            count += len(mine)
        self.rows = self.rows[:count]
        keys = _firsts(self.rows)
        order = np.lexsort((self.rows["at"], keys))
        self.rows, self._keys = self.rows[order], keys[order]
        self._whole = self._complete()

    def _complete(self) -> Flags:
        """For each row whether its blob is there with all its pieces."""
        whole: Flags = self.rows["length"] == self.rows["total"]
        for i in np.flatnonzero(~whole & (self.rows["at"] == 0)).tolist():
            near = self._near(self._keys[i])
            whole[i] = bool(_chain(near[near["hash"] == self.rows[i]["hash"]]))
        return whole

    def _near(self, key: np.uint64) -> Rows:
        """The rows whose hash begins with ``key``."""
        begin, end = (np.searchsorted(self._keys, key, side) for side in ("left", "right"))
        return self.rows[begin:end]

    def has(self, hashes: bytes | bytearray, kind: Kind | None = None) -> Flags:
        """For each of the hashes laid end to end whether it is there, whole (and of ``kind``)."""
        asked = np.frombuffer(hashes, "V32")
        found = np.zeros(len(asked), bool)
        if not len(self.rows) or not len(asked):
            return found
        keys, seconds = halves(hashes)
        at = np.searchsorted(self._keys, keys)
        at[at == len(self._keys)] = 0
        mine = self.rows[at]
        _, have = halves(mine["hash"].tobytes())
        near = self._keys[at] == keys
        found = np.asarray(near & (have == seconds) & self._whole[at], bool)
        if kind is not None:
            found &= mine["kind"] == kind
        # several rows of a hash: of another kind, or a second copy; or of one that begins alike;
        # few, so one by one
        for i in np.flatnonzero(near & ~found).tolist():
            rows = self.rows[at[i] : np.searchsorted(self._keys, keys[i], "right")]
            flags = self._whole[at[i] : at[i] + len(rows)]
            mask = flags & (rows["hash"] == asked[i])
            found[i] = bool((mask & (kind is None or rows["kind"] == kind)).any())
        return found

    def pieces(self, h: Hash) -> list[np.void]:
        """The rows that make a blob, in order; none when it is not there whole."""
        rows = self._near(halves(h)[0][0])
        return _chain(rows[rows["hash"] == np.frombuffer(h, "V32")[0]])

    def by_pack(self) -> Iterator[tuple[str, Rows]]:
        """The rows of each pack, in their order there."""
        order = np.lexsort((self.rows["offset"], self.rows["pack"]))
        rows = self.rows[order]
        edges = np.searchsorted(rows["pack"], np.arange(len(self.packs) + 1))
        for number, name in enumerate(self.packs):
            yield name, rows[edges[number] : edges[number + 1]]


def _chain(rows: Rows) -> list[np.void]:
    """Of the rows of one blob (by place, copies among them) those that make it whole."""
    found: list[np.void] = []
    end = 0
    for row in rows:
        if int(row["at"]) == end and (not found or end < int(row["total"])):
            found.append(row)
            end += int(row["length"])
    return found if found and end == int(found[0]["total"]) else []
