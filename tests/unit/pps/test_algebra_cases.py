"""Inputs by example: what the rules come to, and that cost follows the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from pachybox.model.files import Change, Entry, Put
from pachybox.model.ids import Branch, CommitId, Hash, Repo
from pachybox.model.pps import DatumInput
from pachybox.pps import algebra, planner
from pachybox.pps.algebra import Indexes
from pachybox.pps.meta_file import inputs as inputs_of_meta
from pachybox.store.chunks import Shape
from pachybox.store.trees import EMPTY, Trees
from tests.unit.store.tree_model import Memory, file

Made = list[list[str]]


class CountingTrees(Trees):
    """Counts what is asked of it."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.get, shape=Shape(16, 3))
        self.listed = self.looked_up = self.differences = 0

    def list(self, *args: Any, **more: Any) -> Iterator[Entry]:
        for entry in super().list(*args, **more):
            self.listed += 1
            yield entry

    def lookup(self, root: Hash) -> Callable[[str], Entry | None]:
        get = super().lookup(root)

        def counted(path: str) -> Entry | None:
            self.looked_up += 1
            return get(path)

        return counted

    def diff(self, *args: Any, **more: Any) -> Iterator[Change]:
        for change in super().diff(*args, **more):
            self.differences += 1
            yield change


class Heads:
    """Branches with files, and the algebra over them."""

    def __init__(self, **files: list[str]) -> None:
        self.memory = Memory()
        self.trees = CountingTrees(self.memory)
        self.roots: dict[Branch, tuple[CommitId, Hash] | None] = {}
        self.cache = Indexes()
        for repo, paths in files.items():
            self.put(repo, *paths)

    def put(self, repo: str, *paths: str, content: str = "") -> None:
        """A commit of files, each with its path as content or ``content``."""
        at = branch(repo)
        before = self.roots.get(at)
        puts = [Put(path, file(content or path)) for path in paths]
        root = self.trees.edit(before[1] if before else EMPTY, puts, self.memory.put)
        self.roots = {**self.roots, at: (CommitId(f"{repo}-commit"), root)}

    def whole(self, given: dict[str, Any]) -> Made:
        """The paths of every datum."""
        made = algebra.whole(algebra.parse(given), self.roots, self.trees, self.cache)
        return [[one.path for one in parts] for parts in made]

    def change(self, given: dict[str, Any], before: algebra.Roots) -> tuple[Made, Made]:
        """The paths of the datums gone and new."""
        node = algebra.parse(given)
        made = algebra.delta(node, before, self.roots, self.trees, self.cache)
        assert made is not None
        gone, new = (
            [[one.path for one in parts] for parts in some] for some in (made.removed, made.added)
        )
        return gone, new


def branch(repo: str) -> Branch:
    return Branch(Repo("default", repo), "master")


def pfs(repo: str, glob: str, name: str = "", **more: Any) -> dict[str, Any]:
    one = {"name": name or repo, "project": "default", "repo": repo, "branch": "master"}
    return {"pfs": one | {"glob": glob} | more}


def keyed(repo: str, **more: Any) -> dict[str, Any]:
    return pfs(repo, "/(*)-*", join_on="$1", group_by="$1", **more)


def test_the_first_input_of_a_cross_varies_fastest_and_parts_are_sorted_by_name() -> None:
    heads = Heads(z=["/1", "/2"], a=["/x", "/y"])
    cross = {"cross": [pfs("z", "/*"), pfs("a", "/*")]}
    assert heads.whole(cross) == [["/x", "/1"], ["/x", "/2"], ["/y", "/1"], ["/y", "/2"]]


@pytest.mark.parametrize("kind", ["cross", "join"])
def test_a_side_without_a_commit_gives_nothing(kind: str) -> None:
    heads = Heads(a=["/1-1"])
    assert heads.whole({kind: [keyed("a"), keyed("b")]}) == []
    assert heads.whole({"union": [keyed("a"), keyed("b")]}) == [["/1-1"]]
    assert heads.whole({"group": [keyed("a"), keyed("b")]}) == [["/1-1"]]


def test_an_outer_join_keeps_the_flagged_inputs_of_a_key_that_one_lacks() -> None:
    heads = Heads(
        a=["/all-a", "/ab-a", "/ac-a", "/a-a"],
        b=["/all-b", "/ab-b", "/bc-b", "/b-b"],
        c=["/all-c", "/ac-c", "/bc-c", "/c-c"],
    )
    join = {"join": [keyed("a", outer_join=True), keyed("b", outer_join=True), keyed("c")]}
    assert heads.whole(join) == [
        ["/a-a"],
        ["/ab-a", "/ab-b"],
        ["/ac-a"],
        ["/all-a", "/all-b", "/all-c"],
        ["/b-b"],
        ["/bc-b"],
    ]


def test_a_file_that_completes_a_key_replaces_what_the_outer_join_gave() -> None:
    heads = Heads(a=["/k-1", "/k-2"], b=["/x-1"])
    join = {"join": [keyed("a", outer_join=True), keyed("b")]}
    before = heads.roots
    heads.put("b", "/k-9")
    gone, new = heads.change(join, before)
    assert sorted(gone) == [["/k-1"], ["/k-2"]]
    assert sorted(new) == [["/k-1", "/k-9"], ["/k-2", "/k-9"]]


def test_a_join_without_templates_is_a_cross() -> None:
    heads = Heads(a=["/1", "/2"], b=["/x"])
    assert heads.whole({"join": [pfs("a", "/*"), pfs("b", "/*")]}) == [["/1", "/x"], ["/2", "/x"]]


def test_a_group_over_a_join_holds_the_files_that_matched() -> None:
    heads = Heads(a=["/p-1.x", "/p-2.x", "/q-1.x"], b=["/1.y", "/3.y"])
    join = {
        "join": [
            pfs("a", "/(*)-(*).x", join_on="$2", group_by="$1"),
            pfs("b", "/(*).y", join_on="$1", group_by="p"),
        ]
    }
    assert heads.whole({"group": [join]}) == [["/p-1.x", "/1.y"], ["/q-1.x"]]


def test_a_datum_in_two_branches_of_a_union_counts_once() -> None:
    heads = Heads(a=["/1", "/2"])
    union = {"union": [pfs("a", "/*"), pfs("a", "/1")]}
    assert heads.whole(union) == [["/1"], ["/2"]]
    assert heads.whole({"union": [pfs("a", "/*"), pfs("a", "/1", "b")]}) == [["/1"], ["/2"], ["/1"]]
    assert algebra.delta(algebra.parse(union), heads.roots, {}, heads.trees, heads.cache) is None


def test_a_cron_input_reads_the_files_of_its_repo() -> None:
    heads = Heads(tick=["/2026-01-01T00:00:00Z"])
    cron = {"cron": {"name": "tick", "project": "default", "repo": "tick", "spec": "@daily"}}
    assert heads.whole(cron) == [["/2026-01-01T00:00:00Z"]]
    assert algebra.branches(algebra.parse({"cross": [cron, cron]})) == (branch("tick"),)


def test_an_input_has_exactly_one_type() -> None:
    with pytest.raises(InvalidArgument, match="no input set"):
        algebra.parse({})
    with pytest.raises(InvalidArgument, match="multiple input types set: pfs, cross"):
        algebra.parse({**pfs("a", "/"), "cross": [pfs("b", "/")]})


def test_a_state_that_is_not_known_must_be_planned_whole() -> None:
    heads = Heads(a=["/1"])
    node = algebra.parse(pfs("a", "/*"))
    assert algebra.delta(node, {}, heads.roots, heads.trees, heads.cache) is None
    nothing = {branch("a"): None}
    made = algebra.delta(node, nothing, heads.roots, heads.trees, heads.cache)
    assert made is not None
    assert [parts[0].path for parts in made.added] == ["/1"]


def test_a_file_that_became_a_directory_is_another_datum_of_the_same_id() -> None:
    heads = Heads(a=["/x", "/y"])
    before = heads.roots
    heads.roots = {}
    heads.put("a", "/x/1", "/y")
    assert heads.change(pfs("a", "/*"), before) == ([["/x"]], [["/x"]])
    assert heads.change(pfs("a", "/**"), before) == ([["/x"]], [["/x"], ["/x/1"]])
    assert heads.change(pfs("a", "/x"), before) == ([["/x"]], [["/x"]])
    assert heads.change(pfs("a", "/"), before) == ([["/"]], [["/"]])


def test_a_change_of_one_side_of_a_cross_touches_its_own_combinations_only() -> None:
    heads = Heads(a=[f"/{i:03}" for i in range(200)], b=[f"/{i:03}" for i in range(300)])
    cross = {"cross": [pfs("a", "/*"), pfs("b", "/*")]}
    before = heads.roots
    heads.put("a", "/007", content="new")
    heads.trees.listed = 0
    gone, new = heads.change(cross, before)
    assert gone == new == [["/007", f"/{i:03}"] for i in range(300)]
    assert heads.trees.differences == 1
    assert heads.trees.listed <= 400  # the other side, not the side that changed


def test_a_change_of_one_file_of_a_join_reads_the_files_of_its_key_only() -> None:
    heads = Heads(a=[f"/{i}-a" for i in range(300)], b=[f"/{i}-b" for i in range(300)])
    join = {"join": [keyed("a"), keyed("b")]}
    assert len(heads.whole(join)) == 300
    for step in range(3):
        before = heads.roots
        heads.put("b", f"/{step}-b", content="new")
        heads.trees.listed = heads.trees.looked_up = 0
        assert heads.change(join, before) == ([[f"/{step}-a", f"/{step}-b"]],) * 2
        assert heads.trees.listed == 0  # the indexes are kept and moved on
        assert heads.trees.looked_up <= 2


def test_what_did_not_move_costs_nothing() -> None:
    heads = Heads(a=["/1-1"], b=["/1-1"], c=["/1"])
    union = {"union": [{"join": [keyed("a"), keyed("b")]}, pfs("c", "/*")]}
    before = heads.roots
    heads.put("c", "/2")
    heads.trees.listed = 0
    assert heads.change(union, before) == ([], [["/2"]])
    assert heads.trees.listed == 0


def test_a_difference_does_not_go_where_the_glob_cannot_match() -> None:
    heads = Heads(a=["/d/1", "/e/1"])
    before = heads.roots
    heads.put("a", *(f"/d/{i}" for i in range(50)), "/e/2")
    assert heads.change(pfs("a", "/*"), before) == ([["/d"], ["/e"]],) * 2
    assert heads.trees.differences == 2
    heads.trees.differences = 0
    assert heads.change(pfs("a", "/e/*"), before) == ([], [["/e/2"]])
    assert heads.trees.differences == 3


def test_indexes_leave_when_there_are_too_many() -> None:
    cache = Indexes(most=10)
    heads = Heads(a=[f"/{i}-a" for i in range(6)], b=[f"/{i}-b" for i in range(6)])
    heads.cache = cache
    join = {"join": [keyed("a"), keyed("b")]}
    assert len(heads.whole(join)) == 6
    kept = [cache.take((branch(repo), "/(*)-*", "$1")) for repo in "ab"]
    assert kept[0] is None
    assert kept[1] is not None
    assert kept[1].count == 6


def test_an_index_of_a_tree_that_is_gone_is_made_afresh() -> None:
    heads = Heads(a=["/1-a", "/2-a"], b=["/1-b", "/2-b"])
    join = {"join": [keyed("a"), keyed("b")]}
    assert len(heads.whole(join)) == 2
    heads.put("a", "/3-a")
    heads.put("b", "/3-b")
    index = heads.cache.take((branch("a"), "/(*)-*", "$1"))
    assert index is not None
    index.root = Hash(bytes(32))
    heads.cache.give((branch("a"), "/(*)-*", "$1"), index)
    heads.trees = Gone(heads.memory)
    assert len(heads.whole(join)) == 3


class Gone(CountingTrees):
    """A store that says so when a tree is missing, as the real one does."""

    def diff(self, *args: Any, **more: Any) -> Iterator[Change]:
        from pachybox.errors import NotFound

        if args[0] == bytes(32):
            raise NotFound("no such tree")
        return super().diff(*args, **more)


# ---- ids and hashes


def test_an_id_stays_and_a_hash_follows_content_but_of_reference_inputs() -> None:
    heads = Heads(a=["/1"], b=["/1"])
    cross = {"cross": [pfs("a", "/*"), pfs("b", "/*", reference=True)]}

    def made() -> tuple[str, str]:
        (datum,) = (planner.to_datum(parts, COMMITS, "salt") for parts in whole_of(heads, cross))
        return datum.id, datum.hash

    first = made()
    heads.put("b", "/1", content="new")
    assert made() == first
    heads.put("a", "/1", content="new")
    assert made()[0] == first[0]
    assert made()[1] != first[1]


def test_the_id_of_a_datum_is_that_of_former_versions() -> None:
    heads = Heads(a=["/1"])
    ((parts),) = whole_of(heads, pfs("a", "/*", "in"))
    datum = planner.to_datum(parts, COMMITS, "salt")
    assert datum.id == "ccd532b4d298dbfc7433389cb8b46771d539827e4252769b80677db683bf822c"
    assert datum.hash == "09847120c3408f32457a94f168904a80cb2496a10cf8e6335e7d1a0ddf229af5"


def test_the_record_of_an_older_datum_is_read() -> None:
    old = {"name": "a", "project": "default", "repo": "a", "branch": "master", "commit": "c"}
    old |= {"path": "/1", "hash": "00" * 32}
    meta = {"inputs": [{**old, "size": 1, "is_dir": False}]}
    (one,) = inputs_of_meta(meta)
    want = DatumInput("a", "default", "a", "master", CommitId("c"), "/1", Hash(bytes(32)), 1, False)
    assert one == want
    assert (one.join_on, one.group_by) == ("", "")


COMMITS = {branch(repo): CommitId(f"{repo}-commit") for repo in "ab"}


def whole_of(heads: Heads, given: dict[str, Any]) -> list[algebra.Combination]:
    return list(algebra.whole(algebra.parse(given), heads.roots, heads.trees))
