"""Commands on repos."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    all_projects,
    flag,
    ignored,
    project,
    records,
)
from pachybox.cli.output import size
from pachybox.client.repos import Repos
from pachybox.client.values import RepoInfo
from pachybox.errors import InvalidArgument


def _create(app: App, args: Args) -> None:
    app.box(Repos).create_repo(args.repo, args.description or "")


def _update(app: App, args: Args) -> None:
    box = app.box(Repos)
    box.inspect_repo(args.repo)  # the API would make it: here a wrong name is an error
    box.create_repo(args.repo, args.description or "", update=True)


def _inspect(app: App, args: Args) -> None:
    info = app.box(Repos).inspect_repo(args.repo)
    app.output.fields(
        info,
        [
            ("Name", str(info)),
            ("Description", info.description),
            ("Created", app.output.time(info.created)),
            ("Size of HEAD on master", size(info.size_bytes)),
            ("Branches", ", ".join(info.branches)),
        ],
    )


def _list(app: App, args: Args) -> None:
    app.check_project()
    out = app.output
    kind = "" if args.all else args.type
    repos = app.box(Repos).list_repo(type=kind, all_projects=args.all_projects)
    header = ("NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION")

    def row(info: RepoInfo) -> tuple[str, ...]:
        name = info.name if info.type == "user" else f"{info.name}.{info.type}"
        cells = (name, out.time(info.created), size(info.size_bytes), info.description)
        return (info.project, *cells) if args.all_projects else cells

    out.records(repos, ("PROJECT", *header) if args.all_projects else header, row)


def _delete(app: App, args: Args) -> None:
    box = app.box(Repos)
    if args.all or args.all_projects:
        if args.repo:
            raise InvalidArgument("give a repo or --all, not both")
        where = "all projects" if args.all_projects else f"project {app.project}"
        app.confirm(f"Delete every repo of {where}")
        box.delete_repos(all_projects=args.all_projects, force=args.force)
    elif not args.repo:
        raise InvalidArgument("no repo named", "name one, or add --all")
    else:
        box.inspect_repo(args.repo)  # so that a wrong name is an error
        box.delete_repo(args.repo, force=args.force)


def _named(parser: Parser) -> None:
    parser.add_argument("repo", metavar="REPO")
    project(parser)


def _described(parser: Parser) -> None:
    _named(parser)
    parser.add_argument("-d", "--description", help="what it holds")


def _shown(parser: Parser) -> None:
    _named(parser)
    records(parser)


def _listed(parser: Parser) -> None:
    parser.add_argument(
        "--type", default="user", metavar="TYPE", help="user (default), spec or meta"
    )
    flag(parser, "--all", help="system repos too")
    all_projects(parser)
    records(parser)


def _deleted(parser: Parser) -> None:
    parser.add_argument("repo", metavar="REPO", nargs="?")
    all_projects(parser)
    flag(parser, "-f", "--force", help="also when something depends on it")
    flag(parser, "--all", help="every repo of the project")
    flag(parser, "-y", "--yes", help="do not ask")
    ignored(parser, "--split-txn")


COMMANDS = {
    "create repo": Command(
        _described, _create, ("create repo images", "create repo images -d 'from the microscope'")
    ),
    "update repo": Command(_described, _update, ("update repo images -d 'raw images'",)),
    "inspect repo": Command(_shown, _inspect, ("inspect repo images", "inspect repo images --raw")),
    "list repo": Command(_listed, _list, ("list repo", "list repo -A --raw")),
    "delete repo": Command(_deleted, _delete, ("delete repo images", "delete repo --all -y")),
}
