"""The bytes of nodes: pinned, and refused when they are not what was written."""

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from pachybox.errors import Corrupt
from pachybox.model.files import Kind, Put
from pachybox.model.ids import Hash
from pachybox.store.chunks import SHAPE, Shape
from pachybox.store.node import Nodes, Row, decode, encode
from pachybox.store.trees import EMPTY, Trees

from .tree_model import TINY, Memory, file, fresh, write

NAME = Hash(b"n" * 32)
FILES: list[Row] = [
    ("a", b"A" * 32, 5, 1, 1, b""),
    ("b!", b"B" * 32, 70_000, 1, 3, b'{"k":1}'),
    ("b/", b"C" * 32, 300, 2, 2, b""),
    ("é", b"D" * 32, 0, 1, 1, b""),
]

keys = st.text(st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1, max_size=5)
numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))


@st.composite
def leaf_rows(draw: st.DrawFn) -> list[Row]:
    names = draw(st.sets(keys.filter(lambda k: k not in (".", "..")), max_size=8))
    rows = []
    for name in names:
        kind = draw(st.sampled_from(Kind))
        key = name + "/" if kind is Kind.DIR else name
        attrs = draw(st.one_of(st.just(b""), st.binary(max_size=9)))
        digest = draw(st.binary(min_size=32, max_size=32))
        rows.append((key, digest, draw(numbers), draw(numbers), int(kind), attrs))
    return sorted(rows)


def test_the_format_of_a_leaf_is_pinned() -> None:
    data = encode(0, FILES)
    assert data[:24].hex() == "7062544e" + "01" + "00" + "04" + "01" + "01" + "000000" + (
        "04000000" + "0a000000" + "13000000"
    )
    assert data[24:34] == "a\0b!\0b/\0é".encode()
    assert data[34:162] == b"A" * 32 + b"B" * 32 + b"C" * 32 + b"D" * 32
    assert data[162:178].hex() == "05000000" + "70110100" + "2c010000" + "00000000"
    assert data[178:186].hex() == "01010201" + "01030201"
    assert data[186:] == bytes.fromhex("01000000" + "01000000" + "07000000") + b'{"k":1}'
    assert blake3(data).hexdigest() == LEAF


def test_the_format_of_an_inner_node_is_pinned() -> None:
    rows: list[Row] = [
        ("m", b"A" * 32, 2**40, 70_000, 300, b""),
        ("z/", b"B" * 32, 1, 2, 3, b""),
    ]
    data = encode(1, rows)
    assert data[:24].hex() == "7062544e" + "01" + "01" + "08" + "04" + "02" + "000000" + (
        "02000000" + "04000000" + "00000000"
    )
    assert blake3(data).hexdigest() == INNER
    assert decode(data, NAME).rows() == rows


def test_the_empty_directory_and_a_split_one_keep_their_hashes() -> None:
    assert EMPTY.hex() == NOTHING
    assert Shape() == SHAPE == Shape(leaf=256, bits=5)
    trees, memory = fresh(SHAPE)
    root = write(trees, memory, {f"/d/file{i:04}": file(i) for i in range(3000)})
    assert root.hex() == SPLIT


LEAF = "9961db3e95eaa79b5bbd1f4a94a7deb7fd80b20b866591c814427145ab0d308f"
INNER = "5d5dd36b96b9070820a73029037d5c685c5b78014ebb79975855c9d57dfcca00"
NOTHING = "0fca55e34eb52c45213705d34f549c6ae80cd2e7235df62ab7effa4b5187bf4b"
SPLIT = "a58650c0402162aa28d01fbfe4bf44139d3490bc303f9c96576aff282e016a8c"


@given(leaf_rows())
def test_a_node_reads_back_as_it_was_written(rows: list[Row]) -> None:
    node = decode(encode(0, rows), NAME)
    assert node.rows() == rows
    assert [node.row(i) for i in range(len(rows))] == rows
    assert node.entries == len(rows)


def _decodes_or_is_corrupt(data: bytes) -> None:
    try:
        node = decode(data, NAME)
    except Corrupt:
        return
    assert len(node.rows()) == len(node.keys)
    assert encode(node.level, node.rows())


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=90).map(lambda b: b"pbTN\x01" + b)))
@example(b"")
def test_random_bytes_are_corrupt_and_nothing_else(data: bytes) -> None:
    _decodes_or_is_corrupt(data)


@given(leaf_rows(), st.data())
def test_mutated_nodes_are_corrupt_or_still_well_formed(
    rows: list[Row], data: st.DataObject
) -> None:
    good = bytearray(encode(data.draw(st.sampled_from([0, 0, 0, 1])), rows or FILES))
    for _ in range(data.draw(st.integers(1, 3))):
        what = data.draw(st.sampled_from(["set", "cut", "insert"]))
        at = data.draw(st.integers(0, len(good) - 1)) if good else 0
        if what == "set" and good:
            good[at] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del good[at : at + data.draw(st.integers(1, 40))]
        else:
            good[at:at] = data.draw(st.binary(max_size=40))
    _decodes_or_is_corrupt(bytes(good))


@pytest.mark.parametrize(
    "rows",
    [
        [FILES[1], FILES[0]],
        [FILES[0], FILES[0]],
        [("", b"A" * 32, 1, 1, 1, b"")],
        [("/", b"A" * 32, 1, 1, 2, b"")],
        [("..", b"A" * 32, 1, 1, 1, b"")],
        [("a", b"A" * 32, 1, 1, 1, b""), ("../", b"A" * 32, 1, 1, 2, b"")][::-1],
        [("a/b", b"A" * 32, 1, 1, 1, b"")],
        [("a/", b"A" * 32, 1, 1, 1, b"")],
        [("a", b"A" * 32, 1, 1, 2, b"")],
        [("a", b"A" * 32, 1, 1, 4, b"")],
        [("a", b"A" * 32, 1, 1, 2, b""), ("b/", b"A" * 32, 1, 1, 1, b"")],
    ],
)
def test_rows_no_directory_can_have_are_corrupt(rows: list[Row]) -> None:
    with pytest.raises(Corrupt) as caught:
        decode(encode(0, rows), NAME)
    assert NAME.hex() in caught.value.message
    assert caught.value.hint


def test_a_newer_format_says_so() -> None:
    data = bytearray(encode(0, FILES))
    data[4] = 2
    with pytest.raises(Corrupt, match="version 2 is newer"):
        decode(bytes(data), NAME)


def test_a_node_in_the_wrong_place_is_corrupt() -> None:
    memory = Memory()
    trees = Trees(memory.get, shape=TINY)
    root = write(trees, memory, {f"/{i}": file(i) for i in range(100)})
    leaf = memory.put(encode(0, FILES))
    for level in (1, 2):
        bad = memory.put(encode(level, [("é" if level == 2 else "f", leaf, 1, 1, 4, b"")]))
        for read in (
            lambda bad=bad: list(trees.walk(bad)),
            lambda bad=bad: trees.get(bad, "/a"),
            lambda bad=bad: list(trees.rows(bad)),
            lambda bad=bad: list(trees.diff(root, bad)),
            lambda bad=bad: trees.edit(bad, [Put("/a", file(1))], memory.put),
        ):
            with pytest.raises(Corrupt):
                read()


def test_nodes_that_nobody_reads_go_after_a_while_as_others_come() -> None:
    now, read = 0.0, list[Hash]()
    memory = Memory()

    def get(h: Hash) -> bytes:
        read.append(h)
        return memory.get(h)

    nodes = Nodes(get, 1 << 20, clock=lambda: now)
    used, unused, *others = (
        memory.put(encode(0, [(f"{i}", b"A" * 32, i, 1, 1, b"")])) for i in range(200)
    )
    nodes.load(unused)
    for other in others:
        now += 1
        nodes.load(used)
        nodes.load(other)
    assert read == [unused, used, *others], "what is used stays"
    nodes.load(others[-15])
    assert len(read) == 200, "for a while what was used once stays too"
    nodes.load(unused)
    assert len(read) == 201
