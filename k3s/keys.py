"""Keys of a YAML file changed one by one: what others wrote stays, comments included.

What was written, and what stood there before, is noted, so that it can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pachybox.errors import InvalidArgument

Noted = dict[str, dict[str, Any]]
"""By key: ``put`` what was written, ``before`` what stood there (None = nothing)."""


def read(path: Path) -> dict[str, Any]:
    """The keys of the file; none when there is none. Raises InvalidArgument when it is no YAML of
    keys and values."""
    return _parsed(path, _text(path))


def merged(
    path: Path, wanted: Mapping[str, Any], noted: Noted, asked: frozenset[str] = frozenset()
) -> tuple[str, Noted]:
    """The text of ``path`` with the keys of ``wanted`` (None = without it), and the note of it. A
    key that somebody else set, or changed since, stays as it is unless it was ``asked`` for."""
    text = _text(path)
    there = _parsed(path, text)
    after = dict(noted)
    for key, value in wanted.items():
        mine = key not in there or (key in noted and there[key] == noted[key]["put"])
        if not mine and key not in asked:
            continue
        if value is None and key not in there:
            after.pop(key, None)
            continue
        before = noted[key]["before"] if key in noted else there.get(key)
        after[key] = {"put": value, "before": before}
        if key not in there or there[key] != value:
            text = _with(path, text, key, value)
    return text, after


def restored(path: Path, noted: Noted) -> tuple[str, list[str]]:
    """The text of ``path`` without what was written, and the keys that somebody changed since,
    which stay."""
    text = _text(path)
    there = _parsed(path, text)
    kept = []
    for key, note in noted.items():
        if key in there and there[key] != note["put"]:
            kept.append(key)
        elif key in there:
            text = _with(path, text, key, note["before"])
    return text, kept


def _with(path: Path, text: str, key: str, value: Any) -> str:
    """``text`` with the key set; taken out for None. Where lines cannot do that (braces, an end of
    the document), all is written anew, without comments."""
    import yaml

    wanted = _parsed(path, text)
    wanted.pop(key, None)
    if value is not None:
        wanted[key] = value
    after = _lines_with(text, key, value)
    try:
        good = (yaml.safe_load(after) or {}) == wanted
    except yaml.YAMLError:
        good = False
    return after if good else yaml.safe_dump(wanted, sort_keys=False)


def _lines_with(text: str, key: str, value: Any) -> str:
    import yaml

    new = "" if value is None else yaml.safe_dump({key: value}, sort_keys=False)
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines(keepends=True)
    starts = [(k.value, k.start_mark.line) for k, _ in (node.value if node is not None else ())]
    for at, (name, start) in enumerate(starts):
        if name == key:
            end = starts[at + 1][1] if at + 1 < len(starts) else len(lines)
            while end > start + 1 and _apart(lines[end - 1]):
                end -= 1
            return "".join([*lines[:start], new, *lines[end:]])
    if text and not text.endswith("\n"):
        text += "\n"
    return text + new


def _apart(line: str) -> bool:
    """Whether a line belongs to no key: what follows may be meant by it."""
    return not line.strip() or line.startswith(("#", "---", "..."))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as e:
        raise InvalidArgument(f"cannot read {path}: {e}", "save it as UTF-8") from e


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise InvalidArgument(
            f"cannot read {path}: {' '.join(str(e).split())}", "mend it, or move it away"
        ) from e
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidArgument(f"{path} has no keys and values", "mend it, or move it away")
    return found
