"""Streams of documents, and where in them each value stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pachybox.pps.spec.documents import Node, Unreadable, plain, read


def values(text: str) -> list[Any]:
    """The documents of a text."""
    return [plain(document.node) for document in read(text)]


def unread(text: str) -> tuple[int, int, str, str]:
    """Where and why a text cannot be read."""
    with pytest.raises(Unreadable) as caught:
        read(text)
    found = caught.value.problem
    return found.line, found.column, found.message, found.hint


def at(node: Node, *path: str | int) -> tuple[int, int]:
    """Line and column of the name of a member, or of an item."""
    place = (node.line, node.column)
    for step in path:
        if isinstance(step, str):
            assert isinstance(node.value, dict)
            member = node.value[step]
            node, place = member.node, (member.line, member.column)
        else:
            assert isinstance(node.value, tuple)
            node = node.value[step]
            place = (node.line, node.column)
    return place


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n{"a": 2}',
        '{"a": 1}{"a": 2}',
        '{"a": 1}\n---\n{"a": 2}\n---\n',
        '\ufeff [{"a": 1}, {"a": 2}]',
        '[{"a": 1}] [{"a": 2}]',
        "a: 1\n---\na: 2\n",
        "---\na: 1\n---\n---\na: 2\n---\n",
        "- a: 1\n- a: 2\n",
        "--- {a: 1}\n--- {a: 2}\n",
        "# twice\n- &x {a: 1}\n- {<<: *x, a: 2}\n",
    ],
)
def test_streams_and_lists_are_documents(text: str) -> None:
    assert values(text) == [{"a": 1}, {"a": 2}]


def test_each_json_document_keeps_its_own_text() -> None:
    first, second = read('{"a":   1}\n[ {"b": [2]  } ]')
    assert (first.text, second.text) == ('{"a":   1}', '{"b": [2]  }')


def test_values_know_their_lines_in_later_documents() -> None:
    _, second = read('{"a": 1}\n\n{"b":\n\t{"c": [1,\n 2]}}')
    assert at(second.node) == (3, 1)
    assert at(second.node, "b", "c") == (4, 3)
    assert at(second.node, "b", "c", 1) == (5, 2)
    _, second = read("a: 1\n---\n# why\nb:\n  c:\n    - 1\n    - 2\n")
    assert at(second.node, "b", "c") == (5, 3)
    assert at(second.node, "b", "c", 1) == (7, 7)


def test_only_true_and_false_are_booleans_in_yaml() -> None:
    text = "[yes, no, on, off, y, true, False, ~, null, '', 1, 1.5, 0x1f, 1_000, 2020-01-01, 1:30]"
    assert values(f"a: {text}") == [
        {
            "a": [
                "yes",
                "no",
                "on",
                "off",
                "y",
                True,
                False,
                None,
                None,
                "",
                1,
                1.5,
                "0x1f",
                "1_000",
                "2020-01-01",
                "1:30",
            ]
        }
    ]
    assert values('a: "1"\nb: \'true\'\nc: !!str 1\nd: !!int "1"') == [
        {"a": "1", "b": "true", "c": "1", "d": 1}
    ]


def test_a_mapping_overrides_what_it_merges() -> None:
    text = "b: &b {x: 1, y: 1}\nc: &c {y: 2, z: 2}\nd: {y: 3, <<: [*b, *c]}"
    assert values(text)[0]["d"] == {"x": 1, "y": 3, "z": 2}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": 1,}', (1, 8, "a comma after the last member", "remove the comma")),
        ('{"a": [1,\n]}', (1, 9, "a comma after the last item", "remove the comma")),
        (
            '{"a": 1,\n "a": 2}',
            (2, 2, '"a" is given twice, first on line 1', "keep one of them"),
        ),
        ("{'a': 1}", (1, 2, 'expected a name in double quotes, got "\'"', "")),
        ('{"a": yes}', (1, 7, 'expected a value, got "y"', "")),
        ('{"a": NaN}', (1, 7, 'expected a value, got "N"', "")),
        ('{"a": 01}', (1, 8, 'expected "," or "}", got "1"', "")),
        ('{"a": 1e999}', (1, 7, "1e999 is out of range", "")),
        ('{"a" "b"}', (1, 6, 'expected ":", got "\\""', "")),
        ('{"a": 1', (1, 8, 'expected "," or "}", and the text ends', "close what is open")),
        ('{"a": "b\n"}', (1, 9, "invalid control character", "")),
        ('{"a": "b', (1, 7, "unterminated string", "")),
        ('{"a": "\\ud800"}', (1, 7, "a string may not hold half of a surrogate pair", "")),
        ('{"a": "\\u0000"}', (1, 7, "a string may not hold a NUL character", "")),
        ('{"a": 1}\n}', (2, 1, 'expected a value, got "}"', "")),
        ("[" * 5000, (1, 102, "nested deeper than 100", "")),
        ('{"a": ' + "9" * 5000 + "}", (1, 7, "a number of too many digits", "")),
    ],
)
def test_bad_json_is_refused_by_line_and_column(
    text: str, error: tuple[int, int, str, str]
) -> None:
    line, column, message, hint = error
    assert unread(text) == (line, column, f"not valid JSON: {message}", hint)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\na: 2\n", (2, 1, '"a" is given twice, first on line 1', "keep one of them")),
        (
            "a:\n\tb: 1\n",
            (2, 1, "found character '\\t' that cannot start any token", "indent with spaces"),
        ),
        (
            "a:\n  b: *x\n",
            (2, 6, "found undefined alias 'x'", 'put what begins with "*" in quotes'),
        ),
        (
            "glob: *\n",
            (
                1,
                8,
                "expected alphabetic or numeric character, but found '\\n'",
                'put what begins with "*" in quotes',
            ),
        ),
        (
            "a: b: c\n",
            (
                1,
                5,
                "mapping values are not allowed here",
                "put text that holds special characters in quotes",
            ),
        ),
        ("a: !x b\n", (1, 4, "the tag !x is not known", "remove it")),
        ("a: !!int b\n", (1, 4, "'b' does not fit its tag tag:yaml.org,2002:int", "")),
        ("? [a]\n: b\n", (1, 3, "the name of a field is a string", "")),
        ("a: b\n\x07", (2, 1, "the character U+0007", "remove it")),
        ("a: 1e999\n", (1, 4, "1e999 is out of range", "")),
        ("&a [*a]\n", (1, 1, "nested deeper than 100, or an alias inside itself", "")),
        ("&a {<<: *a}\n", (1, 1, "nested deeper than 100, or an alias inside itself", "")),
        ("- " * 5000, (1, 1, "nested deeper than 100", "")),
        ("a: {<<: 1}\n", (1, 9, "<< takes a mapping, or a list of mappings", "")),
    ],
)
def test_bad_yaml_is_refused_by_line_and_column(
    text: str, error: tuple[int, int, str, str]
) -> None:
    line, column, message, hint = error
    assert unread(text) == (line, column, f"not valid YAML: {message}", hint)


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_cannot_multiply_without_end(form: str) -> None:
    text = "a0: &a0 {}\n" if "<<" in form else "a0: &a0 x\n"
    for level in range(8):
        many = ", ".join([f"*a{level}"] * 10)
        text += f"a{level + 1}: &a{level + 1} {form.format(many)}\n"
    assert unread(text)[2:] == ("not valid YAML: too many values", "use fewer aliases")


def test_a_text_longer_than_any_spec_is_not_read() -> None:
    assert unread("a: b\n" * 300_000)[2:] == (
        "the text is longer than 1 MiB",
        "split it into several files",
    )


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_json, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps({"v": value}, indent=indent, ensure_ascii=ascii_only)
    (document,) = read(text)
    assert plain(document.node) == json.loads(text)
    assert document.text == text


@given(_json)
def test_yaml_reads_back_what_was_dumped(value: Any) -> None:
    if not isinstance(value, (dict, list)):
        value = [value]
    # Quoted, since the dumper goes by YAML 1.1, where 08 and 1e5 are strings.
    text = yaml.safe_dump({"v": value}, default_flow_style=False, default_style='"')
    assert values(text) == [{"v": value}]
