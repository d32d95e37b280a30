"""A matcher for globs that cannot blow up, in pure Python. Pure.

:mod:`re` backtracks: a pattern like ``/*(*a)b`` takes exponential time on an
unlucky path. This machine explores alternatives in the same order, but never
enters the same (instruction, position) twice, since what failed there fails
again: time is at most instructions x characters (squared under a negation). It is
some hundred times slower than :mod:`re` on harmless input, so
:mod:`pachybox.model.glob` uses it only where the estimate says that re might hang.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from pachybox.model.glob_syntax import Chars, Group, Node, Sequence, Syntax, Text, Wild


class Op(IntEnum):
    """Instructions."""

    CHAR = 0  # this character
    NOT_SLASH = 1  # any character but /
    ANY = 2  # any character
    CHARS = 3  # a character the compiled class accepts
    SPLIT = 4  # try the first target, then the second
    JUMP = 5
    SAVE = 6  # remember the position in a capture slot
    UNLESS = 7  # go on at the target unless the code that follows accepts from here
    END = 8  # accept at the end of the text
    ACCEPT = 9


class Machine:
    """One pattern, or a part of one, as a program."""

    def __init__(self, nodes: Sequence, syntax: Syntax) -> None:
        self._bounded = syntax.bounded
        self._slots = 2 * syntax.captures + 2
        self._code: list[tuple[Op, Any, Any]] = []
        self._sequence(nodes)
        self._emit(Op.END)

    def match(self, text: str) -> tuple[str, ...] | None:
        """The captures of the whole ``text`` (empty where a group took no part), or None."""
        slots = [-1] * self._slots
        if not self._run(0, 0, text, slots):
            return None
        spans = zip(slots[2::2], slots[3::2], strict=True)
        return tuple(text[a:b] if a >= 0 and b >= 0 else "" for a, b in spans)

    # compiling

    def _emit(self, op: Op, a: Any = None, b: Any = None) -> int:
        self._code.append((op, a, b))
        return len(self._code) - 1

    def _patch(self, at: int, a: Any, b: Any = None) -> None:
        self._code[at] = (self._code[at][0], a, b)

    def _sequence(self, nodes: Sequence) -> None:
        for node in nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        if isinstance(node, Text):
            for c in node.text:
                self._emit(Op.CHAR, c)
        elif isinstance(node, Chars):
            self._emit(Op.CHARS, re.compile(node.regex).match)
        elif node is Wild.SINGLE:
            self._emit(Op.NOT_SLASH)
        elif isinstance(node, Wild):
            self._repeat(lambda: self._emit(Op.NOT_SLASH if node is Wild.STAR else Op.ANY))
        else:
            self._group(node)

    def _repeat(self, body: Any) -> None:
        split = self._emit(Op.SPLIT)
        body()
        self._emit(Op.JUMP, split)
        self._patch(split, split + 1, len(self._code))

    def _group(self, group: Group) -> None:
        if group.index:
            self._emit(Op.SAVE, 2 * group.index)
        if group.op == "!":
            unless = self._emit(Op.UNLESS)
            self._choices(group)
            self._emit(Op.END if group.serial == self._bounded else Op.ACCEPT)
            self._patch(unless, len(self._code))
            self._node(Wild.STAR)
        elif group.op == "?":
            split = self._emit(Op.SPLIT)
            self._choices(group)
            self._patch(split, split + 1, len(self._code))
        elif group.op == "*":
            self._repeat(lambda: self._choices(group))
        elif group.op == "+":
            start = len(self._code)
            self._choices(group)
            self._emit(Op.SPLIT, start, len(self._code) + 1)
        else:
            self._choices(group)
        if group.index:
            self._emit(Op.SAVE, 2 * group.index + 1)

    def _choices(self, group: Group) -> None:
        exits: list[int] = []
        for choice in group.choices[:-1]:
            split = self._emit(Op.SPLIT)
            self._sequence(choice)
            exits.append(self._emit(Op.JUMP))
            self._patch(split, split + 1, len(self._code))
        self._sequence(group.choices[-1])
        for at in exits:
            self._patch(at, len(self._code))

    # running

    def _run(self, pc: int, pos: int, text: str, slots: list[int]) -> bool:
        code, end, seen = self._code, len(text), set[tuple[int, int]]()
        # what to try next: (pc, pos), or (-1 - slot, value) which restores a capture
        todo = [(pc, pos)]
        while todo:
            pc, pos = todo.pop()
            if pc < 0:
                slots[-1 - pc] = pos
                continue
            while True:
                op, a, b = code[pc]
                pc += 1
                if op is Op.CHAR:
                    if pos >= end or text[pos] != a:
                        break
                    pos += 1
                elif op is Op.NOT_SLASH:
                    if pos >= end or text[pos] == "/":
                        break
                    pos += 1
                elif op is Op.SPLIT:
                    state = (pc, pos)
                    if state in seen:
                        break
                    seen.add(state)
                    todo.append((b, pos))
                    pc = a
                elif op is Op.JUMP:
                    pc = a
                elif op is Op.SAVE:
                    todo.append((-1 - a, slots[a]))
                    slots[a] = pos
                elif op is Op.ANY:
                    if pos >= end:
                        break
                    pos += 1
                elif op is Op.CHARS:
                    if not a(text, pos):
                        break
                    pos += 1
                elif op is Op.UNLESS:
                    if self._run(pc, pos, text, list(slots)):
                        break
                    pc = a
                elif op is Op.ACCEPT or pos == end:
                    return True
                else:
                    break
        return False
