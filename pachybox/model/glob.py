"""Globs: one grammar for pipeline inputs, file commands, joins and groups. Pure.

A pattern is cleaned like a path (``*`` and ``/*/`` are ``/*``) and matches a whole
cleaned path; directories match as paths without a trailing slash, and the root
matches ``/`` only. The grammar is in :mod:`pachybox.model.glob_syntax`.

A pattern becomes a regular expression for :mod:`re`. Where the syntax tree allows
more ways to match than re could try in reasonable time on a path of that length
(``_BUDGET``), :mod:`pachybox.model.glob_machine` matches instead, whose time is
bounded; both prefer the same alternatives, so the answer is the same. (Where a
repetition holds further captures they may differ in what those last hold.)

``components`` serves a pruning walk of a tree (:mod:`pachybox.pfs.find`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise, product
from math import log

from pachybox.model.glob_machine import Machine
from pachybox.model.glob_syntax import (
    Chars,
    Group,
    Node,
    Sequence,
    Syntax,
    Text,
    Wild,
    bad,
    parse,
)

_BUDGET = 4_000_000  # steps re may take on the unluckiest path of a length: milliseconds
_MAX_NAMES = 64  # a component with at most so many possible names is looked up, not listed

# a run of separators, also escaped ones, is one; other escapes stay
_SEPARATORS = re.compile(r"(\\[^/])|(?:\\?/)+", re.DOTALL)
_REFERENCE = re.compile(r"\$(?:\$|(\d+)|\{(\d+)\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Match:
    """A path that matched. ``groups`` are the captures, empty where one took no part."""

    path: str
    groups: tuple[str, ...]

    def group(self, number: int) -> str:
        """Capture ``number``; 0 is the whole path, an unknown one is empty."""
        if number == 0:
            return self.path
        return self.groups[number - 1] if number <= len(self.groups) else ""


@dataclass(frozen=True, slots=True)
class Component:
    """What the pattern asks of one element of the path.

    ``names``: the only names that can match, sorted, when they are few; else None.
    ``prefix``: what every matching name begins with. ``everything``: no name is
    refused. ``rest``: this is the last component and spans elements: ``matches`` then
    takes all that follows, without a leading slash.
    """

    names: tuple[str, ...] | None
    prefix: str
    everything: bool
    rest: bool
    matches: Callable[[str], bool]


class Glob:
    """A compiled pattern. Raises InvalidArgument, with position and remedy, on a bad one."""

    __slots__ = ("_matcher", "captures", "components", "literal", "pattern")

    pattern: str
    """The pattern, cleaned."""
    literal: str
    """The one path that matches, when the pattern is plain; else empty."""
    captures: int
    """How many captures there are."""
    components: tuple[Component, ...]
    """Outermost first; none for the root."""

    def __init__(self, pattern: str) -> None:
        parse(pattern)  # errors point into what the user wrote
        self.pattern = _clean(pattern)
        syntax = parse(self.pattern)
        self.captures = syntax.captures
        nodes = syntax.nodes
        self.literal = _prefix(nodes) if len(nodes) == 1 else ""
        parts, rest = _separate(nodes)
        self._matcher = _Matcher(nodes, syntax, parts, rest)
        components = [_component(part, syntax) for part in parts]
        if rest is not None:
            components.append(_rest(rest, syntax))
        self.components = tuple(components)

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Glob) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    @property
    def is_literal(self) -> bool:
        """Whether exactly one path can match: ``literal``."""
        return bool(self.literal)

    def matches(self, path: str) -> bool:
        """Whether the cleaned ``path`` matches."""
        if self.literal:
            return path == self.literal
        return path != "/" and self._matcher.matches(path)

    def match(self, path: str) -> Match | None:
        """The match of the cleaned ``path`` with its captures, or None."""
        if self.literal:
            return Match(path, ()) if path == self.literal else None
        groups = None if path == "/" else self._matcher.groups(path)
        return None if groups is None else Match(path, groups)

    @staticmethod
    def expand(template: str, match: Match) -> str:
        """Fill a replacement template (``join_on``, ``group_by``).

        ``$n`` and ``${n}`` give capture n, ``$$`` a ``$``; a number without a capture
        gives nothing, any other ``$`` is itself.
        """

        def value(reference: re.Match[str]) -> str:
            number = reference[1] or reference[2]
            return match.group(int(number)) if number else "$"

        return _REFERENCE.sub(value, template)


def _clean(pattern: str) -> str:
    """The pattern with one leading, no trailing and no double slash."""
    text = _SEPARATORS.sub(lambda m: m[1] or "/", pattern)
    text = text if text.startswith("/") else "/" + text
    if len(text) > 1 and text.endswith("/"):
        text = text[:-1]
    for element in text.split("/"):
        if element in (".", ".."):
            at = max(pattern.find(element), 0)
            raise bad(pattern, at, f"the element {element!r}", "write the pattern from the root")
    return text


def _separate(nodes: Sequence) -> tuple[list[Sequence], Sequence | None]:
    """Cut at the top-level slashes: whole components, and the part that spans elements.

    The rest begins with the first component of which a node can match a ``/``.
    """
    cut: list[list[Node]] = []
    for node in nodes:
        if isinstance(node, Text):
            first, *more = node.text.split("/")
            if first:
                cut[-1].append(Text(first))
            cut.extend([Text(text)] if text else [] for text in more)
        else:
            cut[-1].append(node)
    if cut == [[]]:  # the pattern "/"
        return [], None
    for i, part in enumerate(cut):
        if any(_spans(node, first=k == 0) for k, node in enumerate(part)):
            rest: list[Node] = []
            for j, later in enumerate(cut[i:]):
                rest += ([Text("/")] if j else []) + later
            return [tuple(p) for p in cut[:i]], tuple(rest)
    return [tuple(p) for p in cut], None


def _spans(node: Node, *, first: bool) -> bool:
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
            _spans(n, first=first and k == 0)
            for choice in node.choices
            for k, n in enumerate(choice)
        )
    return node is Wild.GLOBSTAR


class _Matcher:
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
        """Whether the ways to match a text are too many; ``element`` is its longest one's length."""
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
            spans = _spans(node, first=False)
            across, within = across + spans, within + (not spans)
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


def _component(nodes: Sequence, syntax: Syntax) -> Component:
    names = _names(nodes)
    if names is not None:
        known = frozenset(names)
        return Component(tuple(sorted(known)), "", False, False, known.__contains__)
    if nodes == (Wild.STAR,):
        return Component(None, "", True, False, bool)
    return Component(None, _prefix(nodes), False, False, _Matcher(nodes, syntax).matches)


def _rest(nodes: Sequence, syntax: Syntax) -> Component:
    if nodes == (Wild.GLOBSTAR,):
        return Component(None, "", True, True, bool)
    prefix = _prefix(nodes).partition("/")[0]
    return Component(None, prefix, False, True, _Matcher(nodes, syntax).matches)


def _prefix(nodes: Sequence) -> str:
    """The text everything matching begins with."""
    return nodes[0].text if nodes and isinstance(nodes[0], Text) else ""


def _names(nodes: Sequence) -> list[str] | None:
    """All texts the nodes match, when they are finite and few."""
    parts: list[list[str]] = []
    total = 1
    for node in nodes:
        texts = _node_names(node)
        if texts is None or total * len(texts) > _MAX_NAMES:
            return None
        total *= len(texts)
        parts.append(texts)
    return ["".join(combination) for combination in product(*parts)]


def _node_names(node: Node) -> list[str] | None:
    if isinstance(node, Text):
        return [node.text]
    if not isinstance(node, Group) or node.op not in "{@?":
        return None
    texts = [""] if node.op == "?" else []
    for choice in node.choices:
        inner = _names(choice)
        if inner is None:
            return None
        texts += inner
    return texts
