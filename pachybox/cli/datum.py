"""Commands on datums."""

from __future__ import annotations

from itertools import islice

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    ignored,
    listed,
    many,
    project,
    records,
    states,
    whole,
)
from pachybox.cli.job import one
from pachybox.cli.output import size, span, state
from pachybox.client.jobs import Datums, Jobs
from pachybox.client.pipeline_values import DatumInfo
from pachybox.errors import InvalidArgument, Refused

_STATES = ("FAILED", "SUCCESS", "SKIPPED", "RECOVERED", "STARTING", "UNKNOWN")


def _time(datum: DatumInfo) -> str:
    return span(datum.download_s + datum.process_s + datum.upload_s)


def _list(app: App, args: Args) -> None:
    box, out = app.box(Datums), app.output
    if (args.job is None) == (args.file is None):
        raise InvalidArgument("give a job, or a spec with -f", "pachybox list datum PIPELINE@ID")
    if args.file:
        from pachybox.cli.spec import parse_one, read

        spec = parse_one(read(args.file), args.file)
        found = box.list_datum(input=spec.get("input") or {})
    else:
        job = one(app.box(Jobs), args.job)
        found = box.list_datum(job, states=sorted(states(args.state, "", _STATES)))
    page = iter(found)
    if args.page_size:
        first = args.page * args.page_size
        page = islice(page, first, first + args.page_size)
    if args.file:
        out.records(
            page, ("ID", "FILES"), lambda d: (d.id, ", ".join(_file(f.raw) for f in d.inputs))
        )
    else:
        out.records(
            page, ("ID", "STATUS", "TIME"), lambda d: (d.id or "-", state(d.state), _time(d))
        )


def _file(raw: dict[str, object]) -> str:
    from pachybox.client.values import commit_name

    file = raw.get("file")
    if not isinstance(file, dict):
        return ""
    repo = commit_name(file.get("commit")).partition("@")[0]
    return f"{repo}:{file.get('path', '')}"


def _inspect(app: App, args: Args) -> None:
    job = one(app.box(Jobs), args.job)
    datum = app.box(Datums).inspect_datum(job, args.datum)
    app.output.fields(
        datum,
        [
            ("ID", datum.id),
            ("Job", datum.job),
            ("State", state(datum.state)),
            ("Data Downloaded", size(datum.download_bytes)),
            ("Data Uploaded", size(datum.upload_bytes)),
            ("Download Time", span(datum.download_s)),
            ("Process Time", span(datum.process_s)),
            ("Upload Time", span(datum.upload_s)),
            ("Inputs", "\n".join(_file(f.raw) for f in datum.inputs)),
        ],
    )


def _restart(app: App, args: Args) -> None:
    app.box(Datums).restart_datum(one(app.box(Jobs), args.job), listed([args.filters]))


def _next(app: App, args: Args) -> int:
    """Speaks to the worker, not to the box: it needs no address and no settings."""
    from pachybox.worker.next import NoWorker, next_datum

    try:
        return 0 if next_datum(args.error) is not None else 1
    except NoWorker as e:
        raise Refused(
            f"no datum can be asked for here: {e}",
            "this command is for the cmd of a pipeline whose transform has datum_batching",
        ) from e


def _asking(parser: Parser) -> None:
    parser.add_argument("--error", default="", metavar="TEXT", help="the datum before has failed")


def _listing(parser: Parser) -> None:
    parser.add_argument("job", metavar="PIPELINE@ID | ID", nargs="?")
    parser.add_argument("-f", "--file", metavar="SPEC", help="the datums this spec would make now")
    many(parser, "--state", metavar="STATE", help="failed, success, skipped, recovered, starting")
    parser.add_argument(
        "--page", type=whole, default=0, metavar="N", help="that page; the first is 0"
    )
    parser.add_argument(
        "--pageSize", "--page-size", dest="page_size", type=whole, metavar="N", help="datums a page"
    )
    project(parser)
    records(parser)
    ignored(parser, "--status-only")


def _shown(parser: Parser) -> None:
    parser.add_argument("job", metavar="PIPELINE@ID | ID")
    parser.add_argument("datum", metavar="DATUM")
    project(parser)
    records(parser)


def _restarted(parser: Parser) -> None:
    parser.add_argument("job", metavar="PIPELINE@ID | ID")
    parser.add_argument("filters", metavar="PATH[,PATH ...]", help="paths or hashes of its inputs")
    project(parser)


COMMANDS = {
    "list datum": Command(
        _listing, _list, ("list datum edges@ID --state failed", "list datum -f edges.json")
    ),
    "inspect datum": Command(_shown, _inspect, ("inspect datum edges@ID DATUM",)),
    "restart datum": Command(_restarted, _restart, ("restart datum edges@ID /a.png",)),
    "next datum": Command(
        _asking,
        _next,
        ("next datum", "next datum --error 'no such colour'"),
        "For user code with datum_batching: ends the datum before, waits for the next and puts it\n"
        "under /pfs, with its variables in /pfs/.env. Exit status 1 when there are no more:\n"
        "while pachybox next datum; do . /pfs/.env; ...; done",
    ),
}
