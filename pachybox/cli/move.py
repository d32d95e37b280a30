"""``move pipeline``: have pipelines run by another runner."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, all_projects, flag, records, runner
from pachybox.cli.output import note
from pachybox.client.pipeline_values import MovedPipeline
from pachybox.client.pipelines import Pipelines
from pachybox.errors import InvalidArgument


def _run(app: App, args: Args) -> None:
    if args.pipeline and (args.all or args.all_projects):
        raise InvalidArgument("give pipelines or --all, not both")
    if not (args.pipeline or args.all or args.all_projects):
        raise InvalidArgument("no pipeline named", "name one, or add --all")
    moved, warnings = app.box(Pipelines).move_pipelines(
        args.pipeline,
        runner=args.runner or "",
        all_projects=args.all_projects,
        dry_run=args.dry_run,
    )
    for warning in warnings:
        note(f"warning: {warning}")

    def row(one: MovedPipeline) -> tuple[str, ...]:
        cells = (one.name, str(one.version), one.was, one.runner)
        return (one.project, *cells) if args.all_projects else cells

    header = ("NAME", "VERSION", "WAS", "RUNNER")
    app.output.records(moved, ("PROJECT", *header) if args.all_projects else header, row)


def _arguments(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="*")
    runner(parser, "have it run by this: process, podman, kubernetes; else by what the box chooses")
    flag(parser, "--all", help="all pipelines of the project that have an image")
    flag(parser, "--dry-run", help="only tell which would be moved")
    all_projects(parser)
    records(parser)


COMMANDS = {
    "move pipeline": Command(
        _arguments,
        _run,
        (
            "move pipeline edges --runner kubernetes",
            "move pipeline --all",
            "move pipeline --all --runner podman --dry-run",
        ),
        "All are moved, or none. Each gets a version of the spec that it has; jobs under way begin "
        "anew, and results that are there stay.",
    ),
}
