"""What of the datums of an input differs between two states of its trees.

The differences of the trees are carried through the algebra, so cost follows what changed. For
a node with the old datums O, those gone R and those new A, K = O - R is what stays, and the
node is now N = K + A. A product changes by those combinations that have at least one part in
R (or in A): over the children i, K_1 x .. x K_i-1 x R_i x O_i+1 x .. x O_n, each combination
once. Everything is read at the new trees, but for what the diff itself brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from pachybox.model.ids import Hash
from pachybox.pps.algebra.index import By, Indexes, Loan, borrow, key_of
from pachybox.pps.algebra.match import (
    Combination,
    Difference,
    Found,
    Roots,
    Trees,
    changed,
    root_of,
)
from pachybox.pps.algebra.nodes import Cross, Group, Join, Leaf, Node, Union, leaves, repeats
from pachybox.pps.algebra.product import Again, Held, product, some
from pachybox.pps.algebra.whole import (
    File,
    Flat,
    Reader,
    identity,
    in_order,
    is_flat,
    plain,
)

_KEPT_CHANGES = 50_000  # changes of one input held in memory; where there are more, read twice
_MOST_KEYED = 200_000  # changes of one join or group, beyond which all is planned


@dataclass(frozen=True, slots=True)
class Delta:
    """The datums that are no more, and those that are new, in no particular order.

    A datum whose content changed is in both, with the same id. Both are made while iterated,
    as often as wanted; the trees may not be collected meanwhile.
    """

    removed: Iterable[Combination]
    added: Iterable[Combination]


_NONE = Delta((), ())


def delta(
    node: Node, old_roots: Roots, new_roots: Roots, trees: Trees, cache: Indexes
) -> Delta | None:
    """How the datums differ; what ``whole`` gave at ``old_roots``, less ``removed``, with
    ``added``, is what it gives at ``new_roots``.

    None when the node must be planned whole: one datum may come about in two ways, a join or
    group is over a cross, join or group, the old state of a branch is not known, or too much of
    a join or group changed. A part of the input whose branches did not move costs nothing,
    unless it is combined with a part that changed. Joins and groups find their other files in
    indexes from ``cache``; one that is not there is made, at the cost of reading its input.
    """
    if not follows(node) or any(leaf.branch not in old_roots for leaf in leaves(node)):
        return None
    try:
        with borrow(trees, cache) as loan:
            made = _Changes(old_roots, new_roots, trees, cache, loan).of(node)
    except _TooMany:
        return None
    return Delta(_sorted(made.removed), _sorted(made.added))


def follows(node: Node) -> bool:
    """Whether ``delta`` can follow changes through a node at all."""
    return not repeats(node) and _is_plannable(node)


def _is_plannable(node: Node) -> bool:
    if isinstance(node, Leaf):
        return True
    if isinstance(node, Join | Group):
        return all(map(is_flat, node.children))
    return all(map(_is_plannable, node.children))


def _sorted(made: Iterable[Combination]) -> Iterable[Combination]:
    return Again(partial(map, in_order, made))


class _TooMany(Exception):
    """More changes than it is worth to follow one by one."""


class _Changes:
    def __init__(self, old: Roots, new: Roots, trees: Trees, cache: Indexes, loan: Loan) -> None:
        self._old = old
        self._new = new
        self._trees = trees
        self._cache = cache
        self._loan = loan

    def of(self, node: Node) -> Delta:
        if all(self._root(leaf, old=True) == self._root(leaf) for leaf in leaves(node)):
            return _NONE
        if isinstance(node, Leaf):
            return self._leaf(node)
        if isinstance(node, Union):
            parts = [self.of(child) for child in node.children]
            return Delta(_all(p.removed for p in parts), _all(p.added for p in parts))
        if isinstance(node, Cross):
            return self._cross(node)
        return self._keyed(node)

    def _root(self, leaf: Leaf, *, old: bool = False) -> Hash | None:
        return root_of(self._old if old else self._new, leaf)

    def _differences(self, leaf: Leaf) -> Iterator[Difference]:
        return changed(self._trees, leaf, self._root(leaf, old=True), self._root(leaf))

    def _leaf(self, leaf: Leaf) -> Delta:
        pairs = Held(partial(self._differences, leaf), _KEPT_CHANGES)
        return Delta(
            Again(lambda: ((was,) for was, _ in pairs if was is not None)),
            Again(lambda: ((now,) for _, now in pairs if now is not None)),
        )

    # ---- cross

    def _cross(self, node: Cross) -> Delta:
        parts = [self.of(child) for child in node.children]
        removed = [some(part.removed) for part in parts]
        added = [some(part.added) for part in parts]
        if not any(removed) and not any(added):
            return _NONE
        kept = [
            self._kept(child, part.added if is_added else ())
            for child, part, is_added in zip(node.children, parts, added, strict=True)
        ]
        gone = [part.removed if yes else () for part, yes in zip(parts, removed, strict=True)]
        new = [part.added if yes else () for part, yes in zip(parts, added, strict=True)]
        return Delta(Again(partial(_touched, kept, gone)), Again(partial(_touched, kept, new)))

    def _kept(self, child: Node, added: Iterable[Combination]) -> Iterable[Combination]:
        """What a child has now and had before."""

        def make() -> Iterator[Combination]:
            new = {identity(parts) for parts in added}
            made = plain(child, self._new, self._trees, self._cache)
            return (parts for parts in made if identity(parts) not in new) if new else made

        return Held(make)

    # ---- join and group

    def _keyed(self, node: Join | Group) -> Delta:
        by = type(node)
        keys: dict[str, _Key] = {}
        count = 0
        for i, child in enumerate(node.children):
            for leaf in leaves(child):
                for was, now in self._differences(leaf):
                    count += 1
                    if count > _MOST_KEYED:
                        raise _TooMany
                    one = was or now
                    assert one is not None
                    name = key_of(leaf, by, one.path)
                    key = keys.get(name) or keys.setdefault(name, _Key(len(node.children)))
                    if was is not None:
                        key.gone[i].append(was)
                    if now is not None:
                        key.new[i].append(now)
        if not keys:
            return _NONE
        self._fill(node, by, keys)
        make = self._joined if by is Join else self._grouped
        return Delta(
            _all(Again(partial(make, name, key, key.gone)) for name, key in keys.items()),
            _all(Again(partial(make, name, key, key.new)) for name, key in keys.items()),
        )

    def _fill(self, node: Join | Group, by: By, keys: dict[str, _Key]) -> None:
        """Look up the files of the keys that were there and still are."""
        sides = [Flat(child, by, self._new, self._loan) for child in node.children]
        for name, key in keys.items():
            for kept, new, side in zip(key.kept, key.new, sides, strict=True):
                fresh = {(one.leaf.index, one.path) for one in new}
                kept += [f for f in side.files(name) if (f[0].index, f[1]) not in fresh]

    def _read(self, files: Iterable[File], by: By, key: str) -> Iterator[Found]:
        reader = Reader(self._new, self._trees)
        return (reader.read(file, by, key) for file in files)

    def _sides(
        self, by: By, name: str, key: _Key, part: list[list[Found]], outer: bool
    ) -> tuple[list[Iterable[Combination]], list[Iterable[Combination]]]:
        """(what stayed, ``part``) of each child; ``outer``: only files of outer inputs."""
        kept: list[Iterable[Combination]] = []
        for files in key.kept:
            some_files = [f for f in files if f[0].outer_join] if outer else files
            kept.append(Held(partial(self._singles, some_files, by, name)))
        changes = [[(f,) for f in one if f.leaf.outer_join or not outer] for one in part]
        return kept, [*changes]

    def _singles(self, files: Iterable[File], by: By, key: str) -> Iterator[Combination]:
        return ((one,) for one in self._read(files, by, key))

    def _joined(self, name: str, key: _Key, part: list[list[Found]]) -> Iterator[Combination]:
        """The combinations of a key that have to do with ``part``."""
        before, now = key.shape(key.gone), key.shape(key.new)
        complete, taking = before if part is key.gone else now
        kept, changes = self._sides(Join, name, key, part, not complete)
        kept, changes = [kept[i] for i in taking], [changes[i] for i in taking]
        if before == now:
            return _touched(kept, changes)
        # other children take part than in the other state: no combination is in both
        return product([_both(k, c) for k, c in zip(kept, changes, strict=True)])

    def _grouped(self, name: str, key: _Key, part: list[list[Found]]) -> Iterator[Combination]:
        files = [*chain(*part)]
        kept = [*chain(*key.kept)]
        if files or kept:
            yield (*self._read(kept, Group, name), *files)


class _Key:
    """The files of one key, for each child of the join or group."""

    __slots__ = ("gone", "kept", "new")

    def __init__(self, children: int) -> None:
        self.gone: list[list[Found]] = [[] for _ in range(children)]
        self.new: list[list[Found]] = [[] for _ in range(children)]
        self.kept: list[list[File]] = [[] for _ in range(children)]

    def shape(self, part: list[list[Found]]) -> tuple[bool, list[int]]:
        """(whether no child lacks the key, the children that take part) of the old or new state."""
        outer = []
        full = []
        for i, (kept, more) in enumerate(zip(self.kept, part, strict=True)):
            if kept or more:
                full.append(i)
            if any(f[0].outer_join for f in kept) or any(f.leaf.outer_join for f in more):
                outer.append(i)
        complete = len(full) == len(self.kept)
        return complete, full if complete else outer


def _touched(
    kept: Sequence[Iterable[Combination]], part: Sequence[Iterable[Combination]]
) -> Iterator[Combination]:
    """The combinations of kept + part with at least one of part, each once."""
    for i, one in enumerate(part):
        if some(one):
            rest = (_both(k, p) for k, p in zip(kept[i + 1 :], part[i + 1 :], strict=True))
            yield from product([*kept[:i], one, *rest])


def _both(kept: Iterable[Combination], part: Iterable[Combination]) -> Iterable[Combination]:
    return Again(partial(chain, kept, part)) if some(part) else kept


def _all(parts: Iterable[Iterable[Combination]]) -> Iterable[Combination]:
    return Again(partial(chain.from_iterable, list(parts)))
