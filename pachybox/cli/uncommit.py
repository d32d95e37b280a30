"""Commands that delete or squash commits."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project
from pachybox.client.commits import Commits


def _delete(app: App, args: Args) -> None:
    box = app.box(Commits)
    if "@" in args.commit:
        for gone in box.delete_commit(args.commit):
            app.output.line(gone)
    else:
        box.drop_commit_set(args.commit)


def _delete_one(app: App, args: Args) -> None:
    app.box(Commits).drop_commit(args.commit, recursive=args.recursive)


def _squash(app: App, args: Args) -> None:
    box = app.box(Commits)
    if "@" in args.commit:
        box.squash_commit(args.commit)
    else:
        box.squash_commit_set(args.commit)


def _squash_one(app: App, args: Args) -> None:
    app.box(Commits).squash_commit(args.commit, recursive=args.recursive)


def _either(parser: Parser) -> None:
    parser.add_argument("commit", metavar="REPO@REF | ID")
    project(parser)


def _one(parser: Parser) -> None:
    parser.add_argument("commit", metavar="REPO@REF")
    flag(parser, "-r", "--recursive", help="with what was made from it")
    project(parser)


COMMANDS = {
    "delete commit": Command(
        _either,
        _delete,
        ("delete commit images@master", "delete commit ID"),
        "REPO@REF (1.x) deletes an input commit and all made from it, and prints what went;\n"
        "data a later commit inherited stays there. ID (2.x) deletes all commits of a run;\n"
        "each must be the newest of its branch.",
    ),
    "delete commitV2": Command(_one, _delete_one, ("delete commitV2 images@master -r",)),
    "squash commit": Command(_either, _squash, ("squash commit ID",)),
    "squash commitV2": Command(_one, _squash_one, ("squash commitV2 images@master^ -r",)),
}
