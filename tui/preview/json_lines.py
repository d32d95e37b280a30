"""JSONL: one row a line, a column for each key that comes up in the rows shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tui.preview.plain import cell, decode
from tui.preview.source import Deadline, Source
from tui.preview.values import Column, Preview, Table

FIRST = 256 << 10
COLUMNS = 100
_TABS = ("preview", "raw", "hex")


async def show_json_lines(source: Source) -> Preview:
    """The first lines, each a row."""
    limits = source.limits
    deadline = Deadline(limits.seconds)
    for step in (FIRST, limits.bytes):
        data = await source.head(min(step, limits.bytes))
        whole = not source.bytes_left_out
        if whole or data.count(b"\n") > limits.rows:
            break
    total = data.count(b"\n") + (whole and not data.endswith(b"\n"))
    if not whole:
        total = round(total / max(len(data), 1) * source.size)
    return await asyncio.to_thread(_made, data, whole, limits.rows, total, deadline)


def _made(data: bytes, whole: bool, most: int, total: int, deadline: Deadline) -> Preview:
    text, note = decode(data, whole)
    lines = text.split("\n")
    if len(lines) > 1:
        lines.pop()  # what follows the last newline: nothing, or a line that is cut
        if whole and not text.endswith("\n"):
            lines = text.split("\n")
    values, bad = [], 0
    for n, line in enumerate(lines):
        if n >= most or (n % 64 == 0 and deadline.over):
            break
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            values.append(_Broken(line))
            bad += 1
    if not values:
        raise ValueError("no line in it")
    if bad == len(values):
        raise ValueError("no line of it is JSON")
    columns, rows = _table(values)
    more = not whole or n < len(lines) - 1
    count = f"first {len(rows):,} of {'' if whole else '~'}{max(total, len(rows)):,} lines"
    facts = (count if more else f"{len(rows):,} lines", f"{len(columns)} keys")
    notes = [note] if note else []
    if bad:
        notes.append(f"{bad:,} of these lines {'is' if bad == 1 else 'are'} not JSON")
    return Preview("jsonl", Table(columns, rows), facts, tuple(notes), more, _TABS)


class _Broken:
    """A line that is not JSON."""

    def __init__(self, line: str) -> None:
        self.line = line


def _table(values: list[Any]) -> tuple[tuple[Column, ...], list[tuple[str | None, ...]]]:
    keys: dict[str, None] = {}
    for value in values:
        if isinstance(value, dict):
            keys.update(dict.fromkeys(value))
    names = list(keys)[:COLUMNS]
    bare = any(not isinstance(value, dict) for value in values)
    rows: list[tuple[str | None, ...]] = []
    for value in values:
        if isinstance(value, dict):
            row = tuple(_shown(value.get(name)) for name in names)
            rows.append((None, *row) if bare else row)
        else:
            first = cell(value.line) if isinstance(value, _Broken) else _shown(value)
            rows.append((first, *(None for _ in names)))
    titles = (["value"] if bare else []) + [cell(name, 100) for name in names]
    columns = tuple(
        Column(title, "", sum(row[n] is None for row in rows)) for n, title in enumerate(titles)
    )
    return columns, rows


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return cell(value)
    try:
        return cell(json.dumps(value, ensure_ascii=False))
    except ValueError:  # a whole number longer than Python writes
        return "a very long number"
