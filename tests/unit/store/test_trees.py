"""Trees against a plain dict: reading, editing, history independence."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument, NotFound
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
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
    edit_lists,
    edit_model,
    file,
    fresh,
    models,
    paths,
    position,
    shown,
    walk_model,
    write,
)

shapes = st.sampled_from([TINY, SMALL, Shape()])


@given(models, shapes, st.data())
def test_any_list_of_edits_gives_what_a_dict_would(
    base: Model, shape: Shape, data: st.DataObject
) -> None:
    trees, memory = fresh(shape)
    grafts = {"/g1": {"/x": file(1), "/y/z": file(2)}, "/g2": {f"/{i}": file(i) for i in range(9)}}
    roots = {name: write(trees, memory, model) for name, model in grafts.items()}
    by_hash = {roots[name]: model for name, model in grafts.items()} | {EMPTY: {}}
    entries = {name: trees.entry(root) for name, root in roots.items()}
    entries["empty"] = trees.entry(EMPTY)
    edits = data.draw(edit_lists(entries))
    root = write(trees, memory, base)
    expected: Model | None = dict(base)
    for edit in edits:
        try:
            assert expected is not None
            edit_model(expected, edit, by_hash)
        except InvalidArgument:
            expected = None
            break
    if expected is None:
        with pytest.raises(InvalidArgument, match="file / directory path collision: /"):
            trees.edit(root, edits, memory.put)
        return
    new = trees.edit(root, edits, memory.put)
    assert shown(trees.walk(new)) == walk_model(expected)
    assert new == write(trees, memory, dict(reversed(expected.items())))
    assert list(trees.rows(new)) == [
        (p, expected[p].size, expected[p].hash) for p, (d, *_) in walk_model(expected) if not d
    ]
    assert shown(trees.walk(root)) == walk_model(base)


@settings(max_examples=many(200))
@given(st.lists(edit_flat(), min_size=1, max_size=6), shapes)
def test_the_same_content_has_the_same_root_whatever_the_history(
    rounds: list[list[Edit]], shape: Shape
) -> None:
    trees, memory = fresh(shape)
    root = EMPTY
    model: Model = {}
    for edits in rounds:
        root = trees.edit(root, edits, memory.put)
        for edit in edits:
            edit_model(model, edit, {})
        scratch, other = fresh(shape)
        assert write(scratch, other, model) == root
    assert trees.entry(root).count == len(model)


def test_a_directory_that_grows_and_shrinks_keeps_one_form_for_each_content() -> None:
    trees, memory = fresh(SMALL)
    rng = random.Random(7)
    names = [f"/f{i}" for i in range(400)]
    rng.shuffle(names)
    roots = [EMPTY]
    for name in names:
        roots.append(trees.edit(roots[-1], [Put(name, file(1))], memory.put))
    root = roots[-1]
    for i in range(len(names) - 1, -1, -1):
        root = trees.edit(root, [Delete(names[i])], memory.put)
        assert root == roots[i]
    assert root == EMPTY


@given(models, shapes, st.data())
def test_get_and_list_agree_with_the_walk(base: Model, shape: Shape, data: st.DataObject) -> None:
    trees, memory = fresh(shape)
    root = write(trees, memory, base)
    walked = list(trees.walk(root))
    for path, entry in walked:
        assert trees.get(root, path) == entry
        assert entry.name == PurePosixPath(path).name
    directories = ["/", *(p for p, e in walked if e.is_dir)]
    where = data.draw(st.sampled_from(directories))
    inside = [e for p, e in walked if str(PurePosixPath(p).parent) == where]
    assert list(trees.list(root, where)) == inside
    assert list(trees.list(root, where, reverse=True)) == inside[::-1]
    for i, entry in enumerate(inside):
        assert list(trees.list(root, where, after=entry.name)) == inside[i + 1 :]
        assert list(trees.list(root, where, after=entry.name, reverse=True)) == inside[:i][::-1]
    missing = data.draw(paths)
    if missing not in dict(walked):
        assert trees.get(root, missing) is None
        with pytest.raises(NotFound):
            trees.list(root, missing)


@given(models, shapes, st.data())
def test_a_walk_resumes_behind_any_path(base: Model, shape: Shape, data: st.DataObject) -> None:
    trees, memory = fresh(shape)
    root = write(trees, memory, base)
    walked = list(trees.walk(root))
    for i, (path, entry) in enumerate(walked):
        assert list(trees.walk(root, after=path)) == walked[i + 1 :]
        if entry.is_dir:
            below = [(p, e) for p, e in walked if p.startswith(path + "/")]
            assert list(trees.walk(root, path)) == below
            assert list(trees.walk(entry.hash)) == [(p[len(path) :], e) for p, e in below]
    path = data.draw(paths)
    if path in dict(walked):
        return
    where = data.draw(st.sampled_from(["/", *(p for p, e in walked if e.is_dir)]))
    base_path = where.rstrip("/") + "/"
    behind = [
        (p, e)
        for p, e in walked
        if p.startswith(base_path) and position(p, e.is_dir) > path.encode()
    ]
    assert list(trees.walk(root, where, after=path)) == behind


@given(models, st.lists(paths, max_size=5))
def test_a_list_seeks_to_names_that_are_not_there(base: Model, wanted: list[str]) -> None:
    trees, memory = fresh()
    root = write(trees, memory, base)
    inside = list(trees.list(root))
    for path in wanted:
        after = path[1:].replace("/", "\x02")
        if after in {e.name for e in inside}:
            continue
        behind = [e for e in inside if position(e.name, e.is_dir) > after.encode()]
        before = [e for e in inside if position(e.name, e.is_dir) < after.encode()]
        assert list(trees.list(root, after=after)) == behind
        assert list(trees.list(root, after=after, reverse=True)) == before[::-1]


def test_emptied_directories_vanish_up_to_the_root() -> None:
    trees, memory = fresh()
    root = write(trees, memory, {"/a/b/c/f": file(1), "/a/g": file(2)})
    root = trees.edit(root, [Delete("/a/b/c/f")], memory.put)
    assert [p for p, _ in trees.walk(root)] == ["/a", "/a/g"]
    assert trees.edit(root, [Delete("/a/g")], memory.put) == EMPTY


def test_the_empty_tree_need_not_be_stored() -> None:
    trees, _ = fresh()
    assert trees.entry(EMPTY) == Entry("", Kind.DIR, EMPTY, 0, 0)
    assert list(trees.walk(EMPTY)) == list(trees.list(EMPTY)) == list(trees.rows(EMPTY)) == []
    assert trees.get(EMPTY, "/") == trees.entry(EMPTY)
    assert trees.refs(EMPTY) == ([], [])


def test_a_collision_names_the_path_and_the_remedy() -> None:
    trees, memory = fresh()
    root = write(trees, memory, {"/a/f": file(1), "/b": file(2)})
    for edits, path in [
        ([Put("/a", file(3))], "/a"),
        ([Put("/b/c/d", file(3))], "/b"),
        ([Put("/n", file(3)), Put("/n/x", file(3))], "/n"),
        ([Put("/n/x", file(3)), Put("/n", file(3))], "/n"),
        ([Put("/b/x", file(3)), Delete("/b")], "/b"),
    ]:
        with pytest.raises(InvalidArgument) as caught:
            trees.edit(root, edits, memory.put)
        assert caught.value.message == f"file / directory path collision: {path}"
        assert "delete it first" in caught.value.hint


def test_a_directory_emptied_by_the_same_edits_makes_room_for_a_file() -> None:
    trees, memory = fresh()
    root = write(trees, memory, {"/a/f": file(1), "/a/g": file(1), "/b": file(2)})
    edits = [Delete("/a/f"), Delete("/a/g"), Put("/a", file(3)), Delete("/b"), Put("/b/c", file(4))]
    root = trees.edit(root, edits, memory.put)
    assert [p for p, _ in trees.walk(root)] == ["/a", "/b", "/b/c"]


def test_a_grafted_tree_is_taken_by_its_hash_and_can_be_edited_at_once() -> None:
    trees, memory = fresh()
    source = write(trees, memory, {"/x": file(1), "/y/z": file(2)})
    grafted = trees.entry(source)
    root = trees.edit(EMPTY, [Put("/copy", grafted), Put("/copy/y/w", file(3))], memory.put)
    assert [p for p, _ in trees.walk(root)] == [
        "/copy",
        "/copy/x",
        "/copy/y",
        "/copy/y/w",
        "/copy/y/z",
    ]
    plain = trees.edit(EMPTY, [Put("/copy", grafted)], memory.put)
    found = trees.get(plain, "/copy")
    assert found is not None
    assert (found.hash, found.size, found.count) == (source, grafted.size, 2)


def test_the_root_can_be_replaced_and_deleted() -> None:
    trees, memory = fresh()
    one = write(trees, memory, {"/x": file(1)})
    other = write(trees, memory, {"/y": file(2)})
    root = trees.edit(one, [Put("/", trees.entry(other)), Put("/z", file(3))], memory.put)
    assert [p for p, _ in trees.walk(root)] == ["/y", "/z"]
    assert trees.edit(root, [Put("/q", file(1)), Delete("/")], memory.put) == EMPTY
    with pytest.raises(InvalidArgument):
        trees.edit(root, [Put("/", file(1))], memory.put)


@pytest.mark.parametrize(
    "path", ["/a//b", "/a/../b", "/./a", "/a/", "a/b", "/a\0b", "/a\0b/c", "/\ud800", "//"]
)
def test_an_illegal_path_is_refused(path: str) -> None:
    trees, memory = fresh()
    with pytest.raises(InvalidArgument):
        trees.edit(EMPTY, [Put(path, file(1))], memory.put)


def test_attrs_of_files_and_directories_are_kept() -> None:
    trees, memory = fresh(SMALL)
    marked = [Entry("", Kind.FILE, file(i).hash, 1, 1, b"%d" % i) for i in range(0, 40, 3)]
    model = {f"/d/{i}": file(i) for i in range(40)} | {f"/d/m{i}": e for i, e in enumerate(marked)}
    root = write(trees, memory, model)
    directory = trees.get(root, "/d")
    assert directory is not None
    with_attrs = Entry("d", Kind.DIR, directory.hash, directory.size, directory.count, b"{}")
    root = trees.edit(root, [Put("/d", with_attrs)], memory.put)
    root = trees.edit(root, [Put("/d/new", file(1)), Delete("/d/0")], memory.put)
    found = trees.get(root, "/d")
    assert found is not None
    assert found.attrs == b"{}"
    for i, entry in enumerate(marked):
        kept = trees.get(root, f"/d/m{i}")
        assert kept is not None
        assert kept.attrs == entry.attrs


def test_a_path_may_be_as_deep_as_a_path_can_be() -> None:
    trees, memory = fresh()
    path = "/a" * 1900
    root = trees.edit(EMPTY, [Put(path, file(1))], memory.put)
    assert sum(1 for _ in trees.walk(root)) == 1900
    assert len(list(trees.rows(root))) == 1
    other = trees.edit(EMPTY, [Put(path + "b", file(2))], memory.put)
    both = trees.union([("1", root), ("2", other)], memory.put)
    assert trees.entry(both).count == 2
    assert sum(1 for _ in trees.diff(root, both)) == 1900
    assert trees.edit(root, [Delete(path)], memory.put) == EMPTY


def test_one_changed_file_of_many_writes_a_few_nodes() -> None:
    trees, memory = fresh(Shape())
    root = write(trees, memory, {f"/f{i:05}": file(i) for i in range(20_000)})
    memory.put_bytes = 0
    new = trees.edit(root, [Put("/f07777", file("new"))], memory.put)
    assert memory.put_bytes < 16_000
    memory.gets = 0
    assert [c.path for c in Trees(memory.get).diff(root, new)] == ["/f07777"]
    assert memory.gets <= 10
    cold = Trees(memory.get)
    memory.gets = 0
    listing = cold.list(new, after="f1")
    assert next(listing).name == "f10000"
    assert memory.gets <= 8
    assert cold.get(new, "/f19999") is not None


def test_refs_reach_every_node_and_blob() -> None:
    trees, memory = fresh()
    model = {f"/d{i % 5}/f{i}": file(i) for i in range(60)}
    root = write(trees, memory, model)
    seen: set[Hash] = set()
    blobs: set[Hash] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            nodes, found = trees.refs(node)
            todo += nodes
            blobs |= set(found)
    assert blobs == {e.hash for e in model.values()}
    needed = Memory()
    needed.blobs = {h: memory.blobs[h] for h in seen}
    assert len(list(Trees(needed.get, shape=TINY).walk(root))) == 65


def test_threads_read_and_edit_over_one_small_cache() -> None:
    memory = Memory()
    trees = Trees(memory.get, 60_000, TINY)
    root = write(trees, memory, {f"/d{i % 3}/{i}": file(i) for i in range(300)})

    def work(thread: int) -> Hash:
        mine = root
        for i in range(40):
            mine = trees.edit(mine, [Put(f"/d1/new{thread}-{i}", file(i))], memory.put)
            assert trees.get(mine, f"/d2/{3 * i + 2}") is not None
            assert sum(1 for _ in trees.diff(root, mine)) == i + 2
        return trees.edit(mine, [Delete(f"/d1/new{thread}-{i}") for i in range(40)], memory.put)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(4))) == {root}


def test_the_cache_stays_within_its_bound_and_zero_means_none() -> None:
    _, memory = fresh()
    for cache in (0, 20_000):
        trees = Trees(memory.get, cache, TINY)
        root = write(trees, memory, {f"/{i}": file(i) for i in range(300)})
        for _ in range(2):
            assert trees.entry(root).count == 300
            assert sum(1 for _ in trees.walk(root)) == 300
        root = trees.edit(root, [Delete(f"/{i}") for i in range(5, 300)], memory.put)
        assert trees.entry(root).count == 5


@given(st.integers(0, 60), st.integers(0, 70), st.sampled_from([TINY, SMALL, Shape()]))
def test_a_listing_begins_at_any_number(size: int, index: int, shape: Shape) -> None:
    trees, memory = fresh(shape)
    root = write(trees, memory, {f"/d/{n:02d}": file(n) for n in range(size)})
    entry = trees.get(root, "/d")
    directory = EMPTY if entry is None else entry.hash
    assert trees.entries(directory) == size
    names = [e.name for e in trees.list_at(directory, index)]
    assert names == [f"{n:02d}" for n in range(size)][index:]
