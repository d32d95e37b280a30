"""The part of an ingest spec that is about a watched folder. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pachybox.ingest.values import Values


def check(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The canonical form of what stands under ``watch``, every default filled in, and warnings.

    Raises InvalidArgument naming the field.
    """
    given = Values(values)
    path = given.required("path", "name the folder that files come to")
    if not PurePosixPath(path).is_absolute():
        given.wrong("path", f"{path!r} is not absolute", "write it from the root: /data/in")
    made: dict[str, Any] = {
        "path": path,
        "pattern": given.text("pattern", "**/*"),
        "settle": given.text("settle", "2s"),
        "batch": given.text("batch", "5s"),
        "prefix": given.text("prefix", "/"),
        "done": given.text("done"),
        "delete_after": given.flag("delete_after"),
        "move_to": given.text("move_to"),
        "mirror": given.flag("mirror"),
        "poll": given.text("poll", "auto", words=("auto", "always", "never")),
        "poll_interval": given.text("poll_interval", "1s"),
    }
    for name in ("settle", "batch", "poll_interval"):
        given.seconds(name, made[name])
    given.done()
    return made, []
