"""Which files of an input have which key: kept in memory, moved on by difference.

An index holds paths, not entries: those are read from the tree again.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, KeysView, Sequence
from contextlib import contextmanager

from pachybox.errors import Corrupt, NotFound
from pachybox.model.ids import Branch, Hash
from pachybox.pfs.find import find
from pachybox.pps.algebra.match import Difference, Trees, changed
from pachybox.pps.algebra.nodes import Group, Join, Leaf

By = type[Join] | type[Group]
"""What the keys are for."""

Signature = tuple[Branch, str, str]
"""(branch, glob, template): what an index depends on besides the tree."""


def key_of(leaf: Leaf, by: By, path: str) -> str:
    """The key of a path under ``join_on`` or ``group_by``."""
    return leaf.join_key(path) if by is Join else leaf.group_key(path)


class Index:
    """The paths that a leaf matches in the tree ``root``, by key."""

    __slots__ = ("_paths", "count", "root")

    root: Hash
    count: int
    """How many paths there are."""

    def __init__(self, root: Hash) -> None:
        self.root = root
        self.count = 0
        self._paths: dict[str, str | list[str]] = {}  # perf: most keys have one path

    def keys(self) -> KeysView[str]:
        """All keys."""
        return self._paths.keys()

    def paths(self, key: str) -> Sequence[str]:
        """The paths of a key, sorted."""
        at = self._paths.get(key)
        if at is None:
            return ()
        return (at,) if isinstance(at, str) else tuple(at)

    def add(self, key: str, path: str) -> None:
        """Add a path that is not there."""
        at = self._paths.setdefault(key, path)
        self.count += 1
        if isinstance(at, list):
            insort(at, path)
        elif at is not path:
            self._paths[key] = [at, path] if at < path else [path, at]

    def remove(self, key: str, path: str) -> None:
        """Remove a path that is there."""
        at = self._paths[key]
        self.count -= 1
        if isinstance(at, str):
            del self._paths[key]
            return
        del at[bisect_left(at, path)]
        if len(at) == 1:
            self._paths[key] = at[0]

    def move(self, leaf: Leaf, by: By, root: Hash, changes: Iterable[Difference]) -> None:
        """Become the index of ``root``, which differs by ``changes``."""
        differences = list(changes)  # all is read before anything is touched
        for was, _ in differences:
            if was is not None:
                self.remove(key_of(leaf, by, was.path), was.path)
        for _, now in differences:
            if now is not None:
                self.add(key_of(leaf, by, now.path), now.path)
        self.root = root


class Indexes:
    """A bounded cache of indexes, the longest unused leaving first. Thread-safe.

    An index is with one user at a time: who finds it gone makes one.
    """

    def __init__(self, most: int = 500_000) -> None:
        """``most``: paths in all indexes together, about 200 bytes each."""
        self._most = most
        self._lock = threading.Lock()
        self._held: dict[Signature, Index] = {}
        self._count = 0

    def take(self, signature: Signature) -> Index | None:
        """The index, now the caller's own."""
        with self._lock:
            index = self._held.pop(signature, None)
            if index is not None:
                self._count -= index.count
            return index

    def give(self, signature: Signature, index: Index) -> None:
        """Keep an index for the next user, if there is room."""
        with self._lock:
            if index.count > self._most:
                return
            before = self._held.pop(signature, None)
            if before is not None:
                self._count -= before.count
            self._held[signature] = index
            self._count += index.count
            while self._count > self._most:
                oldest = next(iter(self._held))
                self._count -= self._held.pop(oldest).count


class Loan:
    """The indexes in use by one operation. See ``borrow``."""

    def __init__(self, trees: Trees, cache: Indexes | None) -> None:
        self._trees = trees
        self._cache = cache
        self._mine: dict[tuple[Signature, Hash], Index] = {}

    def at(self, leaf: Leaf, by: By, root: Hash) -> Index:
        """The index of a leaf at ``root``: the one kept, moved on; or a new one."""
        signature = _signature(leaf, by)
        index = self._mine.get((signature, root))
        if index is None:
            kept = self._cache.take(signature) if self._cache else None
            index = self._moved(kept, leaf, by, root) or self._built(leaf, by, root)
            self._mine[signature, root] = index
        return index

    def give_back(self) -> None:
        """Hand all to the cache."""
        for (signature, _), index in self._mine.items():
            if self._cache is not None:
                self._cache.give(signature, index)
        self._mine.clear()

    def _moved(self, index: Index | None, leaf: Leaf, by: By, root: Hash) -> Index | None:
        if index is None:
            return None
        try:
            index.move(leaf, by, root, changed(self._trees, leaf, index.root, root))
        except (NotFound, Corrupt):  # nothing holds the old tree: it may be collected by now
            return None
        return index

    def _built(self, leaf: Leaf, by: By, root: Hash) -> Index:
        index = Index(root)
        for path, _ in find(self._trees, root, leaf.glob):
            index.add(key_of(leaf, by, path), path)
        return index


def _signature(leaf: Leaf, by: By) -> Signature:
    return leaf.branch, leaf.glob.pattern, leaf.join_on if by is Join else leaf.group_by


@contextmanager
def borrow(trees: Trees, cache: Indexes | None) -> Iterator[Loan]:
    """A loan that is given back at the end."""
    loan = Loan(trees, cache)
    try:
        yield loan
    finally:
        loan.give_back()
