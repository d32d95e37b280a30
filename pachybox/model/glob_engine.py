"""Matching a text against a glob's nodes: the two engines, and which one takes a text.

The nodes become a regular expression for :mod:`re`. Where they allow more ways to
match than re could try in reasonable time on the text (``_BUDGET``),
:mod:`pachybox.model.glob_machine` matches instead, whose time is bounded. Both
prefer the same alternatives, so the answer is the same. (Where a repetition holds
further captures they may differ in what those last hold.)
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from math import log

from pachybox.model.glob_machine import Machine
from pachybox.model.glob_syntax import Chars, Group, Node, Sequence, Syntax, Text, Wild

_BUDGET = 4_000_000  # steps re may take on the unluckiest path of a length: milliseconds


def spans(node: Node, *, first: bool) -> bool:
    """Whether a node can match, or a negation look at, a ``/``.

    ``first``: it begins an element. An element is never empty, so a class such as
    ``[!.]`` has no slash to match there.
    """
    if isinstance(node, Text):
        return "/" in node.text
    if isinstance(node, Chars):
        return not first and re.match(node.regex, "/") is not None
    if isinstance(node, Group):
        first = first and node.op not in "*+"  # these come again, in the middle
        return any(
            spans(n, first=first and k == 0)
            for choice in node.choices
            for k, n in enumerate(choice)
        )
    return node is Wild.GLOBSTAR


class Matcher:
    """Matches a whole text against nodes; picks the engine by the text's length."""

    __slots__ = ("_costs", "_hidden", "_limit", "_machine", "_nodes", "_re", "_syntax")

    def __init__(
        self,
        nodes: Sequence,
        syntax: Syntax,
        parts: Collection[Sequence] = (),
        rest: Sequence | None = None,
    ) -> None:
        """``parts`` and ``rest``: the nodes as `_separate` cut them, when they were."""
        self._nodes, self._syntax = nodes, syntax
        self._machine: Machine | None = None
        # A component ends at a given place, so what it chose need not be tried again.
        atoms = [f"/(?>{_regex(part, syntax)}(?=/|\\Z))" for part in parts]
        if rest is not None:
            atoms.append("/" + _regex(rest, syntax))
        source = "".join(atoms) if atoms else _regex(nodes, syntax)
        self._costs = [_cost(part) for part in ([*parts, rest or ()] if atoms else [nodes])]
        self._limit = min(cost.limit for cost in self._costs)
        self._re = re.compile(source, re.DOTALL).fullmatch
        # re may leave captures made while a negation failed to apply
        self._hidden = [i - 1 for i in _hidden(nodes)]

    def groups(self, text: str) -> tuple[str, ...] | None:
        """The captures, or None when the text does not match."""
        if len(text) > self._limit and self._risky(text):
            if self._machine is None:
                self._machine = Machine(self._nodes, self._syntax)
            return self._machine.match(text)
        found = self._re(text)
        if found is None:
            return None
        groups: tuple[str, ...] = found.groups("")
        if self._hidden:
            groups = tuple("" if i in self._hidden else g for i, g in enumerate(groups))
        return groups

    def matches(self, text: str) -> bool:
        """Whether the text matches."""
        if len(text) > self._limit:
            return self.groups(text) is not None
        return self._re(text) is not None

    def _risky(self, text: str) -> bool:
        """Whether re might take longer than the budget allows."""
        element = max(map(len, text.split("/")))
        return any(cost.exceeds(len(text), element) for cost in self._costs)


def _regex(nodes: Sequence, syntax: Syntax) -> str:
    return "".join(_node_regex(node, syntax) for node in nodes)


def _node_regex(node: Node, syntax: Syntax) -> str:
    if isinstance(node, Text):
        return re.escape(node.text)
    if isinstance(node, Chars):
        return node.regex
    if isinstance(node, Wild):
        return {Wild.STAR: "[^/]*", Wild.GLOBSTAR: ".*", Wild.SINGLE: "[^/]"}[node]
    either = "|".join(_regex(choice, syntax) for choice in node.choices)
    if node.op == "{":
        return f"(?:{either})"
    if node.op == "@":
        return f"({either})"
    if node.op == "!":
        bound = r"\Z" if node.serial == syntax.bounded else ""
        return f"((?:(?!(?:{either}){bound})[^/]*))"
    return f"((?:{either}){node.op})"


def _hidden(nodes: Sequence, inside: bool = False) -> list[int]:
    """The captures inside negations: never part of a match."""
    found: list[int] = []
    for node in nodes:
        if isinstance(node, Group):
            if inside and node.index:
                found.append(node.index)
            for choice in node.choices:
                found += _hidden(choice, inside or node.op == "!")
    return found


@dataclass(frozen=True, slots=True)
class _Cost:
    """Bound of the ways to match: a factor, and how many nodes take a run of any length.

    ``across`` of them run on over slashes, ``within`` end at one.
    """

    ways: float
    across: int
    within: int

    def exceeds(self, length: int, element: int) -> bool:
        """Whether a text with its longest element of this length has too many ways."""
        size = log(self.ways) + self.across * log(length) + self.within * log(max(element, 1))
        return size > log(_BUDGET)  # as logarithms, since the numbers may be beyond a float

    @property
    def limit(self) -> int:
        """A length up to which nothing need be computed."""
        if self.ways > _BUDGET:
            return 0
        degree = self.across + self.within
        return int((_BUDGET / self.ways) ** (1 / degree)) if degree else 1 << 30


_ENDLESS = _Cost(float("inf"), 0, 0)


def _cost(nodes: Sequence) -> _Cost:
    ways, across, within = 1.0, 0, 0
    for node in nodes:
        if isinstance(node, Wild):
            across += node is Wild.GLOBSTAR
            within += node is Wild.STAR
        elif isinstance(node, Group) and node.op in "*+":
            if not _unambiguous(node.choices):
                return _ENDLESS
            crosses = spans(node, first=False)
            across, within = across + crosses, within + (not crosses)
        elif isinstance(node, Group):
            inner = [_cost(choice) for choice in node.choices]
            if not (_prefix_free(node.choices) and node.op in "{@"):
                ways *= sum(cost.ways for cost in inner) + (node.op == "?")
            across += max(cost.across for cost in inner)
            within += max(cost.within for cost in inner) + (node.op == "!")
    return _Cost(ways, across, within)


def _unambiguous(choices: tuple[Sequence, ...]) -> bool:
    """Whether a repetition of these can divide a text in one way only."""
    if len(choices) > 1:
        return _prefix_free(choices)
    fixed = all(isinstance(n, Text | Chars) or n is Wild.SINGLE for n in choices[0])
    return fixed and bool(choices[0])


def _prefix_free(choices: tuple[Sequence, ...]) -> bool:
    """Whether all are plain, and none begins another."""
    texts: list[str] = []
    for choice in choices:
        if len(choice) != 1 or not isinstance(choice[0], Text):
            return False
        texts.append(choice[0].text)
    texts.sort()
    return all(not b.startswith(a) for a, b in pairwise(texts))
