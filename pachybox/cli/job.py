"""Commands on jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    all_projects,
    flag,
    ignored,
    listed,
    many,
    project,
    records,
    states,
    whole,
)
from pachybox.cli.output import Painted, note, size, span, state
from pachybox.cli.pipeline import history
from pachybox.client.jobs import Jobs
from pachybox.client.pipeline_values import JobInfo
from pachybox.client.values import commit_name
from pachybox.errors import InvalidArgument, NotFound

_STATES = (
    *("CREATED", "STARTING", "RUNNING", "FINISHING", "EGRESSING"),
    *("SUCCESS", "FAILURE", "KILLED", "UNRUNNABLE"),
)
HEADER = ("ID", "PIPELINE", "STARTED", "DURATION", "RESTART", "PROGRESS", "DL", "UL", "STATE")


def progress(job: JobInfo) -> str:
    """``processed + skipped [+ recovered] / total``."""
    recovered = f" + {job.recovered}" if job.recovered else ""
    return f"{job.processed} + {job.skipped}{recovered} / {job.total}"


def duration(job: JobInfo) -> str:
    """How long a job ran, or has run until now."""
    if job.started is None:
        return "-"
    return span(((job.finished or datetime.now(UTC)) - job.started).total_seconds())


def show(app: App, found: Iterable[JobInfo], *, live: bool = False) -> None:
    """Jobs as a table or as records."""
    out = app.output

    def row(job: JobInfo) -> tuple[str, ...]:
        shown = state(job.state)
        if job.reason:
            text = f"{shown}: {' '.join(job.reason.split())}"
            shown = Painted.of(text, getattr(shown, "colour", ""))
        return (
            job.id,
            job.pipeline,
            out.time(job.started),
            duration(job),
            str(job.restarts),
            progress(job),
            size(job.download_bytes),
            size(job.upload_bytes),
            shown,
        )

    out.records(found, HEADER, row, live=live)


def one(box: Jobs, text: str) -> str:
    """``pipeline@id`` of a job named so or by its id alone. Raises when that names several."""
    if "@" in text:
        return text
    jobs = list(box.inspect_job_set(text))
    if not jobs:
        raise NotFound(f"job {text} not found")
    if len(jobs) > 1:
        names = ", ".join(str(job) for job in jobs)
        raise InvalidArgument(f"{text} names {len(jobs)} jobs", f"choose one of {names}")
    return str(jobs[0])


def ended(jobs: Iterable[JobInfo], failed: list[str]) -> Iterator[JobInfo]:
    """The same jobs; those that did not succeed are noted in ``failed``."""
    for job in jobs:
        if job.done and job.state != "JOB_SUCCESS":
            failed.append(
                f"job {job} ended as {state(job.state)}" + f": {job.reason}" * bool(job.reason)
            )
        yield job


def _report(failed: list[str]) -> int:
    for text in failed:
        note(" ".join(text.split()))
    return 1 if failed else 0


def _list(app: App, args: Args) -> None:
    app.check_project()
    box = app.box(Jobs)
    chosen = states(args.state, "JOB_", _STATES)
    wanted = args.output if args.output not in (None, "json", "yaml") else ""
    if args.id:
        found: Iterable[JobInfo] = box.inspect_job_set(args.id)
    else:
        found = box.list_job(
            args.pipeline,
            inputs=args.input,
            history=history(args.history),
            number=None if args.state or wanted else args.number,
            all_projects=args.all_projects,
        )
    if chosen:
        found = (job for job in found if job.state.removeprefix("JOB_") in chosen)
    if wanted:
        found = (job for job in found if _made(job, wanted))
    show(app, islice(found, args.number or None))


def _made(job: JobInfo, wanted: str) -> bool:
    """Whether a job's output commit is ``wanted``: repo@branch or repo@id."""
    commit = job.raw.get("outputCommit") or {}
    branch = commit.get("branch") or {}
    repo = commit_name(commit).partition("@")[0]
    return wanted in (f"{repo}@{commit.get('id')}", f"{repo}@{branch.get('name')}")


def _inspect(app: App, args: Args) -> int:
    box, out = app.box(Jobs), app.output
    if args.block:
        return _wait(app, args)
    if "@" not in args.job:
        jobs = list(box.inspect_job_set(args.job))
        if not jobs:
            raise NotFound(f"job {args.job} not found")
        if len(jobs) > 1:
            show(app, jobs)
            return 0
        args.job = str(jobs[0])
    job = box.inspect_job(args.job)
    stats = job.raw.get("stats") or {}
    out.fields(
        job,
        [
            ("ID", job.id),
            ("Pipeline", job.pipeline),
            ("Version", str(job.version)),
            ("State", state(job.state)),
            ("Reason", job.reason),
            ("Created", out.time(job.created)),
            ("Started", out.time(job.started)),
            ("Duration", duration(job)),
            ("Restarts", str(job.restarts)),
            ("Processed", str(job.processed)),
            ("Skipped", str(job.skipped)),
            ("Failed", str(job.failed)),
            ("Recovered", str(job.recovered)),
            ("Total", str(job.total)),
            ("Data Downloaded", size(job.download_bytes)),
            ("Data Uploaded", size(job.upload_bytes)),
            ("Download Time", stats.get("downloadTime") or ""),
            ("Process Time", stats.get("processTime") or ""),
            ("Upload Time", stats.get("uploadTime") or ""),
            ("Output Commit", job.output_commit),
        ],
    )
    return 0


def _wait(app: App, args: Args) -> int:
    box = app.box(Jobs)
    failed: list[str] = []
    if "@" in args.job:
        found: Iterable[JobInfo] = (box.wait_job(name) for name in [args.job])
    else:
        found = box.inspect_job_set(args.job, wait=True)
    show(app, ended(found, failed), live=True)
    return _report(failed)


def _subscribe(app: App, args: Args) -> None:
    chosen = states(args.state, "JOB_", _STATES)
    box = app.box(Jobs)
    known = {str(job) for job in box.list_job(args.pipeline, history=-1)} if args.new else set()
    found: Iterable[JobInfo] = box.subscribe_job(args.pipeline)
    if known:
        found = (job for job in found if str(job) not in known)
    if chosen:
        found = (job for job in found if job.state.removeprefix("JOB_") in chosen)
    show(app, found, live=True)


def _flush(app: App, args: Args) -> int:
    failed: list[str] = []
    found = app.box(Jobs).flush_job(args.commits, listed(args.pipelines))
    show(app, ended(found, failed), live=True)
    return _report(failed)


def _stop(app: App, args: Args) -> None:
    box = app.box(Jobs)
    box.stop_job(one(box, args.job), reason=args.reason or "")


def _delete(app: App, args: Args) -> None:
    box = app.box(Jobs)
    box.delete_job(one(box, args.job))


def _named(parser: Parser) -> None:
    parser.add_argument("job", metavar="PIPELINE@ID | ID")
    project(parser)


def _shown(parser: Parser) -> None:
    _named(parser)
    records(parser)


def _inspected(parser: Parser) -> None:
    _shown(parser)
    parser.add_argument(
        "-b", "--block", "--wait", action="store_true", help="wait until it has ended"
    )


def _listed(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="the jobs of one run")
    parser.add_argument("-p", "--pipeline", metavar="P", help="of this pipeline")
    many(parser, "-i", "--input", metavar="REPO@REF", help="that read this commit")
    parser.add_argument(
        "-o",
        "--output",
        metavar="REPO@REF | json | yaml",
        help="that made this commit; or the form",
    )
    many(parser, "--state", metavar="STATE", help="in this state")
    parser.add_argument("--history", metavar="N|all|none", help="of earlier pipeline versions too")
    parser.add_argument("-n", "--number", type=whole, metavar="N", help="at most N")
    all_projects(parser)
    parser.add_argument("--raw", action="store_true", help="one JSON object a line")
    parser.add_argument("--full-timestamps", action="store_true", help="times instead of ages")
    ignored(parser, "-x", "--expand")
    ignored(parser, "--no-pager")


def _subscribed(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE")
    flag(parser, "--new", help="only jobs made from now on")
    many(parser, "--state", metavar="STATE", help="only when they are in this state")
    project(parser)
    records(parser)


def _flushed(parser: Parser) -> None:
    parser.add_argument("commits", metavar="REPO@REF", nargs="+")
    many(
        parser, "-p", "--pipelines", "--pipeline", metavar="P", help="only jobs of these pipelines"
    )
    project(parser)
    records(parser)


def _stopped(parser: Parser) -> None:
    _named(parser)
    parser.add_argument("--reason", metavar="TEXT", help="what to say of it")


COMMANDS = {
    "list job": Command(
        _listed, _list, ("list job", "list job -p edges -n 5", "list job --state failure --raw")
    ),
    "inspect job": Command(_inspected, _inspect, ("inspect job edges@ID", "inspect job ID -b")),
    "wait job": Command(
        _shown,
        _wait,
        ("wait job edges@ID", "wait job ID"),
        "Exit status 1 when a job failed or was killed.",
    ),
    "flush job": Command(
        _flushed, _flush, ("flush job images@master", "flush job images@master -p montage")
    ),
    "subscribe job": Command(
        _subscribed,
        _subscribe,
        ("subscribe job edges", "subscribe job edges --new --state success,failure"),
        "Each job is printed again whenever its state has changed.",
    ),
    "stop job": Command(_stopped, _stop, ("stop job edges@ID",)),
    "delete job": Command(_named, _delete, ("delete job edges@ID",)),
}
