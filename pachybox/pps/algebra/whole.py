"""All datums of an input over given trees.

* pfs, cron: one datum for each match, in the order of the tree.
* union: the datums of the children, one child after the other.
* cross: the product, the first child varying fastest; an empty child gives none.
* join: for each key the product of the children's files of that key, over all children. A key
  that some child lacks gives nothing, unless files of it are of inputs with ``outer_join``:
  then it gives the product over the children that have such files, of these files alone. (Of
  three children A, B, C, A and B outer: a key in A and B gives A x B, a key in A and C or in A
  alone gives A, a key in C alone nothing.)
* group: for each key one datum of all files with it.

Keys come sorted. Children of join and group that are no pfs input give the files that occur
in their datums, each once, under its own key. A file without a template has the empty key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from hashlib import blake2b
from itertools import chain
from typing import Protocol

from pachybox.errors import Internal
from pachybox.model.files import Entry
from pachybox.pps.algebra.index import By, Index, Indexes, Loan, borrow
from pachybox.pps.algebra.match import Combination, Found, Roots, Trees, matched, root_of
from pachybox.pps.algebra.nodes import (
    Cross,
    Group,
    Join,
    Leaf,
    Node,
    Union,
    leaves,
    repeats,
    shares_files,
)
from pachybox.pps.algebra.product import Held, product


def whole(
    node: Node, roots: Roots, trees: Trees, cache: Indexes | None = None
) -> Iterator[Combination]:
    """All datums, each once, the parts of each sorted by input name, then path.

    Streams: held are the indexes of joins and groups and small sides of crosses, and, where
    one datum may come about in two ways, 16 bytes for each. Indexes are taken from ``cache``
    and left there. The trees may not be collected while the iterator lives.
    """
    if isinstance(node, Leaf):
        for one in matched(trees, node, root_of(roots, node)):
            yield (one,)
        return
    made = map(in_order, plain(node, roots, trees, cache))
    yield from _once(made) if repeats(node) else made


def plain(
    node: Node, roots: Roots, trees: Trees, cache: Indexes | None = None
) -> Iterator[Combination]:
    """Like ``whole``, but the parts of a datum are in the order of the inputs, and a datum
    that ``repeats`` suspects may come again."""
    with borrow(trees, cache) as loan:
        yield from _Walk(roots, trees, loan).datums(node)


def in_order(parts: Combination) -> Combination:
    """The combination with its parts sorted."""
    return parts if len(parts) == 1 else tuple(sorted(parts, key=_place))


def identity(parts: Combination) -> tuple[tuple[int, str], ...]:
    """What tells a datum from others, whatever the content and the order; like its id."""
    return tuple(sorted((one.leaf.source, one.path) for one in parts))


def _place(one: Found) -> tuple[str, str, int]:
    return one.leaf.name, one.path, one.leaf.index


def _once(made: Iterable[Combination]) -> Iterator[Combination]:
    seen: set[bytes] = set()
    for parts in made:
        text = "\0".join(f"{one.leaf.source}{one.path}" for one in parts)  # no path has a NUL
        mark = blake2b(text.encode(), digest_size=16).digest()
        if mark not in seen:
            seen.add(mark)
            yield parts


class _Walk:
    """One walk over the trees, with the indexes that it needs."""

    def __init__(self, roots: Roots, trees: Trees, loan: Loan) -> None:
        self._roots = roots
        self._trees = trees
        self._loan = loan
        self._sides: dict[int, list[Side]] = {}
        self._read = Reader(roots, trees).read

    def datums(self, node: Node) -> Iterator[Combination]:
        if isinstance(node, Leaf):
            return ((one,) for one in matched(self._trees, node, root_of(self._roots, node)))
        if isinstance(node, Union):
            return chain.from_iterable(map(self.datums, node.children))
        if isinstance(node, Cross):
            return product([Held(partial(self.datums, child)) for child in node.children])
        return self._join(node) if isinstance(node, Join) else self._group(node)

    def _join(self, node: Join) -> Iterator[Combination]:
        sides = self._sides_of(node)
        keys = [side.keys() for side in sides]
        outer = any(leaf.outer_join for leaf in leaves(node))
        wanted = set().union(*keys) if outer else set(keys[0]).intersection(*keys[1:])
        for key in sorted(wanted):
            files = [side.files(key) for side in sides]
            if not all(files):
                files = [[file for file in some if file[0].outer_join] for some in files]
            lists = [[(self._read(file, Join, key),) for file in some] for some in files if some]
            if lists and all(len(some) == 1 for some in lists):
                yield tuple(some[0][0] for some in lists)  # perf: nearly always
            else:
                yield from product(lists)

    def _group(self, node: Group) -> Iterator[Combination]:
        sides = self._sides_of(node)
        once = shares_files(node)
        for key in sorted(set().union(*(side.keys() for side in sides))):
            files = [file for side in sides for file in side.files(key)]
            if once:
                files = distinct(files)
            yield tuple(self._read(file, Group, key) for file in files)

    def _sides_of(self, node: Join | Group) -> list[Side]:
        """One side for each child; made once, however often the node is walked."""
        made = self._sides.get(id(node))
        if made is None:
            made = [self._side(child, type(node)) for child in node.children]
            self._sides[id(node)] = made
        return made

    def _side(self, child: Node, by: By) -> Side:
        if not is_flat(child):
            return _Nested(self.datums(child), by)
        return Flat(child, by, self._roots, self._loan)


File = tuple[Leaf, str]
"""A path and the leaf that matched it."""


class Side(Protocol):
    """The files of one child of a join or group, by key."""

    def keys(self) -> AbstractSet[str]:
        """All keys."""

    def files(self, key: str) -> Sequence[File]:
        """The files of a key, each once."""


class Flat:
    """The side of a child that is a leaf, or a union of such: an index for each leaf."""

    def __init__(self, child: Node, by: By, roots: Roots, loan: Loan) -> None:
        self._indexes: list[tuple[Leaf, Index]] = []
        for leaf in leaves(child):
            root = root_of(roots, leaf)
            if root is not None:
                self._indexes.append((leaf, loan.at(leaf, by, root)))
        self._shared = shares_files(child)

    def keys(self) -> AbstractSet[str]:
        """All keys."""
        if len(self._indexes) == 1:
            return self._indexes[0][1].keys()
        return set().union(*(index.keys() for _, index in self._indexes))

    def files(self, key: str) -> Sequence[File]:
        """The files of a key, by leaf, then path."""
        files = [(leaf, path) for leaf, index in self._indexes for path in index.paths(key)]
        return distinct(files) if self._shared else files


class _Nested:
    """The side of any other child: the files of its datums."""

    def __init__(self, made: Iterable[Combination], by: By) -> None:
        self._files: dict[str, dict[tuple[int, str], Leaf]] = {}
        for parts in made:
            for one in parts:
                key = one.join_on if by is Join else one.group_by
                self._files.setdefault(key, {}).setdefault((one.leaf.source, one.path), one.leaf)

    def keys(self) -> AbstractSet[str]:
        return self._files.keys()

    def files(self, key: str) -> Sequence[File]:
        return [(leaf, path) for (_, path), leaf in self._files.get(key, {}).items()]


def is_flat(node: Node) -> bool:
    """Whether the files of a node are those of its leaves: a leaf, or unions of leaves."""
    return isinstance(node, Leaf) or (isinstance(node, Union) and all(map(is_flat, node.children)))


def distinct(files: Iterable[File]) -> list[File]:
    """Each file once, with the first leaf that has it."""
    once: dict[tuple[int, str], File] = {}
    for file in files:
        once.setdefault((file[0].source, file[1]), file)
    return list(once.values())


class Reader:
    """Makes of the files of an index what was matched, with the entries read again."""

    def __init__(self, roots: Roots, trees: Trees) -> None:
        self._roots = roots
        self._trees = trees
        self._lookups: dict[int, Callable[[str], Entry | None]] = {}

    def read(self, file: File, by: By, key: str) -> Found:
        """One file; ``key`` is the one it is indexed under."""
        leaf, path = file
        entry = (self._lookups.get(leaf.index) or self._lookup(leaf))(path)
        if entry is None:
            raise Internal(f"{path} is indexed for {leaf.branch} but is not in its tree")
        join_on = key if by is Join else leaf.join_key(path)
        return Found(leaf, path, entry, join_on, key if by is Group else leaf.group_key(path))

    def _lookup(self, leaf: Leaf) -> Callable[[str], Entry | None]:
        root = root_of(self._roots, leaf)
        assert root is not None  # or there were no index
        return self._lookups.setdefault(leaf.index, self._trees.lookup(root))
