"""``.pachignore``: which files of a source directory are left out. Pure.

A line is a glob of the usual grammar (:mod:`pachybox.model.glob_syntax`) without a separator:
``*``, ``?`` and ``!(...)`` match a ``/`` like any other character. It is compared with a file's
whole path from the directory, without a leading slash; directories are not compared, so ``build``
leaves out a file of that name alone and ``build/*`` all that is below. Empty lines say nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pachybox.errors import InvalidArgument
from pachybox.model.glob_engine import Matcher
from pachybox.model.glob_syntax import Chars, Group, Node, Sequence, Text, parse

NAME = ".pachignore"

# Stands for / in patterns and paths: no path has it, and no wildcard stops at it.
_SLASH = "\0"


class Ignore:
    """The lines of a ``.pachignore``. Raises InvalidArgument naming the line that is no glob."""

    def __init__(self, text: str) -> None:
        self._lines: list[Matcher] = []
        for number, line in enumerate(text.split("\n"), 1):
            line = line.removesuffix("\r")
            if not line:
                continue
            try:
                syntax = parse(line)
            except InvalidArgument as e:
                raise InvalidArgument(f"{NAME}:{number}: {e.message}", e.hint) from e
            self._lines.append(Matcher(_unseparated(syntax.nodes), syntax))

    def __contains__(self, path: str) -> bool:
        """Whether the file of this path, relative to the directory, is left out."""
        path = path.replace("/", _SLASH)
        return any(line.matches(path) for line in self._lines)


def _unseparated(nodes: Sequence) -> Sequence:
    return tuple(map(_node, nodes))


def _node(node: Node) -> Node:
    if isinstance(node, Text):
        return Text(node.text.replace("/", _SLASH))
    if isinstance(node, Chars):
        if re.match(node.regex, "/"):
            return Chars(f"(?:{node.regex}|{_SLASH})")
        return Chars(f"(?:(?!{_SLASH}){node.regex})")
    if isinstance(node, Group):
        return replace(node, choices=tuple(map(_unseparated, node.choices)))
    return node
