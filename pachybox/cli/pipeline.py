"""Commands that make, change and show pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pachybox.cli.app import App
from pachybox.cli.build import Plan, asked
from pachybox.cli.build import arguments as build_arguments
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    all_projects,
    flag,
    many,
    project,
    records,
    runner,
    states,
    whole,
)
from pachybox.cli.output import note, state
from pachybox.cli.source_build import expanded, problems
from pachybox.cli.spec import input_text
from pachybox.cli.spec_source import SpecText, arguments, sources
from pachybox.client.pipeline_values import CreatedPipeline, ImageInfo, PipelineInfo
from pachybox.client.pipelines import Pipelines
from pachybox.errors import InvalidArgument

HEADER = ("NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "RUNNER", "DESCRIPTION")
_STATES = ("STARTING", "RUNNING", "RESTARTING", "FAILURE", "PAUSED", "STANDBY", "CRASHING")
_WHERE = """\
All pipelines of one call are made, or none; those that others read are made first. A directory
gives its files *.json, *.yaml, *.yml and *.jsonnet (rendered with --arg), not those below it. A
path in a Git repository is one of
  github.com/OWNER/REPO/PATH@REF, gitlab.com/..., or the address of its page there
  git+https://HOST/REPO@REF#PATH, git+ssh://..., git+file://..., read with the git program
where @REF is a branch, tag or commit, by default the newest commit of the main branch."""


def _make(app: App, args: Args, *, update: bool) -> None:
    made = make(app, args, sources(app, args), update=update)
    if args.dry_run:
        for pipeline in made:
            app.output.raw(pipeline.effective_spec)


def make(app: App, args: Args, texts: list[SpecText], *, update: bool) -> list[CreatedPipeline]:
    """Make or update the pipelines of texts as the flags ask, and say what the box warns of.
    What needed only new source for its build is not among those returned."""
    build = asked(args)
    box = app.box(Pipelines)

    def put(texts: list[SpecText], *, dry_run: bool) -> tuple[list[CreatedPipeline], list[str]]:
        first, *more = texts
        return box.create_pipelines(
            first.text,
            source=first.source,
            update=update,
            reprocess=getattr(args, "reprocess", False),
            dry_run=dry_run,
            runner=args.runner or "",
            more=[(one.text, one.source) for one in more],
            if_version=getattr(args, "if_version", 0) or None,
        )

    if build:  # what is wrong with the specs is said before minutes of building
        plan = Plan(args, texts)
        try:
            put(plan.texts(), dry_run=True)
        except InvalidArgument:
            put(texts, dry_run=True)  # the same, by the lines of the files
            raise
        plan.make()
        texts = plan.texts()
    texts = expanded(app, args, texts, update=update)
    if not texts:
        return []
    made, warnings = put(texts, dry_run=args.dry_run)
    for warning in warnings:
        note(f"warning: {warning}")
    return made


def _create(app: App, args: Args) -> None:
    _make(app, args, update=False)


def _update(app: App, args: Args) -> None:
    _make(app, args, update=True)


def _validate(app: App, args: Args) -> int:
    given = sources(app, args)
    first, *more = given
    names, found, warnings = app.box(Pipelines).validate_pipelines(
        first.text,
        source=first.source,
        runner=args.runner or "",
        more=[(one.text, one.source) for one in more],
    )
    for warning in warnings:
        note(f"warning: {warning}")
    for problem in (wrong := found or problems(given, args.runner or "")):
        note(problem)
    if wrong:
        return 1
    for name in names:
        app.output.line(f"{name}: valid")
    return 0


def _inspect(app: App, args: Args) -> None:
    import json

    box, out = app.box(Pipelines), app.output
    if args.spec:
        out.raw(json.loads(box.extract_pipeline(args.pipeline)))
        return
    info = box.inspect_pipeline(args.pipeline)
    details = info.raw.get("details") or {}
    transform, spout = details.get("transform") or {}, details.get("spout") or {}
    out.fields(
        info,
        [
            ("Name", str(info)),
            ("Version", str(info.version)),
            ("Description", info.description),
            ("Created", out.time(info.created)),
            ("State", state(info.state)),
            ("Reason", info.reason),
            ("Stopped", str(info.stopped).lower()),
            ("Last Job", state(info.last_job_state)),
            ("Runner", info.runner),
            ("Image", transform.get("image", "")),
            ("Command", " ".join(transform.get("cmd") or ())),
            ("Input", input_text(info.input)),
            ("Output Branch", details.get("outputBranch", "")),
            ("Service", service_text(details.get("service") or spout.get("service") or {})),
            ("Workers", str(info.raw.get("parallelism") or "")),
            ("Datum Timeout", details.get("datumTimeout") or ""),
            ("Job Timeout", details.get("jobTimeout") or ""),
        ],
    )


def service_text(service: Mapping[str, Any]) -> str:
    """Where a service is reached, and where its program listens if that is elsewhere."""
    if not service:
        return ""
    inner, outer = service.get("internalPort"), service.get("externalPort")
    carried = f" (the program listens on {inner})" if inner != outer else ""
    return f"127.0.0.1:{outer}{carried}"


def history(text: str | None) -> int:
    """--history: a number, ``all`` (-1) or ``none`` (0)."""
    if text in (None, "none"):
        return 0
    if text == "all":
        return -1
    if not str(text).removeprefix("-").isdecimal():
        raise InvalidArgument(f"--history {text!r} is not understood", "give a number, all or none")
    return int(str(text))


def chosen(app: App, args: Args, box: Pipelines) -> Iterator[PipelineInfo]:
    """The pipelines that ``list pipeline``'s flags leave."""
    wanted = states(args.state, "PIPELINE_", _STATES)
    found = box.list_pipeline(
        args.pipeline,
        history=history(args.history),
        commit_set=args.commit,
        all_projects=args.all_projects,
    )
    for info in found:
        if args.pipeline and info.name != args.pipeline.rpartition("/")[2]:
            continue
        if not wanted or info.state.removeprefix("PIPELINE_") in wanted:
            yield info


def _list(app: App, args: Args) -> None:
    import json

    app.check_project()
    box, out = app.box(Pipelines), app.output
    if args.dag:
        _picture(app, list(chosen(app, args, box)))
        return
    if args.spec:
        for info in chosen(app, args, box):
            out.raw(json.loads(box.extract_pipeline(str(info), version=info.version)))
        return

    def row(info: PipelineInfo) -> tuple[str, ...]:
        last = state(info.last_job_state) if "UNKNOWN" not in info.last_job_state else ""
        cells = (
            info.name,
            str(info.version),
            input_text(info.input),
            out.time(info.created),
            f"{state(info.state)} / {last or '-'}",
            info.runner,
            info.description,
        )
        return (info.project, *cells) if args.all_projects else cells

    header = ("PROJECT", *HEADER) if args.all_projects else HEADER
    out.records(chosen(app, args, box), header, row)


def _images(app: App, args: Args) -> None:
    from pachybox.model.units import format_size

    app.check_project()
    out = app.output

    def row(info: ImageInfo) -> tuple[str, ...]:
        size = "" if info.missing else format_size(info.size_bytes)
        short = info.id.removeprefix("sha256:")[:12]
        cells = (info.pipeline, info.image, short, size, info.missing or "here")
        return (info.project, *cells) if args.all_projects else cells

    header = ("PIPELINE", "IMAGE", "ID", "SIZE", "STATE")
    out.records(
        app.box(Pipelines).list_image(all_projects=args.all_projects),
        ("PROJECT", *header) if args.all_projects else header,
        row,
    )


def alerts(info: PipelineInfo) -> list[str]:
    """What is wrong with a pipeline."""
    found = []
    if info.state in ("PIPELINE_CRASHING", "PIPELINE_FAILURE", "PIPELINE_RESTARTING"):
        found.append(f"pipeline is {state(info.state)}" + (f": {info.reason}" * bool(info.reason)))
    if info.last_job_state in ("JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE"):
        found.append(f"last job: {state(info.last_job_state)}")
    return found


def _check(app: App, args: Args) -> None:
    app.check_project()
    out = app.output
    box = app.box(Pipelines)
    wrong = (
        (info, found)
        for info in box.list_pipeline(all_projects=args.all_projects)
        if (found := alerts(info))
    )
    if out.form:
        for info, found in wrong:
            out.raw({"pipeline": info.raw.get("pipeline"), "alerts": found})
    else:
        out.table(
            ((info.project, info.name, "; ".join(found)) for info, found in wrong),
            ("PROJECT", "PIPELINE", "ALERTS"),
        )


def _draw(app: App, args: Args) -> None:
    app.check_project()
    infos = list(app.box(Pipelines).list_pipeline(commit_set=args.commit))
    _picture(app, infos, width=args.box_width, gap=args.edge_height)


def _picture(app: App, infos: list[PipelineInfo], *, width: int = 0, gap: int = 0) -> None:
    """The graph of ``infos``, as wide as the terminal."""
    import sys

    from pachybox.cli.draw import draw, graph, labels

    room = os.environ.get("COLUMNS", "")
    try:
        wide = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # no terminal: as wide as it takes, unless told
        wide = 0
    out = app.output
    plain = "utf" not in (getattr(out.out, "encoding", None) or "utf-8").lower()
    out.out.write(
        draw(
            graph(infos),
            width=width,
            gap=gap,
            room=int(room) if room.isdecimal() else wide,
            labels=labels(infos),
            plain=plain,
            paint=out.colour,
        )
    )


def _spec_file(parser: Parser) -> None:
    arguments(parser)
    flag(parser, "--dry-run", help="only check, and print the specs as they would be used")
    runner(parser)
    build_arguments(parser)
    project(parser)
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the form of --dry-run")


def _updated(parser: Parser) -> None:
    _spec_file(parser)
    flag(parser, "--reprocess", help="run all datums again")
    at = "only if it is at version N"
    parser.add_argument("--if-version", type=whole, default=0, metavar="N", help=at)


def _validated(parser: Parser) -> None:
    arguments(parser)
    runner(parser)
    project(parser)


def named(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE")
    project(parser)


def _shown(parser: Parser) -> None:
    named(parser)
    flag(parser, "-s", "--spec", help="the spec that makes it again")
    records(parser)


def _listed(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="?")
    flag(parser, "-s", "--spec", help="the specs that make them again")
    parser.add_argument("--history", metavar="N|all|none", help="earlier versions too")
    many(parser, "--state", metavar="STATE", help="only those in this state")
    flag(parser, "--dag", help="draw them as a graph, from inputs to outputs")
    parser.add_argument("-c", "--commit", metavar="ID", help="as they were in this run")
    all_projects(parser)
    records(parser)


def _checked(parser: Parser) -> None:
    all_projects(parser)
    records(parser)


def _drawn(parser: Parser) -> None:
    parser.add_argument("-c", "--commit", metavar="ID", help="as they were in this run")
    parser.add_argument("--box-width", type=whole, default=0, metavar="N", help="cut names at N")
    parser.add_argument(
        "--edge-height", type=whole, default=0, metavar="N", help="rows between boxes"
    )
    project(parser)


COMMANDS = {
    "create pipeline": Command(
        _spec_file,
        _create,
        (
            "create pipeline -f edges.json",
            "create pipeline -f edges.yaml --dry-run",
            "create pipeline -f specs/",
            "create pipeline -f github.com/acme/vision/specs/edges.json@v1.2",
            "create pipeline --jsonnet edges.jsonnet --arg src=images",
            "create pipeline -f edges.json --build",
            "create pipeline -f edges.json --build --push-images --registry ghcr.io/me",
        ),
        _WHERE,
    ),
    "update pipeline": Command(
        _updated,
        _update,
        (
            "update pipeline -f edges.json",
            "update pipeline -f edges.json --reprocess",
            "update pipeline -f edges.json --build",
            "update pipeline -f edges.json --if-version 3",
        ),
        "Results of datums that did not change are kept, unless --reprocess.\n\n" + _WHERE,
    ),
    "validate pipeline": Command(
        _validated,
        _validate,
        ("validate pipeline -f edges.json", "validate pipeline -f specs/"),
        "Tells every problem of every spec, and exits with 1 if there is one.",
    ),
    "inspect pipeline": Command(_shown, _inspect, ("inspect pipeline edges",)),
    "list pipeline": Command(
        _listed, _list, ("list pipeline", "list pipeline --spec", "list pipeline --dag")
    ),
    "list image": Command(
        _checked,
        _images,
        ("list image", "list image -A --raw"),
        "Each version of a pipeline runs the very image that its name led to: see docs/images.md.",
    ),
    "check status": Command(_checked, _check, ("check status -A",)),
    "draw pipeline": Command(_drawn, _draw, ("draw pipeline",)),
}
