"""An ingest spec is read whole before anything is made; every error says where and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.ingest.spec import KINDS, Spec, load
from pachybox.ingest.values import Values
from pachybox.model.ingest import Ingest, IngestKind

PUSH: dict[str, Any] = {"name": "events", "to": "raw@master", "push": {}}


def one(spec: dict[str, Any], project: str = "default") -> Spec:
    """The only spec of a text."""
    (found,) = load(json.dumps(spec), "a.json", default_project=project)
    return found


def complaint(spec: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        load(spec if isinstance(spec, str) else json.dumps(spec), "a.json")
    return str(caught.value)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in PUSH.items() if key != name}


def test_json_and_yaml_of_one_or_several_documents_are_read() -> None:
    text = "name: a\nto: raw@x\npush: {}\n---\ningest:\n  name: b\n  project: p\nto: raw@x\npush:\n"
    with pytest.raises(InvalidArgument, match=r"a\.yaml:5: none of watch, push, command is there"):
        load(text, "a.yaml")
    first, second = load(f"{text} {{}}", "a.yaml")
    assert (first.ingest, second.ingest) == (Ingest("default", "a"), Ingest("p", "b"))
    assert str(first.to) == "raw@x"
    assert str(second.to) == "p/raw@x", "a repo without a project is one of the source's"
    several = load(json.dumps([PUSH, {**PUSH, "name": "other"}]))
    assert [spec.ingest.name for spec in several] == ["events", "other"]


def test_a_canonical_spec_gives_itself_again() -> None:
    for kind, part in (
        ("push", {}),
        ("command", {"cmd": ["true"], "env": {"A": "b"}}),
        ("watch", {"path": "/data/in", "pattern": "**/*.csv"}),
    ):
        for to in ("raw@master", "default/raw@x", "q/raw@master"):
            for project in ("default", "p"):
                spec = one({"name": "s", "to": to, kind: part}, project)
                assert spec.kind is IngestKind(kind)
                again = one(spec.canonical)
                assert (again.canonical, again.ingest, again.to) == (
                    spec.canonical, spec.ingest, spec.to,
                )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "a.json: there is no spec in it"),
        ("{", "a.json:1:2: not valid JSON"),
        ([1], "a.json:1: expected an object, got a number"),
        (without("name"), 'a.json:1: name: missing; give the source a name: "name": "drops"'),
        (without("to"), "a.json:1: to: missing; name the branch"),
        (without("push"), "a.json:1: none of watch, push, command is there"),
        ({**without("push"), "psh": {}}, 'psh: unknown field; did you mean "push"'),
        ({**PUSH, "descripton": ""}, 'descripton: unknown field; did you mean "description"'),
        ({**PUSH, "command": {}}, "command: push is there too; make a source of each"),
        ({**PUSH, "push": []}, "push: expected an object, got a list"),
        ({**PUSH, "push": {"grop": 1}}, 'push.grop: unknown field; did you mean "group"'),
        ({**PUSH, "ingest": {"name": "b"}}, "name: 'events' and ingest.name 'b' are two names"),
        ({**PUSH, "ingest": {"nme": "b"}}, 'ingest.nme: unknown field; did you mean "name"'),
        ({**PUSH, "name": "a b"}, "ingest name 'a b' is not allowed; use at most 255 letters"),
        ({**PUSH, "name": "n" * 201}, "name: 201 characters are too many; use at most 200"),
        ({**PUSH, "name": 7}, "name: expected a string, got a number; put it in quotes"),
        ({**PUSH, "to": "raw"}, "to: 'raw' names no branch or commit; write repo@branch"),
        ({**PUSH, "to": "raw.spec@master"}, "to: raw.spec is a system repo"),
        ({**PUSH, "to": f"raw@{'0' * 12}4{'0' * 19}"}, "is a commit, not a branch"),
        ({**PUSH, "to": "raw@dead-letters"}, "to: raw@dead-letters is for what cannot be taken"),
        ([PUSH, PUSH], "ingest events is here twice, first on line 1; rename one of them"),
    ],
)
def test_a_wrong_spec_is_refused_with_place_and_remedy(spec: object, said: str) -> None:
    assert said in complaint(spec)


def test_an_error_names_the_line_of_its_field() -> None:
    text = "name: events\nto: raw@master\npush:\n\n  group:\n    records: many\n"
    with pytest.raises(InvalidArgument, match=r"e\.yaml:6: push\.group\.records: expected a whole"):
        load(text, "e.yaml")


def test_values_have_their_types_and_bounds() -> None:
    given_ = Values({"n": 5, "s": "2MB", "t": "3s", "f": True, "l": ["a"], "m": {"a": "b"}}, "x")
    assert (given_.count("n", 0), given_.size("s", ""), given_.seconds("t", "")) == (5, 2e6, 3)
    assert (given_.flag("f"), given_.strings("l"), given_.mapping("m")) == (True, ["a"], {"a": "b"})
    assert given_.size("n", "") == 5
    given_.done()
    for ask, said in (
        (lambda: given_.count("n", 0, most=4), "x.n: 5 is out of range; use 0 to 4"),
        (lambda: given_.size("s", "", least=10**7), "x.s: 2MB is out of range"),
        (lambda: given_.seconds("t", "", most=2), "x.t: 3s is out of range; use 0s to 2s"),
        (lambda: given_.seconds("s", ""), "x.s: '2MB' is not a duration"),
        (lambda: given_.flag("n"), "x.n: expected true or false, got a number"),
        (lambda: given_.strings("s"), "x.s: expected a list of strings, got a string"),
        (lambda: given_.text("s", words=("a", "b")), 'x.s: "2MB" is not known; use a or b'),
    ):
        with pytest.raises(InvalidArgument, match=f"^{said}".replace("(", r"\(")):
            ask()


KNOWN = st.sampled_from(
    [
        *("name", "ingest", "project", "to", "description", "path", "group", "records", "size"),
        *("cmd", "env", "format", "marker", "settle", "batch", "secret", "raw@master", "/data"),
        *(kind.value for kind in KINDS),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | KNOWN
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN | st.text(), inner),
    max_leaves=12,
)


def refusal(text: str) -> str:
    """What is said of a text, "" when it is read."""
    try:
        assert load(text, "a")
    except InvalidArgument as e:
        return e.message
    return ""


@given(st.text() | JSON.map(json.dumps) | st.lists(KNOWN | st.text(max_size=3)).map("".join))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    """Whatever a text is, it is a list of specs or an InvalidArgument of one line."""
    said = refusal(text)
    assert "\n" not in said
    assert len(said) < 1000


@given(st.sampled_from(list(KINDS)), st.dictionaries(KNOWN, JSON, max_size=4))
def test_no_part_of_a_kind_does_anything_but_be_read_or_refused(
    kind: IngestKind, part: dict[str, Any]
) -> None:
    text = json.dumps({"name": "s", "to": "raw@master", kind.value: part})
    said = refusal(text)
    assert not said or said.startswith((f"a:1: {kind.value}", "a:1:"))
    if not said:
        canonical = load(text)[0].canonical
        assert load(json.dumps(canonical))[0].canonical == canonical
