"""How many bytes the commits of a branch hold together: what ``under SIZE`` bounds.

The newest commit counts whole. An older one counts by the content in it that the next newer one
has not, so what they share counts once, and a commit costs what comparing it with its neighbour
costs, which follows the change between the two. Failed commits hold nothing and do not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pachybox.model.files import Entry
from pachybox.model.ids import Branch, Hash
from pachybox.pfs.service import Pfs

_PAGE = 500
_MINE = (
    "project = ? AND repo = ? AND type = ? AND branch = ? "
    "AND finished_us IS NOT NULL AND error = ''"
)


def held_alone(pfs: Pfs, old: Hash, new: Hash) -> int:
    """Bytes of content in the tree ``old`` that ``new`` has not, as far as the two differ."""
    mine: dict[Hash, int] = {}
    theirs: set[Hash] = set()
    for change in pfs.trees.diff(old, new, once=True):
        if change.old is not None and not change.old.is_dir:
            for piece, size in _pieces(pfs, change.old):
                mine[piece] = mine.get(piece, 0) + size
        if change.new is not None and not change.new.is_dir:
            theirs.update(piece for piece, _ in _pieces(pfs, change.new))
    return sum(size for piece, size in mine.items() if piece not in theirs)


def _pieces(pfs: Pfs, entry: Entry) -> list[tuple[Hash, int]]:
    return [(s.hash, s.length) for s in pfs.content.segments(entry)]


class Sized:
    """The commits of one branch from its newest back to where a bound lies, kept between looks,
    so that a look costs what came since."""

    def __init__(self, pfs: Pfs, branch: Branch, stopping: Callable[[], bool]) -> None:
        self._pfs = pfs
        self._key = (branch.repo.project, branch.repo.name, branch.repo.type, branch.name)
        self._stopping = stopping
        self._bound = -1
        self._older: deque[tuple[int, int]] = (
            deque()
        )  # (number, bytes it alone holds), oldest first
        self._newest: tuple[int, Hash, int] | None = None  # number, tree, bytes
        self._total = 0

    def oldest_within(self, bound: int) -> int:
        """The number of the oldest commit such that it and all newer hold at most ``bound`` bytes
        together; that of the newest when it alone holds more, 0 when the branch has none."""
        if bound != self._bound or not self._true():
            self._begin(bound)
        else:
            self._follow()
        while self._total > bound and self._older:
            self._total -= self._older.popleft()[1]
        if self._newest is None:
            return 0
        return self._older[0][0] if self._older else self._newest[0]

    @property
    def head_bytes(self) -> int:
        """Bytes of the newest commit."""
        return 0 if self._newest is None else self._newest[2]

    def _true(self) -> bool:
        """Whether the commits that are known are those that are there."""
        if self._newest is None:
            return False
        first = self._older[0][0] if self._older else self._newest[0]
        rows = self._pfs.meta.db.read(
            f"SELECT count(*) FROM commits WHERE seq BETWEEN ? AND ? AND {_MINE}",
            (first, self._newest[0], *self._key),
        )
        return int(rows[0][0]) == len(self._older) + 1

    def _begin(self, bound: int) -> None:
        """Go back from the newest as far as the bound allows."""
        self._bound, self._newest, self._total = bound, None, 0
        self._older.clear()
        edge, tree = 1 << 62, None
        while self._total <= bound and not self._stopping():
            rows = self._pfs.meta.db.read(
                f"SELECT seq, root, size FROM commits WHERE seq < ? AND {_MINE} "
                f"ORDER BY seq DESC LIMIT {_PAGE}",
                (edge, *self._key),
            )
            for seq, root, size in rows:
                if tree is None:
                    self._newest, self._total = (seq, Hash(root), size), size
                elif self._total > bound:
                    return
                else:
                    cost = held_alone(self._pfs, Hash(root), tree)
                    self._older.appendleft((seq, cost))
                    self._total += cost
                tree = Hash(root)
            if len(rows) < _PAGE:
                return
            edge = rows[-1][0]

    def _follow(self) -> None:
        """Take in what came since."""
        while self._newest is not None and not self._stopping():
            rows = self._pfs.meta.db.read(
                f"SELECT seq, root, size FROM commits WHERE seq > ? AND {_MINE} "
                f"ORDER BY seq LIMIT {_PAGE}",
                (self._newest[0], *self._key),
            )
            for seq, root, size in rows:
                before, tree, whole = self._newest
                cost = held_alone(self._pfs, tree, Hash(root))
                self._older.append((before, cost))
                self._total += cost - whole + size
                self._newest = (seq, Hash(root), size)
            if len(rows) < _PAGE:
                return
