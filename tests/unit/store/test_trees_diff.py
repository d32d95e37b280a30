"""Differences and unions of trees against plain dicts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.files import Change, Delete, Entry, Put
from pachybox.model.ids import Hash
from pachybox.store.chunks import Shape
from pachybox.store.trees import EMPTY, Trees
from tests.examples import many

from .tree_model import (
    SMALL,
    TINY,
    Memory,
    Model,
    edit_flat,
    edit_model,
    file,
    fresh,
    models,
    position,
    write,
)

shapes = st.sampled_from([TINY, SMALL, Shape()])


def expected_changes(trees: Trees, old: Hash, new: Hash) -> list[Change]:
    """The differences by two whole walks."""
    found: dict[bytes, Change] = {}
    for path, entry in trees.walk(old):
        found[position(path, entry.is_dir)] = Change(path, entry, None)
    for path, entry in trees.walk(new):
        key = position(path, entry.is_dir)
        was = found[key].old if key in found else None
        found[key] = Change(path, was, entry)
    return [found[key] for key in sorted(found) if found[key].old != found[key].new]


@given(models, models, shapes)
def test_a_diff_is_what_two_walks_would_show(one: Model, other: Model, shape: Shape) -> None:
    trees, memory = fresh(shape)
    old, new = write(trees, memory, one), write(trees, memory, other)
    assert list(trees.diff(old, new)) == expected_changes(trees, old, new)


@given(models, edit_flat(), shapes)
def test_a_diff_after_edits_is_what_two_walks_would_show(
    base: Model, edits: list[Put | Delete], shape: Shape
) -> None:
    trees, memory = fresh(shape)
    base = {p: e for p, e in base.items() if p != "/d"}
    old = write(trees, memory, base)
    try:
        new = trees.edit(old, edits, memory.put)
    except InvalidArgument:
        return
    changes = list(trees.diff(old, new))
    assert changes == expected_changes(trees, old, new)
    below = [c for c in changes if c.path.startswith("/d/")]
    if trees.get(old, "/d") is not None and trees.get(new, "/d") is not None:
        assert list(trees.diff(old, new, "/d")) == below


def test_a_file_that_became_a_directory_is_a_removal_and_an_addition() -> None:
    trees, memory = fresh()
    old = write(trees, memory, {"/a": file(1), "/a!": file(2)})
    new = write(trees, memory, {"/a/b": file(1), "/a!": file(3)})
    shown = [(c.path, c.old is not None, c.new is not None) for c in trees.diff(old, new)]
    assert shown == [
        ("/a", True, False),
        ("/a!", True, True),
        ("/a", False, True),
        ("/a/b", False, True),
    ]
    at = [(c.path, c.old is not None, c.new is not None) for c in trees.diff(old, new, "/a")]
    assert at == [("/a", True, False), ("/a", False, True), ("/a/b", False, True)]
    back = [(c.path, c.old is not None, c.new is not None) for c in trees.diff(new, old, "/a")]
    assert back == [("/a", False, True), ("/a", True, False), ("/a/b", True, False)]


def test_a_diff_of_one_path_shows_a_file_itself_and_nothing_for_a_missing_one() -> None:
    trees, memory = fresh()
    old = write(trees, memory, {"/f": file(1), "/g": file(1)})
    new = write(trees, memory, {"/f": file(2), "/g": file(1), "/h/x": file(1)})
    assert [c.path for c in trees.diff(old, new, "/f")] == ["/f"]
    assert list(trees.diff(old, new, "/g")) == list(trees.diff(old, new, "/nothing")) == []
    assert [c.path for c in trees.diff(old, new, "/h")] == ["/h", "/h/x"]


def test_a_changed_attr_is_a_change_of_the_directory_alone() -> None:
    trees, memory = fresh()
    old = write(trees, memory, {"/d/f": file(1)})
    entry = trees.get(old, "/d")
    assert entry is not None
    marked = Entry("d", entry.kind, entry.hash, entry.size, entry.count, b"{}")
    new = trees.edit(old, [Put("/d", marked)], memory.put)
    assert list(trees.diff(old, new)) == [Change("/d", entry, marked)]


@settings(max_examples=many(60))
@given(st.lists(models, max_size=6), st.booleans(), shapes)
def test_a_union_is_the_union_or_names_the_collision(
    parts: list[Model], same_ok: bool, shape: Shape
) -> None:
    trees, memory = fresh(shape)
    roots = [(f"datum{i}", write(trees, memory, part)) for i, part in enumerate(parts)]
    expected: Model | None = {}
    for part in parts:
        for path, entry in part.items():
            assert expected is not None
            if path in expected and not (same_ok and expected[path] == entry):
                expected = None
                break
            try:
                edit_model(expected, Put(path, entry), {})
            except InvalidArgument:
                expected = None
                break
        if expected is None:
            break
    if expected is None:
        with pytest.raises(InvalidArgument, match="datum"):
            trees.union(roots, memory.put, same_ok=same_ok)
        return
    root = trees.union(roots, memory.put, same_ok=same_ok)
    assert root == write(trees, memory, expected)
    if roots:
        base = roots[0][1]
        assert trees.union(roots[1:], memory.put, base, same_ok=same_ok) == root


@given(st.sets(st.integers(0, 200)), st.sets(st.integers(0, 200)), shapes)
def test_a_union_into_a_large_tree_is_the_same_as_from_scratch(
    base: set[int], few: set[int], shape: Shape
) -> None:
    trees, memory = fresh(shape)
    model = {f"/d/{i}": file(i) for i in base} | {f"/e{i}/x": file(i) for i in base}
    added = {f"/d/{i}": file(i) for i in few - base} | {f"/e{i}/y": file(i) for i in few}
    root = write(trees, memory, model)
    parts = [(path, write(trees, memory, {path: entry})) for path, entry in added.items()]
    assert trees.union(parts, memory.put, root) == write(trees, memory, model | added)


def test_a_union_says_which_two_datums_collide() -> None:
    trees, memory = fresh()
    one = write(trees, memory, {"/d/f": file(1), "/n": file(1)})
    two = write(trees, memory, {"/d/f": file(1)})
    three = write(trees, memory, {"/n/x": file(1)})
    with pytest.raises(InvalidArgument) as caught:
        trees.union([("A", one), ("B", two)], memory.put)
    expected = "duplicate path output by different datums (/d/f from A and B)"
    assert caught.value.message == expected
    assert caught.value.hint
    assert trees.union([("A", one), ("B", two)], memory.put, same_ok=True) == one
    with pytest.raises(InvalidArgument, match="collision: /n is a file in A and a directory in C"):
        trees.union([("A", one), ("C", three)], memory.put)
    large = write(trees, memory, {f"/{i}": file(i) for i in range(50)})
    with pytest.raises(InvalidArgument, match=r"\(/7 from the base and A\)"):
        trees.union([("A", write(trees, memory, {"/7": file(1)}))], memory.put, large)


def test_a_diff_of_split_directories_reads_only_around_the_changes() -> None:
    trees, memory = fresh(Shape())
    root = write(trees, memory, {f"/d/f{i:05}": file(i) for i in range(20_000)})
    new = trees.edit(
        root,
        [
            Delete("/d/f00000"),
            Put("/d/f00000a", file(1)),
            Put("/d/f10000", file("x")),
            Put("/d/f2", file(2)),
        ],
        memory.put,
    )
    memory.gets = 0
    changes = list(Trees(memory.get).diff(root, new))
    assert [c.path for c in changes] == ["/d", "/d/f00000", "/d/f00000a", "/d/f10000", "/d/f2"]
    assert memory.gets < 40


def test_a_union_takes_a_directory_of_one_part_unread() -> None:
    trees, memory = fresh()
    one = write(trees, memory, {f"/a/{i}": file(i) for i in range(50)})
    two = write(trees, memory, {f"/b/{i}": file(i) for i in range(50)})
    memory.gets = 0
    other = Trees(memory.get, shape=TINY)
    both = other.union([("1", one), ("2", two)], memory.put)
    assert memory.gets == 2
    assert trees.entry(both).count == 100
    assert trees.union([], memory.put) == EMPTY


def test_all_of_a_tree_differs_from_the_empty_one_and_nothing_from_itself() -> None:
    memory = Memory()
    trees = Trees(memory.get, shape=TINY)
    root = write(trees, memory, {"/a/b": file(1)})
    assert [c.path for c in trees.diff(EMPTY, root)] == ["/a", "/a/b"]
    assert [c.path for c in trees.diff(root, EMPTY)] == ["/a", "/a/b"]
    assert list(trees.diff(root, root)) == []


def test_a_diff_once_keeps_nothing_that_it_read() -> None:
    trees, memory = fresh()
    old = write(trees, memory, {f"/d/{n:03}": file(n) for n in range(100)})
    new = trees.edit(old, [Put("/d/050", file("x"))], memory.put)
    cold = Trees(memory.get, shape=TINY)
    expected = list(trees.diff(old, new))
    reads = []
    for once in (True, True, False, False):
        memory.gets = 0
        assert list(cold.diff(old, new, once=once)) == expected
        reads.append(memory.gets)
    assert reads[0] == reads[1] == reads[2] > 0
    assert reads[3] == 0
