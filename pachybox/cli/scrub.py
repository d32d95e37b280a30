"""Reading and proving all content, which the box does by itself over weeks."""

from __future__ import annotations

from datetime import timedelta

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.cli.output import Painted, size
from pachybox.cli.progress import Bar
from pachybox.client.box import Box
from pachybox.client.values import Json, time_of


def _scrub(app: App, args: Args) -> int:
    out, box = app.output, app.box(Box)
    last: Json = {}
    bar: Bar | None = None
    for last in box.scrub(now=args.now):
        if bar is None:
            total = int(last.get("totalBytes") or 0)
            bar = Bar("scrub", total=total, enabled=args.now and not out.form)
        bar(int(last.get("doneBytes") or 0), 0)
    if bar is not None:
        bar.__exit__()
    if out.form:
        out.raw(last)
    else:
        _show(app, last)
    return int(bool(last.get("damage")))


def _show(app: App, last: Json) -> None:
    out = app.output
    done, total = int(last.get("doneBytes") or 0), int(last.get("totalBytes") or 0)
    period = timedelta(seconds=int(last.get("periodSeconds") or 0))
    share = f", {done / total:.0%}" if total else ""
    whole = time_of(last.get("lastWhole"))
    damaged = Painted.of(str(last.get("damaged", 0)), "red" if last.get("damage") else "")
    for label, value in (
        ("Pass", "ended" if last.get("ended") else "under way"),
        ("Began", out.time(time_of(last.get("began")))),
        ("Proven", f"{size(done)} of {size(total)}{share}"),
        ("Last whole pass", out.time(whole) if whole else "none yet"),
        ("All is read in", f"{period.days} days" if period else "no time: scrub_days = 0"),
        ("Damaged", damaged),
    ):
        out.line(f"{label}: {out.paint(value, value)}")
    for one in last.get("damage", ()):
        word = out.paint(Painted.of("damaged", "red"), "damaged")
        out.line(f"{word}: {one.get('blob') or 'content'}: {one['path']} {one['detail']}")
        for name in one.get("files", ()):
            out.line(f"  {name}")
    if last.get("damage"):
        out.line("put the same files again, or restore a backup; pachybox fsck names all there is")


def _arguments(parser: Parser) -> None:
    flag(parser, "--now", help="read all content now, and wait for it")
    flag(parser, "--raw", help="one JSON object, as the API gives it")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


COMMANDS = {
    "scrub": Command(
        _arguments,
        _scrub,
        ("scrub", "scrub --now"),
        "The box reads all content once in scrub_days by itself. Exit status 1 when some of it is"
        " damaged.",
    )
}
