"""Files as segments: appending, slicing, reading, and what is refused."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import Corrupt, InvalidArgument
from pachybox.model.files import Entry, Kind, Put, Segment
from pachybox.model.ids import Hash
from pachybox.store import content as module
from pachybox.store.content import Content, decode_segments, encode_segments
from pachybox.store.trees import EMPTY, Trees
from tests.examples import many

from .tree_model import Memory

NAME = Hash(b"n" * 32)


def blob(memory: Memory, data: bytes, name: str = "f") -> Entry:
    return Entry(name, Kind.FILE, memory.put(data), len(data))


@pytest.fixture
def memory() -> Memory:
    return Memory()


@settings(max_examples=many(150))
@given(st.lists(st.binary(max_size=90), max_size=12), st.data())
def test_concat_and_slice_and_read_are_those_of_bytes(
    parts: list[bytes], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("ONE_BLOB", 20), ("MERGE_BELOW", 200), ("PIECE", 16)):
            patch.setattr(module, name, value)
        memory = Memory()
        content = Content(memory)
        whole = b"".join(parts)
        entry = content.concat("f", [blob(memory, p) for p in parts], memory.put)
        assert (entry.name, entry.size, entry.count) == ("f", len(whole), 1)
        assert content.read_all(entry) == whole
        assert (entry.kind is Kind.FILE) or len(whole) > 20
        a, b = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
        pieces = list(content.read(entry, a, b - a))
        assert b"".join(pieces) == whole[a:b]
        assert all(0 < len(piece) <= 16 for piece in pieces)
        assert b"".join(content.read(entry, a)) == whole[a:]
        cut = content.slice(entry, a, b - a, memory.put)
        assert content.read_all(cut) == whole[a:b]
        twice = content.concat("g", [cut, entry, cut], memory.put)
        assert content.read_all(twice) == whole[a:b] + whole + whole[a:b]
        if len(whole) <= 20:
            assert entry.hash == blake3(whole).digest()


def test_ten_thousand_appends_keep_the_list_short_and_rewrite_little(memory: Memory) -> None:
    content = Content(memory)
    entry = blob(memory, b"")
    lines = [b"line %06d of a log that grows and grows\n" % i for i in range(10_000)]
    longest = 0
    for line in lines:
        entry = content.concat("log", [entry, blob(memory, line)], memory.put)
        if entry.kind is Kind.SEGMENTS:
            longest = max(longest, len(content.segments(entry)))
    assert content.read_all(entry) == b"".join(lines)
    assert longest <= 40
    # 13.3 times its 400 KB would be log2(10,000); below ONE_BLOB all is rewritten each time
    below = module.ONE_BLOB**2 // 2 // len(lines[0])
    assert memory.put_bytes - below < 20 * len(b"".join(lines))


def test_many_appends_at_once_are_read_once(memory: Memory) -> None:
    content = Content(memory)
    parts = [blob(memory, b"%06d\n" % i * 3) for i in range(10_000)]
    memory.put_bytes = 0
    entry = content.concat("log", parts, memory.put)
    assert memory.put_bytes < 1.1 * entry.size
    assert len(content.segments(entry)) < 20


def test_a_large_piece_is_never_rewritten(memory: Memory) -> None:
    content = Content(memory)
    large = [blob(memory, random.Random(i).randbytes(module.MERGE_BELOW)) for i in range(2)]
    memory.put_bytes = 0
    entry = content.concat("f", [large[0], blob(memory, b"x"), large[1]], memory.put)
    assert memory.put_bytes < 1000
    assert [s.length for s in content.segments(entry)] == [large[0].size, 1, large[1].size]
    assert content.slice(entry, 0, large[0].size, memory.put).hash == large[0].hash
    assert content.slice(entry, 0, large[0].size, memory.put).kind is Kind.FILE
    halves = [
        content.slice(large[0], 0, 1 << 20, memory.put),
        content.slice(large[0], 1 << 20, large[0].size - (1 << 20), memory.put),
    ]
    assert {h.kind for h in halves} == {Kind.SEGMENTS}
    assert content.concat("f", halves, memory.put) == large[0]


def test_small_files_are_the_same_blob_however_they_came_about(memory: Memory) -> None:
    content = Content(memory)
    parts = [blob(memory, b"abc"), blob(memory, b""), blob(memory, b"def")]
    entry = content.concat("f", parts, memory.put)
    assert entry == Entry("f", Kind.FILE, Hash(blake3(b"abcdef").digest()), 6)
    nothing = content.concat("e", [blob(memory, b"")], memory.put)
    assert nothing == Entry("e", Kind.FILE, Hash(blake3(b"").digest()), 0)
    assert content.concat("e", [], memory.put) == nothing
    assert content.read_all(nothing) == b""
    assert content.slice(entry, 2, 0, memory.put).hash == nothing.hash


def test_the_format_of_a_segment_list_is_pinned() -> None:
    segments = [Segment(Hash(b"A" * 32), 0, 70_000), Segment(Hash(b"B" * 32), 2**40, 3)]
    data = encode_segments(segments)
    assert data.hex() == (
        "70625347" + "01" + "000000" + "02000000"
        + (b"A" * 32).hex() + "0000000000000000" + "7011010000000000"
        + (b"B" * 32).hex() + "0000000000010000" + "0300000000000000"
    )  # fmt: skip
    assert decode_segments(data, NAME) == segments


@given(st.binary(max_size=40), st.integers(0, 107), st.integers(0, 255))
def test_malformed_segment_lists_are_corrupt_and_nothing_else(
    junk: bytes, at: int, byte: int
) -> None:
    good = encode_segments([Segment(NAME, 0, 7), Segment(NAME, 9, 8)])
    mutated = bytearray(good)
    mutated[at] = byte
    for data in (junk, b"pbSG\x01" + junk, good[:at], good + junk, bytes(mutated)):
        try:
            assert all(s.length for s in decode_segments(data, NAME))
        except Corrupt:
            assert data != good


def test_wrong_sizes_are_corrupt_and_wrong_ranges_invalid(memory: Memory) -> None:
    content = Content(memory)
    one = blob(memory, b"0123456789")
    for wrong in (9, 11):
        with pytest.raises(Corrupt, match=one.hash.hex()):
            content.read_all(Entry("f", Kind.FILE, one.hash, wrong))
    listed = memory.put(encode_segments([Segment(one.hash, 0, 10), Segment(one.hash, 5, 6)]))
    with pytest.raises(Corrupt, match=one.hash.hex()):
        content.read_all(Entry("f", Kind.SEGMENTS, listed, 16))
    with pytest.raises(Corrupt, match="does not add up to 15 bytes"):
        content.read_all(Entry("f", Kind.SEGMENTS, listed, 15))
    with pytest.raises(Corrupt, match="version 2 is newer"):
        decode_segments(b"pbSG\x02" + bytes(7), NAME)
    with pytest.raises(InvalidArgument, match="directory"):
        content.segments(Entry("d", Kind.DIR, EMPTY, 0, 0))
    for offset, length in ((-1, 2), (0, 11), (5, -1), (11, 0)):
        with pytest.raises(InvalidArgument):
            content.slice(one, offset, length, memory.put)
    with pytest.raises(InvalidArgument):
        content.read_all(Entry("d", Kind.DIR, EMPTY, 0, 0))
    with pytest.raises(InvalidArgument):
        list(content.read(one, -1))
    assert list(content.read(one, 10)) == list(content.read(one, 99, 5)) == []


def test_a_tree_refers_to_the_list_and_the_pieces_of_a_file(memory: Memory) -> None:
    content = Content(memory)
    parts = [blob(memory, bytes([i]) * (200_000 >> 2 * i)) for i in range(3)]
    entry = content.concat("f", parts, memory.put)
    assert entry.kind is Kind.SEGMENTS
    trees = Trees(memory.get)
    root = trees.edit(EMPTY, [Put("/f", entry)], memory.put)
    nodes, blobs = trees.refs(root)
    assert (list(nodes), list(blobs)) == ([], [entry.hash, *(p.hash for p in parts)])
    assert trees.get(root, "/f") == entry
