"""The inputs of one datum put together as one tree: what is at which path under /pfs.

A shape is a dictionary of names; an item is a dictionary again, or something found in a
commit: a file, or a directory that is taken whole and not looked into. So a datum of one
directory of a million files is one item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pachybox.errors import InvalidArgument, NotFound
from pachybox.model.files import Entry
from pachybox.model.ids import Hash
from pachybox.model.pps import DatumInput
from pachybox.store.trees import Trees


class Found(NamedTuple):
    """An entry of a commit; ``path`` is where it is there."""

    entry: Entry
    source: DatumInput
    path: str

    @property
    def place(self) -> str:
        """For people: repo@commit:path."""
        return f"{self.source.repo}@{self.source.commit}:{self.path}"


Shape = dict[str, "Shape | Found"]


def shape_of(
    trees: Trees, inputs: Iterable[DatumInput], root_of: Callable[[DatumInput], Hash]
) -> Shape:
    """All inputs under their names; those of one name share a directory.

    Raises NotFound when a path is not in its commit, InvalidArgument naming both when two
    inputs of one name have different content at one path.
    """
    shape: Shape = {}
    for one in inputs:
        entry = trees.get(root_of(one), one.path)
        if entry is None:
            raise NotFound(f"file {one.path} not found in {one.repo}@{one.commit}")
        elements = [one.name] if one.path == "/" else [one.name, *one.path[1:].split("/")]
        directory = shape
        for depth, element in enumerate(elements[:-1]):
            below = directory.setdefault(element, {})
            if isinstance(below, Found):
                if not below.entry.is_dir:
                    here = "/" + "/".join(elements[1 : depth + 1])
                    raise _conflict(one.name, here, below, f"{one.repo}@{one.commit}:{one.path}")
                below = directory[element] = _expand(trees, below)
            directory = below
        _put(trees, directory, elements[-1], Found(entry, one, one.path))
    return shape


def _put(trees: Trees, directory: Shape, name: str, new: Found) -> None:
    old = directory.get(name)
    if old is None:
        directory[name] = new
        return
    if isinstance(old, Found):
        if (old.entry.kind, old.entry.hash) == (new.entry.kind, new.entry.hash):
            return
        if not (old.entry.is_dir and new.entry.is_dir):
            raise _conflict(new.source.name, new.path, old, new.place)
        old = directory[name] = _expand(trees, old)
    elif not new.entry.is_dir:
        raise _conflict(new.source.name, new.path, next(_founds(old)), new.place)
    for element, item in _expand(trees, new).items():
        assert isinstance(item, Found)
        _put(trees, old, element, item)


def _expand(trees: Trees, found: Found) -> Shape:
    base = found.path.rstrip("/")
    return {
        entry.name: Found(entry, found.source, f"{base}/{entry.name}")
        for entry in trees.list(found.entry.hash)
    }


def _founds(shape: Shape) -> Iterator[Found]:
    for item in shape.values():
        if isinstance(item, Found):
            yield item
        else:
            yield from _founds(item)


def _conflict(name: str, path: str, old: Found, new: str) -> InvalidArgument:
    return InvalidArgument(
        f"two inputs put different content at /pfs/{name}{path}: {old.place} and {new}",
        'give the inputs names of their own ("name" in the spec)',
    )


def count(shape: Shape) -> int:
    """The number of files."""
    return sum(found.entry.count for found in _founds(shape))


def walk(trees: Trees, shape: Shape, base: str = "") -> Iterator[tuple[str, Entry | None]]:
    """Every path under /pfs, directories before what is in them; an entry for each file, None
    for directories."""
    for name, item in shape.items():
        path = f"{base}{name}"
        if not isinstance(item, Found):
            yield path, None
            yield from walk(trees, item, path + "/")
        elif not item.entry.is_dir:
            yield path, item.entry
        else:
            yield path, None
            for below, entry in trees.walk(item.entry.hash):
                yield path + below, None if entry.is_dir else entry
