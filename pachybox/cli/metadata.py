"""``edit metadata``."""

from __future__ import annotations

import json

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, project
from pachybox.client.metadata import KINDS, Metadata
from pachybox.errors import InvalidArgument

_OPS = ("add", "edit", "delete", "replace")


def changes(words: list[str]) -> dict[str, object]:
    """``add k=v edit k=v delete k replace JSON`` as the client's arguments."""
    if not words or len(words) % 2:
        raise InvalidArgument(
            "the changes are not pairs", "write: add KEY=VALUE, edit KEY=VALUE, delete KEY"
        )
    add: dict[str, str] = {}
    edit: dict[str, str] = {}
    delete: list[str] = []
    replace: dict[str, str] | None = None
    for op, data in zip(words[::2], words[1::2], strict=True):
        key, equals, value = data.partition("=")
        if op in ("add", "edit"):
            if not equals or not key:
                raise InvalidArgument(f"{data!r} is not KEY=VALUE")
            (add if op == "add" else edit)[key] = value
        elif op == "delete":
            delete.append(data)
        elif op == "replace":
            replace = _object(data)
        else:
            raise InvalidArgument(f"{op!r} is no change", f"use {', '.join(_OPS)}")
    return {"add": add, "edit": edit, "delete": delete, "replace": replace}


def _object(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError as e:
        raise InvalidArgument(f"{text!r} is not JSON: {e}") from e
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise InvalidArgument(f"{text!r} is not an object of strings")
    return found


def _run(app: App, args: Args) -> None:
    box = app.box(Metadata)
    box.edit_metadata(args.kind, args.name, **changes(args.changes))  # type: ignore[arg-type]


def _arguments(parser: Parser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", metavar="NAME", help="PROJECT, REPO, REPO@BRANCH or REPO@REF")
    parser.add_argument(
        "changes", metavar="CHANGE", nargs="+", help="add K=V, edit K=V, delete K, replace JSON"
    )
    project(parser)


COMMANDS = {
    "edit metadata": Command(
        _arguments,
        _run,
        (
            "edit metadata repo images add owner=lab",
            "edit metadata commit images@master delete owner",
        ),
        "inspect shows it with --raw.",
    )
}
