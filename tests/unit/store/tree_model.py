"""A tree as a plain dict of files: what the tests hold the real one against."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.store.chunks import Shape
from pachybox.store.trees import EMPTY, Trees

TINY = Shape(leaf=3, bits=1)
SMALL = Shape(leaf=6, bits=2)

Model = dict[str, Entry]


class Memory:
    """A blob store in a dict."""

    def __init__(self) -> None:
        self.blobs: dict[Hash, bytes] = {}
        self.gets = 0
        self.put_bytes = 0

    def put(self, data: bytes) -> Hash:
        name = Hash(blake3(data).digest())
        self.put_bytes += len(data)
        self.blobs[name] = bytes(data)
        return name

    def get(self, name: Hash) -> bytes:
        self.gets += 1
        return self.blobs[name]

    def read(self, name: Hash, offset: int, length: int) -> bytes:
        return self.blobs[name][offset : offset + length]

    def size(self, name: Hash) -> int | None:
        found = self.blobs.get(name)
        return None if found is None else len(found)


def fresh(shape: Shape = TINY) -> tuple[Trees, Memory]:
    """Trees over an empty store."""
    memory = Memory()
    return Trees(memory.get, shape=shape), memory


def file(content: int | str, name: str = "") -> Entry:
    """A file whose hash and size follow from ``content``."""
    data = str(content).encode()
    return Entry(name, Kind.FILE, Hash(blake3(data).digest()), len(data) % 300)


def position(path: str, is_dir: bool) -> bytes:
    """What paths are ordered by."""
    return (path + "/" if is_dir else path).encode()


def edit_model(model: Model, edit: Edit, grafts: dict[Hash, Model]) -> None:
    """One edit on the model, in place; raises InvalidArgument on a collision."""
    path = edit.path
    parts = path[1:].split("/")
    above = ["/" + "/".join(parts[:i]) for i in range(1, len(parts))]
    below = [p for p in model if p.startswith(path + "/")]
    if isinstance(edit, Put):
        if any(p in model for p in above):
            raise InvalidArgument("collision")
        if edit.entry.kind is not Kind.DIR and below:
            raise InvalidArgument("collision")
    for p in [*below, path]:
        model.pop(p, None)
    if isinstance(edit, Put):
        if edit.entry.kind is Kind.DIR:
            for p, entry in grafts[edit.entry.hash].items():
                model[path + p] = entry
        else:
            model[path] = edit.entry


def write(trees: Trees, memory: Memory, model: Model, root: Hash = EMPTY) -> Hash:
    """The tree of a model."""
    return trees.edit(root, [Put(p, e) for p, e in model.items()], memory.put)


def walk_model(model: Model) -> list[tuple[str, tuple[bool, int, int]]]:
    """(path, (is directory, size, count)) of all, in order."""
    found: dict[str, tuple[bool, int, int]] = {}
    for path, entry in model.items():
        found[path] = (False, entry.size, 1)
        parts = path[1:].split("/")
        for i in range(1, len(parts)):
            above = "/" + "/".join(parts[:i])
            _, size, count = found.get(above, (True, 0, 0))
            found[above] = (True, size + entry.size, count + 1)
    return sorted(found.items(), key=lambda item: position(item[0], item[1][0]))


def shown(walked: Iterable[tuple[str, Entry]]) -> list[tuple[str, tuple[bool, int, int]]]:
    """A walk in the form of walk_model."""
    return [(path, (e.is_dir, e.size, e.count)) for path, e in walked]


names = st.sampled_from(["a", "b", "a!", "a-b", "a0", "é", "\U0001f600", "zz", "\x01", "a."])
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
flat_paths = st.integers(0, 60).map(lambda i: f"/d/{i:02}" if i % 7 else f"/d/{i:02}/x")
entries = st.integers(0, 400).map(file)
models = st.one_of(
    st.dictionaries(paths, entries, max_size=12),
    st.dictionaries(flat_paths, entries, max_size=50),
).map(lambda files: _without_collisions(files))


def _without_collisions(files: Model) -> Model:
    out: Model = {}
    for path, entry in files.items():
        try:
            edit_model(out, Put(path, entry), {})
        except InvalidArgument:
            continue
    return out


def edit_lists(grafted: dict[str, Entry]) -> st.SearchStrategy[list[Edit]]:
    """Lists of edits; ``grafted`` are directories to graft."""
    anywhere = st.one_of(paths, flat_paths, st.just("/d"))
    one: list[st.SearchStrategy[Edit]] = [
        st.builds(Put, anywhere, entries),
        st.builds(Put, flat_paths, entries),
        st.builds(Delete, anywhere),
    ]
    if grafted:
        one.append(st.builds(Put, paths, st.sampled_from(list(grafted.values()))))
    return st.lists(st.one_of(one), max_size=40)


def edit_flat() -> st.SearchStrategy[list[Edit]]:
    """Edits of one directory that never collide, so that it splits and merges."""
    where = st.integers(0, 120).map(lambda i: f"/d/{i}")
    return st.lists(
        st.one_of(st.builds(Put, where, entries), st.builds(Delete, where)), max_size=80
    )


__all__ = ["EMPTY"]
