"""The text of a spec, understood: what its fields hold and where in the text they stand.

A text is YAML, and so JSON too. ``Spec`` is read once and never changes; ``tui.spec_edits`` makes
of it another text. Pure: no Textual here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pachybox.model.plain_scalars import PLAIN

Path = tuple[str | int, ...]
Value = Any
"""What JSON can hold."""
Node = Any
"""A node of PyYAML's, whose stubs know nothing of ``id`` and ``value``."""

_TAG = "tag:yaml.org,2002:"
_PATTERNS = tuple((kind, re.compile(pattern, re.ASCII)) for kind, pattern, _ in PLAIN)
_MAX_DEPTH = 60
_ODD_BREAKS = re.compile("[\r\x85\u2028\u2029]")


class NotUnderstood(Exception):
    """The text cannot be read as one spec, or not changed in place; says why and where."""

    def __init__(self, why: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{line}:{column}: {why}" if line else why)
        self.why, self.line, self.column = why, line, column


def plain_kind(text: str) -> str:
    """What a plain scalar is: ``null``, ``bool``, ``int``, ``float``, ``merge`` or ``str``."""
    return next((kind for kind, pattern in _PATTERNS if pattern.match(text)), "str")


class Spec:
    """One spec's text. Raises NotUnderstood for what is not one mapping."""

    def __init__(self, text: str) -> None:
        if found := _ODD_BREAKS.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise NotUnderstood("a line ends in an unusual character", line, 1)
        self.text = text
        self.root = _root(text)
        self.is_json = text.lstrip()[:1] in ("{", "[")
        self._starts = [0, *(m.end() for m in re.finditer("\n", text))]
        if self.root is not None and self.root.id != "mapping" and not self._nothing:
            raise NotUnderstood("not the fields of one pipeline", *self._at(self.root))

    # ---- places

    def offset(self, mark: Any) -> int:
        """Where a mark of YAML's is in the text."""
        return min(int(self._starts[mark.line] + mark.column), len(self.text))

    def line_of(self, offset: int) -> int:
        """The line of a place, from 0."""
        return bisect_right(self._starts, offset) - 1

    def column_of(self, offset: int) -> int:
        """Its column, from 0."""
        return offset - self._starts[self.line_of(offset)]

    def line_start(self, offset: int) -> int:
        """Where the line of a place begins."""
        return self._starts[self.line_of(offset)]

    def line_end(self, offset: int) -> int:
        """Where it ends, before the line break."""
        found = self.text.find("\n", offset)
        return len(self.text) if found < 0 else found

    def start(self, node: Node) -> int:
        """Where a node begins."""
        return self.offset(node.start_mark)

    def end(self, node: Node) -> int:
        """Where what is written of a node ends: without the lines and comments after it."""
        if node.id == "scalar":
            start, end = self.start(node), self.offset(node.end_mark)
            if node.style in ("|", ">"):
                return start + len(self.text[start:end].rstrip("\n"))
            return end
        if node.flow_style or not node.value:
            return self.offset(node.end_mark)
        last = node.value[-1]
        if node.id == "mapping":
            key, value = last
            return self.end(value) if self.inside(value, node) else self.after_alias(key)
        return self.end(last) if self.inside(last, node) else self.line_end(self.start(node))

    def inside(self, node: Node, parent: Node) -> bool:
        """Whether a node is written within its parent: an alias is not."""
        here, there = node.start_mark, parent.start_mark
        after = (here.line, here.column) >= (there.line, there.column)
        end = parent.end_mark
        return after and (here.line, here.column) <= (end.line, end.column)

    def after_alias(self, key: Node) -> int:
        """The end of ``key: *alias``."""
        end = self.end(key)
        found = re.compile(r"\s*:\s*\*[^\s,\]}]+").match(self.text, end)
        return found.end() if found else end

    def _at(self, node: Node) -> tuple[int, int]:
        return node.start_mark.line + 1, node.start_mark.column + 1

    @property
    def _nothing(self) -> bool:
        """Whether there is no value at all: an empty text, or comments alone."""
        root = self.root
        return root is None or (root.id == "scalar" and scalar(root) is None)

    # ---- what it holds

    def node(self, path: Path) -> Node | None:
        """The node at a path, as it is written; None where there is none."""
        node = self.root
        for step in path:
            if node is None:
                return None
            node = child(node, step)
        return node

    @cached_property
    def value(self) -> dict[str, Value]:
        """All of it."""
        return {} if self._nothing or self.root is None else _value(self.root, 0)

    def get(self, path: Path, default: Value = None) -> Value:
        """What a field holds; ``default`` where it is not given, or null."""
        value: Value = self.value
        for step in path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and -1 < step < len(value):
                value = value[step]
            else:
                return default
        return default if value is None else value

    def comments(self, start: int, end: int) -> list[str]:
        """The comments in a part of the text."""
        found, at, spans = [], start, [s for s in self._scalars if s[1] > start and s[0] < end]
        for first, last in [*spans, (end, end)]:
            for match in _COMMENT.finditer(self.text, min(at, first), max(at, first)):
                stop = self.line_end(match.start())
                found.append(self.text[match.start() : stop])
            at = max(at, last)
        return found

    @cached_property
    def _scalars(self) -> list[tuple[int, int]]:
        """Where scalars are: a ``#`` in one is no comment."""
        if self.root is None:
            return []
        return sorted({self._written(n) for n in _all(self.root) if n.id == "scalar"})

    def _written(self, node: Node) -> tuple[int, int]:
        """The text of a scalar; that of a block begins below its ``|``."""
        start = self.start(node)
        if node.style in ("|", ">"):
            start = self.line_end(start)
        return start, max(start, self.end(node))


_COMMENT = re.compile(r"(?<![^\s,\[\]{}])#[^\n]*")


def child(node: Node, step: str | int) -> Node | None:
    """A member of a mapping or an item of a sequence."""
    if node.id == "mapping" and isinstance(step, str):
        return next((v for k, v in node.value if k.id == "scalar" and k.value == step), None)
    if node.id == "sequence" and isinstance(step, int) and -1 < step < len(node.value):
        return node.value[step]
    return None


def scalar(node: Node) -> Value:
    """What a scalar is worth."""
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    return text


def _all(node: Node, seen: set[int] | None = None) -> Iterator[Node]:
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    if node.id == "mapping":
        for key, value in node.value:
            yield from _all(key, seen)
            yield from _all(value, seen)
    elif node.id == "sequence":
        for one in node.value:
            yield from _all(one, seen)


def _value(node: Node, depth: int) -> Value:
    if depth > _MAX_DEPTH:
        raise NotUnderstood("nested too deep", node.start_mark.line + 1, node.start_mark.column + 1)
    if node.id == "scalar":
        return scalar(node)
    if node.id == "sequence":
        return [_value(one, depth + 1) for one in node.value]
    own: dict[str, Value] = {}
    merged: dict[str, Value] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise NotUnderstood("a key is not a word", key.start_mark.line + 1, 1)
        if key.tag == _TAG + "merge":
            for source in value.value if value.id == "sequence" else [value]:
                found = _value(source, depth + 1)
                merged = {**found, **merged} if isinstance(found, dict) else merged
        else:
            own[str(key.value)] = _value(value, depth + 1)
    return {**merged, **own}


def _root(text: str) -> Node | None:
    """The only document's node. Loaded here: the parser is not needed before a spec is."""
    from yaml.error import MarkedYAMLError, YAMLError

    try:
        reader = _reader()(text)
        if not reader.check_node():
            return None
        node = reader.get_node()
        if reader.check_node():
            raise NotUnderstood("several pipelines: change them in the text")
        return node
    except MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise NotUnderstood(e.problem or "not YAML", line, column) from None
    except (YAMLError, ValueError, UnicodeError) as e:
        raise NotUnderstood(str(e).split("\n")[0]) from None
    except RecursionError:
        raise NotUnderstood("nested too deep") from None


def _reader() -> Any:
    global _READER
    if _READER is None:
        from yaml.resolver import BaseResolver

        parser: Any
        try:
            from yaml._yaml import CParser as parser
        except ImportError:  # a PyYAML built without libyaml: slower, the same
            from tui.spec_reader import Parser as parser

        class Reader(parser, BaseResolver):  # type: ignore[misc]
            def __init__(self, text: str) -> None:
                parser.__init__(self, text)
                BaseResolver.__init__(self)

        for kind, pattern, first in PLAIN:
            Reader.add_implicit_resolver(_TAG + kind, re.compile(pattern, re.ASCII), list(first))
        _READER = Reader
    return _READER


_READER: Any = None
