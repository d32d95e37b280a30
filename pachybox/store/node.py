"""Tree nodes as bytes: encode, decode, cache. The lowest layer of the trees.

A node is an ordinary blob named by its hash. It holds the rows of one chunk of one
directory in key order, column by column, so that decoding is a handful of
slices. ``docs/format.md`` has the layout byte by byte.
"""

from __future__ import annotations

import struct
import sys
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from blake3 import blake3

from pachybox.errors import Corrupt
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Hash

Row = tuple[str, bytes, int, int, int, bytes]
"""(key, hash, size, count, mark, attrs) of one child.

The key of a file is its name, of a directory its name and ``/``, of a chunk the last
key in it. ``mark`` is the Kind of an entry, and for a chunk the number of entries
under it. ``count`` is the number of files, ``size`` their bytes.
"""

Get = Callable[[Hash], bytes]
PutBlob = Callable[[bytes], Hash]

MAGIC = b"pbTN"
VERSION = 1
MAX_LEVEL = 16
_HEADER = struct.Struct("<4s5B3xIII")  # magic, version, level, 3 widths; rows, key and attr bytes
_Code = Literal["B", "H", "I", "Q"]
_CODES: dict[int, _Code] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_DIR = int(Kind.DIR)
_DOTS = (".", "..", "./", "../")
# perf: by number, a third of the cost of Kind(number); 0 never passes decode
_KINDS = (Kind.FILE, Kind.FILE, Kind.DIR, Kind.SEGMENTS)
_SWAP = sys.byteorder == "big"
_KEEP_S = 20.0


@dataclass(slots=True)
class Node:
    """A decoded node; treat as immutable, since the cache shares it.

    Level 0 holds entries, level n chunks of level n - 1. The columns have one item
    per row; ``hashes`` has 32 bytes per row, ``attrs`` only the rows that have any.
    """

    level: int
    keys: list[str]
    hashes: bytes
    sizes: Sequence[int]
    counts: Sequence[int]
    marks: Sequence[int]
    attrs: dict[int, bytes]

    def hash(self, i: int) -> Hash:
        """The hash of row ``i``."""
        return Hash(self.hashes[32 * i : 32 * i + 32])

    def row(self, i: int) -> Row:
        """Row ``i``."""
        return (
            self.keys[i],
            self.hashes[32 * i : 32 * i + 32],
            self.sizes[i],
            self.counts[i],
            self.marks[i],
            self.attrs.get(i, b""),
        )

    def rows(self) -> list[Row]:
        """All rows in key order."""
        attrs: Sequence[bytes] = (b"",) * len(self.keys)
        if self.attrs:
            attrs = [self.attrs.get(i, b"") for i in range(len(self.keys))]
        return list(
            zip(
                self.keys,
                self.split_hashes(),
                self.sizes,
                self.counts,
                self.marks,
                attrs,
                strict=True,
            )
        )

    def split_hashes(self) -> list[Hash]:
        """The hash of every row."""
        h = self.hashes
        return [Hash(h[i : i + 32]) for i in range(0, len(h), 32)]

    def iterate(self, start: int = 0) -> Iterator[Entry]:
        """The rows of a leaf from ``start`` on as Entries."""
        attrs = self.attrs
        h = self.hashes
        columns = zip(self.keys[start:], self.sizes[start:], self.counts[start:], strict=True)
        for i, (key, size, count) in enumerate(columns, start):
            kind = _KINDS[self.marks[i]]
            yield Entry(
                key[:-1] if kind is _KINDS[2] else key,
                kind,
                Hash(h[32 * i : 32 * i + 32]),
                size,
                count,
                attrs.get(i, b"") if attrs else b"",
            )

    def entry(self, i: int) -> Entry:
        """Row ``i`` of a leaf as an Entry."""
        return entry_of(self.row(i))

    @property
    def entries(self) -> int:
        """How many entries of the directory lie in or under this node."""
        return len(self.keys) if self.level == 0 else sum(self.marks)


def entry_of(row: Row) -> Entry:
    """The Entry that a leaf's row stands for."""
    key, hash_, size, count, mark, attrs = row
    name = key[:-1] if mark == _DIR else key
    return Entry(name, _KINDS[mark], Hash(hash_), size, count, attrs)


def row_of(name: str, entry: Entry) -> Row:
    """The row of ``entry`` under ``name`` (the entry's own name does not matter)."""
    if entry.kind is Kind.DIR:
        return (name + "/", entry.hash, entry.size, entry.count, _DIR, entry.attrs)
    return (name, entry.hash, entry.size, 1, int(entry.kind), entry.attrs)


def typecode(top: int) -> _Code:
    """The code of the smallest width that holds ``top``; codes rise with the widths."""
    return "B" if top < 256 else "H" if top < 1 << 16 else "I" if top < 1 << 32 else "Q"


def _column(values: Sequence[int], narrow: bool = False) -> tuple[int, bytes]:
    """The smallest width that holds all values, and the little-endian column. ``narrow``: an
    array has that width already."""
    if type(values) is bytes:
        return 1, values
    if narrow and type(values) is array and not _SWAP:
        return values.itemsize, values.tobytes()
    code = typecode(max(values, default=0))
    if code == "B":
        return 1, bytes(list(values))  # not an array's own bytes
    column = array(code, values)
    if _SWAP:
        column.byteswap()
    return column.itemsize, column.tobytes()


def encode(level: int, rows: Sequence[Row]) -> bytes:
    """The bytes of a node. ``rows`` are in strictly rising key order.

    Raises UnicodeEncodeError when a key has no UTF-8 form. The same rows always
    give the same bytes.
    """
    if not rows:
        return _HEADER.pack(MAGIC, VERSION, level, 1, 1, 1, 0, 0, 0)
    return encode_columns(level, *zip(*rows, strict=True))


def encode_columns(
    level: int,
    keys: Sequence[str],
    hashes: Sequence[bytes],
    sizes: Sequence[int],
    counts: Sequence[int],
    marks: Sequence[int],
    attrs: Sequence[bytes],
) -> bytes:
    """Like encode, from the columns of at least one row."""
    names = "\0".join(keys).encode()
    size_width, size_column = _column(sizes)
    count_width, count_column = _column(counts)
    mark_width, mark_column = _column(marks)
    attr_block = _encode_attrs(attrs) if any(attrs) else b""
    return b"".join(
        (
            _HEADER.pack(
                MAGIC,
                VERSION,
                level,
                size_width,
                count_width,
                mark_width,
                len(keys),
                len(names),
                len(attr_block),
            ),
            names,
            b"".join(hashes),
            size_column,
            count_column,
            mark_column,
            attr_block,
        )
    )


def _encode_attrs(attrs: Sequence[bytes]) -> bytes:
    """u32 n, n row numbers (u32), n lengths (u32), the bytes."""
    return _encode_attrs_of({i: a for i, a in enumerate(attrs) if a})


def _encode_attrs_of(attrs: dict[int, bytes]) -> bytes:
    """The same of the rows that have any, in their order."""
    n = len(attrs)
    numbers = struct.pack(f"<I{2 * n}I", n, *attrs, *map(len, attrs.values()))
    return numbers + b"".join(attrs.values())


def node_of(
    level: int,
    keys: Sequence[str],
    hashes: Sequence[bytes],
    sizes: Sequence[int],
    counts: Sequence[int],
    marks: Sequence[int],
    attrs: Sequence[bytes],
) -> Node:
    """The node that decode makes of what encode_columns makes of this."""
    return Node(
        level,
        list(keys),
        b"".join(hashes),
        sizes,
        counts,
        marks if level else bytes(marks),
        {i: a for i, a in enumerate(attrs) if a},
    )


def encode_node(node: Node) -> bytes:
    """The bytes of a node of at least one row."""
    return encode_parts(node, attr_block(node.attrs), narrow=False)


def attr_block(attrs: dict[int, bytes]) -> bytes:
    """The last part of a node's bytes."""
    return _encode_attrs_of(attrs) if attrs else b""


def encode_parts(node: Node, attrs: bytes, *, narrow: bool) -> bytes:
    """The bytes of a node of at least one row, ``attrs`` being encoded already. ``narrow``:
    arrays in it are of the smallest width that holds their values."""
    names = "\0".join(node.keys).encode()
    size_width, size_column = _column(node.sizes, narrow)
    count_width, count_column = _column(node.counts, narrow)
    mark_width, mark_column = _column(node.marks)
    head = _HEADER.pack(
        MAGIC, VERSION, node.level, size_width, count_width, mark_width,
        len(node.keys), len(names), len(attrs),
    )  # fmt: skip
    return b"".join((head, names, node.hashes, size_column, count_column, mark_column, attrs))


def spliced(node: Node, changes: Sequence[tuple[str, Row | None]]) -> Node:
    """A leaf with rows set and taken out by key, as a new node. For few changes: the columns
    are copied whole and no row is made of them (8 us where making rows takes 100)."""
    keys, sizes, counts = list(node.keys), list(node.sizes), list(node.counts)
    hashes, marks = bytearray(node.hashes), bytearray(node.marks)
    attrs = node.attrs
    for key, row in changes:
        i = bisect_left(keys, key)
        found = i < len(keys) and keys[i] == key
        if row is None and not found:
            continue
        new = () if row is None else (row,)
        keys[i : i + found] = [key for _ in new]
        hashes[32 * i : 32 * (i + found)] = b"".join([r[1] for r in new])
        sizes[i : i + found] = [r[2] for r in new]
        counts[i : i + found] = [r[3] for r in new]
        marks[i : i + found] = bytes([r[4] for r in new])
        step = len(new) - found
        if attrs or (row is not None and row[5]):
            moved = {n if n < i else n + step: a for n, a in attrs.items() if n != i or not found}
            if row is not None and row[5]:
                moved[i] = row[5]
                moved = dict(sorted(moved.items()))
            attrs = moved
    return Node(node.level, keys, bytes(hashes), sizes, counts, bytes(marks), attrs)


def _decode_attrs(block: bytes, rows: int) -> dict[int, bytes]:
    (n,) = struct.unpack_from("<I", block)
    if not 0 < n <= rows:
        raise ValueError("bad number of attrs")
    numbers = struct.unpack_from(f"<{2 * n}I", block, 4)
    at, lengths = numbers[:n], numbers[n:]
    ends = list(accumulate(lengths, initial=4 + 8 * n))
    if ends[-1] != len(block) or at[-1] >= rows or 0 in lengths:
        raise ValueError("bad attrs")
    if any(a >= b for a, b in pairwise(at)):
        raise ValueError("attrs out of order")
    return {i: block[a:b] for i, (a, b) in zip(at, pairwise(ends), strict=True)}


def decode(data: bytes, name: Hash) -> Node:
    """The node in ``data``; ``name`` is its hash, for the error.

    Raises Corrupt when the bytes are no well-formed node of a known version.
    """
    try:
        return _decode(data)
    except (ValueError, struct.error, KeyError) as bad:
        why = bad.args[0] if type(bad) is ValueError else "malformed"
        raise Corrupt(
            f"tree node {name.hex()} cannot be read: {why}",
            "run fsck, and restore the store from a backup",
        ) from bad


def _decode(data: bytes) -> Node:
    (magic, version, level, size_width, count_width, mark_width, n, names_len, attrs_len) = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC:
        raise ValueError("not a tree node")
    if version != VERSION:
        raise ValueError(f"format version {version} is newer than this program")
    a = _HEADER.size + names_len
    b = a + 32 * n
    c = b + n * size_width
    d = c + n * count_width
    e = d + n * mark_width
    if e + attrs_len != len(data) or level > MAX_LEVEL:
        raise ValueError("wrong length")
    names = data[_HEADER.size : a].decode()
    keys = names.split("\0") if n else []
    if len(keys) != n or (not n and (level or names_len or attrs_len)):
        raise ValueError("wrong number of keys")
    marks = _take(data[d:e], mark_width)
    _check_keys(level, keys, names, marks)
    return Node(
        level,
        keys,
        data[a:b],
        _take(data[b:c], size_width),
        _take(data[c:d], count_width),
        marks,
        _decode_attrs(data[e:], n) if attrs_len else {},
    )


def _take(column: bytes, width: int) -> Sequence[int]:
    if width == 1:
        return column
    out = array(_CODES[width], column)
    if _SWAP:
        out.byteswap()
    return out


def _check_keys(level: int, keys: list[str], names: str, marks: Sequence[int]) -> None:
    """Keys rise strictly, are plain names, and end in ``/`` exactly for directories."""
    n = len(keys)
    if n > 1 and (keys != sorted(keys) or len(set(keys)) != n):
        raise ValueError("keys out of order")
    if n and keys[0] in ("", "/"):
        raise ValueError("empty key")
    if (names.startswith(".") or "\0." in names) and any(_has(keys, dot) for dot in _DOTS):
        raise ValueError("key is a dot name")
    slashes = names.count("/")
    if level:
        if slashes and not all(k.find("/") in (-1, len(k) - 1) for k in keys):
            raise ValueError("slash in a key")
        return
    if not isinstance(marks, bytes) or marks.translate(None, b"\1\2\3"):
        raise ValueError("unknown kind")
    if slashes or marks.count(_DIR):
        if slashes != marks.count(_DIR):
            raise ValueError("kinds do not match the keys")
        if not all((k[-1] == "/") is (m == _DIR) for k, m in zip(keys, marks, strict=True)):
            raise ValueError("kinds do not match the keys")


def _has(keys: list[str], key: str) -> bool:
    i = bisect_left(keys, key)
    return i < len(keys) and keys[i] == key


EMPTY: Hash = Hash(blake3(encode(0, ())).digest())
"""The empty directory; valid without being stored."""

_EMPTY_NODE = Node(0, [], b"", b"", b"", b"", {})


class Nodes:
    """Loads nodes through a cache bounded by an estimate of bytes. Thread-safe.

    Two generations stand in for a strict LRU: a hit costs one dict look-up and no
    lock, and what was not used while half the budget passed through is dropped. So is, as
    others come, what was not used for ``_KEEP_S`` seconds: a branch that gets a commit a second
    leaves nodes that nobody reads again, and would fill the budget with them.
    """

    def __init__(
        self, get: Get, cache_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._get = get
        self._half = cache_bytes // 2
        self._clock = clock
        self._since = clock()  # when the young generation began
        self._young: dict[Hash, Node] = {}
        self._old: dict[Hash, Node] = {}
        self._young_bytes = 0
        self._lock = threading.Lock()

    def load(self, name: Hash) -> Node:
        """The node called ``name``, kept for the next reader. Raises Corrupt when malformed."""
        node = self._young.get(name)
        if node is not None:
            return node
        node = self._old.get(name)
        if node is None:
            if name == EMPTY:
                return _EMPTY_NODE
            node = decode(self._get(name), name)
        self.keep(name, node)
        return node

    def peek(self, name: Hash) -> Node:
        """Like load, but leaves the cache as it is: for passes that read each node once."""
        node = self._young.get(name) or self._old.get(name)
        if node is not None:
            return node
        return _EMPTY_NODE if name == EMPTY else decode(self._get(name), name)

    def child(self, parent: Node, i: int, *, once: bool = False) -> Node:
        """The chunk under row ``i`` of an inner node. Raises Corrupt when it does not fit there."""
        name = parent.hash(i)
        node = self.peek(name) if once else self.load(name)
        self.check(node, parent.level - 1, parent.keys[i], name)
        return node

    @staticmethod
    def check(node: Node, level: int, last: str, name: Hash) -> None:
        """Raise Corrupt unless ``node`` is a chunk of ``level`` that ends at the key ``last``."""
        if node.level != level or not node.keys or node.keys[-1] != last:
            raise Corrupt(
                f"tree node {name.hex()} does not belong under its parent",
                "run fsck, and restore the store from a backup",
            )

    def keep(self, name: Hash, node: Node, attr_bytes: int | None = None) -> None:
        """Remember a node that was read or just written. ``attr_bytes``: about how long its
        attrs are, where that is known."""
        if attr_bytes is None:
            attr_bytes = sum(map(len, node.attrs.values()))
        # 120 bytes a row: the key's object, its place in the list, hash and numbers
        cost = 600 + 120 * len(node.keys) + attr_bytes
        if cost > self._half:
            return
        now = self._clock()
        with self._lock:
            if self._young_bytes + cost > self._half or now - self._since > _KEEP_S:
                self._old, self._young, self._young_bytes = self._young, {}, 0
                self._since = now
            if name not in self._young:
                self._young[name] = node
                self._young_bytes += cost
