"""``install`` and ``uninstall``: the box as a service that starts with the machine."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.box import port
from pachybox.cli.command import Args, Command, Parser, flag, many
from pachybox.cli.output import note
from pachybox.cli.steps import told
from pachybox.errors import InvalidArgument, PachyboxError, Refused

if TYPE_CHECKING:
    from appliance.service.plan import Plan
    from pachybox.placing import Step
    from pachybox.systemd import Systemd

_LEAST_MEMORY = 128 << 20


def _install(app: App, args: Args) -> None:
    from appliance.service import install, unit
    from pachybox.systemd import Systemd

    wanted = _wanted(args)
    manager = Systemd(user=args.user)
    start = not (args.no_start or args.dry_run or not wanted.live)
    install.check(wanted, manager, start=start)
    program = Path(args.program) if args.program else None
    wanted = install.with_program(wanted, program, act=not args.dry_run)
    steps = told(app, install.install(wanted, act=not args.dry_run), dry=args.dry_run)
    if args.dry_run:
        if not app.output.form:
            app.output.line(f"\n{unit.render(wanted)}")
        return
    if wanted.live and not manager.why_not():
        manager.reload()
    if start:
        _start(app, wanted, manager, steps)
    if args.user and not install.lingers():
        note("it ends when you log out; to keep it: loginctl enable-linger")


def _start(app: App, wanted: Plan, manager: Systemd, steps: Iterable[Step]) -> None:
    """Start the service unless it runs as it should; say where the box is."""
    changed = any(s.what in ("program", "unit") and s.state != "kept" for s in steps)
    manager.start(wanted.name, anew=changed)
    if app.output.form:
        return
    from pachybox.client.address import Address, socket_path
    from pachybox.client.box import Box

    box = Box(Address(path=socket_path(str(wanted.home))), timeout_s=30.0)
    try:
        status = box.status()
    finally:
        box.close()
    app.output.line(f"{wanted.name}.service runs: {status.address}, {status.grpc_address}")
    if wanted.system:
        app.output.line(f"for other users of this machine: pachybox connect {status.address}")


def _uninstall(app: App, args: Args) -> None:
    from appliance.service import uninstall
    from appliance.service.install import as_root
    from pachybox.systemd import Systemd

    wanted = _paths(args)
    there = uninstall.installed(wanted)
    if there is None:
        note(f"there is no {wanted.unit}")
        if args.purge and wanted.on_disk(wanted.home).exists():
            raise Refused(
                f"{wanted.home} is left from before, and no unit says that it is a box's",
                f"look at it, then: rm -r {wanted.home}",
            )
        return
    if there.system:
        as_root("removed")
    if args.purge:
        uninstall.check(there)
    if args.purge and not args.dry_run:
        app.confirm(f"Delete all data of the box in {there.home}, its settings and keys")
    manager = Systemd(user=args.user)
    live = there.live and not args.dry_run and not manager.why_not()
    if live:
        manager.stop(there.name)
    steps = uninstall.uninstall(there, purge=args.purge, act=not args.dry_run)
    told(app, steps, dry=args.dry_run)
    if live:
        manager.forget(there.name)


def _paths(args: Args) -> Plan:
    from appliance.service import plan
    from pachybox.placing import named_root

    if args.user:
        if args.root is not None:
            raise InvalidArgument("--root is for services of a machine", "leave --user out")
        return plan.own(args.name)
    return plan.system(args.name, root=named_root(args.root))


def _wanted(args: Args) -> Plan:
    """What the flags ask for; where they say nothing, what an earlier install was told. Raises
    InvalidArgument when they do not go together."""
    from dataclasses import replace

    from appliance.service import plan, uninstall

    paths = _paths(args)
    there = uninstall.installed(paths) or paths
    home = Path(args.home) if args.home else there.home
    folder = Path(args.bin) if args.bin else there.bin
    if args.user:
        if args.run_as or args.writable:
            name = "--run-as" if args.run_as else "--writable"
            raise InvalidArgument(f"{name} is for services of a machine", "leave --user out")
        made = plan.own(args.name, home=home, bin_=folder)
    else:
        user = args.run_as or there.user
        made = plan.system(args.name, root=paths.root, home=home, bin_=folder, user=user)
    ports = {"http_port": args.port, "grpc_port": args.grpc_port}
    return replace(
        made,
        memory=args.memory or there.memory,
        writable=tuple(Path(path).absolute() for path in args.writable) or there.writable,
        ports={key: value for key, value in ports.items() if value is not None},
    )


def _memory(text: str) -> int:
    from pachybox.model.units import parse_decimal_size

    try:
        size = parse_decimal_size(text)
    except PachyboxError as e:
        raise ArgumentTypeError(str(e)) from e
    if size < _LEAST_MEMORY:
        raise ArgumentTypeError(f"{text!r} is too little for a box: give 128Mi at least")
    return size


def _shared(parser: Parser) -> None:
    flag(parser, "--user", help="a service of your own, not of the machine")
    parser.add_argument(
        "--name", default="pachybox", metavar="NAME", help="the unit's name; one for each box"
    )
    parser.add_argument(
        "--root", metavar="DIR", help="work on the system below DIR, and start nothing"
    )
    flag(parser, "--dry-run", help="say what would be done, and do nothing")
    flag(parser, "--raw", help="one JSON object a step")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


def _installing(parser: Parser) -> None:
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the data directory (default /var/lib/NAME; with --user yours)",
    )
    parser.add_argument(
        "--bin",
        metavar="DIR",
        help="where the program goes (/usr/local/bin; with --user ~/.local/bin)",
    )
    parser.add_argument(
        "--program", metavar="FILE", help="the one file to install (default: the one that runs now)"
    )
    parser.add_argument(
        "--run-as", metavar="USER", help="whose process it is (default: a user NAME, which is made)"
    )
    parser.add_argument(
        "--memory",
        type=_memory,
        metavar="SIZE",
        help="what it may take, pipelines included (90%% of the machine's)",
    )
    many(parser, "--writable", metavar="DIR", help="a directory it may write to beside its own")
    parser.add_argument("--port", type=port, metavar="N", help="the HTTP port of a new box")
    parser.add_argument("--grpc-port", type=port, metavar="N", help="the gRPC port of a new box")
    flag(parser, "--no-start", help="do not start it now, only with the machine")
    _shared(parser)


def _uninstalling(parser: Parser) -> None:
    flag(parser, "--purge", help="delete the data too, with settings, keys and user")
    flag(parser, "-y", "--yes", help="do not ask")
    _shared(parser)


COMMANDS = {
    "install": Command(
        _installing,
        _install,
        (
            "install",
            "install --memory 2GB --writable /mnt/backup",
            "install --run-as root",
            "install --user",
            "install --name second --port 31600 --grpc-port 31650",
            "install --dry-run",
        ),
        "A hardened unit of systemd with a watchdog and a bound of memory, a user, the data\n"
        "directory, settings with comments, completion of shells. Run again it changes what\n"
        "differs, and keeps what it was told before: a newer program is installed by its own\n"
        "install. See docs/service.md.",
    ),
    "uninstall": Command(
        _uninstalling,
        _uninstall,
        ("uninstall", "uninstall --purge", "uninstall --user"),
        "The data stays, unless --purge is given.",
    ),
}
