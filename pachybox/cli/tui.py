"""``tui``: the terminal. The only module of this package that knows it, and only when it runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.errors import InvalidArgument, PachyboxError

if TYPE_CHECKING:
    from pachybox.client.address import Address


def _run(app: App, args: Args) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidArgument("the terminal needs a terminal", "see: pachybox --help")
    if args.box:
        os.environ["PACHYBOX_CONTEXT"] = args.box
        for name in ("PACHYBOX_ADDRESS", "PACHYBOX_HOME"):  # they would go before the context
            os.environ.pop(name, None)
    if address := _default(app):
        _offer(address)
    from tui.run import main

    return main(args.place or "", read_only=args.read_only, ascii_only=args.ascii)


def _default(app: App) -> Address | None:
    """Where a box of this machine's would be, when nothing names another one."""
    if app.settings.address() or os.environ.get("PACHYBOX_ADDRESS"):
        return None
    from pachybox.client.address import resolve

    return resolve()


def _offer(address: Address) -> None:
    """Start a box if none runs there and that is wanted; without one the terminal opens too, and
    waits for it."""
    from pachybox.client.box import Box

    box = Box(address, timeout_s=2.0)
    try:
        box.healthy()
        return
    except PachyboxError:
        pass
    finally:
        box.close()
    sys.stderr.write(f"No box runs at {address}. Start one? [Y/n] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
        return
    from pachybox.cli.box import start

    sys.stderr.write("starting it ... ")
    sys.stderr.flush()
    status = start()
    sys.stderr.write(f"it runs: {status.address or status.socket}\n")


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "place",
        metavar="PLACE",
        nargs="?",
        help="what to show: repo, REPO@BRANCH:/PATH, PIPELINE, PIPELINE@JOB (default: as last)",
    )
    flag(parser, "--read-only", help="keys that change something do nothing but say so")
    flag(parser, "--ascii", help="ASCII only; so it is where the locale is not UTF-8")
    parser.add_argument("--box", metavar="NAME", help="the box of that context")


COMMANDS = {
    "tui": Command(
        _arguments,
        _run,
        ("tui", "tui edges@master --read-only", "tui jobs --box lab"),
        "The same as pachybox alone in a terminal. ? shows the keys; see also docs/terminal.md.",
    )
}
