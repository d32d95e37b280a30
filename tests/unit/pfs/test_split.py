"""Splitting streams: nothing is lost, targets are kept, errors say where."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.pfs.split import Piece, Role, first_free, split, split_name
from tests.examples import many


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def gather(pieces: Iterator[Piece]) -> dict[Role, list[bytes]]:
    """The wholes of each role; checks that each is ended and roles come in order."""
    out: dict[Role, list[bytes]] = {role: [] for role in Role}
    held = b""
    roles: list[Role] = []
    last = True
    for piece in pieces:
        roles.append(piece.role)
        held += piece.data
        last = piece.last
        if last:
            out[piece.role].append(held)
            held = b""
    assert last
    order = [Role.HEADER, Role.FILE, Role.FOOTER]
    assert [role for role, _ in itertools.groupby(roles)] == [r for r in order if r in roles]
    assert all(out[Role.FILE])
    return out


def files(kind: str, data: bytes, chunk: int = 7, **targets: int) -> list[bytes]:
    return gather(split(kind, pieces_of(data, chunk), **targets))[Role.FILE]


# lines


def test_without_targets_each_line_is_a_file() -> None:
    assert files("line", b"one\ntwo\n\nlast") == [b"one\n", b"two\n", b"\n", b"last"]
    assert files("line", b"") == []


def test_a_file_ends_with_the_record_that_reaches_a_target() -> None:
    data = b"aa\nbb\ncc\ndd\nee\n"
    assert files("line", data, target_datums=2) == [b"aa\nbb\n", b"cc\ndd\n", b"ee\n"]
    assert files("line", data, target_bytes=4) == [b"aa\nbb\n", b"cc\ndd\n", b"ee\n"]
    assert files("line", data, target_datums=3, target_bytes=6)[0] == b"aa\nbb\n"
    assert files("line", data, target_datums=2, target_bytes=9)[0] == b"aa\nbb\n"


def test_the_first_records_may_be_the_header() -> None:
    whole = gather(split("line", [b"h1\nh2\na\nb"], header_records=2))
    assert whole == {Role.HEADER: [b"h1\nh2\n"], Role.FILE: [b"a\n", b"b"], Role.FOOTER: []}
    short = gather(split("line", [b"h1\n"], header_records=2))
    assert short == {Role.HEADER: [b"h1\n"], Role.FILE: [], Role.FOOTER: []}


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b" ")), max_size=30),
    st.booleans(),
    st.integers(1, 9),
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 3),
)
def test_pieces_of_lines_join_to_the_input_and_keep_targets(
    lines: list[bytes], newline: bool, chunk: int, datums: int, size: int, header: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if newline else b"")
    whole = gather(
        split(
            "line",
            pieces_of(data, chunk),
            target_datums=datums,
            target_bytes=size,
            header_records=header,
        )
    )
    assert b"".join(whole[Role.HEADER] + whole[Role.FILE]) == data
    for i, content in enumerate(whole[Role.FILE]):
        records = content.split(b"\n")
        records = [r + b"\n" for r in records[:-1]] + ([records[-1]] if records[-1] else [])
        full = reached(records, datums, size)
        assert full or i == len(whole[Role.FILE]) - 1
        assert not reached(records[:-1], datums, size)


def reached(records: list[bytes], datums: int, size: int) -> bool:
    if not datums and not size:
        return len(records) >= 1
    return bool((datums and len(records) >= datums) or (size and sum(map(len, records)) >= size))


def test_a_line_of_any_length_passes_in_bounded_pieces() -> None:
    chunk = b"x" * 100_000
    pieces = list(split("line", itertools.chain([b"a\n"], [chunk] * 50, [b"\nb\n"])))
    assert [p.last for p in pieces if p.last] == [True] * 3
    assert max(len(p.data) for p in pieces) < 2_300_000
    assert gather(iter(pieces))[Role.FILE] == [b"a\n", chunk * 50 + b"\n", b"b\n"]


# json


def test_json_values_are_kept_as_written_and_the_space_between_them_goes() -> None:
    data = b' {"a": [1, 2]}\n\n[]"x\\"y" 12.50 true{"b":{}} null'
    want = [b'{"a": [1, 2]}', b"[]", b'"x\\"y"', b"12.50", b"true", b'{"b":{}}', b"null"]
    for chunk in (1, 2, 3, 5, 100):
        assert files("json", data, chunk) == want
    assert files("json", data, target_datums=6) == [b"".join(want[:6]), b"null"]
    assert files("json", b" \n ") == []
    assert files("json", b"9" * 6000) == [b"9" * 6000]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.lists(JSON, max_size=8),
    st.booleans(),
    st.sampled_from(["\n", " \r\n\t"]),
    st.integers(1, 40),
)
def test_any_json_values_come_apart_however_they_arrive(
    values: list[Any], ascii_only: bool, space: str, chunk: int
) -> None:
    texts = [json.dumps(v, ensure_ascii=ascii_only).encode() for v in values]
    assert files("json", space.encode().join(texts), chunk) == texts


def test_a_large_json_value_is_read_in_linear_time() -> None:
    value = json.dumps([{"key": "x" * 50, "n": i} for i in range(20_000)]).encode()
    assert files("json", value + b" [1]", 4096) == [value, b"[1]"]


# csv


def test_csv_records_are_written_anew() -> None:
    data = b'a,b\r\n"plain","quo""te"\n\n"two\nlines",x\n"",\n""\nlast,"one"'
    want = [
        b"a,b\n",
        b'plain,"quo""te"\n',
        b'"two\nlines",x\n',
        b",\n",
        b'""\n',
        b"last,one\n",
    ]
    for chunk in (1, 2, 3, 5, 100):
        assert files("csv", data, chunk) == want
    header = gather(split("csv", [data], header_records=1, target_datums=9))
    assert header[Role.HEADER] == [b"a,b\n"]
    assert header[Role.FILE] == [b"".join(want[1:])]


FIELD = st.text(st.sampled_from('ab", \r\né'), max_size=4)


@settings(deadline=None, max_examples=many(300))
@given(
    st.lists(st.lists(FIELD, min_size=1, max_size=3), max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 12),
)
def test_csv_pieces_hold_the_same_records(
    rows: list[list[str]], quoting: Any, end: str, chunk: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # Python's writer leaves a lone \r bare
        rows = [[field.replace("\r", "") for field in row] for row in rows]
    sheet = io.StringIO()
    csv.writer(sheet, quoting=quoting, lineterminator=end).writerows(rows)
    found = files("csv", sheet.getvalue().encode(), chunk)
    assert len(found) == len(rows)
    text = b"".join(found).decode()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == rows
    assert files("csv", b"".join(found), chunk) == found


# sql

DUMP = b"""--
SET client_encoding = 'UTF8';
CREATE TABLE public.t (a integer, b text);
COPY public.t (a, b) FROM stdin;
1\tone
2\ttwo\\nlines
3\t\\N
\\.

CREATE INDEX i ON public.t (a);
"""


@pytest.mark.parametrize("chunk", [1, 5, 64, 10_000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_dump_is_cut_into_header_rows_and_footer(chunk: int, ending: bytes) -> None:
    data = DUMP.replace(b"\n", ending)
    whole = gather(split("sql", pieces_of(data, chunk), target_datums=2))
    (header,), rows, (footer,) = whole[Role.HEADER], whole[Role.FILE], whole[Role.FOOTER]
    assert header + b"".join(rows) + footer == data
    assert header.endswith(b"FROM stdin;" + ending)
    assert rows[1] == b"3\t\\N" + ending
    assert footer.startswith(b"\\." + ending)


def test_a_dump_without_rows_has_only_header_and_footer() -> None:
    whole = gather(split("sql", [b"COPY t (a) FROM stdin;\n\\."]))
    assert whole == {
        Role.HEADER: [b"COPY t (a) FROM stdin;\n"],
        Role.FILE: [],
        Role.FOOTER: [b"\\."],
    }


# errors


@pytest.mark.parametrize(
    ("kind", "data", "texts"),
    [
        ("json", b'{"a":1}\n{"b" 2}\n{"c":3}', ["json record 2 at offset 8", "5 bytes on"]),
        ("json", b"[1] [2", ["json record 2 at offset 4"]),
        ("json", b'"abc', ["json record 1 at offset 0", "Unterminated"]),
        ("json", b"{} nope", ["json record 2 at offset 3", "nope"]),
        ("json", b"{} }", ["json record 2 at offset 3", "}"]),
        ("json", b"NaN", ["json record 1", "NaN"]),
        ("json", b'{"a": Infinity}', ["json record 1", "Infinity"]),
        ("json", b'{} "\xff"', ["json record 2 at offset 3", "UTF-8"]),
        ("json", b"[" * 100_000, ["json record 1", "deep"]),
        ("csv", b'a,b\n\nc,"d', ["csv record 2 at offset 5", "never closed"]),
        ("csv", b'a,b\nc,"d"e\n', ["csv record 2 at offset 4", "behind a closing quote"]),
        ("csv", b'a,b\nc"d\n', ["csv record 2 at offset 4", "inside an unquoted field"]),
        ("sql", b"SELECT 1;\n", ["no COPY"]),
        ("sql", DUMP[: DUMP.index(b"3\t")], ["sql record 3 at offset 128", "no end"]),
        ("sql", DUMP + DUMP, ["second COPY"]),
    ],
)
@pytest.mark.parametrize("chunk", [3, 200_000])
def test_malformed_data_is_refused_with_record_and_offset(
    kind: str, data: bytes, texts: list[str], chunk: int
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        list(split(kind, pieces_of(data, chunk)))
    for text in texts:
        assert text in caught.value.message
    assert caught.value.hint


def test_a_record_that_never_ends_is_refused_before_memory_does() -> None:
    def endless() -> Iterator[bytes]:
        yield b"["
        while True:
            yield b'"' + b"x" * (8 << 20)

    with pytest.raises(InvalidArgument, match="longer than"):
        list(split("csv", endless()))


@pytest.mark.parametrize(
    ("kind", "targets", "text"),
    [
        ("xml", {}, "'xml'"),
        ("line", {"target_datums": -1}, "target-file-datums"),
        ("line", {"target_bytes": -1}, "target-file-bytes"),
        ("line", {"header_records": -1}, "header-records"),
        ("sql", {"header_records": 1}, "sql"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(
    kind: str, targets: dict[str, int], text: str
) -> None:
    with pytest.raises(InvalidArgument, match=text):
        split(kind, [], **targets)


# names


def test_names_are_16_hexadecimal_digits_and_go_on_behind_the_highest() -> None:
    assert split_name(0) == "0" * 16
    assert split_name(255) == "00000000000000ff"
    assert first_free([]) == 0
    assert first_free([split_name(3), split_name(255), split_name(7)]) == 256


@pytest.mark.parametrize("name", ["readme.txt", "0" * 15, "00000000000000FF", "0" * 17])
def test_other_names_in_a_split_directory_are_an_error(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"error parsing filename {name} as int"):
        first_free([split_name(0), name])
