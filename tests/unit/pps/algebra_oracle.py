"""All datums of an input by brute force over a flat dict of files.

Written from the reference and not from the code: every path is tried against every glob, lists
are multiplied out, nothing is shared or kept.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pachybox.model.glob import Glob
from tests.unit.store.tree_model import position

Files = dict[str, int]
"""Content by path."""

World = dict[tuple[str, str], Files | None]
"""The files at the head of (repo, branch); None: no commit."""


@dataclass(frozen=True)
class File:
    """One matched file or directory of one input."""

    leaf: int
    name: str
    repo: str
    branch: str
    path: str
    join_on: str
    group_by: str
    outer: bool

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return (self.name, self.repo, self.branch, self.path)


Parts = tuple[File, ...]


def datums(given: dict[str, Any], world: World) -> list[Parts]:
    """Every datum in order, each once, its parts sorted."""
    made: dict[Any, Parts] = {}
    for parts in _Oracle(world).datums(given):
        ordered = tuple(sorted(parts, key=lambda f: (f.name, f.path, f.leaf)))
        made.setdefault(tuple(f.identity for f in ordered), ordered)
    return list(made.values())


def paths_of(files: Files) -> list[str]:
    """All files and directories but the root, in the order of the tree."""
    found: dict[str, bool] = dict.fromkeys(files, False)
    for path in files:
        parts = path.split("/")
        found |= dict.fromkeys(("/".join(parts[:i]) for i in range(2, len(parts))), True)
    return sorted(found, key=lambda path: position(path, found[path]))


class _Oracle:
    def __init__(self, world: World) -> None:
        self._world = world
        self._leaves = itertools.count()

    def datums(self, given: dict[str, Any]) -> list[Parts]:
        ((kind, value),) = given.items()
        if kind in ("pfs", "cron"):
            return [(file,) for file in self._matches(kind, value)]
        children = [self.datums(child) for child in value]
        if kind == "union":
            return [parts for child in children for parts in child]
        if kind == "cross":
            return _product(children)
        flat = [_flat(child) for child in value]
        sides = [_files(child, is_flat) for child, is_flat in zip(children, flat, strict=True)]
        return _join(sides) if kind == "join" else _group(sides)

    def _matches(self, kind: str, one: dict[str, Any]) -> list[File]:
        leaf = next(self._leaves)
        branch = one.get("branch", "master")
        files = self._world.get((one["repo"], branch))
        if files is None:
            return []
        glob = Glob(one["glob"] if kind == "pfs" else "/*")
        found = []
        for path in ["/", *paths_of(files)]:
            match = glob.match(path)
            if match is not None:
                join_on, group_by = (
                    Glob.expand(one.get(field, ""), match) for field in ("join_on", "group_by")
                )
                outer = one.get("outer_join", False)
                found.append(
                    File(leaf, one["name"], one["repo"], branch, path, join_on, group_by, outer)
                )
        return found


def _flat(given: dict[str, Any]) -> bool:
    ((kind, value),) = given.items()
    return kind in ("pfs", "cron") or (kind == "union" and all(map(_flat, value)))


def _product(children: list[list[Parts]]) -> list[Parts]:
    """The first varies fastest, which is the other way round than itertools has it."""
    backwards = itertools.product(*reversed(children))
    return [sum(reversed(combination), ()) for combination in backwards]


def _files(made: list[Parts], by_path: bool) -> list[File]:
    """The distinct files of datums: by input and path where only inputs are under the side."""
    files = [file for parts in made for file in parts]
    if by_path:
        files.sort(key=lambda f: (f.leaf, f.path))
    return files


def _distinct(files: list[File]) -> list[File]:
    return list({f.identity: f for f in reversed(files)}.values())[::-1]


def _by_key(files: list[File], field: str) -> dict[str, list[File]]:
    lists: dict[str, list[File]] = {}
    for file in files:
        lists.setdefault(getattr(file, field), []).append(file)
    return {key: _first(found) for key, found in lists.items()}


def _first(files: list[File]) -> list[File]:
    seen: dict[Any, File] = {}
    for file in files:
        seen.setdefault(file.identity, file)
    return list(seen.values())


def _join(sides: list[list[File]]) -> list[Parts]:
    lists = [_by_key(side, "join_on") for side in sides]
    made: list[Parts] = []
    for key in sorted({key for one in lists for key in one}):
        here = [one.get(key, []) for one in lists]
        if not all(here):
            here = [[f for f in files if f.outer] for files in here]
            here = [files for files in here if files]
        if here:
            made += _product([[(file,) for file in files] for files in here])
    return made


def _group(sides: list[list[File]]) -> list[Parts]:
    lists = [_by_key(side, "group_by") for side in sides]
    keys = sorted({key for one in lists for key in one})
    return [tuple(_first([f for one in lists for f in one.get(key, [])])) for key in keys]


# ---- random cases

HEADS = (("r", "master"), ("s", "master"), ("t", "master"), ("r", "dev"))
GLOBS = (
    "/", "/*", "/*/*", "/**", "/d", "/d/*", "/d/(*)-*", "/(*)-(*)", "/**/(?)-*", "/(d|e)/*",
    "/(*).*", "/a-1", "/!(d)", "/(*)-(*)", "/(*)-(*)", "/{,d/}(*)-(*)", "/*-(*)",
)  # fmt: skip
TEMPLATES = ("$1", "$1", "$1", "${1}", "$2", "$1$2", "${2}-$1", "x", "$3", "$0", "")

_names = st.sampled_from(["a-1", "a-2", "b-1", "b-2", "c-1", "d", "a.x"])
_deep = st.lists(_names, min_size=2, max_size=3).map(lambda parts: "/" + "/".join(parts))
_paths = st.one_of(_names.map("/{}".format), _names.map("/{}".format), _deep)
_contents = st.integers(0, 3)


def _clean(files: Files) -> Files:
    """Without what lies below a file."""
    return {
        path: content
        for path, content in files.items()
        if not any(path.startswith(other + "/") for other in files)
    }


file_sets = st.dictionaries(_paths, _contents, min_size=1, max_size=7).map(_clean)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Heads of a few branches."""
    world: World = {at: draw(file_sets) for at in HEADS}
    if draw(st.booleans()):
        world[draw(st.sampled_from(HEADS))] = None
    return world


@st.composite
def successors(draw: st.DrawFn, world: World) -> World:
    """The same world a little later: few heads moved, few files changed in them."""
    after = dict(world)
    for at in sorted(draw(st.sets(st.sampled_from(HEADS), min_size=1))):
        files = dict(after[at] or {})
        for path in sorted(draw(st.sets(st.sampled_from(sorted(files) or ["/d"]), max_size=2))):
            files.pop(path, None)
        there = st.sampled_from(sorted(files) or ["/d"])
        more = draw(st.dictionaries(st.one_of(there, _paths), st.integers(4, 7), max_size=2))
        kept = {
            path: content
            for path, content in files.items()
            if not any(path.startswith(f"{p}/") or p.startswith(f"{path}/") for p in more)
        }
        after[at] = None if draw(st.integers(0, 9)) == 0 else _clean(kept | more)
    return after


@st.composite
def leaf_inputs(draw: st.DrawFn, fresh: bool) -> dict[str, Any]:
    """A pfs or cron input. ``fresh``: its name is no other input's."""
    repo, branch = draw(st.sampled_from(HEADS))
    name = str(draw(st.uuids())) if fresh else draw(st.sampled_from(["x", "y", "z"]))
    if draw(st.integers(0, 19)) == 0:
        return {"cron": {"name": name, "project": "default", "repo": repo, "spec": "@daily"}}
    pfs = {"name": name, "project": "default", "repo": repo, "branch": branch}
    pfs["glob"] = draw(st.sampled_from(GLOBS))
    for field in ("join_on", "group_by"):
        if template := draw(st.sampled_from(TEMPLATES)):
            pfs[field] = template
    if draw(st.booleans()):
        pfs["outer_join"] = True
    if draw(st.integers(0, 5)) == 0:
        pfs["reference"] = True
    return {"pfs": pfs}


@st.composite
def inputs(draw: st.DrawFn, depth: int = 2, fresh: bool | None = None) -> dict[str, Any]:
    """An input, nested at most ``depth`` deep."""
    if fresh is None:
        fresh = draw(st.sampled_from([True, True, False]))
    kind = draw(st.sampled_from(["pfs", "cross", "union", "join", "join", "group"]))
    if depth == 0 or (kind == "pfs" and depth < 2):
        return draw(leaf_inputs(fresh))
    # deltas need joins and groups of inputs
    below = (
        depth - 1 if kind in ("pfs", "cross", "union") else draw(st.sampled_from([0, depth - 1]))
    )
    kind = "cross" if kind == "pfs" else kind
    children = st.lists(inputs(below, fresh), min_size=1, max_size=3)
    return {kind: draw(children)}
