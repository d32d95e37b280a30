"""Specs read for a change and given on mean to the box what they meant before."""

from __future__ import annotations

import json

import pytest

from pachybox.cli.documents import documents
from pachybox.pps.spec.documents import plain, read

TEXTS = [
    '{"a": 1} {"b": [true, null]}\n{"c": "ü"}',
    '[{"a": 1}, {"b": 2.5e3}]',
    "a: yes\nb: on\nc: 012\nd: 1_0\ne: 2026-01-01\nf: 0x1F\ng: 1:30\nh: .5\ni: True\nj: ~\nk:\n",
    "---\na: {b: [c, 'no', \"1\"]}\n---\n- x: 1\n- y: |\n    two\n    lines\n---\n",
    "base: &b {x: 1}\nmore:\n  <<: *b\n  y: -2\n",
    "\ufeff{}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_they_are_what_the_box_reads(text: str) -> None:
    assert documents(text) == [plain(document.node) for document in read(text)]


@pytest.mark.parametrize("text", ['{"a": ', "a: [", "{]", "a: !!python/object:os.system {}"])
def test_what_cannot_be_read_is_left_to_the_box(text: str) -> None:
    assert documents(text) is None


def test_nothing_is_no_spec() -> None:
    assert documents("") == []
    assert json.dumps(documents("# only\n")) == "[]"
