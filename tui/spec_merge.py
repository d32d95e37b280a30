"""Two versions of a spec: how they differ, and one that has the changes of both."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence

from tui.spec_edits import drop, path_text, put
from tui.spec_text import NotUnderstood, Path, Spec, Value


def differences(old: Value, new: Value, path: Path = ()) -> Iterator[tuple[Path, Value, Value]]:
    """The fields that differ, each with what it was and is; None where there is none. Lists are
    compared whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), (*path, key))
    elif json.dumps(old) != json.dumps(new):
        yield path, old, new


def merged(base: Value, theirs: Value, mine: Spec) -> tuple[Spec, list[str]]:
    """Their changes put into my text, and the fields that both changed, which stay as mine."""
    both = []
    ours = {path: new for path, _, new in differences(base, mine.value)}
    for path, _old, new in differences(base, theirs):
        clash = [p for p in ours if p[: len(path)] == path or path[: len(p)] == p]
        if clash and json.dumps(mine.get(path)) != json.dumps(new):
            both.append(path_text(path))
            continue
        try:
            mine = drop(mine, path) if new is None else put(mine, path, new)
        except NotUnderstood:
            both.append(path_text(path))
    return mine, both


def unified(old: str, new: str, names: Sequence[str] = ("", "")) -> str:
    """A difference by lines; empty when there is none."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), names[0], names[1], lineterm="", n=3
    )
    return "\n".join(lines)
