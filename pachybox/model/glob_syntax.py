"""The glob grammar: text to syntax tree. Pure; :mod:`pachybox.model.glob` gives it meaning.

::

    *  **  ?  [abc] [a-z] [!x] [^x] [[:alpha:]]      wildcards and classes
    {p,q}                                            one of, not captured
    (p|q) @(p|q)  ?(p|q)  *(p|q)  +(p|q)  !(p|q)     captured groups
    \\c                                               the character c

A separator counts only inside its own kind of bracket (``,`` in braces, ``|`` in
parentheses); closing brackets and ``! @ + ^`` on their own are plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from pachybox.errors import InvalidArgument
from pachybox.model.paths import encodable

MAX_PATTERN = 8192
MAX_NESTING = 32

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\x09-\x0d\x20",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_POSIX_NAME = re.compile(r"\[:(\^?)([a-z]*):\]")
# what text cannot run across: everything that may begin a construct, end or divide a group
_TEXT = re.compile(r"[^\\*?\[{}()!@+^,|]+")


class Wild(Enum):
    """The wildcards."""

    STAR = "*"  # any run without /
    GLOBSTAR = "**"  # any run
    SINGLE = "?"  # one character but /


@dataclass(frozen=True, slots=True)
class Text:
    """Literal characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a class; ``regex`` is the class for :mod:`re`."""

    regex: str


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives. ``op`` is one of ``{ @ ? * + !``; ``index`` numbers captures from 1.

    ``serial`` numbers groups in the order they close.
    """

    op: str
    index: int
    choices: tuple[Sequence, ...]
    serial: int


Node = Wild | Text | Chars | Group
Sequence = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Syntax:
    """A parsed pattern.

    ``bounded`` is the serial of the one negation that must reach the end of the path
    (the last to close, when no text, ``*`` or ``**`` follows it), or 0: every other
    negation forbids its alternatives as a beginning only.
    """

    nodes: Sequence
    captures: int
    bounded: int


def bad(pattern: str, at: int, what: str, hint: str) -> InvalidArgument:
    """The error for a malformed pattern, naming the position from 1."""
    shown = pattern if len(pattern) <= 200 else pattern[:200] + "..."
    return InvalidArgument(f"bad glob {shown!r}: {what} at position {at + 1}", hint)


def parse(pattern: str) -> Syntax:
    """The syntax tree of ``pattern``; raises InvalidArgument on a malformed one."""
    encodable(pattern, "glob")
    if len(pattern) > MAX_PATTERN:
        raise bad(pattern, MAX_PATTERN, f"more than {MAX_PATTERN} characters", "shorten it")
    return _Parser(pattern).parse()


class _Parser:
    """Recursive descent; ``at`` is the next character."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.captures = 0
        self.closed = 0
        self.open_negation = 0  # the last closed one, while nothing that bounds it followed

    def parse(self) -> Syntax:
        nodes = self.sequence("", 0)
        return Syntax(nodes, self.captures, self.open_negation)

    def sequence(self, closer: str, depth: int) -> Sequence:
        """Nodes up to the group's separator or closer (not consumed), or the end."""
        pattern, nodes = self.pattern, list[Node]()
        stops = {"": "", "}": ",}", ")": "|)"}[closer]
        while self.at < len(pattern):
            c = pattern[self.at]
            if c in stops:
                break
            node: Node = (self.wild(c) if c in "*?" else None) or self.construct(c, depth)
            if isinstance(node, Text) or node in (Wild.STAR, Wild.GLOBSTAR):
                self.open_negation = 0
            last = nodes[-1] if nodes else None
            if isinstance(node, Text) and isinstance(last, Text):
                nodes[-1] = Text(last.text + node.text)
            else:
                nodes.append(node)
        return tuple(nodes)

    def wild(self, c: str) -> Wild | None:
        """A wildcard, unless the character belongs to a group: ``**(`` is ``*`` and ``*(``."""
        rest = self.pattern[self.at + 1 : self.at + 3]
        if rest[:1] == "(":
            return None
        self.at += 1
        if c == "?":
            return Wild.SINGLE
        if rest[:1] != "*" or rest == "*(":
            return Wild.STAR
        self.at += 1
        return Wild.GLOBSTAR

    def construct(self, c: str, depth: int) -> Node:
        """The class, group, escape or text that begins with ``c``."""
        pattern, at = self.pattern, self.at
        if c == "\\":
            if at + 1 == len(pattern):
                raise bad(pattern, at, "nothing follows the backslash", r"write \\ for one")
            self.at += 2
            return Text(pattern[at + 1])
        if c == "[":
            return self.chars()
        if c == "{":
            return self.group("{", 1, "}", depth)
        if c == "(":
            return self.group("@", 1, ")", depth)
        if c in "@?*+!^" and pattern[at + 1 : at + 2] == "(":
            if c == "^":
                raise bad(pattern, at, '"^(" means nothing', r"write !( to negate, or \^ for a ^")
            return self.group(c, 2, ")", depth)
        run = _TEXT.match(pattern, at)
        text = run[0] if run else c
        self.at += len(text)
        return Text(text)

    def group(self, op: str, width: int, closer: str, depth: int) -> Group:
        start = self.at
        opener = self.pattern[start : start + width]
        if depth == MAX_NESTING:
            raise bad(self.pattern, start, "groups nested too deep", "use several patterns")
        index = 0
        if op != "{":
            self.captures += 1
            index = self.captures
        choices: list[Sequence] = []
        while True:
            self.at += width if not choices else 1
            choices.append(self.sequence(closer, depth + 1))
            if self.at >= len(self.pattern):
                hint = f"close it with {closer}, or write \\{opener[-1]} for the character"
                raise bad(self.pattern, start, f'"{opener}" is never closed', hint)
            if self.pattern[self.at] == closer:
                break
        self.at += 1
        self.closed += 1
        if op == "!":
            self.open_negation = self.closed
        return Group(op, index, tuple(choices), self.closed)

    def chars(self) -> Chars:
        """A character class, checked and rewritten for :mod:`re`."""
        pattern, start = self.pattern, self.at
        at = start + 1
        negated = pattern[at : at + 1] in ("!", "^")
        at += negated
        items: list[str] = []
        outside: list[str] = []  # for [:^name:], which re can only say as a lookahead
        while at < len(pattern) and pattern[at] != "]":
            posix = _POSIX_NAME.match(pattern, at)
            if posix:
                if posix[2] not in _POSIX:
                    names = ", ".join(_POSIX)
                    raise bad(pattern, at, f"no class {posix[0]}", f"the names are {names}")
                (outside if posix[1] else items).append(_POSIX[posix[2]])
                at = posix.end()
                continue
            low, at = self.one(start, at)
            if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
                begin = at
                high, at = self.one(start, at + 1)
                if high < low:
                    hint = f"write {high}-{low}"
                    raise bad(pattern, begin, f"the range {low}-{high} is reversed", hint)
                items.append(f"{re.escape(low)}-{re.escape(high)}")
            else:
                items.append(re.escape(low))
        if at >= len(pattern):
            raise bad(pattern, start, '"[" is never closed', r"close it with ], or write \[")
        if not items and not outside:
            raise bad(pattern, start, "the class is empty", r"write \] for a bracket in it")
        self.at = at + 1
        return Chars(_class_regex(negated, "".join(items), outside))

    def one(self, start: int, at: int) -> tuple[str, int]:
        """One character of a class, perhaps escaped, and what is next."""
        pattern = self.pattern
        if pattern[at] == "\\":
            at += 1
            if at == len(pattern):
                raise bad(pattern, start, '"[" is never closed', r"close it with ]")
        return pattern[at], at + 1


def _class_regex(negated: bool, items: str, outside: list[str]) -> str:
    if not outside:
        return f"[{'^' if negated else ''}{items}]"
    choices = [f"[^{o}]" for o in outside] + ([f"[{items}]"] if items else [])
    either = f"(?:{'|'.join(choices)})"
    return rf"(?:(?!{either})[\s\S])" if negated else either
