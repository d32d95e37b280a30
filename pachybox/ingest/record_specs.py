"""The parts of an ingest spec that are about records: posted ones, and a command's. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.ingest.values import Values
from pachybox.model import record_path
from pachybox.model.ids import check_name

FORMATS = tuple(record_path.EXTENSIONS)
RESTARTS = ("always", "on-failure", "never")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RECORD_MOST = 8 << 20  # what is longer does not fit a request, and is kept of a line in part
_SPOOL_LEAST = 16 << 20  # two requests of the largest


def check_push(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The canonical form of what stands under ``push``, every default filled in, and warnings.

    Raises InvalidArgument naming the field.
    """
    given = Values(values)
    secret = given.text("secret")
    if secret:
        try:
            check_name("secret", secret)
        except InvalidArgument as e:
            given.wrong("secret", e.message, e.hint)
    made = {"secret": secret, **_records(given)}
    given.done()
    return made, _warnings(made)


def check_command(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """As ``check_push``, for what stands under ``command``."""
    given = Values(values)
    made = {
        "cmd": _cmd(given),
        "env": _env(given),
        "dir": _dir(given),
        "restart": given.text("restart", "always", words=RESTARTS),
        "every": given.text("every"),
        **_records(given),
        "marker": given.text("marker"),
    }
    if made["every"]:
        given.seconds("every", "", least=1.0)
        if made["restart"] != "always":
            given.wrong("restart", "every is there too", "keep one: every runs it again and again")
    marker = made["marker"]
    if marker and made["format"] == "lines":
        try:
            groups = re.compile(marker).groups
        except re.error as e:
            given.wrong("marker", f"{marker!r} is not a pattern: {e}", "write it like ^id=([0-9]+)")
        if groups != 1:
            given.wrong("marker", f"{marker!r} has {groups} groups", "put ( ) around one part")
    elif not marker and _mentions(made["cmd"]):
        given.wrong("marker", "missing, though cmd has {marker}", "name the field to resume from")
    given.done()
    return made, _warnings(made)


def from_beginning(offset: str) -> str:
    """The offset of a source that is to begin anew: what waits on disk is committed once all the
    same, and a command is told no marker."""
    found = json.loads(offset) if offset else {}
    found.pop("marker", None)
    return json.dumps(found) if found else ""


def _mentions(cmd: str | list[str]) -> bool:
    return any("{marker}" in part for part in ([cmd] if isinstance(cmd, str) else cmd))


def _cmd(given: Values) -> str | list[str]:
    hint = 'give the program and its arguments: ["journalctl", "-f"], or a line for sh'
    found: object = given.take("cmd")
    cmd: str | list[str] = found if isinstance(found, str) else given.strings("cmd")
    if not cmd or not cmd[0].strip():
        given.wrong("cmd", "missing", hint)
    for part in [cmd] if isinstance(cmd, str) else cmd:
        if "\0" in part:
            given.wrong("cmd", "it has a NUL", "remove it")
    return cmd


def _env(given: Values) -> dict[str, str]:
    env = given.mapping("env")
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            given.wrong("env", f"{name[:60]!r} cannot be a variable", "use letters, digits and _")
    return env


def _dir(given: Values) -> str:
    path = given.text("dir")
    if path and (not PurePosixPath(path).is_absolute() or "\0" in path):
        given.wrong("dir", f"{path!r} is not absolute", "write it from the root: /srv/feed")
    return path


def _records(given: Values) -> dict[str, Any]:
    group = given.inside("group")
    path = given.text("path", record_path.DEFAULT)
    try:
        template = record_path.parse(path)
    except InvalidArgument as e:
        given.wrong("path", e.message, e.hint)
    group.seconds("time", "5s", least=0.05, most=86_400.0)
    made = {
        "format": given.text("format", "jsonl", words=FORMATS),
        "path": path,
        "time_field": given.text("time_field"),
        "group": {
            "records": group.count("records", 10_000, least=1, most=1_000_000),
            "size": _size(group, "size", "8MB", 1, 256 << 20),
            "time": group.text("time", "5s"),
        },
        "max_record": _size(given, "max_record", "1MiB", 1, _RECORD_MOST),
        "spool": _size(given, "spool", "256MiB", _SPOOL_LEAST, 1 << 40),
    }
    group.done()
    if made["format"] == "lines":
        for name, asked in (("path", template.fields), ("time_field", made["time_field"])):
            if asked:
                given.wrong(name, "lines have no fields", 'set "format": "jsonl", or leave it out')
    return made


def _size(given: Values, name: str, default: str, least: int, most: int) -> Any:
    """What was given, when it is a size within bounds."""
    given.size(name, default, least=least, most=most)
    found = given.take(name)
    return default if found is None else found


def _warnings(made: Mapping[str, Any]) -> list[str]:
    if made["group"]["records"] >= 10:
        return []
    return ["group.records is small: a commit for every few records is slow"]
