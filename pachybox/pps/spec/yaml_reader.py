"""YAML documents as nodes with positions; apart from documents.py because PyYAML loads slowly.

Plain scalars are resolved as in YAML 1.2: only true and false are booleans, numbers are
decimal, everything else is a string. Aliases and merge keys (``<<``) work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from yaml.composer import Composer
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.nodes import Node as YamlNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from pachybox.model.plain_scalars import PLAIN
from pachybox.pps.spec.documents import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    Lines,
    Member,
    Node,
    Problem,
    Unreadable,
    bad_text,
)

_TAG = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT, _STR, _MERGE = (
    _TAG + name for name in ("null", "bool", "int", "float", "str", "merge")
)
_CONTAINERS = {_TAG + "map", _TAG + "seq"}
_PATTERNS = {_TAG + name: re.compile(pattern, re.ASCII) for name, pattern, _ in PLAIN}


class _Resolver(BaseResolver):
    """YAML 1.2's plain scalars; PyYAML's own resolver follows 1.1."""


for _kind, _, _first in PLAIN:
    _Resolver.add_implicit_resolver(_TAG + _kind, _PATTERNS[_TAG + _kind], list(_first))


class _Reader(Reader, Scanner, Parser, Composer, _Resolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)


def nodes(text: str) -> Iterator[Node]:
    """Every document of a YAML text. Raises Unreadable with line and column."""
    try:
        reader = _Reader(text)
        convert = _Convert()
        while reader.check_node() and (node := reader.get_node()) is not None:
            yield convert.node(node, 0)
    except MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = (e.problem or str(e)).replace("'\\x00'", "the end of the text")
        raise _unreadable(line, column, what, _hint(e)) from e
    except ReaderError as e:
        line, column = Lines(text).at(e.position)
        raise _unreadable(line, column, f"the character U+{e.character:04X}", "remove it") from e
    except (YAMLError, ValueError, OverflowError) as e:  # PyYAML's on escapes beyond Unicode
        raise _unreadable(1, 1, str(e)) from e
    except RecursionError:
        raise _unreadable(1, 1, f"nested deeper than {MAX_DEPTH}") from None


def _hint(e: MarkedYAMLError) -> str:
    """A remedy for the mistakes that specs invite."""
    what = e.problem or ""
    if "undefined alias" in what or "alias" in (e.context or ""):
        return 'put what begins with "*" in quotes'
    if "'\\t'" in what:
        return "indent with spaces"
    return "put text that holds special characters in quotes"


def _unreadable(line: int, column: int, what: str, hint: str = "") -> Unreadable:
    return Unreadable(Problem(line, column, "", f"not valid YAML: {what}", hint))


def _fail(node: YamlNode, what: str, hint: str = "") -> Unreadable:
    return _unreadable(node.start_mark.line + 1, node.start_mark.column + 1, what, hint)


class _Convert:
    """PyYAML's nodes to ours, refusing what would not end or not fit."""

    def __init__(self) -> None:
        self._made = 0

    def node(self, node: YamlNode, depth: int) -> Node:
        self._count(node, depth)
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if isinstance(node, ScalarNode):
            return Node(_scalar(node), line, column)
        if node.tag not in _CONTAINERS:
            raise _fail(node, f"the tag {node.tag} is not known", "remove it")
        if isinstance(node, SequenceNode):
            return Node(tuple(self.node(n, depth + 1) for n in node.value), line, column)
        return Node(self._members(node, depth), line, column)

    def _count(self, node: YamlNode, depth: int) -> None:
        self._made += 1
        if depth > MAX_DEPTH:
            raise _fail(node, f"nested deeper than {MAX_DEPTH}, or an alias inside itself")
        if self._made > MAX_VALUES:
            raise _fail(node, "too many values", "use fewer aliases")

    def _members(self, node: YamlNode, depth: int) -> dict[str, Member]:
        """The members of a mapping, with those merged in by ``<<``; its own win."""
        assert isinstance(node, MappingNode)
        merged: dict[str, Member] = {}
        members: dict[str, Member] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                sources = value.value if isinstance(value, SequenceNode) else [value]
                for source in sources:
                    if not isinstance(source, MappingNode):
                        raise _fail(source, "<< takes a mapping, or a list of mappings")
                    self._count(source, depth)
                    for name, member in self._members(source, depth + 1).items():
                        merged.setdefault(name, member)
                continue
            name = _name(key)
            if name in members:
                raise _fail(
                    key,
                    f'"{name}" is given twice, first on line {members[name].line}',
                    "keep one of them",
                )
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            members[name] = Member(self.node(value, depth + 1), line, column)
        return {**merged, **members}


def _name(key: YamlNode) -> str:
    if not isinstance(key, ScalarNode):
        raise _fail(key, "the name of a field is a string")
    if wrong := bad_text(key.value):
        raise _fail(key, wrong)
    return str(key.value)


def _scalar(node: ScalarNode) -> bool | int | float | str | None:
    text: str = node.value
    if node.tag in _PATTERNS and node.tag != _MERGE:
        if not _PATTERNS[node.tag].match(text):
            raise _fail(node, f"{text!r} does not fit its tag {node.tag}")
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.lower() == "true"
        if len(text) > MAX_DIGITS:
            raise _fail(node, "a number of too many digits")
        if node.tag == _INT:
            return int(text)
        value = float(text)
        if math.isinf(value):
            raise _fail(node, f"{text} is out of range")
        return value
    if node.tag not in (_STR, _MERGE):
        raise _fail(node, f"the tag {node.tag} is not known", "remove it")
    if wrong := bad_text(text):
        raise _fail(node, wrong)
    return text
