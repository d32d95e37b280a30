"""Every field of a spec is described, and its example is one that the box takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from pachybox.ingest.describe import describe as describe_ingest
from pachybox.ingest.spec import load
from pachybox.pps.spec import read_values
from pachybox.pps.spec.describe import Described, describe
from pachybox.pps.spec.fields import FIELDS, Status

ALL = [*describe(), *describe_ingest()]


def inside(path: str, value: Any) -> Any:
    """The smallest object with a value at a path."""
    for name in reversed(path.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    return value


def by_path(one: Described) -> str:
    return one.path


@pytest.mark.parametrize("one", ALL, ids=by_path)
def test_every_field_has_help_and_an_example(one: Described) -> None:
    assert not one.help[0].islower() or one.help.startswith("until_success")
    assert one.help.endswith(".")
    assert len(one.help.split()) >= 2
    assert one.type
    example = json.loads(one.example)
    assert not one.choices or example in one.choices or one.type == "bool"


def test_every_field_is_described_once_and_in_the_order_of_the_table() -> None:
    assert [one.path for one in describe()] == [field.path for field in FIELDS]


@pytest.mark.parametrize("one", describe(), ids=by_path)
def test_an_example_has_the_type_of_its_field(one: Described) -> None:
    if one.status == Status.LATER.value:
        return
    text = json.dumps(inside(one.path, json.loads(one.example)))
    assert len(read_values(text, "x")) == 1


WATCH = {"path": "/x", "qqqqqq": 1}
COMMAND = {"cmd": ["x"], "qqqqqq": 1}
ODD = {
    "": {"name": "a", "to": "raw@master", "push": {}, "qqqqqq": 1},
    "ingest": {"ingest": {"name": "a", "qqqqqq": 1}, "to": "raw@master", "push": {}},
    "watch": {"name": "a", "to": "raw@master", "watch": WATCH},
    "push": {"name": "a", "to": "raw@master", "push": {"qqqqqq": 1}},
    "push.group": {"name": "a", "to": "raw@master", "push": {"group": {"qqqqqq": 1}}},
    "command": {"name": "a", "to": "raw@master", "command": COMMAND},
}


@pytest.mark.parametrize("parent", ODD)
def test_ingest_fields_are_those_that_are_read(parent: str) -> None:
    """The remedy for a field that is not known lists those that are."""
    with pytest.raises(InvalidArgument, match="unknown field") as caught:
        load(json.dumps(ODD[parent]))
    names = set(caught.value.hint.removeprefix("known here: ").split(", "))
    if not parent:
        names |= {"watch", "command"}  # a spec with another kind is asked for its own alone
    at = f"{parent}." if parent else ""
    paths = [one.path for one in describe_ingest() if one.path.startswith(at)]
    assert {path.removeprefix(at) for path in paths if "." not in path[len(at) :]} == names
