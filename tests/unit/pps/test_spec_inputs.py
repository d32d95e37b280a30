"""Inputs of every kind: what is refused, what is warned of, and the one canonical form."""

# ruff: noqa: E501 (an error text is easier to find unbroken)
from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.definitions import pps as messages
from pachybox.errors import InvalidArgument
from pachybox.model.glob import Glob
from pachybox.pps.planner import inputs_of
from pachybox.pps.spec import Spec, examine, load, load_input, problems
from pachybox.pps.spec.inputs import leaves


def pfs(repo: str = "images", **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": "/*", **more}}


def cron(name: str = "tick", **more: Any) -> dict[str, Any]:
    return {"cron": {"name": name, "spec": "@hourly", **more}}


def text(source: Any, **more: Any) -> str:
    spec = {"pipeline": {"name": "edges"}, "transform": {"cmd": ["sh"]}, "input": source, **more}
    return json.dumps(spec)


def read(source: Any, **more: Any) -> Spec:
    (spec,) = load(text(source, **more), "x", default_project="default")
    return spec


def canonical(source: Any) -> dict[str, Any]:
    made = read(source).canonical["input"]
    assert isinstance(made, dict)
    return made


def complaint(source: Any, **more: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read(source, **more)
    return re.sub(r"^x:1:\d+: ", "", str(caught.value))


def warnings(source: Any, **more: Any) -> list[str]:
    return [re.sub(r"^x:1:\d+: ", "", warning) for warning in read(source, **more).warnings]


NONE = 'no input set; give it one, like {"pfs": {"repo": R, "glob": G}}'
COMMIT_ID = "0" * 12 + "4" + "0" * 19

REFUSED: list[tuple[Any, str]] = [
    ({}, f"input: {NONE}"),
    ({"cross": []}, f"input: {NONE}"),
    ({"cross": [{}]}, f"input.cross[0]: {NONE}"),
    ({"cross": [pfs(), {"union": [pfs("b"), {}]}]}, f"input.cross[1].union[1]: {NONE}"),
    ({"cross": [pfs(), 3]}, "input.cross[1]: expected an object, got a number"),
    ({"cross": pfs()}, "input.cross: expected a list of inputs, got an object; put it in [ ]"),
    ({**pfs(), **cron()}, "input: multiple input types set: pfs, cron; keep one of them"),
    (
        {"join": [{**pfs("a"), "union": [pfs("b")]}]},
        "input.join[0]: multiple input types set: pfs, union; keep one of them",
    ),
    (
        {"cross": [pfs(), pfs("b", glop="/")]},
        'input.cross[1].pfs.glop: unknown field; did you mean "glob"',
    ),
    (
        {"cross": [pfs(), {"pfs": {"repo": "b"}}]},
        'input.cross[1].pfs.glob: missing; use "/" for one datum, "/*" for one per file',
    ),
    ({"cross": [pfs(), pfs("b", glob="/[a")]}, "input.cross[1].pfs.glob: bad glob '/[a': ..."),
    ({"union": [pfs("a/b")]}, "input.union[0].pfs.repo: repo name 'a/b' is not allowed; ..."),
    (
        {"cross": [pfs(), pfs("edges")]},
        "input.cross[1].pfs.repo: a pipeline cannot read its own output; name another repo",
    ),
    (
        {"cross": [pfs(), pfs(branch=COMMIT_ID, name="b")]},
        f"input.cross[1].pfs.branch: {COMMIT_ID} is a commit id; name a branch",
    ),
    (
        {"cross": [pfs(), pfs("out")]},
        "input.cross[1].pfs.name: an input may not be called out: output goes there; set input.cross[1].pfs.name",
    ),
    (
        {"cross": [pfs(), pfs(glob="/")]},
        'input.cross[1].pfs.name: name "images" is used more than once, first by input.cross[0].pfs; set input.cross[1].pfs.name to another name',
    ),
    (
        {"join": [pfs(join_on="$1", glob="/(*)"), cron("images")]},
        'input.join[1].cron.name: name "images" is used more than once, ...',
    ),
    ({"group": [pfs(), pfs()]}, "input.group[1].pfs.name: name ..."),
    (
        {"cross": [{"union": [pfs("a"), pfs("b")]}, pfs("c", name="b")]},
        'input.cross[1].pfs.name: name "b" is used more than once, first by input.cross[0].union[1].pfs; ...',
    ),
    (
        {"cross": [pfs("c", name="b"), {"union": [pfs("a"), pfs("b")]}]},
        'input.cross[1].union[1].pfs.name: name "b" is used more than once, first by input.cross[0].pfs; ...',
    ),
    (
        {"union": [{"cross": [pfs("a"), pfs("b", name="a")]}, pfs("a")]},
        'input.union[0].cross[1].pfs.name: name "a" is used more than once, ...',
    ),
    (
        {"cross": [pfs(s3=True, glob="/*"), pfs("b")]},
        'input.cross[0].pfs.glob: an s3 input must have the glob /; set it to "/"',
    ),
    (
        {"union": [pfs(s3=True, glob="/"), pfs("b")]},
        "input.union[0].pfs.s3: an s3 input may not be in a union; cross it instead",
    ),
    (
        {"pfs": pfs(s3=True, glob="/", empty_files=True)["pfs"]},
        "input.pfs.empty_files: does not go with s3; remove one of the two",
    ),
    (
        {"cross": [pfs(), pfs("b", repo_type="meta")]},
        "input.cross[1].pfs.repo_type: only user repos can be read; remove it; ...",
    ),
    (
        {"cross": [pfs(commit="x")]},
        "input.cross[0].pfs.commit: may not be set by users; remove it: each job reads the commit of the branch",
    ),
    (
        {"cross": [pfs(), {"git": {"URL": "https://github.com/a/b.git"}}]},
        "input.cross[1].git: not built in this version of pachybox; put the files into a repo with "
        '"pachybox put file -r" and read it by input.pfs',
    ),
    (
        pfs(trigger={}),
        "input.pfs.trigger: says no condition; give it one of size, commits, rate_limit_spec, cron_spec",
    ),
    (
        pfs(trigger={"commits": -1}),
        "input.pfs.trigger.commits: may not be negative; give a count of 1 or more",
    ),
    (
        pfs(trigger={"size": "1 apple"}),
        "input.pfs.trigger.size: '1 apple' is not a size; write it like 500KB, 1MB or 1.5GiB",
    ),
    (
        pfs(trigger={"cron_spec": "61 * * * *"}),
        "input.pfs.trigger.cron_spec: cron spec '61 * * * *' is not valid: minute '61' ...",
    ),
    (
        pfs(trigger={"rate_limit_spec": "now"}),
        "input.pfs.trigger.rate_limit_spec: cron spec 'now' is not valid: ...",
    ),
    (
        pfs(branch="master", trigger={"commits": 1}),
        "input.pfs.trigger.branch: branch master cannot trigger itself; remove branch from the input, and the box makes one to move",
    ),
    (
        pfs(trigger={"commits": 1, "branch": "a b"}),
        "input.pfs.trigger.branch: branch name 'a b' is not allowed; ...",
    ),
    ({"cron": {}}, "input.cron.name: missing; name the directory under /pfs"),
    (
        {"cron": {"name": "t"}},
        'input.cron.spec: missing; say when, like "0 * * * *" or "@every 90s"',
    ),
    (
        cron(spec="* * * * * *"),
        "input.cron.spec: cron spec '* * * * * *' is not valid: it has 6 fields; "
        'write five fields, such as "0 * * * *", or @hourly, "@every 90s", @never',
    ),
    (
        cron(timezone="Mars/Phobos"),
        "input.cron.timezone: time zone 'Mars/Phobos' is not known; name one of the IANA time zone "
        'database, like "Europe/Berlin" or "UTC"',
    ),
    (cron(spec="TZ=UTC @daily", timezone="UTC"), "input.cron.spec: cron spec 'TZ=UTC @daily' ..."),
    (cron(spec="@every soon"), "input.cron.spec: cron spec '@every soon' is not valid: ..."),
    (cron("out"), "input.cron.name: an input may not be called out: ..."),
    (cron("a b"), "input.cron.name: repo name 'edges_a b' is not allowed; ..."),
    (cron(repo="a b"), "input.cron.repo: repo name 'a b' is not allowed; ..."),
    (cron(project="a b"), "input.cron.project: project name 'a b' is not allowed; ..."),
    (
        cron(repo="edges"),
        "input.cron.repo: the pipeline writes to that repo; name another repo",
    ),
    (
        cron(start="yesterday"),
        "input.cron.start: 'yesterday' is not a time; write it like 2026-01-31T18:30:00Z or with +01:00",
    ),
    (
        cron(commit="x"),
        "input.cron.commit: may not be set by users; remove it: each job reads the newest ticks",
    ),
]


@pytest.mark.parametrize(("source", "told"), REFUSED, ids=[t[:60] for _, t in REFUSED])
def test_what_is_wrong_is_named_by_its_place_with_the_remedy(source: Any, told: str) -> None:
    found = complaint(source)
    assert found.startswith(told[:-3]) if told.endswith("...") else found == told


def test_the_line_is_that_of_the_field_in_the_list() -> None:
    lines = text({"cross": [pfs(), pfs("b", branch="a.b")]})
    whole = json.dumps(json.loads(lines), indent=1)
    (problem,) = problems(whole, "x")
    assert problem.path == "input.cross[1].pfs.branch"
    assert '"a.b"' in whole.splitlines()[problem.line - 1]


def test_every_problem_of_every_input_is_found() -> None:
    source = {"cross": [pfs("a/b"), {"join": [pfs(glob="["), cron(spec="x"), {}]}]}
    assert [p.path for p in problems(text(source), "x")] == [
        "input.cross[0].pfs.repo",
        "input.cross[1].join[0].pfs.glob",
        "input.cross[1].join[1].cron.spec",
        "input.cross[1].join[2]",
    ]


def test_names_of_a_union_may_be_shared_among_its_branches() -> None:
    assert canonical({"union": [pfs("a", name="in"), pfs("b", name="in")]})
    assert canonical({"cross": [{"union": [{"cross": [pfs("a"), pfs("b")]}, pfs("a")]}, pfs("c")]})


WARNED: list[tuple[Any, list[str]]] = [
    ({"join": [pfs(join_on="$1", glob="/(*)"), pfs("b", join_on="${1}", glob="/(*)")]}, []),
    ({"group": [pfs(group_by="$1", glob="/(*)-*"), pfs("b", group_by="all")]}, []),
    (
        {"join": [pfs(join_on="$1", glob="/(*)"), pfs("b")]},
        ["input.join[1].pfs: has no join_on: its files all have the empty key"],
    ),
    ({"group": [pfs()]}, ["input.group[0].pfs: has no group_by: its files all have the empty key"]),
    (
        {"join": [pfs(join_on="$7-$1", glob="/(*)-(*)")]},
        ["input.join[0].pfs.join_on: $7 is empty: the glob has 2 captures, such as (*)"],
    ),
    (
        {"group": [pfs(group_by="${2}")]},
        ["input.group[0].pfs.group_by: $2 is empty: the glob has 0 captures, such as (*)"],
    ),
    (pfs(join_on="$0"), ["input.pfs.join_on: has no effect outside of a join"]),
    (
        {"cross": [pfs(outer_join=True, group_by="$0")]},
        [
            "input.cross[0].pfs.outer_join: has no effect outside of a join",
            "input.cross[0].pfs.group_by: has no effect outside of a group",
        ],
    ),
    ({"join": [{"cross": [pfs(join_on="$0"), pfs("b")]}]}, []),
]


@pytest.mark.parametrize(("source", "told"), WARNED)
def test_what_decides_nothing_is_warned_of(source: Any, told: list[str]) -> None:
    assert warnings(source) == told


def test_a_trigger_without_a_branch_gets_one_counted_by_repo() -> None:
    often = {"commits": 1}
    made = canonical(
        {
            "cross": [
                pfs("a", trigger=often),
                pfs("b", trigger=often),
                {"union": [pfs("a", name="c", trigger={"size": "1MB", "branch": "staging"})]},
                pfs("a", name="d", branch="mine", trigger=often),
            ]
        }
    )
    found = [(leaf["branch"], leaf["trigger"]) for _, leaf in leaves(made)]
    assert found == [
        ("edges-trigger-1", {"commits": 1, "branch": "master"}),
        ("edges-trigger-1", {"commits": 1, "branch": "master"}),
        ("edges-trigger-2", {"size": "1MB", "branch": "staging"}),
        ("mine", {"commits": 1, "branch": "master"}),
    ]


def test_a_cron_gets_its_repo_and_its_start_in_utc() -> None:
    assert canonical(cron(start="2026-01-31T18:30:00+02:00", spec=" @daily "))["cron"] == {
        "name": "tick",
        "project": "default",
        "repo": "edges_tick",
        "spec": "@daily",
        "overwrite": False,
        "start": "2026-01-31T16:30:00Z",
    }
    assert canonical(cron(repo="clock", project="p", coalesce=True, timezone="UTC"))["cron"] == {
        "timezone": "UTC",
        "name": "tick",
        "project": "p",
        "repo": "clock",
        "spec": "@hourly",
        "overwrite": False,
        "coalesce": True,
    }


def test_what_asks_for_nothing_leaves_no_trace() -> None:
    idle = pfs(
        join_on="", outer_join=False, lazy=False, propagation_spec={"never": False}, s3=False
    )
    assert canonical({**idle, "cross": [], "git": None}) == canonical(pfs())


def test_an_input_can_be_read_alone_or_from_a_spec_that_is_not_ready() -> None:
    wanted = canonical({"cross": [pfs(), cron(repo="clock")]})
    alone = json.dumps({"cross": [pfs(), cron(repo="clock")]})
    assert load_input(alone, "x", default_project="default") == wanted
    in_spec = json.dumps({"input": json.loads(alone)})
    assert load_input(in_spec, "x", default_project="default") == wanted
    yaml = "pipeline: {name: later}\ninput:\n  cron: {name: t, spec: '@daily'}\n"
    assert load_input(yaml, "x", default_project="p")["cron"]["repo"] == "later_t"
    for wrong, told in (
        (
            "pfs: {repo: a}",
            'x:1:1: input.pfs.glob: missing; use "/" for one datum, "/*" for one per file',
        ),
        ("[]", "x holds 0 inputs; give one"),
        ("{}", f"x:1:1: input: {NONE}"),
        ("- 3", "x:1:3: input: expected an object, got a number"),
        ("{", "x:1:2: not valid JSON: ..."),
        ("transform: {cmd: [sh]}", f"x:1:1: input: {NONE}"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            load_input(wrong, "x", default_project="default")
        found = str(caught.value)
        assert found.startswith(told[:-3]) if told.endswith("...") else found == told


def test_examining_gives_the_right_ones_and_every_problem_of_the_others() -> None:
    specs, found = examine(
        text(pfs()) + "\n" + text(pfs(repo="a b", glob="")), "x", default_project="default"
    )
    assert [one.spec.pipeline.name for one in specs if one.right] == ["edges"]
    assert [(one.line, one.document, one.path) for one in found] == [
        (2, 2, "input.pfs.repo"),
        (2, 2, "input.pfs.glob"),
    ]


# ---- properties

_leaf = st.builds(
    lambda number, more: pfs(f"r{number}", **more),
    st.integers(0, 10**6),
    st.fixed_dictionaries(
        {},
        optional={
            "glob": st.sampled_from(["/", "/*", "/(*)/(*)"]),
            "join_on": st.sampled_from(["$1", ""]),
            "outer_join": st.booleans(),
            "group_by": st.sampled_from(["$1-$2"]),
            "lazy": st.booleans(),
            "branch": st.sampled_from(["", "staging"]),
            "reference": st.booleans(),
            "propagation_spec": st.fixed_dictionaries({"never": st.booleans()}),
            "trigger": st.fixed_dictionaries({"commits": st.integers(1, 5)}),
            "empty_files": st.booleans(),
        },
    ),
) | st.builds(
    lambda number, overwrite: cron(f"t{number}", overwrite=overwrite),
    st.integers(0, 10**6),
    st.booleans(),
)
_tree = st.recursive(
    _leaf,
    lambda inner: st.builds(
        lambda kind, items: {kind: items},
        st.sampled_from(["cross", "union", "join", "group"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def _names(source: Any) -> list[str]:
    return [leaf.get("name") or leaf["repo"] for _, leaf in leaves(source)]


_trees = _tree.filter(lambda source: len(set(_names(source))) == len(_names(source)))


@given(_trees)
def test_any_tree_of_inputs_is_read_once_and_for_all(source: Any) -> None:
    first = canonical(source)
    assert canonical(first) == first
    assert [leaf["name"] for _, leaf in leaves(first)] == _names(source)
    assert [leaf.name for leaf in inputs_of({"input": first})] == _names(source)
    json_format.ParseDict(first, messages.Input(), ignore_unknown_fields=True)


def test_references_of_a_template() -> None:
    assert Glob.references("a$1-${2}$$3$x$") == [1, 2]
    huge = "$" + "9" * 5000
    assert Glob.references(huge) == [int("9" * 10)]
    match = Glob("/(*)").match("/a")
    assert match is not None
    assert Glob.expand(huge, match) == ""
