"""Commands on the defaults that are laid under specs."""

from __future__ import annotations

import json

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.cli.edit import edited
from pachybox.cli.output import note
from pachybox.cli.spec import parse_one, read
from pachybox.client.defaults import Defaults


def _now(app: App, args: Args) -> str:
    box = app.box(Defaults)
    found = box.cluster_defaults() if args.cluster else box.project_defaults()
    return json.dumps(found, indent=2)


def _set(app: App, args: Args, text: str) -> None:
    box = app.box(Defaults)
    change = box.set_cluster_defaults if args.cluster else box.set_project_defaults
    for name in change(
        text,
        regenerate=args.regenerate,
        reprocess=args.reprocess,
        dry_run=getattr(args, "dry_run", False),
    ):
        app.output.line(name)


def _inspect(app: App, args: Args) -> None:
    app.output.line(_now(app, args).rstrip("\n"))


def _update(app: App, args: Args) -> None:
    text = read(args.file)
    if text.lstrip()[:1] != "{":  # YAML, which the box does not keep
        text = json.dumps(parse_one(text, "stdin" if args.file == "-" else args.file))
    _set(app, args, text)


def _delete(app: App, args: Args) -> None:
    _set(app, args, "{}")


def _edit(app: App, args: Args) -> None:
    text = _now(app, args)
    changed = edited(args, text, "defaults-", ".json")
    if changed == text:
        note("unchanged")
    else:
        _set(app, args, changed)


def _whose(parser: Parser) -> None:
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--cluster", action="store_true", help="of the whole box")
    one.add_argument("--project", metavar="NAME", help="of a project (default: the context's)")


def _effects(parser: Parser) -> None:
    _whose(parser)
    flag(parser, "--regenerate", help="update the pipelines that this changes")
    flag(parser, "--reprocess", help="with --regenerate: they run all datums again")
    flag(parser, "--dry-run", help="change nothing, print what would be updated")


def _given(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--file", default="-", metavar="FILE", help="a file, a URL, or - for stdin (default)"
    )
    _effects(parser)


def _by_hand(parser: Parser) -> None:
    _effects(parser)
    parser.add_argument("--editor", metavar="CMD", help="default: $VISUAL, $EDITOR, vim")


_ABOUT = (
    'The text is {"create_pipeline_request": {...}} with any fields of a spec. A spec says what\n'
    "differs: the box's defaults are laid under the project's, and those under the spec; null\n"
    "takes a default away. Pipelines that are there stay as they are without --regenerate."
)

COMMANDS = {
    "inspect defaults": Command(
        _whose, _inspect, ("inspect defaults --cluster", "inspect defaults --project genomes")
    ),
    "create defaults": Command(
        _given, _update, ("create defaults --cluster -f defaults.json",), _ABOUT
    ),
    "update defaults": Command(
        _given,
        _update,
        ("update defaults --project genomes -f defaults.json --regenerate",),
        _ABOUT,
    ),
    "edit defaults": Command(_by_hand, _edit, ("edit defaults --cluster --editor nano",)),
    "delete defaults": Command(_effects, _delete, ("delete defaults --cluster --regenerate",)),
}
