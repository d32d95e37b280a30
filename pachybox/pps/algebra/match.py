"""What one input matches in a tree, and how that differs between two trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from pachybox.model.files import Change, Entry
from pachybox.model.glob import Glob
from pachybox.model.ids import Branch, CommitId, Hash
from pachybox.pfs.find import TreeReader, find
from pachybox.pps.algebra.nodes import Leaf

Roots = Mapping[Branch, tuple[CommitId, Hash] | None]
"""The commit of each input branch and the root of its tree; None: no commit yet."""


class Found(NamedTuple):
    """One file or directory that an input matched."""

    leaf: Leaf
    path: str
    entry: Entry
    join_on: str
    group_by: str


Combination = tuple[Found, ...]
"""What one datum consists of."""

Difference = tuple[Found | None, Found | None]
"""(what was, what is) at one path."""


class Trees(TreeReader, Protocol):
    """What is needed of :class:`pachybox.store.trees.Trees`."""

    def diff(
        self,
        old: Hash,
        new: Hash,
        path: str = "/",
        *,
        descend: Callable[[str], bool] | None = None,
    ) -> Iterator[Change]:
        """What differs, in path order."""

    def lookup(self, root: Hash) -> Callable[[str], Entry | None]:
        """``get`` for many paths."""


def root_of(roots: Roots, leaf: Leaf) -> Hash | None:
    """The root that a leaf reads; None where its branch has no commit."""
    at = roots.get(leaf.branch)
    return None if at is None else at[1]


def found(leaf: Leaf, path: str, entry: Entry) -> Found:
    """What ``leaf`` makes of a path it matches."""
    return Found(leaf, path, entry, leaf.join_key(path), leaf.group_key(path))


def matched(trees: Trees, leaf: Leaf, root: Hash | None) -> Iterator[Found]:
    """Everything that a leaf matches, in the order of the tree."""
    if root is None:
        return
    plain = not leaf.join_on and not leaf.group_by
    for path, entry in find(trees, root, leaf.glob):
        yield Found(leaf, path, entry, "", "") if plain else found(leaf, path, entry)


def changed(trees: Trees, leaf: Leaf, old: Hash | None, new: Hash | None) -> Iterator[Difference]:
    """How ``matched`` differs between two trees. Cost follows the difference.

    A directory that matches differs when anything in it does. A file that became a
    directory, or the reverse, is two differences at one path.
    """
    if old == new:
        return
    if old is None:
        yield from ((None, one) for one in matched(trees, leaf, new))
        return
    if new is None:
        yield from ((one, None) for one in matched(trees, leaf, old))
        return
    for change in _changes(trees, leaf.glob, old, new):
        entry = change.new or change.old
        assert entry is not None
        one = found(leaf, change.path, entry)
        was = None if change.old is None else one._replace(entry=change.old)
        yield was, None if change.new is None else one


def _changes(trees: Trees, glob: Glob, old: Hash, new: Hash) -> Iterable[Change]:
    if glob.is_literal:
        was, now = trees.get(old, glob.literal), trees.get(new, glob.literal)
        return [] if was == now else [Change(glob.literal, was, now)]
    differences = trees.diff(old, new, descend=_leads_on(glob))
    return (change for change in differences if glob.matches(change.path))


def _leads_on(glob: Glob) -> Callable[[str], bool]:
    """Whether anything below a directory can match."""
    components = glob.components

    def leads_on(path: str) -> bool:
        elements = path[1:].split("/")
        for i, component in enumerate(components):
            if component.rest or i == len(elements):
                return True
            if not component.everything and not component.matches(elements[i]):
                return False
        return False

    return leads_on
