"""YAML read event by event.

libyaml's composer recurses and ends the process on deep input, so the tree is built here from the
parser's events, which also lets a cut or broken document show what came before the trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import yaml

from tui.preview.plain import cell, decode
from tui.preview.source import Deadline, Source
from tui.preview.trees import PAGE, TABS, paged
from tui.preview.values import Node, Preview, Tree

BYTES = 512 << 10
DEPTH = 400  # the parser takes time in the square of the depth

_LOADER = getattr(yaml, "CLoader", yaml.SafeLoader)


class _Part:
    """A document, list or mapping being read: children as (label, leaf's value or part)."""

    def __init__(self, keyed: bool) -> None:
        self.keyed = keyed
        self.key: str | None = None
        self.items: list[tuple[str, str | _Part]] = []

    def add(self, value: str | _Part) -> None:
        if not self.keyed:
            self.items.append((str(len(self.items)), value))
        elif self.key is None:
            self.key = value if isinstance(value, str) else "?"
        else:
            self.items.append((self.key, value))
            self.key = None


async def show_yaml(source: Source) -> Preview:
    """The documents of a YAML file."""
    limits = source.limits
    data = await source.head(min(limits.bytes, BYTES * max(limits.rows // 500, 1)))
    whole = not source.bytes_left_out
    return await asyncio.to_thread(_made, data, whole, Deadline(limits.seconds))


def _made(data: bytes, whole: bool, deadline: Deadline) -> Preview:
    text, note = decode(data, whole)
    documents, trouble, ended = read(text, deadline)
    notes = [note] if note else []
    if trouble and whole:
        notes.append(f"not YAML: {trouble}")
    if not whole or not ended:
        notes.append("cut: only what was read is shown")
    if not documents:
        raise ValueError(notes[-1] if notes else "no document in it")
    facts = (f"{len(documents)} documents",) if len(documents) > 1 else ()
    tops = documents[0].open() if len(documents) == 1 and documents[0].open else documents
    return Preview("yaml", Tree(tops), facts, tuple(notes), not whole or not ended, TABS)


def read(text: str, deadline: Deadline) -> tuple[Sequence[Node], str, bool]:
    """The documents; what is wrong with the text; whether it was read to its end or trouble."""
    documents: list[_Part] = []
    trouble, ended = "", True
    try:
        ended = _fill(documents, text, deadline)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        trouble = cell(" ".join(str(e).split()), 200)
    found = [_node(str(n), part.items[0][1]) for n, part in enumerate(documents) if part.items]
    return found, trouble, ended


def _fill(documents: list[_Part], text: str, deadline: Deadline) -> bool:
    stack: list[_Part] = []
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.DocumentStartEvent):
            stack = [_Part(False)]
            documents.append(stack[0])
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) > DEPTH:
                raise ValueError(f"more than {DEPTH} levels deep")
            part = _Part(isinstance(event, yaml.MappingStartEvent))
            stack[-1].add(part)
            stack.append(part)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()
        elif isinstance(event, yaml.ScalarEvent):
            stack[-1].add(cell(event.value, 2000))
        elif isinstance(event, yaml.AliasEvent):
            stack[-1].add(f"*{event.anchor}")
        if count % 256 == 0 and deadline.over:
            return False
    return True


def _node(label: str, value: str | _Part) -> Node:
    if isinstance(value, str):
        return Node(label, value)
    size = len(value.items)
    shown = f"{{{size:,}}}" if value.keyed else f"[{size:,}]"
    children: Callable[[], Sequence[Node]] | None = partial(_page, value, 0) if size else None
    return Node(label, shown, children)


def _page(part: _Part, start: int) -> Sequence[Node]:
    shown = [_node(label, value) for label, value in part.items[start : start + PAGE]]
    return paged(shown, len(part.items) - start - PAGE, partial(_page, part, start + PAGE))
