"""``diff pipeline``: what an update would change in the specs, and which datums it would run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project, runner
from pachybox.cli.output import Painted, note
from pachybox.cli.spec_source import SpecText, arguments, sources
from pachybox.client.pipeline_values import FieldChange, PipelineDifference
from pachybox.client.pipelines import Pipelines
from pachybox.errors import NotFound

DIFFERENT = 3
"""The exit status of --exit-code for a difference: 1 is an error, 2 a wrong command line."""


def _run(app: App, args: Args) -> int:
    (first, *more), sourced = _with_source(app, args, sources(app, args))
    box = app.box(Pipelines)
    found = box.diff_pipelines(
        first.text,
        source=first.source,
        reprocess=args.reprocess,
        runner=args.runner or "",
        more=[(one.text, one.source) for one in more],
    )
    wanted = {name if "/" in name else f"{app.project}/{name}" for name in args.pipeline}
    seen: set[str] = set()
    differs = False
    running: list[PipelineDifference] = []
    for one in found:
        full = one.pipeline if "/" in one.pipeline else f"default/{one.pipeline}"
        seen.add(full)
        if wanted and full not in wanted:
            continue
        for warning in one.warnings:
            note(f"warning: {warning}")
        differs = differs or bool(one.changes or one.datums_run or sourced.get(full))
        if app.output.form:
            app.output.raw(one.raw)
        else:
            above = [other.pipeline for other in running if one.pipeline in other.downstream]
            _show(app, args, one, [*sourced.get(full, ()), *_above(above)])
            app.output.out.flush()
        if one.datums_run:
            running.append(one)
    for name in sorted(wanted - seen):
        raise NotFound(f"no spec of pipeline {name} was given", f"given are {', '.join(seen)}")
    return DIFFERENT if differs and args.exit_code else 0


def _with_source(
    app: App, args: Args, given: list[SpecText]
) -> tuple[list[SpecText], dict[str, list[str]]]:
    """The specs with ``transform.build`` as an update would rewrite them, where the box has the
    pipeline already, and what is to be said of their source, by full name."""
    from pachybox.cli.documents import documents
    from pachybox.client.build_pipelines import Builds
    from pachybox.client.build_plan import Plan, asks

    made, remarks = [], {}
    for one in given:
        found = documents(one.text) if "build" in one.text else None
        changed = False
        for number, document in enumerate(found or ()):
            if not (isinstance(document, dict) and asks(document)):
                continue
            plan = Plan.of(document, one.folder, runner=args.runner or "")
            full = plan.pipeline if "/" in plan.pipeline else f"{app.project}/{plan.pipeline}"
            try:
                head = app.box(Builds).inspect_commit(f"{plan.repo}@master")
            except NotFound:
                remarks[full] = ["its source would be uploaded and built"]
                continue
            assert found is not None
            found[number], changed = plan.document, True
            if head.description != plan.said:
                remarks[full] = ["its source changes: every datum runs once it is uploaded"]
        made.append(replace(one, text=json.dumps(found)) if changed else one)
    return made, remarks


def _above(names: Sequence[str]) -> Iterator[str]:
    """What to say of pipelines with datums to run whose output is read."""
    if names:
        yield f"reads {', '.join(names)}, whose new output may bring more datums"


def _show(app: App, args: Args, one: PipelineDifference, notes: Sequence[str]) -> None:
    """One pipeline for people; ``notes`` are what the box does not know."""
    out = app.output
    fate = f"version {one.version} -> {one.version + 1}" if one.version else "new"
    changes = one.user_changes if args.user_spec else one.changes
    if not changes and one.version:
        fate = f"version {one.version}, no difference"
        if one.user_changes and not args.user_spec:
            fate += " but in what is written out (--user-spec)"
    out.line(f"{one.pipeline}: {fate}")
    rows = [row for change in changes for row in _rows(change)]
    width = max((len(path) for _, path, _, _ in rows), default=0)
    for sign, path, value, default in rows:
        colour = "dim" if default and not one.version else {"-": "red", "+": "green"}[sign]
        text = f"  {sign} {path.ljust(width)}  {value}{'  (default)' * default}"
        out.line(out.paint(Painted.of(text, colour), text))
    for line in _work(one, notes):
        out.line(f"  {line}")


def _rows(change: FieldChange) -> Iterator[tuple[str, str, str, bool]]:
    """(sign, path, value, is a default) of what a field was and of what it would be."""
    if change.old:
        yield "-", change.path, _value(change.old), change.old_is_default
    if change.new:
        yield "+", change.path, _value(change.new), change.new_is_default


def _value(text: str) -> str:
    """A JSON value in one line, its control characters written out."""
    return text if text.isprintable() else json.dumps(json.loads(text))


def _work(one: PipelineDifference, notes: Sequence[str]) -> Iterator[str]:
    if one.job:
        again = one.datums_run - one.datums_new
        parts = [f"{again} again" * bool(again), f"{one.datums_new} new" * bool(one.datums_new)]
        which = ", ".join(filter(None, parts))
        kept = one.datums_total - one.datums_run
        gone = f", {one.datums_gone} gone" if one.datums_gone else ""
        run = f"{one.datums_run} run ({which})" if which else "none run"
        yield f"datums: {run}, {kept} kept{gone}"
    else:
        yield "datums: no job yet"
    yield from (f"note: {remark}" for remark in (*one.remarks, *notes))
    if one.datums_run and one.downstream:
        yield f"then: {', '.join(one.downstream)}"


def _arguments(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="*", help="only these of the specs")
    arguments(parser)
    flag(parser, "--reprocess", help="as update pipeline --reprocess would do")
    flag(parser, "--user-spec", help="compare what users wrote, not the specs in effect")
    flag(parser, "--exit-code", help=f"exit with {DIFFERENT} when something would change or run")
    runner(parser, "as update pipeline has it: process, podman, kubernetes")
    project(parser)
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


COMMANDS = {
    "diff pipeline": Command(
        _arguments,
        _run,
        (
            "diff pipeline -f edges.json",
            "diff pipeline -f specs/ --exit-code",
            "extract pipeline edges^ | pachybox diff pipeline",
        ),
        "Compares specs, defaults filled in, with the pipelines of the box, and plans the job\n"
        "that an update would start on the present heads: which datums would run, which are\n"
        "kept. Nothing is changed. Specs come from where create pipeline takes them, checked as\n"
        "there (create pipeline --dry-run prints them as they would be used).",
    )
}
