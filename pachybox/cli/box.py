"""Commands on the box itself: starting, stopping, state, checks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import (
    RUNNERS,
    Args,
    Command,
    Parser,
    flag,
    ignored,
    many,
    records,
    seconds,
    whole,
)
from pachybox.cli.output import Painted, note, size
from pachybox.client.address import SYSTEM_HOME, Address, data_directory, socket_path
from pachybox.client.box import Box
from pachybox.client.pipeline_values import BoxStatus
from pachybox.errors import PachyboxError, Refused, Unimplemented, Unreachable

_START_S = 60.0
_STOP_S = 60.0
_LEVELS = {"ok": "green", "warn": "yellow", "fail": "red", "error": "red", "fixed": "green"}


def _up(app: App, args: Args) -> int | None:
    from pachybox import init

    if init.needed() and not args.detach:
        return init.run(init.same_command())
    if args.home:
        os.environ["PACHYBOX_HOME"] = str(Path(args.home).absolute())
    _not_the_service()
    if args.detach:
        _detach(app, args)
        return None
    from pachybox.config import load
    from pachybox.daemon import main

    given = {"http_port": args.port, "grpc_port": args.grpc_port, "runner": args.runner}
    short = {key: value for key, value in given.items() if value is not None}
    main(load(flags={**_set_flags(args.set), **short}))
    return None


def _set_flags(given: Sequence[str]) -> dict[str, int | str]:
    if not given:
        return {}
    from pachybox.cli.settings import flags

    return flags(given)


def _not_the_service() -> None:
    """Raise Refused rather than run the system service's box as root because nothing else was
    named: what it then writes the service may not read."""
    if "PACHYBOX_HOME" not in os.environ and data_directory() == SYSTEM_HOME:
        raise Refused(
            f"the box in {SYSTEM_HOME} is the system service's",
            "start it with: systemctl start pachybox, or another one with --home DIR",
        )


def _detach(app: App, args: Args) -> None:
    flags = []
    if args.port is not None:
        flags += ["--port", str(args.port)]
    if args.grpc_port is not None:
        flags += ["--grpc-port", str(args.grpc_port)]
    if args.runner:
        flags += ["--runner", args.runner]
    _set_flags(args.set)  # what is wrong is said here
    for pair in args.set:
        flags += ["--set", pair]
    status = start(flags)
    doors = ", ".join(filter(None, (status.address, status.grpc_address)))
    app.output.line(f"pachybox is up: {doors} and {status.socket or socket_path()}")


def start(flags: Sequence[str] = ()) -> BoxStatus:
    """Start a box in the data directory, in the background; return what it says of itself once it
    serves. Raises Refused with its last words when it ends before."""
    socket = socket_path()
    run = Path(socket).parent
    run.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    run.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "pachybox.cli", "up", *flags]
    errors = run / "box.err"
    with open(errors, "w") as said:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PACHYBOX_HOME": str(run.parent)},  # absolute
        )
    box = Box(Address(path=socket), timeout_s=5.0)
    try:
        await_ready(box, child, errors)
        return box.status()
    finally:
        box.close()


def await_ready(box: Box, child: subprocess.Popen[bytes], errors: Path) -> None:
    """Return once the box serves; raise Refused with its last words when it ends before."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            words = errors.read_text(errors="replace").strip().splitlines()
            last = words[-1].removeprefix("pachybox: ") if words else "it said nothing"
            raise Refused(f"the box did not start: {last}")
        try:
            if box.healthy() and box.status().pid == child.pid:
                return
        except PachyboxError:
            pass
        time.sleep(0.02)
    raise Refused(f"the box did not answer in {_START_S:.0f} s", f"see {errors.parent}/box.log")


def _down(app: App, args: Args) -> None:
    from pachybox.lock import is_free

    box = app.box(Box)
    try:
        home = Path(box.status().home)
    except Unreachable:
        note(f"no box answers at {box.address}")
        return
    box.shutdown()
    box.close()
    lock = home / "run" / "box.pid"
    deadline = time.monotonic() + args.timeout
    while not (is_free(lock) if box.address.local else _silent(box)):
        if time.monotonic() > deadline:
            raise Refused(f"the box at {home} is still stopping", "wait, then try again")
        time.sleep(0.01)


def _silent(box: Box) -> bool:
    box.transport.answered = False  # no patience: its going is what we wait for
    try:
        return not box.healthy()
    except Unreachable:
        return True


def _status(app: App, args: Args) -> None:
    status = app.box(Box).status()
    out = app.output
    if not status.pid and not out.form:  # a token for some repos is told no figures of the box
        out.fields(
            status,
            [
                ("Version", status.version),
                ("Started", out.time(status.started)),
                ("Address", status.address),
                ("gRPC address", status.grpc_address),
            ],
        )
        note("this token is for some repos; what it sees: pachybox list repo")
        return
    free, total = size(status.disk_free_bytes), size(status.disk_total_bytes)
    out.fields(
        status,
        [
            ("Version", status.version),
            ("Home", status.home),
            ("Process", str(status.pid)),
            ("Started", out.time(status.started)),
            ("Address", status.address),
            ("gRPC address", status.grpc_address),
            ("Socket", status.socket),
            ("Runner", status.runner),
            ("Repos", str(status.repos)),
            ("Commits", str(status.commits)),
            ("Pipelines", str(status.pipelines)),
            ("Running jobs", str(status.jobs_running)),
            ("Ingest", _ingest(app)),
            ("Stored", size(status.store_bytes)),
            ("Disk", f"{free} free of {total}"),
            ("Janitor", status.janitor),
            ("Scrub", status.scrub),
            *(("Warning", Painted.of(text, "yellow")) for text in status.warnings),
        ],
    )


def _ingest(app: App) -> str:
    """How many sources there are, and which do not run."""
    if app.output.form:
        return ""
    from pachybox.cli.ingest import summary
    from pachybox.client.ingests import Ingests

    return summary(list(app.box(Ingests).list_ingest()))


def _version(app: App, args: Args) -> int:
    import pachybox

    out = app.output
    mine = pachybox.__version__
    if args.client_only:
        out.line(mine)
        return 0
    box = app.box(Box)
    box.transport.timeout_s = args.timeout
    try:
        api, version = box.version(), box.status().version
    except PachyboxError:
        if not out.form:
            out.table([("pachybox", mine)], ("COMPONENT", "VERSION"))
        raise
    spoken = ".".join(str(api.get(part, 0)) for part in ("major", "minor", "micro"))
    if out.form:
        out.raw({"pachybox": mine, "box": version, "api": spoken})
    else:
        rows = [("pachybox", mine), ("box", version), ("Pachyderm API", spoken)]
        out.table(rows, ("COMPONENT", "VERSION"))
    return 0


def _cluster(app: App, args: Args) -> None:
    info = app.box(Box).inspect_cluster()
    if app.output.form:
        app.output.raw(info)
    else:
        app.output.line(str(info.get("id", "")))


def _fsck(app: App, args: Args) -> int:
    if args.zombie or args.zombie_all:
        raise Unimplemented(
            "fsck --zombie is not built", "results of vanished datums leave with their datum"
        )
    out, wrong = app.output, 0
    for record in app.box(Box).fsck(fix=args.fix, quick=args.quick):
        level = record.get("level", "info")
        wrong |= level == "error"
        if out.form:
            out.raw(record)
        else:
            word = out.paint(Painted.of(level, _LEVELS.get(level, "")), level)
            out.line(f"{word}: {record.get('thing', '')}: {record.get('detail', '')}")
    return int(wrong)


def _collect(app: App, args: Args) -> None:
    freed = app.box(Box).collect_garbage()
    if app.output.form:
        app.output.raw(freed)
        return
    packs, objects = freed.get("packsRemoved", 0), freed.get("objectsRemoved", 0)
    app.output.line(
        f"freed {size(int(freed.get('freedBytes') or 0))}: {packs} packs, {objects} large objects"
    )


def _delete_all(app: App, args: Args) -> None:
    app.confirm("Delete every pipeline, repo, commit, job, file and secret of the box")
    app.box(Box).delete_all()


def _starting(parser: Parser) -> None:
    flag(parser, "-d", "--detach", help="start it in the background, and return once it serves")
    parser.add_argument("--home", metavar="DIR", help="the data directory (default $PACHYBOX_HOME)")
    parser.add_argument("--port", type=port, metavar="N", help="the HTTP port; 0 is any free one")
    parser.add_argument(
        "--grpc-port", type=port, metavar="N", help="the gRPC port; 0 is any free one"
    )
    parser.add_argument("--runner", choices=RUNNERS, help="what runs datums")
    many(parser, "--set", metavar="KEY=VALUE", help="a setting; see: pachybox config explain")


def port(text: str) -> int:
    """A type of arguments: a port, 0 for any free one."""
    number = whole(text)
    if number > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: the highest is 65535")
    return number


def _stopping(parser: Parser) -> None:
    parser.add_argument(
        "--timeout", type=seconds, default=_STOP_S, metavar="DURATION", help="wait at most so long"
    )


def _machine(parser: Parser) -> None:
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


def _versions(parser: Parser) -> None:
    flag(parser, "--client-only", help="this command's version only")
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="DURATION", help="wait at most so long"
    )
    _machine(parser)
    ignored(parser, "--enterprise")


def _checking(parser: Parser) -> None:
    flag(parser, "-f", "--fix", help="mend what can be mended")
    flag(parser, "--quick", help="the metadata alone, and where the trees of heads begin")
    parser.add_argument("--zombie", metavar="REPO@REF", help="not built")
    flag(parser, "--zombie-all", help="not built")
    _machine(parser)


def _collecting(parser: Parser) -> None:
    _machine(parser)
    ignored(parser, "-m", "--memory", value=True)


def _deleting(parser: Parser) -> None:
    flag(parser, "-y", "--yes", help="do not ask")


COMMANDS = {
    "up": Command(
        _starting,
        _up,
        ("up --detach", "up --home /srv/box --port 0", "up --set scrub_days=7"),
        "In the foreground until Ctrl-C, unless --detach.",
    ),
    "down": Command(_stopping, _down, ("down",), "Returns once the data directory is free."),
    "status": Command(records, _status, ("status", "status --raw")),
    "version": Command(_versions, _version, ("version", "version --client-only")),
    "inspect cluster": Command(_machine, _cluster, ("inspect cluster --raw",)),
    "fsck": Command(
        _checking,
        _fsck,
        ("fsck", "fsck --quick", "fsck --fix"),
        "Exit status 1 when something is wrong.",
    ),
    "garbage-collect": Command(
        _collecting, _collect, ("garbage-collect",), "The box does this by itself now and then."
    ),
    "delete all": Command(_deleting, _delete_all, ("delete all -y", "yes | pachybox delete all")),
}
