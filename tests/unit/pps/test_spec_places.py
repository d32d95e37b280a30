"""Problems of a spec stand where they are, whatever is around them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.pps.spec import examine

# field, what is wrong with it, whether its place is that of the value
WRONG = [
    ("datum_tries", "-1", True),
    ("autoscaling", '"maybe"', True),
    ("datum_timeout", '"soon"', True),
    ("output_merge", '"mix"', True),
    ("description", "3", True),
    ("output_branch", '"a b"', True),
    ("parallelism_spec", "[2]", False),
    ("datum_tires", "3", False),
]
RIGHT = {
    "pipeline": {"name": "edges"},
    "transform": {"cmd": ["sh"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}
NOISE = st.lists(st.sampled_from(["", "# é\u4e2d 😀", "#", "# a: b", "   "]), max_size=3)


def place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


@st.composite
def yaml_texts(draw: Any) -> tuple[str, dict[str, tuple[int, int]]]:
    """A YAML text and where its problems are."""
    expected: dict[str, tuple[int, int]] = {}
    before = draw(st.integers(0, 2))
    text = "".join(
        f"pipeline: {{name: e{n}}}\ntransform: {{cmd: [sh]}}\n"
        "input: {pfs: {repo: images, glob: /}}\n---\n"
        for n in range(before)
    )
    wrong = draw(st.lists(st.sampled_from(WRONG), unique=True, min_size=1))
    for field, value, at_value in wrong:
        text += "".join(f"{line}\n" for line in draw(NOISE))
        start = len(text)
        text += f"{field}:{draw(st.sampled_from([' ', '   ']))}"
        expected[field] = place(text, len(text) if at_value else start)
        text += f"{value}   # 😀\n"
    for name, value in RIGHT.items():
        text += f"{name}: {json.dumps(value)}\n"
    return text, expected


@given(yaml_texts())
def test_in_yaml(made: tuple[str, dict[str, tuple[int, int]]]) -> None:
    text, expected = made
    _, found = examine(text, "x", default_project="default")
    assert {one.path: (one.line, one.column) for one in found} == expected
    assert {one.document for one in found} == {text.count("\n---\n") + 1}


@given(
    st.lists(st.sampled_from(WRONG), unique=True, min_size=1),
    st.lists(st.sampled_from(["", " ", "\n", "\n  ", "\t"]), min_size=40, max_size=40),
)
def test_in_json(wrong: list[tuple[str, str, bool]], spaces: list[str]) -> None:
    gaps = iter(spaces)
    text = "{"
    expected: dict[str, tuple[int, int]] = {}
    for field, value, at_value in wrong:
        text += next(gaps)
        start = len(text)
        text += f'"{field}":{next(gaps)}'
        beside = place(text, len(text))[0] == place(text, start)[0]
        expected[field] = place(text, len(text) if at_value and beside else start)
        text += f"{value}{next(gaps)},"
    text += json.dumps(RIGHT)[1:]
    _, found = examine(text, "x", default_project="default")
    assert {one.path: (one.line, one.column) for one in found} == expected


@pytest.mark.parametrize(
    ("text", "path", "at"),
    [
        ("transform:\n  env:\n    A: 1\n", "transform.env.A", (3, 8)),
        ("transform:\n  cmd:\n  - sh\n  - 3\n", "transform.cmd[1]", (4, 5)),
        ("input:\n  cross:\n  - pfs: {repo: a, glob: '['}\n", "input.cross[0].pfs.glob", (3, 26)),
        ("transform:\n  secrets:\n  - key: k\n", "transform.secrets[0].name", (3, 5)),
        ("a: &x 3\npipeline: {name: *x}\n", "pipeline.name", (2, 12)),
    ],
)
def test_below_the_top(text: str, path: str, at: tuple[int, int]) -> None:
    _, found = examine(text, "x", default_project="default")
    assert at in [(one.line, one.column) for one in found if one.path == path]
