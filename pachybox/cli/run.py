"""Commands that run, pause and delete pipelines."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, all_projects, flag, ignored, project
from pachybox.client.pipelines import Pipelines
from pachybox.errors import InvalidArgument


def _run(app: App, args: Args) -> None:
    job = app.box(Pipelines).run_pipeline(args.pipeline, args.provenance, job=args.job or "")
    app.output.line(job)


def _rerun(app: App, args: Args) -> None:
    app.box(Pipelines).rerun_pipeline(args.pipeline, reprocess=args.reprocess)


def _cron(app: App, args: Args) -> None:
    app.box(Pipelines).run_cron(args.pipeline)


def _start(app: App, args: Args) -> None:
    app.box(Pipelines).start_pipeline(args.pipeline)


def _stop(app: App, args: Args) -> None:
    app.box(Pipelines).stop_pipeline(args.pipeline)


def _delete(app: App, args: Args) -> None:
    box = app.box(Pipelines)
    if args.all or args.all_projects:
        if args.pipeline:
            raise InvalidArgument("give a pipeline or --all, not both")
        where = "all projects" if args.all_projects else f"project {app.project}"
        app.confirm(f"Delete every pipeline of {where}")
        box.delete_pipelines(
            all_projects=args.all_projects, force=args.force, keep_repo=args.keep_repo
        )
    elif not args.pipeline:
        raise InvalidArgument("no pipeline named", "name one, or add --all")
    else:
        box.delete_pipeline(args.pipeline, force=args.force, keep_repo=args.keep_repo)


def _named(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE")
    project(parser)


def _running(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE")
    parser.add_argument(
        "provenance",
        metavar="REPO@REF",
        nargs="*",
        help="commits to run on (REPO@BRANCH=REF for one of several branches); heads for the rest",
    )
    parser.add_argument("--job", metavar="ID", help="the commits this job ran on")
    project(parser)


def _again(parser: Parser) -> None:
    _named(parser)
    flag(parser, "--reprocess", help="run all datums again")


def _deleting(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="?")
    flag(parser, "--all", help="every pipeline of the project")
    all_projects(parser)
    flag(parser, "-f", "--force", help="also when other pipelines read it")
    flag(parser, "--keep-repo", help="keep the output repo")
    flag(parser, "-y", "--yes", help="do not ask")
    ignored(parser, "--split-txn")


COMMANDS = {
    "run pipeline": Command(
        _running,
        _run,
        ("run pipeline edges", "run pipeline edges images@master^"),
        "Prints the job. Datums done before are skipped.",
    ),
    "rerun pipeline": Command(_again, _rerun, ("rerun pipeline edges --reprocess",)),
    "run cron": Command(
        _named, _cron, ("run cron nightly",), "Ticks every cron input of the pipeline once."
    ),
    "start pipeline": Command(_named, _start, ("start pipeline edges",)),
    "stop pipeline": Command(_named, _stop, ("stop pipeline edges",)),
    "delete pipeline": Command(
        _deleting, _delete, ("delete pipeline edges", "delete pipeline edges --keep-repo")
    ),
}
