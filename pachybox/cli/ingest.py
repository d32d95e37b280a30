"""Commands on ingest: the sources that bring data in by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    all_projects,
    flag,
    project,
    records,
)
from pachybox.cli.output import Painted, note, size, span, state
from pachybox.cli.spec import read
from pachybox.client.ingest_values import IngestInfo
from pachybox.client.ingests import Ingests
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument, PachyboxError, Refused

HEADER = (
    "NAME", "KIND", "TO", "STATE", "RATE", "LAG", "PENDING", "LAST", "NEXT", "ERRORS", "REASON",
)  # fmt: skip
_UNITS = {"watch": "files", "cron": "ticks"}  # what rates count; else records
_BARS = ("▁▂▃▄▅▆▇█", ".:-=+*%#")
_TREND = 30  # seconds that the trend shows
_OWN = ("watch", "push", "command")  # with specs of their own; the others are parts of pipelines


def _create(app: App, args: Args) -> None:
    _make(app, args, update=args.update)


def _update(app: App, args: Args) -> None:
    _make(app, args, update=True)


def _make(app: App, args: Args, *, update: bool) -> None:
    source = "stdin" if args.file == "-" else args.file
    made = app.box(Ingests).create_ingest(
        read(args.file), source=source, update=update, reset=getattr(args, "reset", False)
    )
    for warning in (w for one in made for w in one.warnings):
        note(f"warning: {warning}")


def _edit(app: App, args: Args) -> None:
    from pachybox.cli.edit import editing

    box = app.box(Ingests)
    info = box.inspect_ingest(args.ingest)
    if info.kind not in _OWN:
        raise Refused(
            f"ingest {info} is part of pipeline {info.pipeline}",
            f"change that: pachybox edit pipeline {info.pipeline}",
        )

    def put(text: str) -> list[str]:
        made = box.create_ingest(text, source=args.ingest, update=True)
        return [warning for one in made for warning in one.warnings]

    editing(args, _ordered(info.spec), args.ingest, put, "pachybox update ingest -f")


def _ordered(spec: Json) -> Json:
    """A spec as a person writes it: what it is called first, the part of its kind last."""
    first = [key for key in ("ingest", "description", "to") if key in spec]
    return {key: spec[key] for key in (*first, *(k for k in spec if k not in first))}


def _inspect(app: App, args: Args) -> None:
    info, out = app.box(Ingests).inspect_ingest(args.ingest), app.output
    plain = "utf" not in (getattr(out.out, "encoding", None) or "utf-8").lower()
    out.fields(
        info,
        [
            ("Name", str(info)),
            ("Kind", info.kind),
            ("Pipeline", info.pipeline),
            ("To", info.to),
            ("State", state(info.state)),
            ("Reason", info.reason),
            ("Since", out.time(info.since)),
            ("Rate", rate(info)),
            ("Trend", trend(info.rates, plain=plain)),
            ("Lag", _lag(info)),
            ("Pending", str(info.pending)),
            ("Brought in", _brought(info)),
            ("Dead letters", str(info.dead_letters or "")),
            ("Last commit", info.last_commit),
            ("Committed", out.time(info.last_time)),
            ("Next", _next(app, info.next_time)),
            ("Errors", str(info.errors)),
            ("Last error", Painted.of(info.error, "red")),
            ("Failed", out.time(info.error_time)),
            ("Restarts", str(info.restarts or "")),
            ("Process", str(info.pid or "")),
            ("Version", str(info.version or "")),
            ("Created", out.time(info.created)),
            ("Spec", _spec(app, info)),
        ],
        aligned=True,
    )


def _spec(app: App, info: IngestInfo) -> str:
    """The spec for people: YAML, without what says nothing."""
    if not info.spec or app.output.form:
        return ""
    import yaml

    told = {k: v for k, v in _ordered(info.spec).items() if k != "ingest"}
    text: str = yaml.safe_dump(_said(told), sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def _said(spec: Json) -> Json:
    """A spec without its empty values."""
    return {k: _said(v) if isinstance(v, dict) else v for k, v in spec.items() if v not in ("", {})}


def _brought(info: IngestInfo) -> str:
    """What came in since the source was made."""
    counts = ((info.records, "record"), (info.files, "file"), (info.commits, "commit"))
    parts = [f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n]
    if info.bytes:
        parts.insert(-1, size(info.bytes))
    return ", ".join(parts)


def rate(info: IngestInfo) -> str:
    """What a source commits, on average of the last minute: ``1250/s``, ``7/min``."""
    if not info.rates:
        return "-"
    each = sum(info.rates) / len(info.rates)
    if each >= 10:
        return f"{each:.0f}/s"
    if each >= 1:
        return f"{each:.1f}/s"
    return f"{each * 60:.0f}/min" if each else "0"


def _lag(info: IngestInfo) -> str:
    return span(info.lag_s) if info.lag_s >= 0.1 else "-"


def trend(rates: Sequence[float], *, plain: bool = False) -> str:
    """The last seconds as bars, the newest last; "" when nothing came."""
    shown = rates[-_TREND:]
    top = max(shown, default=0)
    if not top:
        return ""
    bars = _BARS[plain]
    drawn = "".join(bars[math.ceil(7 * n / top)] for n in shown)
    return f"{drawn} at most {top:g}/s in the last {len(shown)} s"


def _next(app: App, then: datetime | None) -> str:
    """When a cron ticks next."""
    from datetime import UTC

    from pachybox.model.units import format_span, format_time

    if then is None:
        return "-"
    left = (then - datetime.now(UTC)).total_seconds()
    if app.output.full:
        return format_time(then)
    return f"in {format_span(left).lower()}" if left > 0 else "now"


def _list(app: App, args: Args) -> None:
    app.check_project()
    out = app.output

    def row(info: IngestInfo) -> tuple[str, ...]:
        project, _, name = info.name.rpartition("/")
        cells = (
            name,
            info.kind,
            info.to,
            state(info.state),
            rate(info),
            _lag(info),
            str(info.pending),
            out.time(info.last_time),
            _next(app, info.next_time),
            str(info.errors),
            info.reason,
        )
        return (project or "default", *cells) if args.all_projects else cells

    header = ("PROJECT", *HEADER) if args.all_projects else HEADER
    out.records(_chosen(app, args), header, row)


def _chosen(app: App, args: Args) -> Iterable[IngestInfo]:
    """Those of the project, or of all."""
    return app.box(Ingests).list_ingest(() if args.all_projects else (app.project,))


def summary(infos: Sequence[IngestInfo]) -> str:
    """One line for ``status``: how many there are, and which do not run, and why."""
    if not infos:
        return ""
    still = [info for info in infos if info.state != "running"]
    text = f"{len(infos)} source{'s' * (len(infos) != 1)}, "
    if not still:
        return f"{text}all running"
    named = [f"{i} {i.state}" + (f" ({i.reason})" if i.reason else "") for i in still[:3]]
    more = f" and {len(still) - 3} more" if len(still) > 3 else ""
    return Painted.of(f"{text}{len(still)} not running: {', '.join(named)}{more}", "yellow")


def _each(app: App, args: Args, do: Callable[[Ingests, str], None]) -> None:
    """``do`` for every name, also after one of them failed. Raises the first error."""
    box = app.box(Ingests)
    first: PachyboxError | None = None
    for name in args.ingests:
        try:
            do(box, name)
        except PachyboxError as e:
            if first is not None:
                note(str(e))
            first = first or e
    if first is not None:
        raise first


def _pause(app: App, args: Args) -> None:
    _each(app, args, Ingests.pause_ingest)


def _resume(app: App, args: Args) -> None:
    _each(app, args, Ingests.resume_ingest)


def _run(app: App, args: Args) -> None:
    _each(app, args, Ingests.run_ingest)


def _delete(app: App, args: Args) -> None:
    if args.ingests:
        if args.all or args.all_projects:
            raise InvalidArgument("names and --all are given together", "give one of them")
        _each(app, args, Ingests.delete_ingest)
        return
    if not (args.all or args.all_projects):
        raise InvalidArgument("no ingest named", "name one, or add --all")
    app.check_project()
    where = "all projects" if args.all_projects else f"project {app.project}"
    app.confirm(f"Delete every ingest source of {where}, but those of pipelines")
    found = [info.name for info in _chosen(app, args) if info.kind in _OWN]
    args.ingests = [name if "/" in name else f"default/{name}" for name in found]
    _each(app, args, Ingests.delete_ingest)


def _made(parser: Parser) -> None:
    parser.add_argument(
        "-f",
        "--file",
        required=True,
        metavar="FILE",
        help="the specs: a file, a URL, or - for stdin",
    )
    project(parser)


def _created(parser: Parser) -> None:
    _made(parser)
    flag(parser, "--update", help="change those that are there")


def _updated(parser: Parser) -> None:
    _made(parser)
    flag(parser, "--reset", help="forget how far it has come, and begin anew")


def _named(parser: Parser) -> None:
    parser.add_argument("ingest", metavar="INGEST")
    project(parser)


def _shown(parser: Parser) -> None:
    _named(parser)
    records(parser)


def _listed(parser: Parser) -> None:
    all_projects(parser)
    records(parser)


def _several(parser: Parser) -> None:
    parser.add_argument("ingests", metavar="INGEST", nargs="+")
    project(parser)


def _deleted(parser: Parser) -> None:
    parser.add_argument("ingests", metavar="INGEST", nargs="*")
    flag(parser, "--all", help="every source of the project, but those of pipelines")
    all_projects(parser)
    flag(parser, "-y", "--yes", help="do not ask")


def _edited(parser: Parser) -> None:
    _named(parser)
    parser.add_argument("--editor", metavar="CMD", help="default: $VISUAL, $EDITOR, vim")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="edit in this form")


_KINDS = """\
A file may hold several specs; all are made or none. See docs/ingest.md for the fields of watch,
push and command. Cron inputs and spouts are made with their pipelines."""

COMMANDS = {
    "create ingest": Command(
        _created,
        _create,
        ("create ingest -f drops.yaml", "create ingest -f - < events.json"),
        _KINDS,
    ),
    "update ingest": Command(
        _updated,
        _update,
        ("update ingest -f drops.yaml", "update ingest -f drops.yaml --reset"),
        "It goes on where it was, unless --reset.\n\n" + _KINDS,
    ),
    "inspect ingest": Command(
        _shown, _inspect, ("inspect ingest drops", "inspect ingest drops --raw")
    ),
    "list ingest": Command(
        _listed,
        _list,
        ("list ingest", "list ingest -A -o yaml"),
        "RATE is what it committed on average of the last minute: records, of a watched folder\n"
        "files, of a cron ticks. LAG is how long the oldest of what waits has waited, PENDING how\n"
        "much waits. ERRORS counts since the box started.",
    ),
    "pause ingest": Command(
        _several,
        _pause,
        ("pause ingest drops", "pause ingest drops events"),
        "What it has read is committed first. What is posted to it is answered with 503 meanwhile.",
    ),
    "resume ingest": Command(_several, _resume, ("resume ingest drops",)),
    "run ingest": Command(
        _several,
        _run,
        ("run ingest drops", "run ingest nightly_tick"),
        "A cron ticks; a folder is looked through and what is found committed; records that wait\n"
        "are committed; a program that waits to be started again is started.",
    ),
    "edit ingest": Command(
        _edited,
        _edit,
        ("edit ingest drops --editor nano",),
        "Opens the spec in the editor; an unchanged text changes nothing. A text that is refused\n"
        "is opened again, or kept in a file that the error names.",
    ),
    "delete ingest": Command(
        _deleted,
        _delete,
        ("delete ingest drops", "delete ingest --all -y"),
        "A cron or a spout goes with its pipeline.",
    ),
}
