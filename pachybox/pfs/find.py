"""Find what a glob matches in a tree, reading as little of it as the pattern allows.

The pattern's components steer the walk: a literal name (or a few possible names)
is looked up, a wildcard with a literal beginning is a seek in the directory's
order, ``*`` is one listing, and only from the component that spans elements (``**``)
on is everything below read and matched. A matched directory is one result; nothing
below it is read unless the pattern goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from pachybox.model.files import Entry
from pachybox.model.glob import Component, Glob
from pachybox.model.ids import Hash
from pachybox.model.paths import join


class TreeReader(Protocol):
    """What is needed of :class:`pachybox.store.trees.Trees`."""

    def get(self, root: Hash, path: str) -> Entry | None:
        """The entry at ``path``."""

    def list(
        self, root: Hash, path: str = "/", *, after: str = "", reverse: bool = False
    ) -> Iterator[Entry]:
        """One directory's entries in order, from behind ``after``."""

    def walk(self, root: Hash, path: str = "/", *, after: str = "") -> Iterator[tuple[str, Entry]]:
        """Everything below ``path`` in order."""


Found = tuple[str, Entry]


def find(trees: TreeReader, root: Hash, glob: Glob) -> Iterator[Found]:
    """Every path of the tree ``root`` that ``glob`` matches, with its entry.

    In bytewise path order, where a directory counts as its name and a ``/`` (the order
    of ``trees.walk``). ``/`` gives the root alone. The tree may not be collected while
    the iterator lives.
    """
    components = glob.components
    if glob.is_literal:
        entry = trees.get(root, glob.literal)
        if entry is not None:
            yield glob.literal, entry
        return
    # A directory entry's hash is the root of its own tree, so each step starts there
    # instead of at the top. The stack holds one open listing per depth.
    depth = 0
    stack = [_candidates(trees, "/", root, components[0])]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            depth -= 1
        elif depth == len(components) - 1:
            yield found
            # perf: the innermost listing is most of the work; no stack on its way
            yield from stack.pop()
            depth -= 1
        elif found[1].is_dir:
            depth += 1
            stack.append(_candidates(trees, found[0], found[1].hash, components[depth]))


def _candidates(
    trees: TreeReader, directory: str, node: Hash, component: Component
) -> Iterator[Found]:
    """What of one directory matches one component."""
    if component.rest:
        return _below(trees, directory, node, component)
    if component.names is not None:
        return _named(trees, directory, node, component.names)
    return _matching(trees, directory, node, component)


def _named(
    trees: TreeReader, directory: str, node: Hash, names: tuple[str, ...]
) -> Iterator[Found]:
    entries = [e for name in names if name and (e := trees.get(node, f"/{name}")) is not None]
    if len(entries) > 1:
        entries.sort(key=_order)
    for entry in entries:
        yield join(directory, entry.name), entry


def _matching(
    trees: TreeReader, directory: str, node: Hash, component: Component
) -> Iterator[Found]:
    base = "/" if directory == "/" else directory + "/"
    matches = None if component.everything else component.matches
    for entry in _starting(trees, node, component.prefix):
        if matches is None or matches(entry.name):
            yield base + entry.name, entry


def _starting(trees: TreeReader, node: Hash, prefix: str) -> Iterator[Entry]:
    """The entries whose names begin with ``prefix``, by a seek."""
    if not prefix:
        yield from trees.list(node)
        return
    for entry in trees.list(node, after=_before(prefix)):
        if entry.name.startswith(prefix):
            yield entry
        elif entry.name > prefix:
            return


def _before(prefix: str) -> str:
    """A name in front of all that begin with ``prefix``, and behind nearly all others."""
    last = ord(prefix[-1])
    if last <= 1:
        return prefix[:-1] + "\0"  # no name has a NUL; a directory of the shorter name is behind it
    # the code points between U+D7FF and U+E000 are surrogates, which no name has
    lower = 0xD7FF if last == 0xE000 else last - 1
    return prefix[:-1] + chr(lower) + "\U0010ffff"


def _below(trees: TreeReader, directory: str, node: Hash, component: Component) -> Iterator[Found]:
    """All below one directory that matches the rest of the pattern."""
    base = "/" if directory == "/" else directory + "/"
    matches = component.matches
    if not component.prefix:
        yield from _walked(trees, base, node, "", None if component.everything else matches)
        return
    for entry in _starting(trees, node, component.prefix):
        if matches(entry.name):
            yield base + entry.name, entry
        if entry.is_dir:
            yield from _walked(trees, base, entry.hash, entry.name + "/", matches)


def _walked(
    trees: TreeReader, base: str, node: Hash, ahead: str, matches: Callable[[str], bool] | None
) -> Iterator[Found]:
    """The walk of ``node``, whose paths continue ``base + ahead``."""
    if matches is None:
        for path, entry in trees.walk(node):
            yield base + path[1:], entry
        return
    for path, entry in trees.walk(node):
        rest = ahead + path[1:]
        if matches(rest):
            yield base + rest, entry


def _order(entry: Entry) -> str:
    """Sorts entries as a directory does. UTF-8 bytes order as code points do."""
    return entry.name + "/" if entry.is_dir else entry.name
