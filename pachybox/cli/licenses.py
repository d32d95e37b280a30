"""``licenses``: what the program carries of other people's work. Needs no box."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.errors import NotFound


def _run(app: App, args: Args) -> None:
    from appliance.licences import Part, parts

    found = parts()
    known = {part.name.lower() for part in found}
    for name in args.names:
        if name.lower() not in known:
            raise NotFound(f"{name} is not inside", "see all: pachybox licenses")
    wanted = {name.lower() for name in args.names} or known
    found = [part for part in found if part.name.lower() in wanted]

    def row(part: Part) -> list[str]:
        return [part.name, part.version, part.licence]

    if app.output.form:
        for part in found:
            record = {"name": part.name, "version": part.version, "license": part.licence}
            app.output.raw({**record, "texts": list(part.texts)} if args.full else record)
    elif args.full:
        for part in found:
            app.output.line(f"==== {part.name} {part.version}: {part.licence}\n")
            for text in part.texts:
                app.output.line(text.rstrip() + "\n")
    else:
        app.output.table(map(row, found), ("NAME", "VERSION", "LICENSE"))


def _arguments(parser: Parser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these")
    flag(parser, "--full", help="the texts, too")
    flag(parser, "--raw", help="one JSON object a line")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


COMMANDS = {
    "licenses": Command(_arguments, _run, ("licenses", "licenses duckdb --full")),
}
