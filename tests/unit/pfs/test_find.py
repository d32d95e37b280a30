"""Finding by glob: the right paths in the right order, and not more reads than needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.model.files import Entry, Kind, Put
from pachybox.model.glob import Glob
from pachybox.model.ids import Hash
from pachybox.pfs.find import find
from pachybox.store.trees import EMPTY, Trees
from tests.examples import many


def key(entry: Entry) -> bytes:
    return (entry.name + "/" if entry.is_dir else entry.name).encode()


class MemoryTrees:
    """A tree in dictionaries behind the interface of Trees; counts what is handed out."""

    def __init__(self, files: list[str]) -> None:
        self.directories: dict[Hash, dict[str, Entry]] = {}
        nested: dict[str, object] = {}
        for path in files:
            at = nested
            for element in path[1:].split("/"):
                at = at.setdefault(element, {})  # type: ignore[assignment]
        self.root = self.build("/", nested)
        self.looked_up = self.listed = 0

    def build(self, path: str, children: Mapping[str, object]) -> Hash:
        node = Hash(path.encode())  # the content of a node does not matter here
        entries = {}
        for name, below in children.items():
            assert isinstance(below, dict)
            kind = Kind.DIR if below else Kind.FILE
            child = self.build(f"{path}{name}/", below) if below else Hash(b"x" * 32)
            entries[name] = Entry(name, kind, child, 1)
        self.directories[node] = entries
        return node

    def get(self, root: Hash, path: str) -> Entry | None:
        self.looked_up += 1
        entry: Entry | None = Entry("", Kind.DIR, root, 0)
        for element in path[1:].split("/") if path != "/" else []:
            if entry is None or not entry.is_dir:
                return None
            entry = self.directories[entry.hash].get(element)
        return entry

    def list(
        self, root: Hash, path: str = "/", *, after: str = "", reverse: bool = False
    ) -> Iterator[Entry]:
        at = self.get(root, path)
        assert at is not None
        assert not reverse
        for entry in sorted(self.directories[at.hash].values(), key=key):
            if key(entry) > after.encode():
                self.listed += 1
                yield entry

    def walk(self, root: Hash, path: str = "/", *, after: str = "") -> Iterator[tuple[str, Entry]]:
        assert (path, after) == ("/", "")
        for entry in self.list(root):
            yield "/" + entry.name, entry
            if entry.is_dir:
                for below, inner in self.walk(entry.hash):
                    yield f"/{entry.name}{below}", inner


def paths(trees: MemoryTrees, pattern: str) -> list[str]:
    return [path for path, _ in find(trees, trees.root, Glob(pattern))]


GRID = MemoryTrees(
    [
        f"/d{i:02}/s{j:03}/f{k}{x}"
        for i in range(10)
        for j in range(60, 70)
        for k in range(10)
        for x in "ab"
    ]
    + ["/readme", "/d00.txt"]
)


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ("/", ["/"]),
        ("/nothing", []),
        ("/readme", ["/readme"]),
        ("/readme/x", []),
        ("/d03/s061", ["/d03/s061"]),
        ("/d0[01]*", ["/d00.txt", "/d00", "/d01"]),
        ("/{readme,d00,d00.txt,none}", ["/d00.txt", "/d00", "/readme"]),
        ("/*/s061/f3*", [f"/d{i:02}/s061/f3{x}" for i in range(10) for x in "ab"]),
        ("/d00/**a", [f"/d00/s{j:03}/f{k}a" for j in range(60, 70) for k in range(10)]),
        ("/d00**9/f0b", ["/d00/s069/f0b"]),
        ("/read**", ["/readme"]),
    ],
)
def test_a_glob_finds_these_in_path_order(pattern: str, want: list[str]) -> None:
    assert paths(GRID, pattern) == want


@pytest.mark.parametrize(
    ("pattern", "looked_up", "listed"),
    [
        ("/", 1, 0),
        ("/d03/s061/f0a", 1, 0),
        ("/*", 1, 12),
        ("/d0*", 1, 12),
        ("/re*", 1, 1),
        ("/*/s061", 11, 12),
        ("/*/s061/f7*", 21, 12 + 10 * 3),
        ("/d03/*", 2, 10),
        ("/{d03,d04}/s06{1,2}/f0a", 8 + 2, 0),
        ("/d03/s06**", 2 + 10, 10 + 200),
    ],
)
def test_a_glob_reads_no_more_than_it_must(pattern: str, looked_up: int, listed: int) -> None:
    GRID.looked_up = GRID.listed = 0
    assert paths(GRID, pattern)
    assert GRID.looked_up <= looked_up + 1  # the fake's list is itself one look-up
    assert GRID.listed <= listed


NAMES = st.sampled_from(
    ["a", "b", "ab", "a.b", "a-", "é", "\ue000", "\U0001f600", "\x01", "\x01\x02"]
)
TREES = st.lists(
    st.lists(NAMES, min_size=1, max_size=3).map(lambda e: "/" + "/".join(e)), max_size=10
)
PIECES = st.sampled_from(
    [*"//?ab.-", "*", "**", "é", "\ue000", "\x01", "{a,b}", "{a/,}", "(a|b)", "[!a]", "!(a)"]
)
PATTERNS = st.lists(PIECES, max_size=6).map("".join)


@settings(max_examples=many(400), deadline=None)
@given(TREES, PATTERNS)
def test_finding_is_walking_everything_and_matching(files: list[str], pattern: str) -> None:
    if {".", ".."} & set(pattern.split("/")):
        return
    trees = MemoryTrees(files)
    glob = Glob(pattern)
    everything = [("/", Entry("", Kind.DIR, trees.root, 0)), *trees.walk(trees.root)]
    want = [(path, entry) for path, entry in everything if glob.matches(path)]
    assert list(find(trees, trees.root, glob)) == want


@settings(max_examples=many(100), deadline=None)
@given(TREES, PATTERNS)
def test_the_trees_of_the_store_are_searched_alike(files: list[str], pattern: str) -> None:
    if {".", ".."} & set(pattern.split("/")):
        return
    fake = MemoryTrees(files)
    blobs: dict[Hash, bytes] = {}

    def put(data: bytes) -> Hash:
        name = Hash(blake3(data).digest())
        blobs[name] = data
        return name

    trees = Trees(blobs.__getitem__)
    leaves = [(path, entry) for path, entry in fake.walk(fake.root) if not entry.is_dir]
    root = trees.edit(EMPTY, [Put(path, entry) for path, entry in leaves], put)
    found = [(path, entry.is_dir) for path, entry in find(trees, root, Glob(pattern))]
    assert found == [(p, e.is_dir) for p, e in find(fake, fake.root, Glob(pattern))]


def test_a_deep_pattern_does_not_exhaust_the_stack() -> None:
    deep = "/" + "/".join(["a"] * 900)
    trees = MemoryTrees([deep])
    assert paths(trees, "/" + "/".join(["a*"] * 900)) == [deep]
