"""``upgrade``."""

from __future__ import annotations

from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, seconds
from pachybox.cli.output import note
from pachybox.errors import InvalidArgument

_WAIT_S = 600.0


def _run(app: App, args: Args) -> None:
    from appliance.running import Running
    from appliance.upgrade import Upgrade, installed_file, undo
    from pachybox.config import load

    config = load()
    if args.undo:
        if args.file:
            raise InvalidArgument("--undo takes no file", "it puts back what was there before")
        app.confirm("Put back the metadata from before, and lose what was written since")
        undo(config, note)
        return
    installed = Path(args.program) if args.program else installed_file(Running.look(config))
    new = Path(args.file).absolute() if args.file else None
    if new is not None and installed is None:
        raise InvalidArgument(
            "pachybox is not installed as one file here",
            "install the new version as the old one was, then: pachybox upgrade",
        )
    if new is not None and not new.is_file():
        raise InvalidArgument(f"{new} is no file", "name the new program")
    version = Upgrade(config, new, installed, note, args.timeout, backup=not args.no_backup).run()
    app.output.line(f"pachybox is {version}")


def _arguments(parser: Parser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="the new program, as one file")
    parser.add_argument(
        "--program", metavar="PATH", help="the one file to replace (default: what the box runs)"
    )
    flag(parser, "--no-backup", help="do not back up to backup_to first")
    flag(parser, "--undo", help="put back metadata and program from before the last upgrade")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_WAIT_S,
        metavar="DURATION",
        help="wait at most so long for the box to stop, and to be ready",
    )
    flag(parser, "-y", "--yes", help="do not ask")


COMMANDS = {
    "upgrade": Command(
        _arguments,
        _run,
        ("upgrade ./pachybox-1.1", "upgrade", "upgrade --undo"),
        "Backs up, replaces the program, lets the box migrate and checks it; when that fails, the\n"
        "old program and its metadata are put back. Without FILE the box is to run what is\n"
        "installed.",
    )
}
