"""Keys of a YAML file are set and taken back; what is not ours stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from k3s import keys
from tests.examples import many

NAMES = st.sampled_from(["a", "b", "node-name", "disable", "kubelet-arg", "x y", "1", "yes"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(NAMES, PLAIN, max_size=2)
MAPS = st.dictionaries(NAMES, VALUES, max_size=5)
OURS = st.dictionaries(NAMES, VALUES.filter(lambda v: v is not None), max_size=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all examples: to make and remove a folder for each takes most of the time."""
    return tmp_path_factory.mktemp("keys") / "config.yaml"


@settings(max_examples=many(40), deadline=None)
@given(MAPS, OURS, st.booleans(), st.sampled_from(["", "# of mine\n", "---\n"]))
def test_what_was_put_is_taken_back(
    place: Path, theirs: dict[str, Any], ours: dict[str, Any], flow: bool, head: str
) -> None:
    place.write_text(head + (yaml.safe_dump(theirs, default_flow_style=flow) if theirs else ""))
    after, noted = keys.merged(place, ours, {}, frozenset(ours))
    assert (yaml.safe_load(after) or {}) == {**theirs, **ours}
    place.write_text(after)
    assert keys.merged(place, ours, noted, frozenset()) == (after, noted), "once is enough"
    back, kept = keys.restored(place, noted)
    there = {key: value for key, value in theirs.items() if value is not None or key not in ours}
    assert ((yaml.safe_load(back) or {}), kept) == (there, [])


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", "k: 1\n"),
        ("# mine\n", "# mine\nk: 1\n"),
        ("a: 2", "a: 2\nk: 1\n"),
        ("k: 7 # why\n\n# of b\nb: 2\n", "k: 1\n\n# of b\nb: 2\n"),
        ("k:\n- x\n- y\nb: 2 # two\n", "k: 1\nb: 2 # two\n"),
        ("{k: 7, b: 2}\n", "b: 2\nk: 1\n"),
        ("b: 2\n...\n", "b: 2\nk: 1\n"),
    ],
)
def test_a_key_is_a_matter_of_its_own_lines(text: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert keys.merged(path, {"k": 1}, {}, frozenset({"k"}))[0] == after


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("a: [", "- a\n- b\n"):
        path.write_text(text)
        with pytest.raises(keys.InvalidArgument, match=str(path)):
            keys.read(path)
