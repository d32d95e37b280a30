"""Putting a few files into small directories that are there: what most edits are.

Each directory is rewritten by copying its columns and setting the rows that change, whatever
else is in it: no row is made of the others (a tenth of the price). What is anything else is left
to edit.py, before anything was stored; both give the same nodes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from pachybox.model.files import Delete, Edit, Kind
from pachybox.model.ids import Hash
from pachybox.store.chunks import Shape, Summary
from pachybox.store.node import (
    Node,
    Nodes,
    PutBlob,
    Row,
    attr_block,
    encode_parts,
    row_of,
    typecode,
)

MOST = 256
"""Edits at most; of more, many fall into the same directories."""

_DIR = Kind.DIR
_BAD_NAMES = frozenset(("", ".", ".."))


class _Directory:
    """A directory that is being put into. ``parent`` None: it is the root."""

    __slots__ = ("at", "node", "parent", "rows")

    def __init__(self, node: Node, parent: _Directory | None, at: int) -> None:
        self.node = node
        self.parent = parent
        self.at = at  # its row in the parent
        self.rows: dict[str, Row] = {}


def put_files(
    nodes: Nodes, put: PutBlob, shape: Shape, root: Hash, edits: Sequence[Edit]
) -> Hash | None:
    """The root after ``edits``; None when they are anything else, and nothing was stored."""
    opened = _opened(nodes, shape, root, edits)
    if opened is None:
        return None
    hash_ = root
    for directory in reversed(opened):  # those below come later
        node, data, attr_bytes = with_rows(directory.node, directory.rows)
        hash_ = put(data)
        nodes.keep(hash_, node, attr_bytes)
        parent = directory.parent
        if parent is not None:
            key, attrs = parent.node.keys[directory.at], parent.node.attrs.get(directory.at, b"")
            made = Summary(hash_, sum(node.sizes), sum(node.counts))
            parent.rows[key] = made.row(key[:-1], attrs)
    return hash_


def _opened(
    nodes: Nodes, shape: Shape, root: Hash, edits: Sequence[Edit]
) -> list[_Directory] | None:
    """The directories that ``edits`` put into, with their new rows; parents come first."""
    if not edits or len(edits) > MOST:
        return None
    top = _Directory(nodes.load(root), None, 0)
    if top.node.level or not top.node.keys:
        return None
    opened = {"": top}
    for edit in edits:
        path = edit.path
        if isinstance(edit, Delete) or edit.entry.kind is _DIR or not path.isascii():
            return None
        parent, slash, name = path.rpartition("/")
        if not slash or name in _BAD_NAMES or "\0" in name:
            return None
        directory = opened.get(parent)
        if directory is None:
            directory = _open(nodes, opened, parent)
            if directory is None:
                return None
        keys = directory.node.keys
        i = bisect_left(keys, name + "/")
        if i < len(keys) and keys[i] == name + "/":
            return None
        directory.rows[name] = row_of(name, edit.entry)
    for directory in opened.values():
        if len(directory.node.keys) + len(directory.rows) > shape.leaf:
            return None
    return list(opened.values())


def _open(nodes: Nodes, opened: dict[str, _Directory], path: str) -> _Directory | None:
    """The directory ``path`` and those above it, opened; None when it is not there or large."""
    first, *elements = path.split("/")
    if first:
        return None
    here, directory = "", opened[""]
    for element in elements:
        here = f"{here}/{element}"
        known = opened.get(here)
        if known is None:
            node = directory.node
            i = bisect_left(node.keys, element + "/")
            if i == len(node.keys) or node.keys[i] != element + "/":
                return None
            known = _Directory(nodes.load(node.hash(i)), directory, i)
            if known.node.level or not known.node.keys:
                return None
            opened[here] = known
        directory = known
    return directory


def with_rows(node: Node, rows: dict[str, Row]) -> tuple[Node, bytes, int]:
    """A leaf of at least one row with ``rows`` set by key: the node, its bytes, and how many of
    those its attrs are."""
    keys, attrs = node.keys, node.attrs
    hashes, marks = bytearray(node.hashes), bytearray(node.marks)
    places: list[tuple[int, bool]] = []
    for key, row in rows.items():
        i = bisect_left(keys, key)
        found = i < len(keys) and keys[i] == key
        if attrs or row[5]:
            attrs = _attrs_with(attrs, len(keys), i, found, row[5])
        if found:
            hashes[32 * i : 32 * i + 32] = row[1]
            marks[i] = row[4]
        else:
            if keys is node.keys:
                keys = keys[:]
            keys.insert(i, key)
            hashes[32 * i : 32 * i] = row[1]
            marks.insert(i, row[4])
        places.append((i, found))
    values = list(rows.values())
    sizes = _column_with(node.sizes, places, [row[2] for row in values])
    counts = _column_with(node.counts, places, [row[3] for row in values])
    made = Node(0, keys, bytes(hashes), sizes, counts, bytes(marks), attrs)
    block = attr_block(attrs)
    return made, encode_parts(made, block, narrow=True), len(block)


def _attrs_with(
    attrs: dict[int, bytes], rows: int, i: int, found: bool, new: bytes
) -> dict[int, bytes]:
    """The attrs of ``rows`` rows after row ``i`` was set (``found``) or put between them."""
    if new and len(attrs) == rows:  # every row has some
        values = list(attrs.values())
        values[i : i + found] = [new]
        return dict(enumerate(values))
    if found:
        moved = dict(attrs)
        moved.pop(i, None)
    else:
        moved = {n + (n >= i): a for n, a in attrs.items()}
    if new:
        moved[i] = new
        moved = dict(sorted(moved.items()))
    return moved


def _column_with(
    values: Sequence[int], places: Sequence[tuple[int, bool]], new: Sequence[int]
) -> Sequence[int]:
    """A column with ``new`` set at, or put before, each of ``places`` in turn, in the smallest
    width that holds all."""
    top = max(new)
    out: bytearray | array[int] | list[int]
    if type(values) is bytes and top < 256:
        if len(new) == 1:
            i, found = places[0]
            return b"".join((values[:i], bytes(new), values[i + found :]))
        out = bytearray(values)
    elif type(values) is array and typecode(top) <= values.typecode:
        # perf: as plain numbers a column of 100 takes 6 us, not 1
        out = values[:]
    else:
        out = list(values)
    for (i, found), value in zip(places, new, strict=True):
        if found:
            out[i] = value
        else:
            out.insert(i, value)
    if type(out) is bytearray:
        return bytes(out)
    code = typecode(max(out))
    if type(out) is array and out.typecode == code:
        return out
    return bytes(list(out)) if code == "B" else array(code, out)  # not an array's own bytes
