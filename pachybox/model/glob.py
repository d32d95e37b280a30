"""Globs: one grammar for pipeline inputs, file commands, joins and groups. Pure.

A pattern is cleaned like a path (``*`` and ``/*/`` are ``/*``) and matches a whole
cleaned path; directories match as paths without a trailing slash, and the root
matches ``/`` only. The grammar is in :mod:`pachybox.model.glob_syntax`.

No pattern hangs on an unlucky path: see :mod:`pachybox.model.glob_engine`.

``components`` serves a pruning walk of a tree (:mod:`pachybox.pfs.find`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from pachybox.model.glob_engine import Matcher, spans
from pachybox.model.glob_syntax import Group, Node, Sequence, Syntax, Text, Wild, bad, parse

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
        self._matcher = Matcher(nodes, syntax, parts, rest)
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
    def references(template: str) -> list[int]:
        """The captures that a replacement template names, in order."""
        found = _REFERENCE.finditer(template)
        return [_number(r[1] or r[2]) for r in found if r[1] or r[2]]

    @staticmethod
    def expand(template: str, match: Match) -> str:
        """Fill a replacement template (``join_on``, ``group_by``).

        ``$n`` and ``${n}`` give capture n, ``$$`` a ``$``; a number without a capture
        gives nothing, any other ``$`` is itself.
        """
        parts = [part if isinstance(part, str) else match.group(part) for part in _parts(template)]
        return "".join(parts)


@lru_cache(256)
def _parts(template: str) -> tuple[str | int, ...]:
    """A template's texts and the numbers of its captures."""
    parts: list[str | int] = []
    at = 0
    for reference in _REFERENCE.finditer(template):
        number = reference[1] or reference[2]
        parts += (template[at : reference.start()], _number(number) if number else "$")
        at = reference.end()
    return tuple(part for part in (*parts, template[at:]) if part != "")


def _number(digits: str) -> int:
    """The number of a capture; what has ten digits is none, and may have thousands."""
    return int(digits[:10])


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
        if any(spans(node, first=k == 0) for k, node in enumerate(part)):
            rest: list[Node] = []
            for j, later in enumerate(cut[i:]):
                rest += ([Text("/")] if j else []) + later
            return [tuple(p) for p in cut[:i]], tuple(rest)
    return [tuple(p) for p in cut], None


def _component(nodes: Sequence, syntax: Syntax) -> Component:
    names = _names(nodes)
    if names is not None:
        known = frozenset(names)
        return Component(tuple(sorted(known)), "", False, False, known.__contains__)
    if nodes == (Wild.STAR,):
        return Component(None, "", True, False, bool)
    return Component(None, _prefix(nodes), False, False, Matcher(nodes, syntax).matches)


def _rest(nodes: Sequence, syntax: Syntax) -> Component:
    if nodes == (Wild.GLOBSTAR,):
        return Component(None, "", True, True, bool)
    prefix = _prefix(nodes).partition("/")[0]
    return Component(None, prefix, False, True, Matcher(nodes, syntax).matches)


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
