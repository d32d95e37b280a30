"""How values show in a notebook: plain tables, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import TypeVar

T = TypeVar("T")

_MOST_ROWS = 100
_LEFT_OUT = frozenset({"raw"})


class Shown:
    """For dataclasses: a table of the fields where HTML can be shown."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [f"<tr><th>{escape(name)}<td>{escape(text)}" for name, text in _cells(self)]
        return f"<table><caption>{escape(type(self).__name__)}</caption>{''.join(rows)}</table>"


class Records(list[T]):
    """A list of values that shows as one table in a notebook, and as lines elsewhere."""

    def _repr_html_(self) -> str:
        if not self:
            return "<p>nothing</p>"
        shown = [dict(_cells(item)) for item in self[:_MOST_ROWS]]
        names = [n for n in shown[0] if any(row.get(n) for row in shown)]
        head = "".join(f"<th>{escape(name)}" for name in names)
        rows = [
            "<tr>" + "".join(f"<td>{escape(row.get(name, ''))}" for name in names) for row in shown
        ]
        more = len(self) - len(shown)
        note = f"<p>and {more:,} more</p>" if more else ""
        return f"<table><tr>{head}{''.join(rows)}</table>{note}"

    def __repr__(self) -> str:
        return f"[{_joined(map(repr, self))}]"


def escape(text: str) -> str:
    """``text`` for HTML."""
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, name)
    return text


def human(size: int) -> str:
    """A size in bytes with a unit."""
    value, unit = float(size), "B"
    for following in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, following
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def _cells(item: object) -> list[tuple[str, str]]:
    if not hasattr(item, "__dataclass_fields__"):
        return [("value", str(item))]
    return [
        (field.name.removesuffix("_bytes"), _cell(field.name, getattr(item, field.name)))
        for field in fields(item)  # type: ignore[arg-type]  # it has been asked above
        if field.name not in _LEFT_OUT
    ]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z")
    if name.endswith("bytes") and isinstance(value, int):
        return human(value)
    if isinstance(value, tuple):
        return _joined(map(str, value))
    return str(value)


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(texts)
