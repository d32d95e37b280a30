"""What differs between two specs, field by field. Pure: canonical values in, changes out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Values = Mapping[str, Any]


class _Nothing:
    """The value of a field that is not there."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. ``old`` and ``new`` are its values, NOTHING where it has none;
    ``old_given`` and ``new_given`` tell whether the user wrote them, and not a default."""

    path: str
    old: Any
    new: Any
    old_given: bool = True
    new_given: bool = True


def changes(
    old: Values, new: Values, old_user: Values | None = None, new_user: Values | None = None
) -> list[Change]:
    """How ``new`` differs from ``old``, fields in the order in which specs have them. The users'
    own values, where they are given, tell what is a default. A salt that the box chose is none."""
    found = []
    users = (old if old_user is None else old_user, new if new_user is None else new_user)
    hidden = {"pipeline"} if any("salt" in user for user in users) else {"pipeline", "salt"}
    for path, before, after in _objects("", _without(old, hidden), _without(new, hidden)):
        found.append(
            Change(
                path,
                before,
                after,
                old_user is None or _has(old_user, path),
                new_user is None or _has(new_user, path),
            )
        )
    return found


def _without(values: Values, hidden: Collection[str]) -> Values:
    return {name: value for name, value in values.items() if name not in hidden}


def _objects(path: str, old: Values, new: Values) -> Iterator[tuple[str, Any, Any]]:
    for name in [*new, *(name for name in old if name not in new)]:
        shown = name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        below = f"{path}.{shown}" if path else shown
        yield from _values(below, old.get(name, NOTHING), new.get(name, NOTHING))


def _values(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if _same(old, new):
        return
    if isinstance(old, Mapping | _Nothing) and isinstance(new, Mapping | _Nothing):
        before = old if isinstance(old, Mapping) else {}
        after = new if isinstance(new, Mapping) else {}
        if before or after:
            yield from _objects(path, before, after)
            return
    if isinstance(old, list | _Nothing) and isinstance(new, list | _Nothing):
        items = old if isinstance(old, list) else []
        others = new if isinstance(new, list) else []
        if items or others:
            yield from _lists(path, items, others)
            return
    yield path, old, new


def _lists(path: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Items that stay are found wherever they stand; the others are numbered by their own list."""
    before, after = [list(map(_text, items)) for items in (old, new)]
    for what, i, k, j, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        paired = min(k - i, m - j)
        for n in range(paired):
            yield from _values(f"{path}[{j + n}]", old[i + n], new[j + n])
        for n in range(i + paired, k):
            yield f"{path}[{n}]", old[n], NOTHING
        for n in range(j + paired, m):
            yield f"{path}[{n}]", NOTHING, new[n]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, _Nothing) or isinstance(new, _Nothing):
        return old is new
    return _text(old) == _text(new)


def _has(values: Any, path: str) -> bool:
    """Whether values hold something at a path; for an item of a list, the list."""
    for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^."\[\]]+', re.sub(r"\[\d+\]", "", path)):
        name = json.loads(part) if part.startswith('"') else part
        if isinstance(values, list):
            return True
        if not isinstance(values, Mapping) or name not in values:
            return False
        values = values[name]
    return True
