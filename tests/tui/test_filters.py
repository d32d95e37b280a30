"""What is typed after / in a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.filters import matcher, split

COLUMNS = ("id", "state")


@pytest.mark.parametrize(
    ("text", "cells", "passes"),
    [
        ("", ("7b1c", "failed"), True),
        ("7B1", ("7b1c", "failed"), True),
        ("^7b1c failed$", ("7b1c", "failed"), True),
        ("^failed", ("7b1c", "failed"), False),
        ("state:^fail", ("7b1c", "failed"), True),
        ("state:7b", ("7b1c", "failed"), False),
        ("!state:failed", ("7b1c", "failed"), False),
        ("!success", ("7b1c", "failed"), True),
        ("!", ("7b1c", "failed"), True),
        ("~7cfd", ("7b1c", "failed"), True),
        ("~7cdf", ("7b1c", "failed"), False),
        ("state:~fld", ("7b1c", "failed"), True),
        ("state:failed !7b", ("7b1c", "failed"), False),
        ("other:x", ("other:x", "failed"), True),
        ("(", ("a(b", "failed"), True),
        ("[", ("a(b", "failed"), False),
    ],
)
def test_a_filter_passes_what_it_names(text: str, cells: tuple[str, ...], passes: bool) -> None:
    assert matcher(text, COLUMNS)(cells) is passes


@given(st.text(), st.lists(st.text(), min_size=2, max_size=2))
def test_any_text_is_a_filter_and_its_inverse_is_the_rest(text: str, cells: list[str]) -> None:
    words = text.split()
    for word in words:
        assert matcher(word, COLUMNS)(cells) in (True, False)
        if word != "!" and not word.startswith("!"):
            assert matcher("!" + word, COLUMNS)(cells) is not matcher(word, COLUMNS)(cells)
    assert matcher(text, COLUMNS)(cells) is all(matcher(word, COLUMNS)(cells) for word in words)


@given(st.text(st.characters(categories=("L", "N")), min_size=1))
def test_letters_left_out_are_still_found_fuzzily(text: str) -> None:
    assert matcher("~" + text[::2], COLUMNS)((text, ""))


def test_a_filter_for_the_box_is_split_into_its_parts() -> None:
    assert split("cam state:failed 3", ("state",)) == ("cam 3", {"state": "failed"})
