"""What differs between two specs."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pachybox.pps.spec.difference import NOTHING, Change, changes

PLAIN = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b.c"])
NAMES = st.sampled_from(["a", "b", "c d", "e.f", "x[0]"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SPECS = st.dictionaries(NAMES, VALUES, max_size=4)


def shown(found: list[Change]) -> list[str]:
    def signed(sign: str, value: Any) -> str:
        return "" if value is NOTHING else f" {sign}{json.dumps(value)}"

    return [one.path + signed("-", one.old) + signed("+", one.new) for one in found]


def reordered(value: Any) -> Any:
    """The same with the names of all objects the other way round."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(one) for one in value] if isinstance(value, list) else value


@given(SPECS, SPECS)
def test_there_are_changes_exactly_where_specs_differ(old: Any, new: Any) -> None:
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    found = changes(old, new)
    assert (found == []) is same
    assert all(json.dumps(one.old) != json.dumps(one.new) for one in found
               if NOTHING not in (one.old, one.new))  # fmt: skip
    assert changes(old, reordered(old)) == []
    back = changes(new, old)
    assert len([c for c in found if c.new is not NOTHING]) == len(
        [c for c in back if c.old is not NOTHING]
    )


def test_items_of_lists_are_found_where_they_went() -> None:
    old = {"transform": {"stdin": ["one", "two", "three"], "cmd": ["sh"]}}
    new = {"transform": {"stdin": ["zero", "one", "2", "three"], "cmd": ["sh"]}}
    assert shown(changes(old, new)) == [
        'transform.stdin[0] +"zero"',
        'transform.stdin[2] -"two" +"2"',
    ]
    assert shown(changes({"a": [1]}, {})) == ["a[0] -1"]
    assert shown(changes({"a": []}, {})) == ["a -[]"]
    assert shown(changes({"a": [1]}, {"a": {"b": 1}})) == ['a -[1] +{"b": 1}']


def test_names_and_salts_are_no_changes_and_defaults_are_told() -> None:
    old = {"pipeline": {"name": "p"}, "salt": "1", "datum_tries": 5, "env": {"A.B": "x"}}
    new = {"pipeline": {"name": "q"}, "salt": "2", "datum_tries": 3, "env": {"A.B": "y"}}
    found = changes(old, new, {"datum_tries": 5, "env": {"A.B": "x"}}, {"env": {"A.B": "y"}})
    assert found == [
        Change("datum_tries", 5, 3, old_given=True, new_given=False),
        Change('env."A.B"', "x", "y"),
    ]
