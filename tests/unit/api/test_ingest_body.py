"""Records cut from bodies: each as it stands, none with a line break."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.http import Rejected
from pachybox.api.ingest_body import cut, expand

JSON, LINES = "application/json", "application/x-ndjson"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(values, max_size=5), st.sampled_from((None, 1)), st.booleans())
def test_elements_are_what_they_were(some: list[object], indent: int | None, ascii_: bool) -> None:
    body = json.dumps(some, indent=indent, ensure_ascii=ascii_).encode()
    records = cut(body, JSON, "jsonl")
    assert [json.loads(record) for record in records] == some
    assert not any(b"\n" in record for record in records)
    if indent is None:
        assert b", ".join(records) == body[1:-1]


@given(values)
def test_a_value_is_a_record(value: object) -> None:
    body = json.dumps(value, indent=2).encode() + b"\n"
    found = cut(body, f"{JSON}; charset=UTF-8", "jsonl")
    assert [json.loads(one) for one in found] == (value if isinstance(value, list) else [value])


@given(st.binary(max_size=200), st.sampled_from((JSON, LINES, "text/plain")))
def test_any_body_is_cut_or_refused(body: bytes, kind: str) -> None:
    try:
        records = cut(body, kind, "jsonl")
    except Rejected as e:
        refused = e.status
    else:
        refused = 0
        assert not any(b"\n" in record for record in records)
        assert all(record.strip() for record in records)
    assert refused in ((0, 400) if kind == JSON else (0,))


@given(st.binary(max_size=500), st.integers(0, 30))
def test_gzip_is_whole_or_refused(data: bytes, less: int) -> None:
    packed = gzip.compress(data)
    assert expand(packed, "gzip") == data
    assert expand(data, "identity") == data
    if 0 < less < len(packed):
        with pytest.raises(Rejected):
            expand(packed[:-less], "gzip")


def test_a_body_of_no_type_is_lines() -> None:
    assert cut(b"one\n\ntwo\n", "", "lines") == [b"one", b"", b"two"]
    assert cut(b'{"a": 1}\n\n[2, 3]', "", "jsonl") == [b'{"a": 1}', b"[2, 3]"]
