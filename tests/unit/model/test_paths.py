"""Which paths are legal, and the helpers on cleaned ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model import paths
from pachybox.model.glob import Glob

ELEMENTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
PATHS = st.lists(ELEMENTS.filter(lambda e: e not in (".", "..")), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@pytest.mark.parametrize(
    ("given_path", "want"),
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("a", "/a"),
        ("a/", "/a"),
        ("/a//b/", "/a/b"),
        ("/a..b/...", "/a..b/..."),
        ("/.hidden", "/.hidden"),
        ("/wörld/日本", "/wörld/日本"),
        ("/a b\n*?[]{}!()@+^", "/a b\n*?[]{}!()@+^"),
    ],
)
def test_a_path_has_one_canonical_form(given_path: str, want: str) -> None:
    assert paths.clean(given_path) == want


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("/a/../b", "'..'"),
        ("./a", "'.'"),
        ("/a\0b", "NUL"),
        ("/a\udcff", "UTF-8"),
        ("/" + "x" * 256, "255 bytes"),
        ("/" + "é" * 128, "255 bytes"),
        ("/" + "/".join(["x" * 100] * 40), "3835 bytes"),
    ],
)
def test_a_refused_path_is_named_with_the_rule_and_the_remedy(bad: str, rule: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        paths.clean(bad)
    assert rule in caught.value.message
    assert ascii(bad)[1:20] in caught.value.message
    assert caught.value.hint
    caught.value.message.encode()


@given(PATHS)
def test_cleaning_a_clean_path_changes_nothing(path: str) -> None:
    assert paths.clean(path) == path
    assert paths.clean(path + "//") == path


@given(PATHS)
def test_the_parts_of_a_path_join_to_the_path(path: str) -> None:
    directory, name = paths.split(path)
    assert (paths.parent(path), paths.base(path)) == (directory, name)
    above = list(paths.prefixes(path))
    assert len(above) == len(paths.elements(path))
    if path != "/":
        assert paths.join(directory, name) == path
        assert above[-1] == directory
    for prefix in [*above, path]:
        assert paths.contains(prefix, path)
        assert paths.clean(paths.join(prefix, paths.relative(prefix, path))) == path
    assert not paths.contains(path + "x", path)


@given(PATHS, PATHS)
def test_an_escaped_path_is_a_pattern_for_exactly_that_path(path: str, other: str) -> None:
    glob = Glob(paths.escape(path))
    assert glob.literal == path
    assert glob.matches(path)
    assert glob.matches(other) == (other == path)


def test_the_longest_element_is_a_file_name_here(tmp_path: Path) -> None:
    name = paths.base(paths.clean("é" * 127 + "x"))
    (tmp_path / name).touch()
    assert os.listdir(tmp_path) == [name]
