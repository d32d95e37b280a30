"""Grouping of records, paths and markers: pure parts of the sources of records."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.ingest.record_specs import check_command, check_push, from_beginning
from pachybox.model import paths, record_path
from pachybox.model.units import parse_time
from spouts.command import Cutter
from spouts.program import arguments
from spouts.records import Group, Settings, marker_of

NOW = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp() * 1_000_000)


def group(**spec: object) -> Group:
    return Group(Settings.of("src", check_push(spec)[0]), 7)


def test_files_are_named_by_the_template() -> None:
    g = group(path="/{year}/{month}-{day}T{hour}{minute}/{source}.{batch}.{time}.{format}")
    g.add(b"{}", NOW)
    g.add(b"[]", NOW + 60_000_000)
    assert list(g.files) == [
        "/2026/01-02T0304/src.000000007.20260102T030405Z.jsonl",
        "/2026/01-02T0305/src.000000007.20260102T030405Z.jsonl",
    ]
    assert g.content(next(iter(g.files))) == b"{}\n"
    assert (g.count, g.taken, g.bytes, g.oldest) == (2, 2, 6, NOW)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
))  # fmt: skip
def test_any_value_is_one_element_of_a_path(value: object) -> None:
    made = f"/{record_path.safe(value)}"
    assert paths.clean(made) == made
    assert len(paths.elements(made)) == 1
    g = group(path="/in/{field:x}/file")
    g.add(json.dumps({"x": value}).encode(), NOW)
    assert (g.taken, len(g.files)) == (1, 1)
    assert next(iter(g.files)).startswith("/in/")


def test_a_group_is_full_by_records_bytes_or_files() -> None:
    by_records = group(group={"records": 3})
    by_size = group(group={"size": "1000"})
    by_files = group(path="/{field:n}")
    for g, needed in ((by_records, 3), (by_size, 4), (by_files, 500)):
        for n in range(needed):
            assert not g.full, n
            g.add(json.dumps({"n": n, "pad": "x" * 190}).encode(), NOW)
        assert g.full
    assert by_records.due_in(NOW / 1e6 + 3) == pytest.approx(2)


def test_bad_records_are_letters_by_reason() -> None:
    g = group(max_record="20", time_field="t")
    for record in (b'{"t": 1e9}', b"{", b'{"t": "x"}', b"[1]", b"1" * 21, b"9" * 20, b"NaN"):
        g.add(record, NOW)
    letters = {letter.reason: letter.content for letter in g.dead()}
    assert (g.count, g.taken) == (7, 1)
    assert [content for content in letters.values()] == [
        b"{\nNaN\n", b'{"t": "x"}\n[1]\n99999999999999999999\n', b"1" * 21 + b"\n",
    ]  # fmt: skip
    assert any(r.startswith("2 records are not JSON; the first: Expecting") for r in letters)
    assert len(g.dead_all("why")) == 4


@pytest.mark.parametrize(
    ("value", "when"),
    [
        ("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05Z"), (1767323045, "2026-01-02T03:04:05Z"),
        (1767323045.5, "2026-01-02T03:04:05.5Z"), (1767323045000, "2026-01-02T03:04:05Z"),
        (1767323045000000, "2026-01-02T03:04:05Z"), ("1767323045", "2026-01-02T03:04:05Z"),
        (1767323045 * 10**9, "2026-01-02T03:04:05Z"),
    ],
)  # fmt: skip
def test_times_of_records(value: object, when: str) -> None:
    assert record_path.time_of(value, parse_time) == parse_time(when)


@pytest.mark.parametrize("value", [None, True, "soon", [], 10**30, float("inf"), "9" * 19 + "e9"])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(InvalidArgument):
        record_path.time_of(value, parse_time)


def test_markers() -> None:
    assert marker_of([b'{"c": "a"}', b'{"c": 7}', b"{}", b"bad"], "c", "jsonl") == "7"
    assert marker_of([b"id=1", b"id=2 x", b"none"], r"^id=(\d+)", "lines") == "2"
    assert marker_of([b"[]"], "c", "jsonl") == ""
    assert arguments(["p", "--after={marker}", "x"], "") == ["p", "x"]
    assert arguments(["p", "--after={marker}", "x"], "a b") == ["p", "--after=a b", "x"]
    assert arguments("p {marker}", "a'; b") == ["/bin/sh", "-c", "p 'a'\"'\"'; b'"]
    assert from_beginning('{"position": 5, "skip": 2, "marker": "x"}') == (
        '{"position": 5, "skip": 2}'
    )


@given(
    st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=8),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_lines_are_cut_however_they_come(lines: list[bytes], sizes: list[int]) -> None:
    """A line of more than eight bytes comes cut, once; what has no end is held."""
    text = b"".join(line + b"\n" for line in lines) + b"rest"
    cutter = Cutter(most=8)
    found: list[bytes] = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += cutter.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    assert found == [one[:8] if len(one) > 8 else one.removesuffix(b"\r") for one in lines]
    assert cutter.rest == b"rest"


def test_specs_of_commands() -> None:
    made, _ = check_command({"cmd": "x", "every": "1m", "marker": "id"})
    assert check_command(made)[0] == made
    for bad, words in (
        ({}, "cmd: missing"),
        ({"cmd": []}, "cmd: missing"),
        ({"cmd": ["a", 1]}, "cmd"),
        ({"cmd": "x", "env": {"a-b": "1"}}, "env: 'a-b' cannot be a variable"),
        ({"cmd": "x", "dir": "here"}, "dir: 'here' is not absolute"),
        ({"cmd": "x", "restart": "perhaps"}, "restart"),
        ({"cmd": "x", "restart": "never", "every": "1m"}, "restart: every is there too"),
        ({"cmd": "x {marker}"}, "marker: missing"),
        ({"cmd": "x", "format": "lines", "marker": "("}, "marker: '(' is not a pattern"),
        ({"cmd": "x", "format": "lines", "marker": "a"}, "marker: 'a' has 0 groups"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            check_command(bad)
        assert str(raised.value).startswith(words)
