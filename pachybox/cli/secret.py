"""Commands on secrets."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, records
from pachybox.cli.spec import read
from pachybox.client.secrets import Secrets


def _create(app: App, args: Args) -> None:
    app.box(Secrets).create_secret(read(args.file))


def _inspect(app: App, args: Args) -> None:
    info = app.box(Secrets).inspect_secret(args.secret)
    app.output.fields(
        info,
        [("Name", info.name), ("Type", info.type), ("Created", app.output.time(info.created))],
    )


def _list(app: App, args: Args) -> None:
    out = app.output
    out.records(
        app.box(Secrets).list_secret(),
        ("NAME", "TYPE", "CREATED"),
        lambda s: (s.name, s.type, out.time(s.created)),
    )


def _delete(app: App, args: Args) -> None:
    app.box(Secrets).delete_secret(args.secret, force=args.force)


def _made(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--file", required=True, metavar="FILE", help="a Kubernetes Secret; - is stdin"
    )


def _shown(parser: Parser) -> None:
    parser.add_argument("secret", metavar="SECRET")
    records(parser)


def _deleted(parser: Parser) -> None:
    parser.add_argument("secret", metavar="SECRET")
    flag(parser, "-f", "--force", help="also when a pipeline uses it")


_ABOUT = """\
The file is JSON or YAML: {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"},
"stringData": {"password": "..."}}; "data" takes values in base64. Values are kept encrypted and
are never shown. A pipeline gets them by transform.secrets. There is no update: delete, then
create."""

COMMANDS = {
    "create secret": Command(
        _made, _create, ("create secret -f db.json", "create secret -f - < db.yaml"), _ABOUT
    ),
    "inspect secret": Command(_shown, _inspect, ("inspect secret db",)),
    "list secret": Command(records, _list, ("list secret", "list secret --raw")),
    "delete secret": Command(_deleted, _delete, ("delete secret db", "delete secret db --force")),
}
