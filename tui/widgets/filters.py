"""The language of filters: what a person types after ``/`` in a list.

cam3         a regular expression (a plain text where it is not one), upper and lower case alike
!cam3        without it
~rsz         these letters in this order, others between
state:fail   the column of that name only (also !state:fail, state:~fl)
a b          both
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Match = Callable[[Sequence[str]], bool]


def matcher(text: str, columns: Sequence[str]) -> Match:
    """A test of a row's cells (plain, in the order of ``columns``); all of an empty text pass."""
    terms = [_term(word, columns) for word in text.split()]
    return lambda cells: all(term(cells) for term in terms)


def _term(word: str, columns: Sequence[str]) -> Match:
    if word.startswith("!"):
        if word == "!":  # half typed
            return lambda _cells: True
        inner = _term(word[1:], columns)
        return lambda cells: not inner(cells)
    name, colon, value = word.partition(":")
    if colon and name in columns:
        at, test = columns.index(name), text_test(value)
        return lambda cells: at < len(cells) and test(cells[at])
    test = text_test(word)
    return lambda cells: test(" ".join(cells))


def text_test(word: str) -> Callable[[str], bool]:
    """A test of a text by one word of the language: ``~fuzzy`` or a regular expression."""
    if word.startswith("~"):
        letters = word[1:].casefold()
        return lambda text: _in_order(letters, text.casefold())
    pattern = compiled(word)
    return lambda text: pattern.search(text) is not None


def compiled(word: str) -> re.Pattern[str]:
    """The word as a pattern; what is no regular expression (yet) is taken literally."""
    try:
        return re.compile(word, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError):
        return re.compile(re.escape(word), re.IGNORECASE)


def _in_order(letters: str, text: str) -> bool:
    found = iter(text)
    return all(letter in found for letter in letters)


def split(text: str, columns: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The free part of a filter and its ``column:value`` parts, for a list that the box filters."""
    free, named = [], {}
    for word in text.split():
        name, colon, value = word.partition(":")
        if colon and name in columns:
            named[name] = value
        else:
            free.append(word)
    return " ".join(free), named
