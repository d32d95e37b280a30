"""One directory as a sorted map key -> row, split into chunks where it is large.

Sits on :mod:`pachybox.store.node` and knows nothing of paths. Up to ``Shape.leaf`` entries
are one leaf. Above that the map is a prolly tree: where a chunk ends depends on nothing but
the hash of the key at its end, so that the same entries give the same nodes whatever the
order of the edits that led to them, and a change touches one chunk a level.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from pachybox.model.ids import Hash
from pachybox.store.node import (
    EMPTY,
    Node,
    Nodes,
    PutBlob,
    Row,
    encode_columns,
    encode_node,
    node_of,
    spliced,
)

Changes = Sequence[tuple[str, Row | None]]
"""New rows by key (None: the key goes), keys strictly rising."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How directories are split. Part of the format: all trees of a store share one.

    Up to ``leaf`` entries stay one node; above, a key ends a chunk of level n when the
    lowest ``bits * (n + 1)`` bits of its hash are 0, so chunks have 2**bits rows on average.
    """

    leaf: int = 256
    bits: int = 5

    def ends(self, level: int, rows: Sequence[Row]) -> list[int]:
        """The end (exclusive) of every chunk of level ``level`` that a key of ``rows`` ends."""
        mask = (1 << self.bits * (level + 1)) - 1
        if mask >= 1 << 64 or not rows:
            return []
        # perf: one encode for all keys, 140 ns a key instead of 200
        keys = "\0".join([row[0] for row in rows]).encode().split(b"\0")
        return [i for i, k in enumerate(keys, 1) if not xxh3_64_intdigest(k) & mask]


SHAPE = Shape()


@dataclass(frozen=True, slots=True)
class Summary:
    """What the parent of a directory needs to know of it."""

    hash: Hash
    size: int
    count: int

    def row(self, name: str, attrs: bytes) -> Row:
        """The directory's row under ``name``."""
        return (name + "/", self.hash, self.size, self.count, 2, attrs)


NOTHING = Summary(EMPTY, 0, 0)


def summary(node: Node, name: Hash) -> Summary:
    """The summary of the directory whose root is ``node``."""
    return Summary(name, sum(node.sizes), sum(node.counts))


def _put_chunk(level: int, rows: Sequence[Row], put: PutBlob, nodes: Nodes | None = None) -> Row:
    """Store a node; its row for the level above."""
    columns = tuple(zip(*rows, strict=True))
    data = encode_columns(level, *columns)
    name = put(data)
    if nodes is not None:
        nodes.keep(name, node_of(level, *columns))
    _, _, sizes, counts, marks, _ = columns
    entries = sum(marks) if level else len(rows)
    return (rows[-1][0], name, sum(sizes), sum(counts), entries, b"")


def build(rows: Sequence[Row], put: PutBlob, shape: Shape) -> Summary:
    """Store a whole directory from its rows in key order.

    Only the rows of the level above are held besides ``rows``. Raises UnicodeEncodeError
    when a key has no UTF-8 form.
    """
    if not rows:
        return NOTHING
    if len(rows) <= shape.leaf:
        return _as_summary(_put_chunk(0, rows, put))
    return _grow(0, rows, put, shape)


def _grow(level: int, rows: Sequence[Row], put: PutBlob, shape: Shape) -> Summary:
    """Store the levels from ``level`` up, until one node holds all."""
    while True:
        above = []
        start = 0
        for end in shape.ends(level, rows):
            above.append(_put_chunk(level, rows[start:end], put))
            start = end
        if start < len(rows):
            above.append(_put_chunk(level, rows[start:], put))
        if len(above) == 1:
            return _as_summary(above[0])
        rows = above
        level += 1


def _as_summary(row: Row) -> Summary:
    return Summary(Hash(row[1]), row[2], row[3])


class Finder:
    """Looks rows of one directory up by key; quick when keys come in order."""

    def __init__(self, nodes: Nodes, root: Hash) -> None:
        self._nodes = nodes
        self._root = nodes.load(root)
        self._leaf: Node | None = None
        self._low = ""  # the leaf at hand covers the keys in (low, high]
        self._high = ""

    def find(self, key: str) -> Row | None:
        """The row of ``key``, or None."""
        leaf = self._leaf
        if leaf is None or not self._low < key <= self._high:
            leaf = self._seek(key)
            if leaf is None:
                return None
        i = bisect_left(leaf.keys, key)
        return leaf.row(i) if i < len(leaf.keys) and leaf.keys[i] == key else None

    def _seek(self, key: str) -> Node | None:
        node, low = self._root, ""
        while node.level:
            i = bisect_left(node.keys, key)
            if i == len(node.keys):
                return None
            if i:
                low = node.keys[i - 1]
            node = self._nodes.child(node, i)
        if node.keys:
            self._leaf, self._low, self._high = node, low, node.keys[-1]
        return node


def leaves(
    nodes: Nodes, root: Hash, after: str = "", *, once: bool = False
) -> Iterator[tuple[Node, int]]:
    """The leaves of a directory in order, each with the index of its first row behind the
    key ``after``. ``once`` leaves the cache alone."""
    node = nodes.peek(root) if once else nodes.load(root)
    stack: list[tuple[Node, int]] = []
    at = bisect_right(node.keys, after) if after else 0
    while True:
        while node.level and at < len(node.keys):
            stack.append((node, at + 1))
            node = nodes.child(node, at, once=once)
            at = bisect_right(node.keys, after) if after else 0
        if node.level == 0 and at < len(node.keys):
            yield node, at
        after = ""
        if not stack:
            return
        node, at = stack.pop()


def leaves_at(nodes: Nodes, root: Hash, index: int) -> Iterator[tuple[Node, int]]:
    """The leaves of a directory in order from its row number ``index`` (from 0) on, each with the
    index of the first row to take; found by the counts of the chunks."""
    node = nodes.load(root)
    stack: list[tuple[Node, int]] = []
    while True:
        while node.level:
            at = 0
            while at < len(node.keys) and index >= node.marks[at]:
                index -= node.marks[at]
                at += 1
            if at == len(node.keys):
                break
            stack.append((node, at + 1))
            node = nodes.child(node, at)
        if node.level == 0 and index < len(node.keys):
            yield node, index
        index = 0
        while stack and stack[-1][1] == len(stack[-1][0].keys):
            stack.pop()
        if not stack:
            return
        parent, at = stack.pop()
        stack.append((parent, at + 1))
        node = nodes.child(parent, at)


def leaves_back(nodes: Nodes, root: Hash, before: str = "") -> Iterator[tuple[Node, int]]:
    """The leaves of a directory from the last to the first, each with the end (exclusive) of
    its rows in front of the key ``before`` (empty: all)."""
    node = nodes.load(root)
    stack: list[tuple[Node, int]] = []

    def end(node: Node) -> int:
        # the child that would hold `before` itself can have rows in front of it
        if not before:
            return len(node.keys)
        i = bisect_left(node.keys, before)
        return min(i + 1, len(node.keys)) if node.level else i

    at = end(node)
    while True:
        while node.level and at > 0:
            stack.append((node, at - 1))
            node = nodes.child(node, at - 1)
            at = end(node)
        if node.level == 0 and at > 0:
            yield node, at
        if not stack:
            return
        node, at = stack.pop()


class Splice:
    """One batch of changes to a directory that exists, level by level from the leaves up.

    What ``put`` stored must be readable through ``nodes`` at once.
    """

    def __init__(self, nodes: Nodes, root: Hash, put: PutBlob, shape: Shape) -> None:
        self._nodes = nodes
        self._name = root
        self._root = nodes.load(root)
        self._put = put
        self._shape = shape

    def apply(self, changes: Changes) -> Summary:
        """The directory after ``changes``; NOTHING when it is empty then.

        Raises UnicodeEncodeError when a key has no UTF-8 form.
        """
        root = self._root
        few = len(changes) <= 4 or 4 * len(changes) < len(root.keys)
        if root.level == 0 and root.keys and few:
            leaf = spliced(root, changes)
            if 0 < len(leaf.keys) <= self._shape.leaf:
                name = self._put(encode_node(leaf))
                self._nodes.keep(name, leaf)
                return summary(leaf, name)
        if root.level == 0:
            return build(_merge(root.rows(), changes), self._put, self._shape)
        if not changes:
            return summary(root, self._name)
        for level in range(root.level + 1):
            changes = self._level(level, changes)
        return self._top([row for _, row in changes if row is not None])

    def _top(self, tops: list[Row]) -> Summary:
        """Finish the root from the nodes that are left on the old root's level."""
        if not tops:
            return NOTHING
        level = self._root.level
        entries = sum([row[4] for row in tops])
        if entries <= self._shape.leaf:
            return build(self._collect(tops), self._put, self._shape)
        if len(tops) > 1:
            return _grow(level + 1, tops, self._put, self._shape)
        name = Hash(tops[0][1])
        node = self._nodes.load(name)
        while node.level and len(node.keys) == 1:
            name = node.hash(0)
            node = self._nodes.child(node, 0)
        return summary(node, name)

    def _collect(self, tops: list[Row]) -> list[Row]:
        out = []
        for top in tops:
            for leaf, _ in leaves(self._nodes, Hash(top[1])):
                out += leaf.rows()
        return out

    def _level(self, level: int, changes: Changes) -> Changes:
        """Rewrite the chunks of one level that ``changes`` touch; what that changes above."""
        above: dict[str, Row | None] = {}
        rest: list[Row] = []  # rows whose chunk has lost its end, carried into the next one
        last = ""
        done = 0
        while done < len(changes) or rest:
            if rest:
                node, rightmost = self._seek(level, last, behind=True)
            else:
                node, rightmost = self._seek(level, changes[done][0])
            last = node.keys[-1]
            end = len(changes) if rightmost else bisect_right(changes, last, done, key=_key)
            rows = rest + _merge(node.rows(), changes[done:end])
            done = end
            above[last] = None
            start = 0
            for cut in self._shape.ends(level, rows):
                self._emit(level, rows[start:cut], above)
                start = cut
            rest = rows[start:]
            if rest and rightmost:
                self._emit(level, rest, above)
                rest = []
        return sorted(above.items(), key=_key)

    def _emit(self, level: int, rows: Sequence[Row], above: dict[str, Row | None]) -> None:
        row = _put_chunk(level, rows, self._put, self._nodes)
        above[row[0]] = row

    def _seek(self, level: int, key: str, *, behind: bool = False) -> tuple[Node, bool]:
        """The chunk of ``level`` that holds ``key`` or would (``behind``: that begins behind
        it), and whether it is the rightmost of its level."""
        bisect = bisect_right if behind else bisect_left
        node, rightmost = self._root, True
        while node.level > level:
            i = min(bisect(node.keys, key), len(node.keys) - 1)
            rightmost = rightmost and i == len(node.keys) - 1
            node = self._nodes.child(node, i)
        return node, rightmost


def _key(change: tuple[str, Row | None]) -> str:
    return change[0]


def _merge(rows: list[Row], changes: Changes) -> list[Row]:
    """``rows`` with ``changes`` made."""
    if len(changes) > 8 + len(rows) // 8:
        merged: dict[str, Row | None] = {row[0]: row for row in rows}
        merged.update(changes)
        out = [row for row in merged.values() if row is not None]
        out.sort(key=lambda row: row[0])
        return out
    for key, row in changes:
        i = bisect_left(rows, key, key=lambda row: row[0])
        found = i < len(rows) and rows[i][0] == key
        if row is not None:
            rows[i : i + found] = [row]
        elif found:
            del rows[i]
    return rows
