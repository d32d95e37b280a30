"""All datums of an input against brute force, and by difference against all again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.model.ids import Branch, CommitId, Hash, Repo
from pachybox.pps import algebra, planner
from pachybox.pps.algebra import Combination, Indexes, Roots
from pachybox.store.trees import Trees
from tests.examples import many
from tests.unit.store.tree_model import SMALL, Memory, file, fresh, write

from .algebra_oracle import World, datums, inputs, successors, worlds

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def roots_of(
    trees: Trees, memory: Memory, world: World
) -> dict[Branch, tuple[CommitId, Hash] | None]:
    """The trees of a world."""
    made: dict[Branch, tuple[CommitId, Hash] | None] = {}
    for (repo, branch), files in world.items():
        at = Branch(Repo("default", repo), branch)
        if files is None:
            made[at] = None
        else:
            root = write(trees, memory, {path: file(content) for path, content in files.items()})
            made[at] = (CommitId(f"{repo}{branch}"), root)
    return made


def shown(combination: Combination) -> tuple[Any, ...]:
    return tuple(
        (leaf.index, leaf.name, leaf.branch.repo.name, leaf.branch.name, path, join_on, group_by)
        for leaf, path, _, join_on, group_by in combination
    )


def ids(trees: Trees, roots: Roots, made: list[Combination]) -> dict[str, str]:
    """Hash by id; every entry is the one in the tree."""
    found = {}
    for parts in made:
        for one in parts:
            at = roots[one.leaf.branch]
            assert at is not None
            assert one.entry == trees.get(at[1], one.path)
        id_ = planner.datum_id(parts)
        assert id_ not in found
        found[id_] = planner.datum_hash(id_, parts, "salt")
    return found


@settings(max_examples=many(300), suppress_health_check=SLOW, deadline=None)
@given(worlds(), inputs())
def test_the_datums_are_those_of_brute_force_in_order(world: World, given: dict[str, Any]) -> None:
    trees, memory = fresh(SMALL)
    roots = roots_of(trees, memory, world)
    node = algebra.parse(given)
    made = list(algebra.whole(node, roots, trees))
    expected = [
        tuple((f.leaf, f.name, f.repo, f.branch, f.path, f.join_on, f.group_by) for f in parts)
        for parts in datums(given, world)
    ]
    assert [shown(parts) for parts in made] == expected
    ids(trees, roots, made)


@settings(max_examples=many(300), suppress_health_check=SLOW, deadline=None)
@given(st.data(), worlds(), inputs(), st.sampled_from([0, 3, 100_000]))
def test_differences_lead_from_the_old_datums_to_the_new(
    data: st.DataObject, world: World, given: dict[str, Any], room: int
) -> None:
    """With indexes that are kept, that are too large, or that had to leave."""
    follow(data, world, given, Indexes(room), steps=3)


def leaf(repo: str, branch: str = "master", **more: Any) -> dict[str, Any]:
    """An input by name of its repo, with captures."""
    name = f"{repo}{branch}{len(more)}"
    pfs = {"name": name, "project": "default", "repo": repo, "branch": branch}
    return {"pfs": pfs | {"glob": "/(*)-(*)", "join_on": "$1", "group_by": "$1"} | more}


R, S, T, D = leaf("r"), leaf("s"), leaf("t"), leaf("r", "dev")
OUTER_R, OUTER_S = leaf("r", outer_join=True), leaf("s", outer_join=True)
SHAPES = [
    {"cross": [R, S, T]},
    {"cross": [R, {"cross": [S, {"union": [T, D]}]}]},
    {"cross": [{"join": [R, S]}, T]},
    {"cross": [T, {"group": [R, S]}, {"join": [OUTER_R, D]}]},
    {"join": [R, S, T]},
    {"join": [OUTER_R, OUTER_S, T]},
    {"join": [OUTER_R, S, T]},
    {"join": [{"union": [OUTER_R, T]}, {"union": [OUTER_S, D]}]},
    {"join": [leaf("r", join_on="x"), leaf("s", join_on="x", outer_join=True)]},
    {"group": [R, {"union": [S, T]}]},
    {"union": [{"join": [R, S]}, {"group": [T]}, D]},
    {"union": [{"cross": [R, S]}, {"cross": [R, T]}]},
]  # fmt: skip


@pytest.mark.parametrize("given_input", SHAPES, ids=json.dumps)
def test_differences_are_followed_through_every_kind(given_input: dict[str, Any]) -> None:
    assert algebra.follows(algebra.parse(given_input))

    @settings(max_examples=many(40), suppress_health_check=SLOW, deadline=None)
    @given(st.data(), worlds())
    def holds(data: st.DataObject, world: World) -> None:
        follow(data, world, given_input, Indexes(), steps=3)

    holds()


def follow(
    data: st.DataObject, world: World, given: dict[str, Any], cache: Indexes, steps: int
) -> None:
    """Some steps of a world: each difference, applied to the datums before, gives those now."""
    trees, memory = fresh(SMALL)
    node = algebra.parse(given)
    roots = roots_of(trees, memory, world)
    have = ids(trees, roots, list(algebra.whole(node, roots, trees, cache)))
    for _ in range(steps):
        world = data.draw(successors(world))
        before, roots = roots, roots_of(trees, memory, world)
        expected = ids(trees, roots, list(algebra.whole(node, roots, trees)))
        change = algebra.delta(node, before, roots, trees, cache)
        assert (change is not None) == algebra.follows(node)
        if change is not None:
            removed, added = list(change.removed), list(change.added)
            gone = ids(trees, before, removed)
            new = ids(trees, roots, added)
            assert gone.items() <= have.items()
            assert not gone.items() & new.items() or _has_reference(node)
            kept = {id_: hash_ for id_, hash_ in have.items() if id_ not in gone}
            assert not kept.keys() & new.keys()
            assert kept | new == expected
            assert list(change.removed) == removed  # as often as wanted
            assert list(change.added) == added
        have = expected


def _has_reference(node: algebra.Node) -> bool:
    """A datum may go and come with the same hash only where content is not in it."""
    return any(leaf.reference for leaf in algebra.leaves(node))
