"""JSON as a tree whose branches are made when they are opened."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from tui.preview.plain import cell, decode
from tui.preview.source import Deadline, Source
from tui.preview.values import Node, Preview, Tree

PAGE = 500  # children of one node; the last of a page opens the next
_SPACE = re.compile(r"\s*")
TABS = ("preview", "raw", "hex")


async def show_json(source: Source) -> Preview:
    """A JSON document, or as many of its topmost items as were read."""
    limits = source.limits
    data = await source.head(limits.bytes)
    whole = not source.bytes_left_out
    return await asyncio.to_thread(_json, data, whole, Deadline(limits.seconds))


def _json(data: bytes, whole: bool, deadline: Deadline) -> Preview:
    text, note = decode(data, whole)
    notes = [note] if note else []
    if whole:
        try:
            value, complete = json.loads(text), True
        except (ValueError, RecursionError) as e:
            value, complete = partly(text, deadline), False
            notes.append(f"not JSON: {cell(e, 200)}")
    else:
        value, complete = partly(text, deadline), False
        notes.append("cut: only what was read is shown")
    if value is None and not complete:
        raise ValueError(notes[-1])
    return Preview("json", Tree(nodes(value)), (_what(value),), tuple(notes), not whole, TABS)


def partly(text: str, deadline: Deadline) -> Any:
    """The items of an array or object that can be read before the first that cannot; else None."""
    at = _skip(text, 0)
    if text[at : at + 1] not in ("[", "{"):
        return None
    keyed = text[at] == "{"
    scan = json.JSONDecoder().raw_decode
    found: list[tuple[Any, Any]] = []
    at = _skip(text, at + 1)
    try:
        while at < len(text) and not deadline.over:
            key: Any = len(found)
            if keyed:
                key, at = scan(text, at)
                at = _skip(text, at) + 1  # the colon
            value, at = scan(text, _skip(text, at))
            found.append((str(key), value))
            at = _skip(text, at)
            if text[at : at + 1] != ",":
                break
            at = _skip(text, at + 1)
    except (ValueError, RecursionError):
        pass
    if not found:
        return None
    return dict(found) if keyed else [value for _, value in found]


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def nodes(value: Any) -> Sequence[Node]:
    """A JSON value as the topmost nodes of a tree."""
    if isinstance(value, dict | list) and value:
        return _page(value, 0)
    return [Node("", _scalar(value))]


def node(label: str, value: Any) -> Node:
    """A JSON value as one node."""
    if isinstance(value, dict | list) and value:
        return Node(label, _what(value), partial(_page, value, 0))
    return Node(label, _scalar(value))


def _page(value: dict[str, Any] | list[Any], start: int) -> Sequence[Node]:
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        items = islice(value.items(), start, start + PAGE)
    else:
        items = enumerate(value[start : start + PAGE], start)
    return paged(
        [node(cell(key, 100), item) for key, item in items],
        len(value) - start - PAGE,
        partial(_page, value, start + PAGE),
    )


def paged(shown: list[Node], left: int, rest: Callable[[], Sequence[Node]]) -> Sequence[Node]:
    """A page of children, its last the way to the next page when ``left`` are not shown."""
    if left > 0:
        shown.append(Node(f"\u2026 {left:,} more", "", rest))
    return shown


def _what(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{len(value):,}}}"
    if isinstance(value, list):
        return f"[{len(value):,}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return cell(json.dumps(value[:2000], ensure_ascii=False), 2000)
    try:
        return cell(json.dumps(value))
    except ValueError:  # a whole number longer than Python writes
        return "a very long number"
