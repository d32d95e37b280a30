"""``logs``."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    flag,
    listed,
    many,
    project,
    seconds,
    whole,
)
from pachybox.client.jobs import Datums
from pachybox.client.pipeline_values import LogMessage
from pachybox.errors import InvalidArgument


def _run(app: App, args: Args) -> None:
    out = app.output
    job = args.job
    if job and "@" not in job and args.pipeline:
        job = f"{args.pipeline}@{job}"
    if args.datum and not job:
        raise InvalidArgument("--datum needs a job", "add --job PIPELINE@ID")
    filters = listed(args.inputs)
    named = bool(args.pipeline or job)
    if filters and not named:
        raise InvalidArgument("--inputs needs a pipeline or a job", "add --pipeline or --job")
    if args.ingest:
        _of_ingest(app, args, named=named or bool(args.datum or filters))
        return
    if args.master and (args.datum or filters):
        raise InvalidArgument(
            "the box's own log knows no datums", "leave out --master, or --datum and --inputs"
        )
    for message in _messages(app.box(Datums), args, job, filters, whole=bool(out.form)):
        if out.form:
            out.raw(message.raw)
        elif not named:
            out.line(f"{out.stamp(message.time)} {message.message}")
        else:
            out.line(message.message.rstrip("\n"))
        if args.follow:
            out.out.flush()


def _of_ingest(app: App, args: Args, *, named: bool) -> None:
    from pachybox.client.ingests import Ingests

    if named or args.master or args.worker:
        raise InvalidArgument(
            "--ingest stands for itself",
            "leave out the pipeline, job, datum, --master and --worker",
        )
    out = app.output
    found = app.box(Ingests).ingest_log(
        args.ingest, follow=args.follow, tail=args.tail or 0, since_s=args.since or 0.0
    )
    for message in found:
        if out.form:
            out.raw(message.raw)
        else:
            out.line(f"{out.stamp(message.time)} {message.message}")
        if args.follow:
            out.out.flush()


def _messages(
    box: Datums, args: Args, job: str | None, filters: list[str], *, whole: bool
) -> Iterable[LogMessage]:
    """What the flags ask for. Lines are counted for --tail after they were chosen."""
    since = args.since or 0.0
    if args.master or not (args.pipeline or job):
        return box.box_log(
            args.pipeline or "",
            job or "",
            follow=args.follow,
            tail=args.tail or 0,
            since_s=since,
        )
    own = args.worker and not whole
    found: Iterable[LogMessage] = box.logs(
        args.pipeline if not job else None,
        job,
        datum=args.datum,
        inputs=filters,
        master=args.worker or whole,
        follow=args.follow,
        tail=None if own and not args.follow else args.tail,
        since_s=since or None,
    )
    if whole:
        return found
    chosen = (message for message in found if message.user != own)
    if not own or args.tail is None or args.follow:
        return chosen
    from collections import deque

    return deque(chosen, maxlen=args.tail)


def _arguments(parser: Parser) -> None:
    parser.add_argument("-p", "--pipeline", metavar="P", help="of this pipeline")
    parser.add_argument("-j", "--job", metavar="PIPELINE@ID | ID", help="of this job")
    parser.add_argument("--ingest", metavar="NAME", help="of this ingest source")
    parser.add_argument("--datum", metavar="ID", help="of this datum; needs --job")
    many(parser, "--inputs", metavar="PATH[,PATH ...]", help="of datums with these inputs")
    flag(parser, "--master", help="what the box says of it, not the user's program")
    flag(parser, "--worker", help="what its workers say: each datum as it begins and ends")
    flag(parser, "-f", "--follow", help="go on with new lines")
    parser.add_argument("-t", "--tail", type=whole, metavar="N", help="only the last N lines")
    parser.add_argument(
        "--since", type=seconds, metavar="DURATION", help="only lines this young (24h)"
    )
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    project(parser)


COMMANDS = {
    "logs": Command(
        _arguments,
        _run,
        (
            "logs -p edges",
            "logs --job edges@ID -f",
            "logs -p edges --inputs /a.png --since 1h",
            "logs --ingest drops -f --since 5m",
            "logs -t 20",
        ),
        "Without pipeline, job and ingest: the box's own log. Following a job ends when it is\n"
        "over; following a pipeline goes on from job to job.",
    )
}
