"""The fast printer and the parser agree with the protobuf standard."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.api.definitions import box, message, pfs, pps
from pachybox.api.parser import parse
from pachybox.api.printer import to_json
from pachybox.errors import InvalidArgument
from tests.examples import many

TYPES = [
    "pfs_v2.FileInfo",
    "pfs_v2.CommitInfo",
    "pfs_v2.AddFile",
    "pfs_v2.FindCommitsResponse",
    "pps_v2.PipelineInfo",
    "pps_v2.JobInfo",
    "pps_v2.DatumInfo",
    "pps_v2.CreateDatumRequest",
    "pps_v2.LogMessage",
    "auth_v2.RoleBinding",
    "debug_v2.DumpChunk",
    "logs.GetLogsResponse",
    "pfs_v2.SqlDatabaseEgress",
    "transaction_v2.TransactionInfo",
    "pachybox.v1.Event",
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LARGEST = float.fromhex("0x1.fffffep+127")  # the standard parser refuses what its printer rounds up
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    1: st.floats(),
    2: st.floats(width=32).filter(lambda x: abs(x) != LARGEST),
    3: st.integers(-(2**63), 2**63 - 1),
    4: st.integers(0, 2**64 - 1),
    5: st.integers(-(2**31), 2**31 - 1),
    8: st.booleans(),
    9: TEXT,
    12: st.binary(max_size=5),
    13: st.integers(0, 2**32 - 1),
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


def fill(draw: st.DrawFn, m: Any, depth: int) -> Any:
    """Set some fields of a message at random."""
    name = m.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        m.seconds = draw(st.integers(-62135596800, 253402300799))
        m.nanos = draw(NANOS)
    elif name == "google.protobuf.Duration":
        m.seconds = draw(st.integers(-315576000000, 315576000000))
        m.nanos = draw(NANOS) * (-1 if m.seconds < 0 else 1)
    elif name == "google.protobuf.Struct":
        m.update(draw(st.dictionaries(TEXT, JSON_VALUES, max_size=3)))
    elif name == "google.protobuf.Any":
        m.Pack(pfs.Repo(name=draw(TEXT)))
    else:
        for field in m.DESCRIPTOR.fields:
            if draw(st.booleans()):
                set_field(draw, m, field, depth)
    return m


NANOS = st.sampled_from([0, 1, 1_000, 1_000_000, 123_456_000, 999_999_999])


def set_field(draw: st.DrawFn, m: Any, field: Any, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        for key in draw(st.lists(TEXT, max_size=2)):
            if inner.message_type is not None:
                fill(draw, getattr(m, field.name)[key], depth - 1)
            else:
                getattr(m, field.name)[key] = draw(SCALARS[inner.type])
    elif field.message_type is not None:
        if depth and field.is_repeated:
            fill(draw, getattr(m, field.name).add(), depth - 1)
        elif depth:
            getattr(m, field.name).SetInParent()
            fill(draw, getattr(m, field.name), depth - 1)
    else:
        numbers = (
            st.sampled_from([*field.enum_type.values_by_number, 99])
            if field.enum_type is not None
            else SCALARS[field.type]
        )
        if field.is_repeated:
            getattr(m, field.name).extend(draw(st.lists(numbers, max_size=3)))
        else:
            setattr(m, field.name, draw(numbers))


@st.composite
def messages(draw: st.DrawFn) -> Any:
    return fill(draw, message(draw(st.sampled_from(TYPES)))(), 3)


@given(messages())
@settings(max_examples=many(300), deadline=None)
def test_the_printer_says_what_the_standard_says(m: Any) -> None:
    assert json.loads(to_json(m)) == json.loads(json_format.MessageToJson(m))


@given(messages())
@settings(max_examples=many(100), deadline=None)
def test_what_is_printed_is_parsed_to_the_same_message(m: Any) -> None:
    again = parse(to_json(m).encode(), type(m))
    assert json.loads(to_json(again)) == json.loads(to_json(m))


@given(messages())
@settings(max_examples=many(100), deadline=None)
def test_the_full_form_has_every_field_outside_of_oneofs_and_means_the_same(m: Any) -> None:
    text = to_json(m, full=True)
    assert json.loads(to_json(parse(text.encode(), type(m)))) == json.loads(to_json(m))
    if not m.DESCRIPTOR.full_name.startswith("google.protobuf."):
        always = {f.json_name for f in m.DESCRIPTOR.fields if f.containing_oneof is None}
        assert set(json.loads(text)) == always | set(json.loads(to_json(m)))


def test_a_file_info_prints_as_pachyderm_does() -> None:
    info = pfs.FileInfo(
        file={"commit": {"repo": {"name": "images"}, "id": "c0ffee"}, "path": "/a"},
        file_type="FILE",
        committed={"seconds": 1_700_000_000, "nanos": 120_000_000},
        size_bytes=1 << 40,
        hash=b"\x01\x02",
    )
    assert to_json(info) == (
        '{"file":{"commit":{"repo":{"name":"images"},"id":"c0ffee"},"path":"/a"},'
        '"fileType":"FILE","committed":"2023-11-14T22:13:20.120Z",'
        '"sizeBytes":"1099511627776","hash":"AQI="}'
    )


def test_whole_numbers_of_an_events_data_have_no_fraction() -> None:
    event = box.Event(data={"n": 3, "x": 0.5, "list": [1, None, True]})
    text = to_json(event)
    assert json.loads(text) == {"data": {"n": 3, "x": 0.5, "list": [1, None, True]}}
    assert '"n":3' in text
    assert "[1,null,true]" in text


def test_both_spellings_of_a_field_are_read() -> None:
    for text in (b'{"fileType":"DIR"}', b'{"file_type":"DIR"}'):
        assert parse(text, pfs.FileInfo).file_type == pfs.FileType.Value("DIR")
    assert parse(b'{"URL":"s3://x"}', pps.Egress).url == "s3://x"
    assert parse(b'{"url":"s3://x"}', pps.Egress).url == "s3://x"
    assert getattr(parse(b'{"from":"7"}', box.SubscribeEventsRequest), "from") == 7


@pytest.mark.parametrize("text", [b"", b"{}", b" \n", b"{ }"])
def test_nothing_is_an_empty_message(text: bytes) -> None:
    assert parse(text, pfs.Repo) == pfs.Repo()


def test_an_unknown_field_is_named_with_its_place_and_the_nearest() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(b'{"repo":{"project":{"nam":"x"}}}', pfs.InspectRepoRequest)
    assert caught.value.message == "unknown field 'nam' in repo.project of pfs_v2.Project"
    assert caught.value.hint == "did you mean 'name'"


def test_an_unknown_field_inside_lists_and_maps_is_found() -> None:
    with pytest.raises(InvalidArgument, match="unknown field 'idd' in directProvenance"):
        parse(b'{"directProvenance":[{"id":"1"},{"idd":"2"}]}', pfs.CommitInfo)
    with pytest.raises(InvalidArgument, match="unknown field 'role' in entries"):
        parse(b'{"entries":{"me":{"role":{}}}}', message("auth_v2.RoleBinding"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "the request is not JSON"),
        (b"[]", "the request is a list, not a JSON object"),
        (b'"x"', "a string"),
        (b"7", "a number"),
        (b'{"name":7}', "cannot be read"),
        (b'{"name":"\\ud800"}', "cannot be read"),
        (b'{"name":NaN}', "NaN is not JSON"),
        (b"\xff\xfe", "the request is not JSON"),
        (b'{"name":' + b"[" * 100_000, "nested too deeply"),
        (b'{"project":"default"}', "cannot be read"),
        (b'{"project":[1]}', "cannot be read"),
    ],
)
def test_what_is_no_message_is_refused_in_one_line(text: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, pfs.Repo)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["commit", "repo", "name", "id", "metadata", "started", "origin", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
@settings(max_examples=many(200), deadline=None)
def test_any_json_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(InvalidArgument):  # and no other error
        parse(json.dumps(value).encode(), pfs.CommitInfo)
