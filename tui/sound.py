"""Whether a value that came from outside is what its class says: views draw it without asking."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints


def unsound(value: Any) -> str:
    """The first field in a dataclass, at any depth, that is not of its type; "" when none is."""
    for name, hint in _hints(value.__class__):
        if wrong := _wrong(getattr(value, name), hint):
            return f"{name}{wrong}"
    return ""


@lru_cache(64)
def _hints(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    if not is_dataclass(kind):
        return ()
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in fields(kind))


def _wrong(value: Any, hint: Any) -> str:
    """Where ``value`` departs from ``hint``, as a path that begins behind its name; "" = nowhere.
    "." alone is itself."""
    origin = get_origin(hint)
    if hint is Any:
        return ""
    if origin in (Union, types.UnionType):
        return "" if any(not _wrong(value, one) for one in get_args(hint)) else "."
    if origin is tuple:
        if not isinstance(value, tuple):
            return "."
        kind = get_args(hint)[0]
        for item in value:
            if wrong := _wrong(item, kind):
                return f"[]{wrong}"
        return ""
    if origin is dict or hint is dict:
        return "" if isinstance(value, dict) else "."
    if hint is float:
        return "" if isinstance(value, (int, float)) and value == value else "."
    if not isinstance(value, hint):
        return "."
    inner = unsound(value)
    return f".{inner}" if inner else ""
