"""``ci``: specs checked, built and run in a throw-away box on a sample of data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.ci_report import FAILED, Report
from pachybox.cli.command import Args, Command, Parser, flag, many, project, runner, seconds, whole
from pachybox.cli.spec_source import given_arguments
from pachybox.errors import InvalidArgument, Unreachable

if TYPE_CHECKING:
    from pachybox.cli.ci_data import Elsewhere

_LONGEST_S = 1800.0


def _run(app: App, args: Args) -> int:
    from pachybox.cli.ci_box import Throwaway
    from pachybox.cli.ci_data import Data, directories
    from pachybox.cli.ci_run import Run
    from pachybox.cli.ci_specs import found, names

    paths = args.path or ["."]
    named = names(paths)
    args.project = args.project or "default"  # and not the one of a box elsewhere
    report = Report(app.output)
    data = Data(directories(args.data), list(_folders(paths)), _elsewhere(app, args))
    try:
        with Throwaway() as box, _Only(box.address):
            try:
                given = found(app, named, paths, given_arguments(args.arg), report)
                if given:
                    Run(app, args, report, data).whole(given)
            except Unreachable as e:
                report.add("job", "the box", FAILED, str(e), text=box.last_words())
    finally:
        report.live("")
        if data.elsewhere is not None:
            data.elsewhere.box.close()
        if args.junit:
            report.junit(args.junit)
    report.summary()
    return int(report.count(FAILED) > 0)


def _folders(paths: Sequence[str]) -> Iterator[Path]:
    """Where ``testdata`` and ``expected`` may be: beside the specs, or in the directory we are
    in."""
    seen = []
    for path in [*paths, "."]:
        here = Path(path)
        folder = here if here.is_dir() else here.parent
        if folder.is_dir() and folder not in seen:
            seen.append(folder)
            yield folder


def _elsewhere(app: App, args: Args) -> Elsewhere | None:
    """The box of --from. Raises Unreachable when it does not answer."""
    from pachybox.cli.ci_data import Elsewhere
    from pachybox.client.address import resolve
    from pachybox.client.sync import Client

    if args.source is None:
        for name in ("branch", "sample"):
            if getattr(args, name):
                raise InvalidArgument(f"--{name} goes with --from", "add --from ADDRESS")
        return None
    address = app.settings.address() if args.source in ("", "-") else args.source
    token = os.environ.get("PACHYBOX_TOKEN") or app.settings.context.get("token", "")
    ca = app.settings.ca() if args.source in ("", "-") else None
    box = Client(resolve(address, ca), token=token, project=app.project)
    try:
        box.status()
    except BaseException:
        box.close()
        raise
    return Elsewhere(box, args.branch or "", args.sample)


class _Only:
    """A block in which every command of this process speaks to one box, whatever is set."""

    def __init__(self, address: str) -> None:
        self._wanted = {"PACHYBOX_ADDRESS": address}
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="*",
        help="specs: files, directories of them (default: this one), URLs, paths in Git",
    )  # fmt: skip
    many(
        parser, "--data", metavar="REPO=DIR",
        help="the files of a repo (default: testdata/REPO beside the specs)",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="source", metavar="ADDRESS",
        help="take the data of other repos from this box; - is the context's",
    )  # fmt: skip
    parser.add_argument("--branch", metavar="NAME", help="take it from this branch")
    parser.add_argument(
        "--sample", type=whole, default=0, metavar="N",
        help="only the first N files or directories that match an input's glob",
    )  # fmt: skip
    parser.add_argument(
        "--expected", metavar="DIR",
        help="DIR/PIPELINE is what a pipeline must make (default: expected/ beside the specs)",
    )  # fmt: skip
    flag(
        parser, "--accept",
        help="write there what the pipelines make: those with a directory there, all if it is new",
    )  # fmt: skip
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit report")
    many(parser, "--secret", metavar="FILE", help="a secret, as create secret -f takes it")
    many(parser, "--arg", metavar="KEY=VALUE", help="an argument of templates (*.jsonnet)")
    runner(parser, "run with this runner: process, podman, kubernetes")
    flag(parser, "--no-build", help="build no image: those that are here are run")
    parser.add_argument(
        "--timeout", type=seconds, default=_LONGEST_S, metavar="DURATION",
        help="give up jobs that run so long (default: 30m)",
    )  # fmt: skip
    project(parser)
    flag(parser, "--raw", help="one JSON object for each thing looked at")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


_ABOUT = """\
Checks the specs, builds the images of those with a Containerfile, and runs all of them in a box
that is made for it and removed afterwards, on files of yours or of a real box. Fails (exit status
1) when a spec is wrong, a build or a job fails, or an output differs from what is expected. What
does not depend on a failure goes on. Egress and triggers are left out. See docs/ci.md."""

COMMANDS = {
    "ci": Command(
        _arguments,
        _run,
        (
            "ci",
            "ci specs/ --data images=samples/images --junit report.xml",
            "ci specs/ --from - --branch staging --sample 20",
            "ci specs/ --accept",
        ),
        _ABOUT,
    )
}
