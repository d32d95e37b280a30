"""A few files put into small directories: the same nodes as when all is written afresh."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pachybox.model.files import Delete, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.store.chunks import Shape
from pachybox.store.few import put_files
from pachybox.store.node import Nodes
from pachybox.store.trees import EMPTY

from .tree_model import Memory, file, fresh

_SIZES = (0, 255, 256, 65_535, 65_536, 1 << 32)  # where a column becomes wider

entries = st.builds(
    lambda n, size, attrs, segments: Entry(
        "", Kind.SEGMENTS if segments else Kind.FILE, file(n).hash, size, 1, attrs
    ),
    st.integers(0, 9),
    st.sampled_from(_SIZES),
    st.sampled_from((b"", b"a", b"longer")),
    st.booleans(),
)
names = st.sampled_from([f"{letter}{n}" for letter in "ax" for n in range(6)])
files = st.dictionaries(
    st.builds(lambda top, name: f"{top}/{name}", st.sampled_from(("", "/d", "/d/e", "/z")), names),
    entries,
    max_size=30,
)


def sized(size: int) -> Entry:
    return Entry("", Kind.FILE, file(1).hash, size)


BASE = {"/d/e/k": file(1), "/z/k": file(2)}


@given(files, files)
@example({"/d/a1": sized(300)}, {"/d/a1": sized(2)})
@example({"/d/a1": sized(70_000), "/d/a2": sized(300)}, {"/d/a1": sized(2)})
@example({"/d/a1": sized(70_000), "/d/a2": sized(1)}, {"/d/a1": sized(2)})
@example({"/d/a1": sized(1 << 32)}, {"/d/a1": sized(70_000), "/d/a2": sized(0)})
def test_files_put_into_directories_that_are_there(
    before: dict[str, Entry], edits: dict[str, Entry]
) -> None:
    trees, memory = fresh(Shape())
    base = BASE | before
    root = trees.edit(EMPTY, [Put(p, e) for p, e in base.items()], memory.put)
    puts = [Put(p, e) for p, e in edits.items()]
    made = put_files(Nodes(memory.get, 0), memory.put, Shape(), root, puts)
    whole = [Put(p, e) for p, e in (base | edits).items()]
    expected = trees.edit(EMPTY, whole, memory.put)
    assert made == (expected if puts else None)
    assert trees.edit(root, puts, memory.put) == expected


def test_what_is_anything_else_is_left_and_nothing_stored() -> None:
    trees, memory = fresh(Shape(leaf=3))
    root = trees.edit(EMPTY, [Put(p, file(1)) for p in ("/a", "/d/x", "/d/y")], memory.put)
    for edits in (
        [],
        [Put("/new/x", file(2))],  # no such directory
        [Put("/d", file(2))],  # a directory is there
        [Put("/a/b", file(2))],  # a file is there
        [Put("/d/x", file(2)), Delete("/a")],
        [Put("/d/1", file(2)), Put("/d/2", file(2))],  # too many for a leaf
        [Put("/d/..", file(2))],
        [Put("d/x", file(2))],
        [Put("/d/\xe4", file(2))],
        [Put("/d/x", Entry("", Kind.DIR, Hash(root), 1, 1))],
    ):
        stored = Memory()
        assert put_files(Nodes(memory.get, 0), stored.put, Shape(leaf=3), root, edits) is None
        assert not stored.blobs
