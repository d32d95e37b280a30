"""What an input asks for, as a tree of values. Pure.

``parse`` takes the canonical ``input`` of a spec. A cron input is a pfs input over its tick
repo: branch ``master``, glob ``/*``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.glob import Glob, Match
from pachybox.model.ids import USER, Branch, Repo

_MOST_SHAPES = 1000  # more than these are not told apart


@dataclass(frozen=True, slots=True)
class Leaf:
    """One pfs or cron input.

    ``index`` is its place among the leaves of the whole input. ``source`` is the same number
    for leaves whose files have the same place in a datum's id: same name, repo and branch.
    """

    index: int
    source: int
    name: str
    branch: Branch
    glob: Glob
    join_on: str = ""
    outer_join: bool = False
    group_by: str = ""
    empty_files: bool = False
    reference: bool = False
    cron: bool = False
    s3: bool = False

    def join_key(self, path: str) -> str:
        """What ``join_on`` makes of a path that the glob matches; empty without one."""
        return self._expand(self.join_on, path)

    def group_key(self, path: str) -> str:
        """What ``group_by`` makes of a path that the glob matches; empty without one."""
        return self._expand(self.group_by, path)

    def _expand(self, template: str, path: str) -> str:
        if not template:
            return ""
        if "$" not in template:
            return template
        match = self.glob.match(path) if self.glob.captures else Match(path, ())
        return Glob.expand(template, match or Match(path, ()))


@dataclass(frozen=True, slots=True)
class Cross:
    """Every combination of one datum of each child."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """The datums of all children."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """For each key the combinations of one file of each child."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """For each key one datum of all files."""

    children: tuple[Node, ...]


Node = Leaf | Cross | Union | Join | Group

_MANY: dict[str, type[Cross | Union | Join | Group]] = {
    "cross": Cross,
    "union": Union,
    "join": Join,
    "group": Group,
}


_glob = lru_cache(256)(Glob)  # perf: a spec is parsed again and again, 100 us a glob


def parse(canonical_input: Mapping[str, Any]) -> Node:
    """The node of a canonical input. Raises InvalidArgument when it has no or two types."""
    return _Parser().parse(canonical_input)


class _Parser:
    def __init__(self) -> None:
        self._leaves = 0
        self._sources: dict[tuple[str, str, str], int] = {}

    def parse(self, given: Mapping[str, Any]) -> Node:
        types = [name for name in ("pfs", "cron", *_MANY) if given.get(name)]
        if not types:
            raise InvalidArgument("no input set", 'give one, like {"pfs": {"repo": R, "glob": G}}')
        if len(types) > 1:
            raise InvalidArgument(f"multiple input types set: {', '.join(types)}", "keep one")
        kind = types[0]
        if kind == "pfs":
            return self._pfs(given[kind])
        if kind == "cron":
            return self._cron(given[kind])
        return _MANY[kind](tuple(self.parse(child) for child in given[kind]))

    def _pfs(self, pfs: Mapping[str, Any]) -> Leaf:
        repo = Repo(pfs["project"], pfs["repo"], pfs.get("repo_type") or USER)
        branch = Branch(repo, pfs["branch"])
        return Leaf(
            *self._numbers(pfs["name"], branch),
            pfs["name"],
            branch,
            _glob(pfs["glob"]),
            join_on=pfs.get("join_on") or "",
            outer_join=bool(pfs.get("outer_join")),
            group_by=pfs.get("group_by") or "",
            empty_files=bool(pfs.get("empty_files")),
            reference=bool(pfs.get("reference")),
            s3=bool(pfs.get("s3")),
        )

    def _cron(self, cron: Mapping[str, Any]) -> Leaf:
        branch = Branch(Repo(cron["project"], cron["repo"]), "master")
        numbers = self._numbers(cron["name"], branch)
        return Leaf(*numbers, cron["name"], branch, _glob("/*"), cron=True)

    def _numbers(self, name: str, branch: Branch) -> tuple[int, int]:
        """(index, source) of the next leaf."""
        identity = (name, branch.repo.name, branch.name)
        self._leaves += 1
        return self._leaves - 1, self._sources.setdefault(identity, len(self._sources))


def leaves(node: Node) -> Iterator[Leaf]:
    """The pfs and cron inputs, in order."""
    if isinstance(node, Leaf):
        yield node
        return
    for child in node.children:
        yield from leaves(child)


def branches(node: Node) -> tuple[Branch, ...]:
    """The input branches, each once, in order."""
    return tuple(dict.fromkeys(leaf.branch for leaf in leaves(node)))


def repeats(node: Node) -> bool:
    """Whether one datum may come about in two ways, so that it must be counted once.

    True is no more than a suspicion; False is certain.
    """
    if isinstance(node, Leaf):
        return False
    if any(repeats(child) for child in node.children):
        return True
    sources = [{leaf.source for leaf in leaves(child)} for child in node.children]
    touching = [pair for pair in combinations(range(len(sources)), 2) if _meet(sources, *pair)]
    if not isinstance(node, Union):
        return bool(touching)
    shapes = [_shapes(child) for child in node.children]
    for a, b in touching:
        one, other = shapes[a], shapes[b]
        if one is None or other is None or one & other:
            return True
    return False


def shares_files(node: Node) -> bool:
    """Whether two leaves may give the same file a place in one datum."""
    sources = [leaf.source for leaf in leaves(node)]
    return len(set(sources)) < len(sources)


def _meet(sources: list[set[int]], a: int, b: int) -> bool:
    return not sources[a].isdisjoint(sources[b])


def _shapes(node: Node) -> frozenset[tuple[int, ...]] | None:
    """The sources, sorted, that datums of a node can consist of; None: many."""
    if isinstance(node, Leaf):
        return frozenset([(node.source,)])
    if isinstance(node, Group):
        return None
    inner = [_shapes(child) for child in node.children]
    known = [shapes for shapes in inner if shapes is not None]
    if len(known) < len(inner) or _outer(node):
        return None
    if isinstance(node, Union):
        return frozenset().union(*known)
    count = 1
    for shapes in known:
        count *= len(shapes)
    if count > _MOST_SHAPES:
        return None
    return frozenset(tuple(sorted(sum(parts, ()))) for parts in product(*known))


def _outer(node: Node) -> bool:
    return isinstance(node, Join) and any(leaf.outer_join for leaf in leaves(node))
