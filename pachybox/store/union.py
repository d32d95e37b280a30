"""Merging many trees into one: a job's output is the union of its datums' trees.

Directory by directory over all trees at once, never pair by pair: a directory that one
tree alone has is taken over by its hash, unread.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from pachybox.errors import InvalidArgument
from pachybox.model.files import Kind
from pachybox.model.ids import Hash
from pachybox.store.chunks import Finder, Shape, Splice, Summary, build, leaves, summary
from pachybox.store.edit import run
from pachybox.store.node import EMPTY, Node, Nodes, PutBlob, Row

_Part = tuple[str, Hash]
_Found = tuple[str, Row]  # label of the tree that has the row
_Step = Generator["_Step", Summary, Summary]
_DIR = int(Kind.DIR)


class Union:
    """Merges trees of one store."""

    def __init__(self, nodes: Nodes, put: PutBlob, shape: Shape, same_ok: bool) -> None:
        self._nodes = nodes
        self._put = put
        self._shape = shape
        self._same_ok = same_ok

    def merge(self, parts: Sequence[_Part]) -> Hash:
        """The root of all ``parts`` in one. Raises InvalidArgument when two have one path."""
        parts = [part for part in parts if part[1] != EMPTY]
        return run(self._directory(parts, "")).hash if parts else EMPTY

    def _directory(self, parts: list[_Part], path: str) -> _Step:
        if self._same_ok:
            parts = list({hash_: (label, hash_) for label, hash_ in reversed(parts)}.values())
            parts.reverse()
        if len(parts) == 1:
            return summary(self._nodes.load(parts[0][1]), parts[0][1])
        found: dict[str, list[_Found]] = {}
        split: list[tuple[int, str, Hash]] = []
        for label, hash_ in parts:
            # perf: nearly all trees are one leaf that is read this once
            node = self._nodes.peek(hash_)
            if node.level:
                split.append((node.entries, label, hash_))
            else:
                _add(found, label, node)
        split.sort(key=lambda part: part[0])
        biggest = split.pop() if split else None
        others = len(found) + sum([entries for entries, *_ in split])
        if biggest is not None and biggest[0] < 2 * others:
            split.append(biggest)
            biggest = None
        for _, label, hash_ in split:
            for leaf, _ in leaves(self._nodes, hash_, once=True):
                _add(found, label, leaf)
        if biggest is not None:
            # it outweighs all others, so it is changed instead of read
            return (yield from self._extend(biggest[1:], found, path))
        self._check_kinds(found, path)
        return (yield from self._build(found, path))

    def _build(self, found: dict[str, list[_Found]], path: str) -> _Step:
        rows = []
        for key in sorted(found):
            having = found[key]
            rows.append(having[0][1] if len(having) == 1 else (yield from self._join(having, path)))
        return build(rows, self._put, self._shape)

    def _extend(self, biggest: _Part, found: dict[str, list[_Found]], path: str) -> _Step:
        label, base = biggest
        finder = Finder(self._nodes, base)
        for key in sorted(found):
            name = key.rstrip("/")
            for old in (finder.find(name), finder.find(name + "/")):
                if old is not None:
                    found.setdefault(old[0], []).insert(0, (label, old))
        self._check_kinds(found, path)
        changes: list[tuple[str, Row | None]] = []
        for key in sorted(found):
            having = found[key]
            row = having[0][1] if len(having) == 1 else (yield from self._join(having, path))
            changes.append((key, row))
        return Splice(self._nodes, base, self._put, self._shape).apply(changes)

    def _join(self, having: list[_Found], path: str) -> Generator[_Step, Summary, Row]:
        """The one row for a name that several trees have."""
        label, first = having[0]
        key = first[0]
        if first[4] == _DIR:
            attrs = next((row[5] for _, row in having if row[5]), b"")
            parts = [(label, Hash(row[1])) for label, row in having]
            made = yield self._directory(parts, f"{path}/{key[:-1]}")
            return made.row(key[:-1], attrs)
        for other, row in having[1:]:
            if not self._same_ok or row[:5] != first[:5]:
                raise _duplicate(f"{path}/{key}", label, other)
        return first

    def _check_kinds(self, found: dict[str, list[_Found]], path: str) -> None:
        """No name may be a file in one tree and a directory in another."""
        for key, having in found.items():
            if having[0][1][4] == _DIR and key[:-1] in found:
                name = key[:-1]
                raise InvalidArgument(
                    f"file / directory path collision: {path}/{name} is a file in "
                    f"{found[name][0][0]} and a directory in {having[0][0]}",
                    "let every datum write to paths of its own",
                )


def _add(found: dict[str, list[_Found]], label: str, leaf: Node) -> None:
    for row in leaf.rows():
        having = found.get(row[0])
        if having is None:
            found[row[0]] = [(label, row)]
        else:
            having.append((label, row))


def _duplicate(path: str, one: str, other: str) -> InvalidArgument:
    return InvalidArgument(
        f"duplicate path output by different datums ({path} from {one} and {other})",
        "let every datum write to paths of its own",
    )
