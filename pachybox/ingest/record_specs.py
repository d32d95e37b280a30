"""The parts of an ingest spec that are about records: posted ones, and a command's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pachybox.ingest.values import Values

PATH = "/{date}/{hour}/{source}-{batch}.jsonl"


def check_push(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The canonical form of what stands under ``push``, every default filled in, and warnings.

    Raises InvalidArgument naming the field.
    """
    given = Values(values)
    made = {
        "secret": given.text("secret"),
        **_records(given),
        "max_record": given.text("max_record", "1MiB"),
        "spool": given.text("spool", "256MiB"),
    }
    for name in ("max_record", "spool"):
        given.size(name, made[name], least=1)
    given.done()
    return made, []


def check_command(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """As ``check_push``, for what stands under ``command``."""
    given = Values(values)
    cmd = given.strings("cmd")
    if not cmd or not cmd[0]:
        given.wrong("cmd", "missing", 'give the program and its arguments: ["journalctl", "-f"]')
    made = {
        "cmd": cmd,
        "env": given.mapping("env"),
        **_records(given),
        "marker": given.text("marker"),
        "restart": given.flag("restart", True),
    }
    given.done()
    return made, []


def _records(given: Values) -> dict[str, Any]:
    group = given.inside("group")
    size, time = group.text("size", "8MB"), group.text("time", "5s")
    group.size("size", size, least=1)
    group.seconds("time", time)
    made = {
        "format": given.text("format", "jsonl", words=("jsonl", "lines")),
        "path": given.text("path", PATH),
        "group": {
            "records": group.count("records", 10_000, least=1),
            "size": size,
            "time": time,
        },
    }
    group.done()
    return made
