"""The datums that a job skipped, by number: the entries of its tree that it has no rows of."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any

from pachybox.model.files import Entry
from pachybox.model.ids import Hash
from pachybox.model.pps import JobRecord
from pachybox.pfs.pages import Kept, entries_at
from pachybox.pfs.service import Pfs
from pachybox.pps.known import of_job

_TOGETHER = 200_000  # ids compared with a tree at once


class Skipped:
    """Finds them; what it compared with a tree is kept, for neither the tree nor what an id reads
    ever changes."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._kept = Kept()

    def numbers(
        self, job: JobRecord, tree: Hash, ran: int, search: tuple[str, list[str]] | None
    ) -> Sequence[int]:
        """The numbers that they have in the tree, rising. ``ran`` is how many datums of the tree
        the job ran itself; ``search`` a condition on what rows of the same datums, of other jobs,
        say."""
        if search is not None:
            return self._found(job, tree, ran, search)
        return _Others(self, job, tree, ran, self._pfs.trees.entries(tree) - ran)

    def entries(self, tree: Hash, numbers: Sequence[int]) -> list[Entry]:
        """The entries of a tree with these numbers."""
        with self._pfs.reading(tree):
            return list(entries_at(self._pfs.trees, tree, numbers))

    def _found(
        self, job: JobRecord, tree: Hash, ran: int, search: tuple[str, list[str]]
    ) -> Sequence[int]:
        key = (tree, job.job, "skipped", *search[1])
        found = self._kept.get(key)
        if found is None:
            of = job.job.pipeline
            told = f"project = ? AND pipeline = ? AND {search[0]}"
            hits = self._positions(job, tree, (told, [of.project, of.name, *search[1]]))
            own = set(self.mine(job, tree, ran))
            found = array("I", (n for n in hits if n not in own))
            self._kept.put(key, found)
        return found

    def mine(self, job: JobRecord, tree: Hash, ran: int) -> Sequence[int]:
        """The numbers of those that it ran."""
        where = of_job(self._pfs.meta, job.job)
        return self._positions(job, tree, where) if ran else array("I")

    def _positions(self, job: JobRecord, tree: Hash, where: tuple[str, list[Any]]) -> Sequence[int]:
        """The numbers of the entries of a job's tree whose ids the database gives, rising."""
        key = (tree, job.job, where[0], *where[1])
        found = self._kept.get(key)
        if found is not None:
            return found
        made: array[int] = array("I")
        with self._pfs.reading(tree):
            leaves = self._pfs.trees.leaves(tree)
            base, keys, last = 0, list[str](), ""
            while ids := self._ids(where, last):
                for id_ in ids:
                    name = f"{id_}/"
                    while not keys or keys[-1] < name:
                        base += len(keys)
                        if (leaf := next(leaves, None)) is None:
                            keys = ["\U0010ffff"]  # behind all: what comes is not there
                            break
                        keys = leaf.keys
                    at = bisect_left(keys, name)
                    if keys[at] == name:
                        made.append(base + at)
                last = ids[-1]
        self._kept.put(key, made)
        return made

    def _ids(self, where: tuple[str, list[Any]], after: str) -> list[str]:
        rows = self._pfs.meta.db.read(
            f"SELECT DISTINCT id FROM datums WHERE {where[0]} AND id > ? "
            f"ORDER BY id LIMIT {_TOGETHER}",
            [*where[1], after],
        )
        return [row[0] for row in rows]


class _Others(Sequence[int]):
    """The numbers from 0 on that those which the job ran have not, ``count`` of them. They are
    looked for when the first is asked for."""

    def __init__(self, skipped: Skipped, job: JobRecord, tree: Hash, ran: int, count: int) -> None:
        self._mine = partial(skipped.mine, job, tree, ran)
        self._taken: Sequence[int] | None = None
        self._count = max(0, count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._count))]
        if self._taken is None:
            self._taken = self._mine()
        taken = self._taken
        low, high = 0, len(taken)  # how many of the taken come before number `at`
        while low < high:
            middle = (low + high) // 2
            if taken[middle] - middle <= at:
                low = middle + 1
            else:
                high = middle
        return at + low
