"""Commands that run, pause and delete pipelines."""

from __future__ import annotations

import sys

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, all_projects, flag, ignored, project
from pachybox.cli.output import note, size, visible
from pachybox.client.pipelines import Pipelines
from pachybox.errors import InvalidArgument, Refused, Unreachable


def _run(app: App, args: Args) -> None:
    job = app.box(Pipelines).run_pipeline(args.pipeline, args.provenance, job=args.job or "")
    app.output.line(job)


def _rerun(app: App, args: Args) -> None:
    app.box(Pipelines).rerun_pipeline(args.pipeline, reprocess=args.reprocess)


def _datum(app: App, args: Args) -> int:
    from pachybox.cli.trying import Box, Telling, Trying
    from pachybox.client.trial_values import TrialDatum, TrialEnd, TrialLine, TrialPlan

    box, out = app.box(Box), app.output
    trying, telling = Trying(app, args, args.file, box), Telling(out)
    total = 0
    with box.open_trial() as events:
        for event in events:
            what = event.what
            if isinstance(what, TrialPlan):
                total = what.total
            if what is None:
                trying.trial = event.trial
                trying.run()
            elif isinstance(what, TrialEnd):
                break
            elif not out.form:
                telling.tell(what)
            elif isinstance(what, TrialDatum):
                out.raw(event.raw["datum"])
            elif isinstance(what, TrialLine):
                sys.stderr.write(f"{visible(what.message)}\n")
            out.out.flush()
        else:
            raise Unreachable("the box ended the trial", "see: pachybox status")
        if what.message:
            raise Refused(what.message, what.hint)
        if not out.form:
            telling.end(what)
        if args.save and what.state == "SUCCESS":
            _save(app, trying.trial, args.save)
    return 0 if what.state == "SUCCESS" and total else 1


def _save(app: App, trial: str, folder: str) -> None:
    """Bring the outputs of a trial's last run to a directory."""
    from pachybox.client.files import Reading
    from pachybox.client.trials import Trials

    fileset = app.box(Trials).save_trial(trial)
    files, total = app.box(Reading, project="default").get_files(
        f"__filesets__@{fileset}:/", folder
    )
    note(f"{files} file{'s' * (files != 1)}, {size(total)}, saved in {folder}")


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


def _trying(parser: Parser) -> None:
    from pachybox.cli.trying import arguments

    parser.add_argument("-f", "--file", metavar="SPEC", required=True, help="the spec to try")
    arguments(parser)
    parser.add_argument("--save", metavar="DIR", help="write the outputs to DIR")
    flag(parser, "--raw", help="one JSON object a datum; what the code prints goes to stderr")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


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
    "run datum": Command(
        _trying,
        _datum,
        (
            "run datum -f edges.json",
            "run datum -f edges.json --src edges/ --datum /a.png",
            "run datum -f edges.json --sample 20 --branch images@dev --save out",
        ),
        "The pipeline need not be there: the datums of a spec are run as a job would run them, on\n"
        "what its input branches hold now, and nothing is committed. A sample is the same for the\n"
        "same data. Where there is a pipeline of that name, each output is compared with its own.\n"
        "Code sees a copy of DIR, read-only, at --mount, else at transform.working_dir, else at\n"
        "/source, and starts there unless the spec has a working_dir. Exit status 1 when a datum\n"
        "fails, or there is none.",
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
