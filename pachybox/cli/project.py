"""Commands on projects."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, records
from pachybox.client.repos import Projects


def _create(app: App, args: Args) -> None:
    app.box(Projects).create_project(args.name, args.description or "")


def _update(app: App, args: Args) -> None:
    box = app.box(Projects)
    box.inspect_project(args.name)  # the API would make it: here a wrong name is an error
    box.create_project(args.name, args.description or "", update=True)


def _inspect(app: App, args: Args) -> None:
    info = app.box(Projects).inspect_project(args.name)
    app.output.fields(
        info,
        [
            ("Name", info.name),
            ("Description", info.description),
            ("Created", app.output.time(info.created)),
        ],
    )


def _list(app: App, args: Args) -> None:
    out = app.output
    out.records(
        app.box(Projects).list_project(),
        ("NAME", "CREATED", "DESCRIPTION"),
        lambda p: (p.name, out.time(p.created), p.description or "-"),
    )


def _delete(app: App, args: Args) -> None:
    app.box(Projects).delete_project(args.name, force=args.force)


def _described(parser: Parser) -> None:
    parser.add_argument("name", metavar="PROJECT")
    parser.add_argument("-d", "--description", help="what it is for")


def _shown(parser: Parser) -> None:
    parser.add_argument("name", metavar="PROJECT")
    records(parser)


def _deleted(parser: Parser) -> None:
    parser.add_argument("name", metavar="PROJECT")
    flag(parser, "-f", "--force", help="with its repos and pipelines")


COMMANDS = {
    "create project": Command(
        _described, _create, ("create project genomes", "create project genomes -d 'sequencing'")
    ),
    "update project": Command(_described, _update, ("update project genomes -d 'all runs'",)),
    "inspect project": Command(_shown, _inspect, ("inspect project genomes",)),
    "list project": Command(records, _list, ("list project",)),
    "delete project": Command(_deleted, _delete, ("delete project genomes",)),
}
