"""The part of an ingest spec that is about a watched folder. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.ingest.values import Values
from pachybox.model.glob import Glob
from pachybox.model.paths import clean

_LEAST_SETTLE_S = 1.0  # of a folder that may be another machine's, before there is a warning


def check(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The canonical form of what stands under ``watch``, every default filled in, and warnings.

    Raises InvalidArgument whose message begins with the field.
    """
    given = Values(values)
    path = _folder(given, "path")
    if not path:
        given.wrong("path", "missing", "name the folder that files come to")
    made: dict[str, Any] = {
        "path": path,
        "pattern": _pattern(given),
        "settle": given.text("settle", "2s"),
        "batch": given.text("batch", "5s"),
        "prefix": _prefix(given),
        "done": _done(given),
        "all_names": given.flag("all_names"),
        "delete_after": given.flag("delete_after"),
        "move_to": _folder(given, "move_to"),
        "mirror": given.flag("mirror"),
        "poll": given.text("poll", "auto", words=("auto", "always", "never")),
        "poll_interval": given.text("poll_interval", "1s"),
    }
    settle = given.seconds("settle", "2s", most=86_400)
    given.seconds("batch", "5s", most=86_400)
    given.seconds("poll_interval", "1s", least=0.1, most=86_400)
    given.done()
    _together(given, made)
    warnings = []
    if settle < _LEAST_SETTLE_S and not made["done"]:
        warnings.append(
            f"settle is {made['settle']}: a file whose writer pauses longer enters in pieces, and "
            "again when it is whole"
        )
    return made, warnings


def _together(given: Values, made: Mapping[str, Any]) -> None:
    """What excludes each other."""
    ways = [name for name in ("delete_after", "move_to", "mirror") if made[name]]
    if len(ways) > 1:
        hint = "keep one of them"
        if "mirror" in ways:
            hint = "with mirror a file that leaves the folder leaves the repo; keep one of them"
        given.wrong(ways[1], f"{ways[0]} is there too", hint)
    path, target = PurePosixPath(made["path"]), PurePosixPath(made["move_to"] or "/")
    if made["move_to"] and (target == path or path in target.parents):
        given.wrong("move_to", f"{target} is in {path}", "name a folder that is not watched")


def _folder(given: Values, name: str) -> str:
    text = given.text(name)
    if not text:
        return ""
    if "\0" in text:
        given.wrong(name, "there is a NUL in it")
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts:
        given.wrong(name, f"{text!r} is not absolute", "write it from the root: /data/in")
    return str(PurePosixPath("/", *path.parts[1:]))  # also of //a


def _pattern(given: Values) -> str:
    text = given.text("pattern", "**")
    try:
        Glob(text)
    except InvalidArgument as e:
        given.wrong("pattern", e.message, e.hint)
    return text


def _prefix(given: Values) -> str:
    try:
        return clean(given.text("prefix", "/"))
    except InvalidArgument as e:
        given.wrong("prefix", e.message, e.hint)


def _done(given: Values) -> str:
    text = given.text("done")
    if "/" in text or "\0" in text:
        given.wrong("done", f"{text!r} is no end of a file's name", 'write it like ".done"')
    return text
