"""What the cells of a column hold, told from their text."""

from __future__ import annotations

import re
from collections.abc import Sequence

NULLS = frozenset(("", "NA", "N/A", "null", "NULL", "\\N", "NaN", "nan"))

_PATTERNS = (
    ("integer", re.compile(r"[+-]?\d{1,40}")),
    ("number", re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,4})?")),
    ("boolean", re.compile(r"true|false|True|False|TRUE|FALSE")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d|\d\d?/\d\d?/\d{4}|\d\d?\.\d\d?\.\d{4}")),
    ("time", re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?\s?(Z|[+-]\d\d:?\d\d)?")),
)


def guess_type(cells: Sequence[str | None]) -> str:
    """The narrowest type that all cells fit; text when there is none, empty without a cell."""
    kinds = [(name, pattern.fullmatch) for name, pattern in _PATTERNS]
    seen = False
    for value in cells:
        if value is None:
            continue
        seen = True
        kinds = [kind for kind in kinds if kind[1](value.strip())]
        if not kinds:
            return "text"
    return kinds[0][0] if seen else ""


def value_range(kind: str, cells: Sequence[str | None]) -> tuple[str, str]:
    """The least and the greatest cell, as their type orders them."""
    values = [value for value in cells if value is not None]
    if not values:
        return "", ""
    if kind in ("integer", "number"):
        return min(values, key=float), max(values, key=float)
    return min(values), max(values)
