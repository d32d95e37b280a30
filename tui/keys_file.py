"""The user's keys: ``keys.toml`` beside the other settings, with other keys and lines of shell.

[keys]
"view.delete" = "ctrl+x"          # by the names that docs/terminal.md lists

[[lines]]
key = "f6"
help = "count lines"
run = "pachybox get file {repo}@{ref}:{path} | wc -l"
changes = false                   # else it is refused in read-only mode
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tui.keymap import KEYS, Key, clashes

FIELDS = ("repo", "ref", "path", "job", "pipeline", "ingest", "name")
_FIELD = re.compile(r"(?<!\$)\{(\w+)\}")
_PLACED = re.compile(r"[A-Za-z0-9_+]+(,[A-Za-z0-9_+]+)*")


class Line(NamedTuple):
    """A line of shell on a key."""

    key: str
    help: str
    run: str
    changes: bool = True

    def filled(self, subject: Mapping[str, str]) -> str:
        """The line with its fields quoted for the shell. Raises KeyError of one that is not had."""
        return _FIELD.sub(lambda found: shlex.quote(subject[found[1]]), self.run)


@dataclass(frozen=True, slots=True)
class UserKeys:
    """What the file says. ``problems`` are what is wrong with it; then none of it counts."""

    keys: Mapping[str, Key] = field(default_factory=lambda: {key.name: key for key in KEYS})
    changed: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    problems: tuple[str, ...] = ()


def read(path: Path) -> UserKeys:
    """The user's keys; without a file, those of the table."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return UserKeys()
    except (OSError, ValueError) as e:
        return UserKeys(problems=(f"cannot read {path}: {e}",))
    import tomllib

    try:
        said = tomllib.loads(text)
    except ValueError as e:
        return UserKeys(problems=(f"cannot read {path}: {e}",))
    problems = [
        f"{name!r} is not known: use keys, lines" for name in said.keys() - {"keys", "lines"}
    ]
    changed = _changed(said.get("keys", {}), problems)
    lines = _lines(said.get("lines", []), problems)
    keys = tuple(key._replace(keys=changed.get(key.name, key.keys)) for key in KEYS)
    problems += [f"two verbs on one key: {clash}" for clash in _new(clashes(keys))]
    taken = {k: key.name for key in keys for k in key.keys.split(",") if key.at != "form"}
    for number, line in enumerate(lines):
        if line.key in taken:
            problems.append(f"lines: {line.key} is taken by {taken[line.key]}")
        taken[line.key] = f"line {number + 1}"
    if problems:
        return UserKeys(problems=tuple(f"{path.name}: {problem}" for problem in problems))
    return UserKeys({key.name: key for key in keys}, changed, tuple(lines))


def _new(found: list[str]) -> list[str]:
    before = set(clashes())
    return [clash for clash in found if clash not in before]


def _changed(table: object, problems: list[str]) -> dict[str, str]:
    known = {key.name for key in KEYS}
    found: dict[str, str] = {}
    if not isinstance(table, dict):
        problems.append("keys is not a table")
        return found
    for name, keys in table.items():
        if name not in known:
            problems.append(f"there is no verb {name!r}")
        elif not isinstance(keys, str) or not _PLACED.fullmatch(keys.replace(" ", "")):
            problems.append(f"{name}: {keys!r} names no key; write as in ctrl+x, f6, question_mark")
        else:
            found[name] = keys.replace(" ", "")
    return found


def _lines(table: object, problems: list[str]) -> list[Line]:
    found: list[Line] = []
    if not isinstance(table, list):
        problems.append("lines is not a list of tables")
        return found
    for number, said in enumerate(table, 1):
        where = f"line {number}"
        if not isinstance(said, dict) or not all(
            isinstance(said.get(part), str) and said[part] for part in ("key", "run")
        ):
            problems.append(f"{where}: wants key and run, two texts")
            continue
        unknown = [f for f in _FIELD.findall(said["run"]) if f not in FIELDS]
        if unknown:
            problems.append(f"{where}: {{{unknown[0]}}} is not known: use {', '.join(FIELDS)}")
        found.append(
            Line(
                said["key"],
                str(said.get("help") or said["run"]),
                said["run"],
                said.get("changes") is not False,
            )
        )
    return found
