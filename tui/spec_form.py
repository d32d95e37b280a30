"""The fields of the form beside a spec's text: what each is called, and its value as it is typed.

Pure: no Textual here.
"""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from tui.spec_text import Path, Spec, Value

STEPS = ("input", "code", "output", "resources", "review")
LISTS = ("cross", "join", "group", "union")
KINDS = ("pfs", *LISTS, "cron")

TEXT, WORDS, LINES, FLAG, CHOICE, WHOLE, NUMBER, MAP, WHOLES = (
    "text", "words", "lines", "flag", "choice", "whole", "number", "map", "wholes",
)  # fmt: skip


class Item(NamedTuple):
    """A field of the form. ``path`` begins with ``@`` when it is of the input that is shown.

    ``kinds``: shown for these kinds of input; ``names``: what completes it (repo, branch, glob,
    image); ``keep``: a field that is needed stays, empty, when its text is taken away; ``within``:
    shown in this kind of list only.
    """

    id: str
    step: str
    path: Path
    label: str
    type: str = TEXT
    hint: str = ""
    kinds: tuple[str, ...] = ()
    names: str = ""
    keep: bool = False
    choices: tuple[str, ...] = ()
    within: str = ""


def _in(
    name: str,
    label: str,
    type: str = TEXT,
    *,
    kind: str = "pfs",
    hint: str = "",
    names: str = "",
    keep: bool = False,
    within: str = "",
) -> Item:
    id = f"{kind}-{name}".replace("_", "-")
    path = ("@", kind, name)
    return Item(id, "input", path, label, type, hint, (kind,), names, keep, within=within)


ITEMS: tuple[Item, ...] = (
    _in("repo", "repo", names="repo", keep=True, hint="ctrl+space: the repos of the box"),
    _in("branch", "branch", names="branch", hint="default: master"),
    _in(
        "glob",
        "glob",
        names="glob",
        keep=True,
        hint="like / for one datum, /* for one of each entry",
    ),
    _in("name", "name", hint="default: the repo's"),
    _in("join_on", "join on", hint="like $1", within="join"),
    _in("outer_join", "outer join", FLAG, within="join"),
    _in("group_by", "group by", hint="like $1", within="group"),
    _in("lazy", "lazy", FLAG),
    _in("empty_files", "empty files", FLAG),
    _in("s3", "s3", FLAG),
    _in("name", "name", kind="cron", keep=True, hint="like tick"),
    _in("spec", "schedule", kind="cron", keep=True, hint="like */5 * * * *, @hourly, @every 90s"),
    _in("timezone", "time zone", kind="cron", hint="default: the machine's"),
    _in("start", "start", kind="cron", hint="default: now"),
    _in("overwrite", "last only", FLAG, kind="cron"),
    _in("coalesce", "coalesce", FLAG, kind="cron"),
    Item(
        "cmd", "code", ("transform", "cmd"), "cmd", WORDS, "like python3 /code/main.py", keep=True
    ),
    Item("stdin", "code", ("transform", "stdin"), "stdin", LINES, "lines fed to cmd"),
    Item(
        "image",
        "code",
        ("transform", "image"),
        "image",
        TEXT,
        "none: programs of this machine",
        names="image",
    ),
    Item("env", "code", ("transform", "env"), "env", MAP, "lines of NAME=value"),
    Item("working-dir", "code", ("transform", "working_dir"), "working dir"),
    Item("user", "code", ("transform", "user"), "user", TEXT, "name or uid[:gid]"),
    Item("accept", "code", ("transform", "accept_return_code"), "good exits", WHOLES, "default: 0"),
    Item("err-cmd", "code", ("transform", "err_cmd"), "err cmd", WORDS, "after the last attempt"),
    Item("description", "output", ("description",), "description"),
    Item("output-branch", "output", ("output_branch",), "branch", TEXT, "default: master"),
    Item("egress", "output", ("egress", "url"), "egress", TEXT, "s3://, gs:// or file://"),
    Item(
        "merge", "output", ("output_merge",), "same paths", CHOICE, choices=("error", "concatenate")
    ),
    Item("s3-out", "output", ("s3_out",), "s3 out", FLAG),
    Item("workers", "resources", ("parallelism_spec", "constant"), "workers", WHOLE, "default: 1"),
    Item(
        "memory", "resources", ("resource_limits", "memory"), "memory", TEXT, "no limit; like 512M"
    ),
    Item(
        "cpu", "resources", ("resource_limits", "cpu"), "cpu", NUMBER, "no limit; cores, like 0.5"
    ),
    Item("gpu", "resources", ("resource_limits", "gpu", "number"), "gpus", WHOLE, "none"),
    Item("tries", "resources", ("datum_tries",), "tries", WHOLE, "default: 3"),
    Item(
        "datum-timeout", "resources", ("datum_timeout",), "datum timeout", TEXT, "no limit; like 5m"
    ),
    Item("job-timeout", "resources", ("job_timeout",), "job timeout", TEXT, "no limit; like 1h30m"),
    Item(
        "reprocess",
        "resources",
        ("reprocess_spec",),
        "reprocess",
        CHOICE,
        choices=("until_success", "every_job"),
    ),
    Item("autoscaling", "resources", ("autoscaling",), "autoscaling", FLAG),
    Item("batching", "resources", ("transform", "datum_batching"), "batching", FLAG),
)
NAME = Item("name", "", ("pipeline", "name"), "name", TEXT, "of the pipeline", keep=True)
OF: dict[str, Item] = {item.id: item for item in (NAME, *ITEMS)}


def shown(item: Item, value: Value) -> str:
    """A value as it stands in the form. A flag is ``x`` or nothing."""
    if value is None:
        return ""
    if item.type == FLAG:
        return "x" if value is True else ""
    if isinstance(value, list):
        texts = [one if isinstance(one, str) else json.dumps(one) for one in value]
        if item.type == WORDS:
            return shlex.join(texts)
        return "\n".join(texts) if item.type == LINES else ", ".join(texts)
    if isinstance(value, dict):
        return "\n".join(f"{key}={one if isinstance(one, str) else json.dumps(one)}"
                         for key, one in value.items())  # fmt: skip
    return value if isinstance(value, str) else json.dumps(value)


def fits(item: Item, value: Value) -> bool:
    """Whether the form can show a value and take it back whole."""
    if value in (None, "", [], {}) or item.type in (FLAG, CHOICE):
        return True
    try:
        return bool(typed(item, shown(item, value)) == value)
    except ValueError:
        return False


def typed(item: Item, text: str) -> Value:
    """The value of what was typed; None for nothing. Raises ValueError saying what is wrong."""
    if item.type == FLAG:
        return True if text else None
    if not text.strip():
        return None
    if item.type == WORDS:
        return shlex.split(text)
    if item.type == LINES:
        return text.split("\n")
    if item.type == MAP:
        return _map(text)
    if item.type == WHOLES:
        return [_whole(part) for part in text.replace(",", " ").split()]
    if item.type == WHOLE:
        return _whole(text)
    if item.type == NUMBER:
        return _number(text)
    return text


def _map(text: str) -> dict[str, str]:
    found = {}
    for line in text.split("\n"):
        if line.strip():
            name, sign, value = line.partition("=")
            if not sign or not name.strip():
                raise ValueError(f"{line!r}: write NAME=value")
            found[name.strip()] = value
    return found


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


# ---- inputs


class Inputs(NamedTuple):
    """The input as the form sees it: its ``kind``, and for a list the paths of its items."""

    kind: str
    items: tuple[Path, ...]
    names: tuple[str, ...]


def inputs(spec: Spec) -> Inputs:
    """What a spec reads. Items of a list that are lists themselves are left to the text."""
    whole = spec.get(("input",))
    if not isinstance(whole, dict):
        return Inputs("pfs", (("input",),), ("",))
    kind = next((kind for kind in KINDS if kind in whole), "pfs")
    if kind not in LISTS:
        return Inputs(kind, (("input",),), (input_name(whole),))
    found = whole.get(kind)
    found = found if isinstance(found, list) else []
    places: tuple[Path, ...] = tuple(("input", kind, at) for at in range(len(found)))
    return Inputs(kind, places, tuple(map(input_name, found)))


def input_kind(value: Value) -> str:
    """The kind of one input."""
    if not isinstance(value, dict):
        return "pfs"
    return next((kind for kind in KINDS if kind in value), "pfs")


def input_name(value: Value) -> str:
    """An input in a word or two: ``raw:/*``, ``tick``, ``cross of 2``."""
    kind = input_kind(value)
    inner = value.get(kind) if isinstance(value, dict) else None
    if kind in LISTS:
        return f"{kind} of {len(inner) if isinstance(inner, list) else 0}"
    if not isinstance(inner, dict):
        return ""
    if kind == "cron":
        return f"cron {inner.get('name') or ''}".strip()
    return f"{inner.get('repo') or '?'}:{inner.get('glob') or '?'}"


def resolve(item: Item, at: Path) -> Path:
    """The path of a field, where ``at`` is the input that is shown."""
    return (*at, *item.path[1:]) if item.path[0] == "@" else item.path
