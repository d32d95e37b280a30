"""``logs``."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, listed, many, project, whole
from pachybox.client.jobs import Datums
from pachybox.errors import InvalidArgument


def _run(app: App, args: Args) -> None:
    out = app.output
    since = None
    if args.since:
        from pachybox.model.units import parse_duration

        since = parse_duration(args.since)
    job = args.job
    if job and "@" not in job and args.pipeline:
        job = f"{args.pipeline}@{job}"
    if args.datum and not job:
        raise InvalidArgument("--datum needs a job", "add --job PIPELINE@ID")
    found = app.box(Datums).logs(
        args.pipeline if not job else None,
        job,
        datum=args.datum,
        inputs=listed(args.inputs),
        master=args.master or args.worker or bool(out.form),
        follow=args.follow,
        tail=args.tail,
        since_s=since,
    )
    for message in found:
        if out.form:
            out.raw(message.raw)
        elif message.user != (args.worker or args.master):
            out.line(message.message.rstrip("\n"))
        if args.follow:
            out.out.flush()


def _arguments(parser: Parser) -> None:
    parser.add_argument("-p", "--pipeline", metavar="P", help="of this pipeline")
    parser.add_argument("-j", "--job", metavar="PIPELINE@ID | ID", help="of this job")
    parser.add_argument("--datum", metavar="ID", help="of this datum; needs --job")
    many(parser, "--inputs", metavar="PATH[,PATH ...]", help="of datums with these inputs")
    flag(parser, "--master", help="what the box says, not the user's program")
    flag(parser, "--worker", help="the same")
    flag(parser, "-f", "--follow", help="go on with new lines")
    parser.add_argument("-t", "--tail", type=whole, metavar="N", help="only the last N lines")
    parser.add_argument("--since", metavar="DURATION", help="only lines this young (24h)")
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    project(parser)


COMMANDS = {
    "logs": Command(
        _arguments, _run, ("logs -p edges", "logs --job edges@ID -f", "logs -p edges --since 1h")
    )
}
