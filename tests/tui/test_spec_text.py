"""Fields of a spec change in its text; comments, order and all other fields stay."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import many
from tui.spec_edits import drop, put, rename
from tui.spec_text import NotUnderstood, Path, Spec

SPEC = """\
# the one that makes them small
pipeline: {name: resize}   # its name
input:  # what it reads
  pfs:
    repo: clean # from the cleaner
    # all pictures
    glob: "/*/*.png"
transform:
  image: 'python:3.12-slim'
  cmd: [python, /code/resize.py]  # program

  # the environment
  env:
    SIZE: "10"  # in pixels
"""
KEYS = st.sampled_from(["a", "b", "c", "d"])
WORDS = st.sampled_from(
    [
        "x",
        "a b",
        "true",
        "12",
        "",
        "#no",
        "it's",
        'say "hi"',
        "a: b",
        "- x",
        "é日",
        "/*",
        "[",
        "1.5",
    ]
)
SCALARS = st.one_of(WORDS, st.integers(-5, 5), st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


class Writer:
    """Writes values as people do: blocks, brackets and quotes as drawn, comments anywhere."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.comments = 0

    def some(self) -> bool:
        return bool(self.draw(st.booleans()))

    def comment(self) -> str:
        if not self.some():
            return ""
        self.comments += 1
        return f" # c{self.comments};"

    def above(self, column: int) -> str:
        comment = self.comment()
        return " " * column + comment.strip() + "\n" if comment else ""

    def block(self, value: Any, column: int) -> str:
        pad, lines = " " * column, ""
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            lines += self.above(column)
            lead = f"{key}:" if isinstance(value, dict) else "-"
            if isinstance(one, dict | list) and one and self.some():
                deeper = column + (2 if isinstance(one, dict) or self.some() else 0)
                deeper = column + 2 if lead == "-" else deeper
                lines += f"{pad}{lead}{self.comment()}\n{self.block(one, deeper)}"
            elif isinstance(one, str) and one.strip(" #-") and self.some():
                lines += f"{pad}{lead} |-{self.comment()}\n{pad}  {one}\n"
            else:
                lines += f"{pad}{lead} {json.dumps(one, ensure_ascii=False)}{self.comment()}\n"
        return lines


@st.composite
def texts(draw: Any) -> tuple[str, dict[str, Any]]:
    value = draw(st.dictionaries(KEYS, VALUES, max_size=4))
    if draw(st.booleans()):
        return json.dumps(value, indent=draw(st.sampled_from([None, 2])), ensure_ascii=False), value
    return Writer(draw).block(value, 0), value


def paths(value: Any, here: Path = ()) -> list[Path]:
    """Every path there is, and one more in each mapping."""
    found = [here] if here else []
    if isinstance(value, dict):
        for key, one in value.items():
            found += paths(one, (*here, key))
        found.append((*here, "new"))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            found += paths(one, (*here, at))
    return found


def bare(value: Any) -> Any:
    """Without what is empty: a field that is null, {} or [] is one left out."""
    if isinstance(value, dict):
        return {k: b for k, v in value.items() if (b := bare(v)) is not None} or None
    if isinstance(value, list):
        return [bare(v) for v in value] or None
    return value


@settings(max_examples=many(400), deadline=None)
@given(texts(), st.data())
def test_a_field_is_put_and_every_comment_stays(
    made: tuple[str, dict[str, Any]], data: Any
) -> None:
    text, value = made
    spec = Spec(text)
    assert spec.value == value
    path = data.draw(st.sampled_from(paths(value)))
    new = data.draw(VALUES)
    changed = put(spec, path, new)
    assert sorted(re.findall(r"# c\d+;", changed.text)) == sorted(re.findall(r"# c\d+;", text))
    assert bare(changed.get(path)) == bare(new)
    for other in paths(value):
        if other[: len(path)] != path and path[: len(other)] != other:
            assert bare(changed.get(other)) == bare(spec.get(other))


@settings(max_examples=many(400), deadline=None)
@given(texts(), st.data())
def test_a_field_is_dropped_and_every_comment_stays(
    made: tuple[str, dict[str, Any]], data: Any
) -> None:
    text, value = made
    spec = Spec(text)
    path = data.draw(st.sampled_from(paths(value)))
    changed = drop(spec, path)
    assert sorted(re.findall(r"# c\d+;", changed.text)) == sorted(re.findall(r"# c\d+;", text))


def test_one_line_of_a_text_is_changed_and_the_others_are_as_they_were() -> None:
    changed = put(Spec(SPEC), ("input", "pfs", "glob"), "/*").text
    assert changed == SPEC.replace('"/*/*.png"', '"/*"')
    changed = put(Spec(SPEC), ("transform", "cmd"), ["python", "/code/other.py"]).text
    assert changed == SPEC.replace("resize.py", "other.py")
    changed = put(Spec(SPEC), ("transform", "image"), "python:3.13").text
    assert changed == SPEC.replace("3.12-slim", "3.13")


def test_what_is_not_there_is_added_where_it_belongs() -> None:
    spec = put(Spec(SPEC), ("input", "pfs", "branch"), "staging")
    spec = put(spec, ("resource_limits", "memory"), "256M")
    assert '    glob: "/*/*.png"\n    branch: staging\n' in spec.text
    assert spec.text.endswith('"10"  # in pixels\nresource_limits:\n  memory: 256M\n')


def test_an_empty_text_becomes_a_spec() -> None:
    spec = put(Spec(""), ("pipeline", "name"), "a")
    spec = put(spec, ("input", "cross", 0, "pfs"), {"repo": "x", "glob": "/*"})
    assert spec.text == (
        "pipeline:\n  name: a\ninput:\n  cross:\n  - pfs:\n      repo: x\n      glob: /*\n"
    )
    assert spec.value["input"] == {"cross": [{"pfs": {"repo": "x", "glob": "/*"}}]}


def test_json_stays_json() -> None:
    text = json.dumps({"pipeline": {"name": "a"}, "transform": {"cmd": ["x"]}}, indent=2)
    spec = put(Spec(text), ("transform", "env", "A"), "1")
    spec = drop(spec, ("transform", "cmd"))
    assert json.loads(spec.text) == {"pipeline": {"name": "a"}, "transform": {"env": {"A": "1"}}}


def test_a_key_is_renamed_in_place() -> None:
    spec = rename(
        Spec("input: # in\n  cross: # all\n  - pfs: {repo: a}\n"), ("input", "cross"), "join"
    )
    assert spec.text == "input: # in\n  join: # all\n  - pfs: {repo: a}\n"


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "a: 1\n---\nb: 2\n", "a: [1\n", "just words", "a: 1\n b: 2\n", "\tx: 1"],
)
def test_what_is_not_one_spec_is_told(text: str) -> None:
    with pytest.raises(NotUnderstood):
        Spec(text)


def test_a_field_that_an_alias_gives_is_left_to_the_text() -> None:
    text = "a: &shared\n  x: 1\nb: *shared\nc:\n  <<: *shared\n  y: 2\n"
    spec = Spec(text)
    with pytest.raises(NotUnderstood):
        put(spec, ("b", "x"), 2)
    assert put(spec, ("c", "x"), 5).value["c"] == {"x": 5, "y": 2}
    assert spec.value["a"] == {"x": 1}
