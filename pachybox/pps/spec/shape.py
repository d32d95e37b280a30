"""Documents to plain values: known names, right types, and what the box does with each field.

The second step of reading a spec. Walks a document along the table of fields, collects
every problem and warning, and gives the values that are fine under their snake_case names.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_duration, parse_quantity
from pachybox.pps.spec.documents import MAX_DEPTH, Member, Node, Problem, bad_text, plain
from pachybox.pps.spec.fields import FIELDS, Field, Kind, Status, children, inside

_INT64 = 2**63 - 1
_MOST_SUGGESTED = 100  # looking for near names takes longer than anything else here
_FLOAT32 = 3.4e38  # cpu travels as a 32-bit float
_LONGEST_NUMBER = 100  # of a duration or quantity; Python refuses to convert thousands of digits
_LONGEST_MESSAGE = 300  # some name the value, which may be as long as the text


class _Wrong(Exception):
    """A value that does not fit; caught where its field is known."""

    def __init__(
        self, message: str, hint: str = "", *, below: str = "", node: Node | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.below = below  # which part of the value is wrong: "[2]", ".HOME"
        self.node = node  # that part


_UNUSABLE = object()

_WARNINGS = {
    Status.NO_MEANING: "has no meaning on one machine; it is kept and has no effect",
    Status.CLUSTER: "works with the runner kubernetes alone; it is kept and has no effect",
}
"""What is said of a field that is there and does nothing, by its status."""


class Shape:
    """One document on its way to plain values."""

    def __init__(self, document: Node) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.clusterless: list[Problem] = []  # warnings that hold where it runs in no cluster
        self.values: dict[str, Any] = {}
        self._document = document
        self._where: dict[str, tuple[int, int]] = {"": (document.line, document.column)}
        self._values: dict[str, tuple[int, int]] = {}  # of fields with a plain value beside it
        self._excused: set[str] = set()

    def read(self) -> dict[str, Any]:
        """The document's values in snake_case, without nulls; problems are collected."""
        if not isinstance(self._document.value, dict):
            got = _called(self._document)
            self.problem("", f"expected a spec (an object), got {got}")
            return {}
        self.values = self._object(self._document.value, "", "")
        return self.values

    def problem(self, path: str, message: str, hint: str = "") -> None:
        """Note a problem with a field; one that is not there stands where its object does."""
        self.problems.append(self.located(path, message, hint))

    def located(self, path: str, message: str, hint: str = "", level: str = "error") -> Problem:
        """A problem with a field, at its value when that is a plain one, else at its name."""
        if len(message) > _LONGEST_MESSAGE:
            message = message[:_LONGEST_MESSAGE] + "..."
        at = self._values.get(path) or self._where[self._near(path)]
        return Problem(*at, path, message, hint, level)

    def missing(self, path: str, message: str, hint: str) -> None:
        """Note that a field is missing, unless a problem noted before is why."""
        for other in self._excused:
            if f"{path}.".startswith(f"{other}.") or other.startswith(f"{path}."):
                return
        self.problem(path, message, hint)

    def warn(self, path: str, text: str) -> None:
        """Note what a user should know of a field that is accepted."""
        self.warnings.append(self.located(path, text, level="warn"))

    def given(self, path: str) -> bool:
        """Whether a field is there and asks for something, be it refused or not."""
        return path in self._excused

    def line(self, path: str) -> int:
        """The line of a field that is there, or of the object it would be in."""
        return self._where[self._near(path)][0]

    def _near(self, path: str) -> str:
        """The path itself when it is in the document, else that of what it would be in."""
        while path not in self._where:
            path = path.rpartition(".")[0]
        return path

    def _object(self, members: dict[str, Member], table: str, path: str) -> dict[str, Any]:
        known = children(table)
        seen: dict[str, str] = {}
        values: dict[str, Any] = {}
        for name, member in members.items():
            field = known.get(name)
            here = _join(path, _shown(name) if field is None else field.name)
            twice = here in self._where
            self._where[here] = (member.line, member.column)
            node = member.node
            plain_value = not isinstance(node.value, (tuple, dict, type(None)))
            if field is not None and plain_value and node.line == member.line:
                self._values.setdefault(here, (node.line, node.column))
            if field is None:
                self.problem(here, "unknown field", self._suggest(name, table, path))
            elif twice:
                self._values.pop(here, None)
                self.problem(here, f"given twice, as {seen[field.name]} and {name}", "keep one")
            elif member.node.value is not None:
                value = self._field(field, member.node, here)
                if value is not _UNUSABLE:
                    values[field.name] = value
            if field is not None:
                seen[field.name] = name
        return values

    def _field(self, field: Field, node: Node, path: str) -> Any:
        """The field's value, or _UNUSABLE after noting why."""
        idle = _is_idle(field, node)
        if field.status is Status.LATER and not idle:
            self._excused.add(path)
            message = "not built in this version of pachybox"
            self.problem(path, field.refusal or message, field.instead or "remove it")
            return _UNUSABLE
        value = self._value(field, node, path)
        if value is _UNUSABLE:
            self._excused.add(path)
        elif field.status in _WARNINGS and not idle and not inside(field, field.status):
            warning = self.located(path, field.warning or _WARNINGS[field.status], level="warn")
            told = self.clusterless if field.status is Status.CLUSTER else self.warnings
            told.append(warning)
        return value

    def _value(self, field: Field, node: Node, path: str) -> Any:
        if field.kind is Kind.OBJECT and isinstance(node.value, dict):
            return self._object(node.value, field.path, path)
        if field.kind is Kind.OBJECTS and isinstance(node.value, tuple):
            return self._objects(node.value, f"{field.path}[]", path)
        if field.kind is Kind.INPUTS and isinstance(node.value, tuple):
            return self._objects(node.value, "input", path)
        try:
            if field.kind not in _READERS:
                raise _Wrong(*_unfit(field.kind, node))
            value = _READERS[field.kind](node)
            if field.words and value and value not in field.words:
                known = f"{', '.join(field.words[:-1])} or {field.words[-1]}"
                raise _Wrong(
                    f"{json.dumps(value, ensure_ascii=False)} is not known", f"use {known}"
                )
            return value
        except _Wrong as wrong:
            where = path + wrong.below
            if wrong.node is not None:
                self._where[where] = (wrong.node.line, wrong.node.column)
            self.problem(where, wrong.message, wrong.hint)
            return _UNUSABLE

    def _objects(self, items: tuple[Node, ...], table: str, path: str) -> list[Any]:
        """One object per item, also of one that is wrong: rules name them by their place."""
        values = []
        for number, item in enumerate(items):
            here = f"{path}[{number}]"
            self._where[here] = (item.line, item.column)
            if isinstance(item.value, dict):
                values.append(self._object(item.value, table, here))
            else:
                self.problem(here, *_unfit(Kind.OBJECT, item))
                self._excused.add(here)
                values.append({})
        return values

    def _suggest(self, name: str, table: str, path: str) -> str:
        """A remedy for an unknown name: the near one, or the place where it belongs."""
        if len(self.problems) >= _MOST_SUGGESTED:
            return ""
        siblings = {f.name: f for f in children(table).values()}
        near = [n for n in siblings if _bare(n) == _bare(name)]
        if not near and (elsewhere := _elsewhere(name)):
            self._excused.add(elsewhere.path)
            return f"write it as {elsewhere.path}"
        near = near or difflib.get_close_matches(_snake(name), siblings, 1, 0.6)
        if near:
            self._excused.add(_join(path, near[0]))
            return f'did you mean "{near[0]}"'
        if 0 < len(siblings) <= 8:
            return f"known here: {', '.join(siblings)}"
        return "docs/spec.md lists every field"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(name: str) -> str:
    """A name from outside, fit for one line of an error."""
    if re.fullmatch(r"[\w-]{1,60}", name):
        return name
    return json.dumps(name if len(name) <= 60 else name[:60] + "...")


def _elsewhere(name: str) -> Field | None:
    """The field of that name at another place, the one users can have first."""
    found = [f for f in FIELDS if name in f.spellings and not inside(f, Status.LATER)]
    return min(found, key=lambda f: list(Status).index(f.status), default=None)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _is_idle(field: Field, node: Node) -> bool:
    """Whether a value asks for nothing: what the field would be if it were left out."""
    value = plain(node)
    if field.by_presence:
        return False
    if field.path == "input.pfs.repo_type" and value == "user":
        return True
    return _is_empty(value)


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return not value


def _called(node: Node) -> str:
    match node.value:
        case None:
            return "null"
        case bool():
            return "true" if node.value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case tuple():
            return "a list"
    return "an object"


def _unfit(kind: Kind, node: Node) -> tuple[str, str]:
    hint = ""
    if kind is Kind.STRING and isinstance(node.value, (bool, int, float)):
        hint = "put it in quotes"
    elif kind is Kind.STRING and node.value is None:
        hint = 'write "" for the empty string'
    elif kind in (Kind.STRINGS, Kind.INTS, Kind.OBJECTS, Kind.INPUTS) and not isinstance(
        node.value, tuple
    ):
        hint = "put it in [ ]"
    return f"expected {kind.value}, got {_called(node)}", hint


def _string(node: Node) -> str:
    if not isinstance(node.value, str):
        raise _Wrong(*_unfit(Kind.STRING, node))
    if wrong := bad_text(node.value):
        raise _Wrong(wrong)
    return node.value


def _bool(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise _Wrong(*_unfit(Kind.BOOL, node))
    return node.value


def _int(node: Node) -> int:
    """A whole number; as text too, which is how protobuf's JSON writes 64 bits."""
    value = node.value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(*_unfit(Kind.INT, node))
    if abs(value) > _INT64:
        raise _Wrong(f"{value} is out of range", "use a number of at most 63 bits")
    return value


def _number(node: Node) -> float | int:
    if not isinstance(node.value, (int, float)) or isinstance(node.value, bool):
        raise _Wrong(*_unfit(Kind.NUMBER, node))
    if not abs(node.value) < _FLOAT32:
        raise _Wrong("out of range", "use a smaller number")
    return node.value


def _text_checked(kind: Kind, check: Callable[[str], object]) -> Callable[[Node], str]:
    def read(node: Node) -> str:
        if not isinstance(node.value, str):
            raise _Wrong(*_unfit(kind, node))
        text = _string(node)
        if kind is not Kind.JSON and len(text) > _LONGEST_NUMBER:
            raise _Wrong(f"expected {kind.value}, got {len(text)} characters")
        try:
            check(text)
        except InvalidArgument as e:
            raise _Wrong(e.message, e.hint) from e
        return text

    return read


def _check_duration(text: str) -> None:
    if parse_duration(text) <= 0:
        raise InvalidArgument(f"{text!r} is not positive", 'write it like "300s", or leave it out')


def _check_quantity(text: str) -> None:
    if text:
        parse_quantity(text)


def _check_json(text: str) -> None:
    try:
        _check_depth(json.loads(text or "null", parse_constant=_no_constant))
    except (ValueError, RecursionError) as e:
        raise InvalidArgument(f"not valid JSON: {e}", "give the JSON of the patch") from e


def _no_constant(name: str) -> None:
    """Python's reader takes NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no number of JSON")


def _check_depth(value: Any, left: int = MAX_DEPTH) -> None:
    if not left:
        raise ValueError(f"more than {MAX_DEPTH} values in each other")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _check_depth(part, left - 1)


def _many(kind: Kind, one: Callable[[Node], Any]) -> Callable[[Node], list[Any]]:
    def read(node: Node) -> list[Any]:
        if not isinstance(node.value, tuple):
            raise _Wrong(*_unfit(kind, node))
        values = []
        for number, item in enumerate(node.value):
            try:
                values.append(one(item))
            except _Wrong as wrong:
                raise _Wrong(wrong.message, wrong.hint, below=f"[{number}]", node=item) from None
        return values

    return read


def _map(node: Node) -> dict[str, str]:
    if not isinstance(node.value, dict):
        raise _Wrong(*_unfit(Kind.MAP, node))
    values = {}
    for name, member in node.value.items():
        if wrong_name := bad_text(name):
            raise _Wrong(wrong_name)
        try:
            values[name] = _string(member.node)
        except _Wrong as wrong:
            raise _Wrong(
                wrong.message, wrong.hint, below=f".{_shown(name)}", node=member.node
            ) from None
    return values


_READERS: dict[Kind, Callable[[Node], Any]] = {
    Kind.STRING: _string,
    Kind.STRINGS: _many(Kind.STRINGS, _string),
    Kind.INT: _int,
    Kind.INTS: _many(Kind.INTS, _int),
    Kind.NUMBER: _number,
    Kind.BOOL: _bool,
    Kind.DURATION: _text_checked(Kind.DURATION, _check_duration),
    Kind.QUANTITY: _text_checked(Kind.QUANTITY, _check_quantity),
    Kind.JSON: _text_checked(Kind.JSON, _check_json),
    Kind.MAP: _map,
}
