"""Walking trees wherever their nodes lie: in a box, or in its backups."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pachybox.backup.known import Flags
from pachybox.model.ids import Hash
from pachybox.store.index import Prefixes
from pachybox.store.trees import EMPTY, Trees

_BATCH = 1000  # nodes
_ROWS = 1 << 16  # hashes looked up at a time
_FACTORS = [secrets.randbits(64) | 1 for _ in range(4)]
Skip = Callable[[bytes], Flags]
"""For each node, laid end to end, whether all that it names is where it should be already."""


@dataclass(slots=True)
class Found:
    """Some of what trees name. ``trees``: nodes and lists of segments; ``data``: the rest, laid end
    to end, maybe some again."""

    trees: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)


def walk(
    get: Callable[[Hash], bytes], roots: Iterable[Hash], skip: Skip | None = None
) -> Iterator[Found]:
    """All that is reachable from ``roots``, each node once; memory is some 70 bytes a node.

    ``get`` gives a blob, proven. Raises what it raises, and Corrupt when a node is malformed.
    """
    found, seen = Found(), set[int]()

    def fetch(h: Hash) -> bytes:
        found.trees.extend(h)
        return get(h)

    trees = Trees(fetch, cache_bytes=0)
    stack = list(roots)
    while stack:
        some = _new(stack, seen)
        skipped = skip(b"".join(some)) if skip and some else np.zeros(len(some), bool)
        for node, known in zip(some, skipped.tolist(), strict=True):
            if known:
                continue
            lists = len(found.trees)
            nodes, blobs = trees.refs(node)
            stack.extend(nodes)
            fetched = {bytes(found.trees[i : i + 32]) for i in range(lists, len(found.trees), 32)}
            found.data += b"".join([h for h in blobs if h not in fetched])
            if len(found.data) + len(found.trees) > 32 * _ROWS:
                yield found
                found.trees, found.data = bytearray(), bytearray()
    yield found


def _new(stack: list[Hash], seen: set[int]) -> list[Hash]:
    """Take nodes that were not seen from the end of the stack."""
    some: list[Hash] = []
    while stack and len(some) < _BATCH:
        node = stack.pop()
        key = int.from_bytes(node[:16], "big")
        if key not in seen and node != EMPTY:
            seen.add(key)
            some.append(node)
    return some


def keys_of(hashes: bytes | bytearray) -> Prefixes:
    """A number for each of the hashes laid end to end, of all its bytes and of this process alone:
    whoever makes content that begins alike by its hash, which takes minutes, makes none alike here.
    """
    words = np.frombuffer(hashes, "<u8").reshape(-1, 4)
    found: Prefixes = np.zeros(len(words), np.uint64)
    for i, factor in enumerate(_FACTORS):
        found += words[:, i] * np.uint64(factor)
    return found


class Seen:
    """Which hashes came before: eight bytes for each (``keys_of``), sorted."""

    def __init__(self) -> None:
        self.keys: Prefixes = keys_of(b"")

    def new(self, hashes: bytes | bytearray) -> bytes:
        """Those of the hashes laid end to end that come for the first time."""
        keys, first = np.unique(keys_of(hashes), return_index=True)
        fresh = ~np.isin(keys, self.keys, assume_unique=True)
        self.keys = np.union1d(self.keys, keys[fresh])
        return np.frombuffer(hashes, "V32")[np.sort(first[fresh])].tobytes()
