"""``demo``: a small DAG that stays alive, to look around with."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project


def _demo(app: App, args: Args) -> None:
    from pachybox.client.demo import Demo

    box = app.box(Demo)
    if args.remove:
        gone = box.delete_demo()
        app.output.line(f"removed {', '.join(gone)}" if gone else "there is no demo")
        return
    names = box.create_demo()
    app.output.line(f"made {', '.join(names)}; a tick every 20 seconds")


def _arguments(parser: Parser) -> None:
    flag(parser, "--remove", help="remove it, with its data")
    project(parser)


COMMANDS = {
    "demo": Command(
        _arguments,
        _demo,
        ("demo", "demo --remove", "demo --project playground"),
        "A clock, made-up readings of eight sensors, their statistics and alerts, and a report:\n"
        "four pipelines of sh and awk of this machine, without images or network. Look at them\n"
        "with: pachybox draw pipeline, pachybox get file report@master:/report.md. Old ticks are\n"
        "squashed, so it can be left alone.",
    )
}
