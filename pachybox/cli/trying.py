"""What ``run datum`` and ``dev`` share: a spec and its source on their way to a trial, and what
the trial tells on its way to people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.build import built
from pachybox.cli.command import Args, Parser, many, project, runner, whole
from pachybox.cli.documents import documents
from pachybox.cli.output import Output, Painted, columns, size, span, visible
from pachybox.cli.pipeline import make
from pachybox.cli.spec_source import SpecText, given_arguments, texts
from pachybox.client.build_plan import asks
from pachybox.client.filesets import Filesets
from pachybox.client.pipeline_values import DatumInfo
from pachybox.client.pipelines import Pipelines
from pachybox.client.trial_source import Folder, Sent
from pachybox.client.trial_values import (
    OutputChange,
    OutputDifference,
    TrialDatum,
    TrialEnd,
    TrialLine,
    TrialPlan,
)
from pachybox.client.trials import Trials
from pachybox.client.values import Json, commit_name
from pachybox.errors import InvalidArgument

SAMPLE = 3
_LABEL = 30  # columns of a datum's name


class Box(Trials, Filesets, Pipelines):
    """What of the client a trial takes."""


def arguments(parser: Parser) -> None:
    """The flags of both."""
    parser.add_argument("--src", metavar="DIR", help="the source code to try")
    parser.add_argument(
        "-n", "--sample", type=whole, default=SAMPLE, metavar="N",
        help=f"so many datums, spread evenly over all ({SAMPLE}); 0 is all",
    )  # fmt: skip
    many(parser, "--datum", metavar="ID|PATH", help="this datum, by id or by the path of an input")
    many(
        parser, "--branch", metavar="REPO@REF",
        help="read this commit or branch in place of the head that the spec names",
    )  # fmt: skip
    parser.add_argument("--mount", metavar="PATH", help="where code sees DIR (default below)")
    parser.add_argument("--pipeline", metavar="NAME", help="which one, of a file of several specs")
    runner(parser)
    many(parser, "--arg", metavar="KEY=VALUE", help="an argument of a jsonnet template, text")
    project(parser)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one run is asked for, as found in the files. ``build`` is the spec of the pipeline that
    builds, empty where nothing is to be built."""

    spec: SpecText
    text: str
    build: str
    files: dict[str, Path | bytes]


class Trying:
    """One session of trials on a spec: reads the files, sends what changed, asks for runs."""

    def __init__(self, app: App, args: Args, name: str, box: Box) -> None:
        """``name`` is the spec as the command line has it. Raises InvalidArgument when --src is
        no directory."""
        self.trial = ""
        self.folder = Folder(Path(args.src)) if args.src else None
        """Where the source is; known of a spec that names it once it was read."""
        self._app = app
        self._args = args
        self._name = name
        self._box = box
        self._sent = Sent()
        self._spec = ""  # of the last run
        self._built: tuple[str, SpecText] | None = None  # a text, and what --build made of it
        if args.mount and not args.src:
            raise InvalidArgument("--mount is where code sees --src", "add --src DIR")

    def _found(self) -> SpecText:
        found = texts(self._app, [self._name], given_arguments(self._args.arg))
        if len(found) > 1:
            raise InvalidArgument(f"{self._name} is {len(found)} files", "name one of them")
        return found[0]

    def read(self) -> Wanted:
        """The spec and the names of the source's files, as they are now. Raises InvalidArgument
        for what cannot be read."""
        spec = self._found()
        if self._built is None or self._built[0] != spec.text:
            self._built = (spec.text, built(self._app, self._args, spec))
        used = self._built[1]
        if (document := self._to_build(used)) is not None:
            return self._read_build(spec, used, document)
        if self.folder is not None and not self._args.src:
            self.folder = None  # the spec does not name it any more
        files = self.folder.files() if self.folder is not None else {}
        return Wanted(spec, used.text, "", files)

    def _to_build(self, spec: SpecText) -> Json | None:
        """The spec to try, if its source is to be built."""
        found = [one for one in documents(spec.text) or () if isinstance(one, dict)]
        if name := self._args.pipeline:
            found = [one for one in found if (one.get("pipeline") or {}).get("name") == name]
        return found[0] if len(found) == 1 and asks(found[0]) else None

    def _read_build(self, spec: SpecText, used: SpecText, document: Json) -> Wanted:
        from pachybox.client.build_plan import Plan
        from pachybox.client.build_source import SourceCode

        if self._args.mount:
            raise InvalidArgument(
                "with transform.build code sees its source at /pfs/source", "leave --mount out"
            )
        if not self._args.src:
            build = document["transform"]["build"]
            path = (build.get("path") if isinstance(build, dict) else None) or "."
            if used.folder is None:
                raise InvalidArgument(
                    f"{used.source} is not of this machine, and so has no source beside it",
                    "name the directory of its source: --src DIR",
                )
            self.folder = Folder(used.folder / path)
        assert self.folder is not None
        if spec.text != self._spec:  # what is wrong is said of the text the user knows
            self._box.create_pipelines(
                used.text, source=used.source, update=True, dry_run=True,
                runner=self._args.runner or "",
            )  # fmt: skip
        files = SourceCode(self.folder.files())
        plan = Plan.of(document, used.folder, source=files, runner=self._args.runner or "")
        return Wanted(
            spec, json.dumps(plan.document), json.dumps(plan.build), dict(plan.source.files)
        )

    def run(self, *, always: bool = True) -> int:
        """Ask for a run; its number. Unless ``always``, 0 without one when nothing has changed
        since the last. Raises what is wrong with spec and source."""
        wanted = self.read()
        changes = self._sent.changes(wanted.files)
        changed = changes or self._sent.changed_rights or wanted.spec.text != self._spec
        if not always and not changed:
            return 0
        self._spec = wanted.spec.text  # one with errors is not complained of again
        fileset = self._box.create_fileset(changes.put, changes.deleted) if changes else ""
        args = self._args
        number = self._box.run_trial(
            self.trial,
            wanted.text,
            source=wanted.spec.source,
            pipeline=args.pipeline or "",
            sample=args.sample,
            datums=args.datum,
            inputs=args.branch,
            fileset=fileset,
            programs=changes.programs,
            place=args.mount or "",
            build=wanted.build,
            runner=args.runner or "",
        )
        self._sent.accepted()
        return number

    def apply(self) -> Iterator[str]:
        """Make or update the pipeline of the spec as it is now, with its source where the spec
        says how to build that; what to say of it."""
        spec, args = self._found(), self._args
        if args.src and (document := self._to_build(spec)) is not None and self.folder is not None:
            document["transform"]["build"]["path"] = str(self.folder.root)
            spec = replace(spec, text=json.dumps(document))
        made = make(self._app, args, [spec], update=True)
        if not made:
            yield "updated its source"
        for one in made:
            transform = one.effective_spec.get("transform") or {}
            what = "made" if one.created else "updated"
            yield f"{what} pipeline {one.name}, version {one.version}"
            named = transform.get("image") or transform.get("working_dir")
            if args.src and not named and self._to_build(spec) is None:
                yield (
                    f"warning: {one.name} does not have the code of {args.src}: give the spec "
                    "transform.build, an image, or the code's place in transform.working_dir"
                )


# ---- for people


class Telling:
    """Prints the events of runs for people."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._labels: dict[str, str] = {}
        self._width = 0
        self._counts: dict[str, int] = {}

    def tell(self, what: TrialPlan | TrialLine | TrialDatum) -> None:
        """An event of a run, but its end."""
        if isinstance(what, TrialPlan):
            self.plan(what)
        elif isinstance(what, TrialLine):
            self.line(what)
        else:
            self.datum(what)

    def plan(self, plan: TrialPlan) -> None:
        """The head of a run."""
        self._labels = {datum.id: label(datum) for datum in plan.datums}
        self._width = max((columns(text) for text in self._labels.values()), default=0)
        self._counts = {}
        shown = f"{len(plan.datums)} of {plan.total} datums"
        if len(plan.datums) == plan.total:
            shown = f"{plan.total} datum" + "s" * (plan.total != 1)
        place = f", source at {plan.place}" if plan.place else ""
        self._line(Painted.of(f"{plan.pipeline}: {shown}{place}", "blue"))
        for branch in plan.empty:
            self._line(f"  {branch} has no commit")

    def line(self, line: TrialLine) -> None:
        """A line of the code's output."""
        self._line(f"  {self._label(line.datum)} | {line.message}")

    def datum(self, datum: TrialDatum) -> None:
        """A datum that has ended, and what is new of its output."""
        state = {"SUCCESS": "ok", "FAILED": "failed"}.get(
            datum.info.state, datum.info.state.lower()
        )
        self._counts[state] = self._counts.get(state, 0) + 1
        colour = {"ok": "green", "failed": "red"}.get(state, "yellow")
        files = f"{datum.files} file" + "s" * (datum.files != 1)
        what = f"{files}, {size(datum.size_bytes)}" if state == "ok" else visible(datum.reason)
        mark = self._out.paint(Painted.of("", colour), f"{state:<7}")
        self._out.line(
            f"  {mark} {visible(self._label(datum.info.id))}  {what}, "
            f"{span(datum.info.process_s)}{self._compared(datum)}"
        )
        difference = datum.last if datum.last is not None else datum.present
        for change in difference.changes if difference is not None else ():
            self._change(change)
        if difference is not None and difference.more:
            self._line(f"    and {difference.more} more files")

    @staticmethod
    def _compared(datum: TrialDatum) -> str:
        def said(found: OutputDifference, what: str) -> str:
            number = len(found.changes) + found.more
            one = f"{number} files differ" if number > 1 else "1 file differs"
            return f"; {one} from {what}" if number else f"; as {what}"

        if datum.last is not None:
            return said(datum.last, "the last run's")
        if datum.present is not None:
            return said(datum.present, "the pipeline's")
        return ""

    def _change(self, change: OutputChange) -> None:
        sign, colour = {"added": ("+", "green"), "removed": ("-", "red")}.get(
            change.op, ("~", "yellow")
        )
        sizes = {
            "added": size(change.new_bytes),
            "removed": size(change.old_bytes),
        }.get(change.op, f"{size(change.old_bytes)} -> {size(change.new_bytes)}")
        self._line(Painted.of(f"    {sign} {change.path} ({sizes})", colour))
        for line in change.text.split("\n") if change.text and change.op == "changed" else ():
            paint = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
            self._line(Painted.of(f"        {line}", paint))

    def end(self, end: TrialEnd, since_save: float | None = None) -> None:
        """The last of a run."""
        if end.state == "CANCELLED":
            return
        counts = ", ".join(f"{number} {state}" for state, number in self._counts.items())
        after = f", {span(since_save)} after the save" if since_save is not None else ""
        colour = "green" if end.state == "SUCCESS" else "red"
        if end.message:
            self._line(
                Painted.of(f"{end.message}; {end.hint}" if end.hint else end.message, colour)
            )
        if counts or not end.message:
            self._line(Painted.of(f"{counts or 'no datum to run'}{after}", colour))

    def _label(self, datum: str) -> str:
        text = self._labels.get(datum, datum[:8])
        return text + " " * (self._width - columns(text))

    def _line(self, text: str) -> None:
        self._out.line(self._out.paint(text, visible(text)))


def label(datum: DatumInfo) -> str:
    """A datum as people know it: the paths of its inputs, without those that are all of a repo
    where there are others."""
    found = [_named(one.raw) for one in datum.inputs]
    parts = [path for _, path in found if path != "/"] or [repo for repo, _ in found]
    text = ", ".join(dict.fromkeys(parts)) or datum.id[:8]
    return text if columns(text) <= _LABEL else f"{text[: _LABEL - 3]}..."


def _named(raw: dict[str, object]) -> tuple[str, str]:
    file = raw.get("file")
    if not isinstance(file, dict):
        return "", "/"
    return commit_name(file.get("commit")).partition("@")[0], str(file.get("path") or "/")
