"""Which field the cursor is on in the text of a spec, what it is for, and what may stand there.

It reads lines, not a tree: it works while a line is half written. Pure: no Textual here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pachybox.client.spec_values import SpecField

Names = tuple[str, ...]
_LISTS = ("cross", "union", "join", "group")
_KEY = re.compile(
    r"""(?P<q>["']?)(?P<key>[^\s"'#{}\[\],:&*!|>%@`-][^"'#{}\[\],:]*)(?P=q)\s*:(?=\s|$)"""
)
_DASHES = re.compile(r"(?:-[ ]+)*(?:-$)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ORDER = {"works": 0, "required": 0, "stored": 1, "refused": 2}


class Spot(NamedTuple):
    """A place in the text. ``path`` names the field; at a key that is half written, its parent's.

    ``at_key``: a name of a field stands here, or may; ``word`` is what is typed of it (or of the
    value) before the cursor, from column ``start`` on. ``named``: the key is whole, and the last of
    ``path``.
    """

    path: Names
    at_key: bool
    word: str
    start: int
    named: bool = False


class _Line(NamedTuple):
    dash: int  # column of the first dash, -1 without one
    column: int  # of what is behind the dashes
    key: str
    colon: int  # column behind the colon, -1 without one


def _read(text: str) -> _Line | None:
    """A line's key and where it stands; None for one that is empty or a comment."""
    body = text.lstrip(" ")
    if not body or body.startswith(("#", "---")):
        return None
    indent = len(text) - len(body)
    dashes = _DASHES.match(body)
    skip = dashes.end() if dashes else 0
    found = _KEY.match(body, skip)
    key, colon = (found["key"].strip(), indent + found.end()) if found else ("", -1)
    return _Line(indent if skip else -1, indent + skip, key, colon)


def spot(lines: Sequence[str], row: int, column: int) -> Spot:
    """What stands at a row and column, both from 0."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first[:1] in ("{", "["):
        before = "\n".join([*lines[:row], lines[row][:column]])
        return _in_flow(before, (), column)
    text = lines[row] if row < len(lines) else ""
    line = _read(text)
    if line is None:
        indent = len(text) - len(text.lstrip(" ")) if text.strip() else column
        return Spot(_above(lines, row, indent, -1), True, "", column)
    parents = _above(lines, row, line.column, line.dash)
    if line.key and column >= line.colon:
        value = text[line.colon : column]
        if value.lstrip()[:1] in ("{", "["):
            return _in_flow(value, (*parents, line.key), column)
        word = value.lstrip()
        return Spot((*parents, line.key), False, word, column - len(word))
    word = text[min(line.column, column) : column].strip("\"'")
    if line.key:
        return Spot((*parents, line.key), True, word, column - len(word), True)
    value = text[line.column : column]
    if value.lstrip()[:1] in ("{", "["):
        return _in_flow(value, parents, column)
    return Spot(parents, True, word, column - len(word))


def _above(lines: Sequence[str], row: int, column: int, dash: int) -> Names:
    """The keys that a line of this indent is under."""
    found: list[str] = []
    limit = dash + 1 if dash >= 0 else column
    for at in range(row - 1, -1, -1):
        if limit <= 0:
            break
        line = _read(lines[at])
        if line is None or not line.key:
            if line is not None and line.dash >= 0 and line.column == limit:
                limit = line.dash + 1
            continue
        if line.column < limit:
            found.append(line.key)
            limit = line.dash + 1 if line.dash >= 0 else line.column
        elif line.column == limit and line.dash >= 0:
            limit = line.dash + 1
    return tuple(reversed(found))


def _in_flow(text: str, above: Names, column: int) -> Spot:
    """The place at the end of a text within brackets."""
    stack: list[tuple[str, str]] = []  # (bracket, key)
    word, key, quote = "", "", ""
    escaped = False
    for c in text:
        if quote:
            if c == quote and not escaped:
                quote = ""
            else:
                word += c
            escaped = c == "\\" and not escaped and quote == '"'
        elif c in "\"'" and not word.strip():
            quote, word = c, ""
        elif c in "{[":
            stack.append((c, key))
            word, key = "", ""
        elif c in "}]":
            if stack:
                stack.pop()
            word, key = "", ""
        elif c == ",":
            word, key = "", ""
        elif c == ":" and stack and stack[-1][0] == "{" and not key:
            key, word = word.strip(), ""
        else:
            word += c
    path = (*above, *(k for _, k in stack if k))
    typed = word.lstrip()
    at_key = bool(stack) and stack[-1][0] == "{" and not key
    return Spot((*path, key) if key else path, at_key, typed, column - len(typed))


def known(path: Sequence[str | int]) -> str:
    """A path as fields are described: without the places of lists, inputs in lists as inputs."""
    names = [_CAMEL.sub("_", str(s)).lower() for s in path if isinstance(s, str)]
    while len(names) > 1 and names[0] == "input" and names[1] in _LISTS and len(names) > 2:
        del names[1]
    return ".".join(names)


class Fields:
    """All fields that a spec may have."""

    def __init__(self, fields: Sequence[SpecField] = ()) -> None:
        self._fields = {one.path.replace("[]", ""): one for one in fields}

    def __len__(self) -> int:
        return len(self._fields)

    def find(self, path: Sequence[str | int]) -> SpecField | None:
        """The field, or the nearest above it that is known (names in a map are not)."""
        name = known(path)
        while name:
            if name in self._fields:
                return self._fields[name]
            name = name.rpartition(".")[0]
        return None

    def below(self, path: Sequence[str | int]) -> list[SpecField]:
        """The fields that may stand in this one: those that work first."""
        head = known(path)
        if head.rpartition(".")[0] == "input" and head.rpartition(".")[2] in _LISTS:
            head = "input"
        lead = head + "." if head else ""
        found = [
            one
            for name, one in self._fields.items()
            if name.startswith(lead) and "." not in name[len(lead) :]
        ]
        return sorted(found, key=lambda one: _ORDER.get(one.status, 1))

    def line(self, path: Sequence[str | int]) -> str:
        """What a field is for, in a line."""
        field = self.find(path)
        if field is None:
            return ""
        kind = field.type
        if field.default:
            required = field.default.startswith("required")
            kind += f", {field.default}" if required else f", default {field.default}"
        if field.status not in ("works", ""):
            kind += f", {field.status}"
        return f"{field.path} ({kind}): {field.help}"

    def more(self, path: Sequence[str | int]) -> str:
        """All that is known of a field, and what may stand in it."""
        field = self.find(path)
        if field is None:
            return "No such field."
        text = self.line(path)
        if field.status == "stored":
            text += "\nstored: checked and kept; it has nothing to do on one machine"
        if field.status == "works in a cluster":
            text += "\nwith the runner kubernetes; with another it is checked and kept"
        if field.status == "refused":
            text += "\nrefused: a spec that asks for it is not taken"
        if field.choices:
            text += f"\none of: {', '.join(field.choices)}"
        if field.example:
            text += f"\n\n{field.example}"
        if field.type in ("object", "objects", "inputs"):
            below = self.below(field.path.replace("[]", "").split("."))
            rows = (f"  {one.path.rpartition('.')[2]:<20} {one.help}" for one in below)
            text += "\n\nfields:\n" + "\n".join(rows)
        return text

    def keys(self, place: Spot, present: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
        """Names of fields that may stand at a place, each with what it is for."""
        for one in self.below(place.path[:-1] if place.named else place.path):
            name = one.path.rpartition(".")[2].removesuffix("[]")
            if name.startswith(place.word) and name not in present:
                tail = ":" if one.type in ("object", "objects", "map", "inputs") else ": "
                yield name + tail, one.help

    def values(self, place: Spot) -> Iterator[tuple[str, str]]:
        """Values that the field itself knows: its choices, true and false."""
        field = self.find(place.path)
        if field is None or known(place.path) != field.path.replace("[]", ""):
            return
        words = field.choices or (("true", "false") if field.type == "bool" else ())
        for word in words:
            if word.startswith(place.word):
                yield word, "default" if word == field.default else ""
