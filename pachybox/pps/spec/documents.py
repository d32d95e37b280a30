"""Text to documents: JSON or YAML in, values that know their line and column out. Pure.

The first step of reading a spec. A text whose first character is ``{`` or ``[`` is a stream
of JSON documents, read by JSON's own rules; any other is a stream of YAML documents, whose
plain scalars follow YAML 1.2 (``yes`` and ``on`` are strings). A list at the top is as many
documents. What fields mean is not known here.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

MAX_CHARACTERS = 1 << 20  # a spec is a page or two; the YAML reader takes 20 s per MiB
MAX_DEPTH = 100
MAX_VALUES = 200_000  # YAML aliases may multiply: a short text can mean billions of values


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a text. Lines and columns count from 1; 0 means none is known.

    ``path`` is the field (``transform.cmd``), empty when the text itself cannot be read. ``level``
    is error, warn (a user should know of it) or info; ``document`` counts the specs from 1.
    """

    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    level: str = "error"
    document: int = 0


class Unreadable(Exception):
    """A text that is neither JSON nor YAML."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


Value: TypeAlias = "bool | int | float | str | tuple[Node, ...] | dict[str, Member] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it begins."""

    value: Value
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: its value, and where its name stands."""

    node: Node
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One document and its own JSON text (what the user wrote, when that was JSON)."""

    node: Node
    text: str


def read(text: str) -> list[Document]:
    """The documents of a text, in order; empty YAML documents are left out.

    Raises Unreadable with line and column.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(
            Problem(1, 1, "", "the text is longer than 1 MiB", "split it into several files")
        )
    if text.lstrip()[:1] in ("{", "["):
        return list(_Json(text).documents())
    from pachybox.pps.spec import yaml_reader  # PyYAML takes 20 ms to load

    found = []
    for node in yaml_reader.nodes(text):
        if isinstance(node.value, tuple):
            found += [Document(n, _dump(n)) for n in node.value]
        elif node.value is not None:
            found.append(Document(node, _dump(node)))
    return found


def _dump(node: Node) -> str:
    return json.dumps(plain(node), indent=2, ensure_ascii=False)


def plain(node: Node) -> Any:
    """The value alone, as json.loads would give it."""
    match node.value:
        case tuple() as items:
            return [plain(item) for item in items]
        case dict() as members:
            return {name: plain(member.node) for name, member in members.items()}
        case scalar:
            return scalar


def of_plain(value: Any) -> Node:
    """A node without a position from what json.loads gives."""
    if isinstance(value, Mapping):
        return Node({str(k): Member(of_plain(v)) for k, v in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Node(tuple(of_plain(v) for v in value))
    return Node(value)


def bad_text(text: str) -> str:
    """What is wrong with a string whatever it is for, or nothing."""
    if "\0" in text:
        return "a string may not hold a NUL character"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "a string may not hold half of a surrogate pair"
    return ""


class Lines:
    """From an offset in a text to line and column."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]+|^---[ \t]*\r?$)*", re.MULTILINE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = {"true": True, "false": False, "null": None}
_STRINGS = json.JSONDecoder()
MAX_DIGITS = 400


class _Json:
    """A reader of concatenated JSON documents."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)

    def documents(self) -> Iterator[Document]:
        at = self._between(0)
        while at < len(self._text):
            if self._text[at] == "[":
                found: list[Document] = []
                _, end = self._list(at, 0, found)
                yield from found
            else:
                node, end = self._value(at, 0)
                yield Document(node, self._text[at:end])
            at = self._between(end)

    def _between(self, at: int) -> int:
        found = _BETWEEN.match(self._text, at)
        return found.end() if found else at

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _fail(self, at: int, message: str, hint: str = "") -> NoReturn:
        line, column = self._lines.at(at)
        raise Unreadable(Problem(line, column, "", f"not valid JSON: {message}", hint))

    def _expected(self, at: int, what: str) -> NoReturn:
        if at >= len(self._text):
            self._fail(at, f"expected {what}, and the text ends", "close what is open")
        self._fail(at, f"expected {what}, got {json.dumps(self._text[at])}")

    def _value(self, at: int, depth: int) -> tuple[Node, int]:
        if depth > MAX_DEPTH:
            self._fail(at, f"nested deeper than {MAX_DEPTH}")
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, depth)
            case "[":
                return self._list(at, depth)
            case '"':
                value, end = self._string(at)
                return Node(value, *self._lines.at(at)), end
        if number := _NUMBER.match(self._text, at):
            return Node(self._number(number), *self._lines.at(at)), number.end()
        if (word := _WORD.match(self._text, at)) and word[0] in _WORDS:
            return Node(_WORDS[word[0]], *self._lines.at(at)), word.end()
        self._expected(at, "a value")

    def _string(self, at: int) -> tuple[str, int]:
        try:
            value, end = _STRINGS.raw_decode(self._text, at)
        except json.JSONDecodeError as e:
            what = re.sub(r"( starting)? at$|:\s*$", "", e.msg)  # the position is ours to tell
            self._fail(min(e.pos, len(self._text)), what[0].lower() + what[1:])
        if wrong := bad_text(value):
            self._fail(at, wrong)
        return value, end

    def _number(self, found: re.Match[str]) -> int | float:
        if len(found[0]) > MAX_DIGITS:
            self._fail(found.start(), "a number of too many digits")
        if found[1] is None and found[2] is None:
            return int(found[0])
        value = float(found[0])
        if math.isinf(value):
            self._fail(found.start(), f"{found[0]} is out of range")
        return value

    def _list(
        self, at: int, depth: int, documents: list[Document] | None = None
    ) -> tuple[Node, int]:
        """A list; ``documents`` gets each item with its text."""
        items: list[Node] = []
        here = self._skip(at + 1)
        while self._text[here : here + 1] != "]":
            if items:
                if self._text[here : here + 1] != ",":
                    self._expected(here, '"," or "]"')
                comma, here = here, self._skip(here + 1)
                if self._text[here : here + 1] == "]":
                    self._fail(comma, "a comma after the last item", "remove the comma")
            item, end = self._value(here, depth + 1)
            items.append(item)
            if documents is not None:
                documents.append(Document(item, self._text[here:end]))
            here = self._skip(end)
        return Node(tuple(items), *self._lines.at(at)), here + 1

    def _object(self, at: int, depth: int) -> tuple[Node, int]:
        members: dict[str, Member] = {}
        here = self._skip(at + 1)
        while self._text[here : here + 1] != "}":
            if members:
                if self._text[here : here + 1] != ",":
                    self._expected(here, '"," or "}"')
                comma, here = here, self._skip(here + 1)
                if self._text[here : here + 1] == "}":
                    self._fail(comma, "a comma after the last member", "remove the comma")
            if self._text[here : here + 1] != '"':
                self._expected(here, "a name in double quotes")
            name, end = self._string(here)
            line, column = self._lines.at(here)
            if name in members:
                self._fail(
                    here, f'"{name}" is given twice, first on line {members[name].line}',
                    "keep one of them",
                )  # fmt: skip
            end = self._skip(end)
            if self._text[end : end + 1] != ":":
                self._expected(end, '":"')
            node, end = self._value(self._skip(end + 1), depth + 1)
            members[name] = Member(node, line, column)
            here = self._skip(end)
        return Node(members, *self._lines.at(at)), here + 1
