"""``webhook list`` and ``webhook test``."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, records
from pachybox.client.box import Box
from pachybox.client.values import time_of

_WORDS = "Webhooks are written in box.toml: see docs/monitoring.md."


def _list(app: App, args: Args) -> None:
    out, rows = app.output, []
    for one in app.box(Box).list_webhook():
        if out.form:
            out.raw(one)
            continue
        last = time_of(one.get("lastTime"))
        figures = [str(one.get(key) or 0) for key in ("waiting", "delivered", "dropped")]
        told = out.time(last) if last is not None else "-"
        where = (str(one["number"]), one["url"], ",".join(one.get("events", ())))
        rows.append((*where, *figures, told, one.get("error") or "-"))
    if not out.form:
        out.table(rows, ("NO", "URL", "EVENTS", "WAITING", "TOLD", "DROPPED", "LAST TOLD", "ERROR"))


def _test(app: App, args: Args) -> int:
    out, wrong = app.output, False
    for one in app.box(Box).test_webhook(args.webhook):
        error = one.get("error", "")
        wrong |= bool(error)
        if out.form:
            out.raw(one)
        else:
            out.line(f"{one['number']} {one['url']}: {error or one['status']}")
    return int(wrong)


def _tested(parser: Parser) -> None:
    parser.add_argument(
        "webhook", nargs="?", default="all", help="its number or its url; all of them by default"
    )
    records(parser, times=False)


COMMANDS = {
    "webhook list": Command(records, _list, ("webhook list", "webhook list --raw"), _WORDS),
    "webhook test": Command(
        _tested,
        _test,
        ("webhook test", "webhook test 1", "webhook test https://ops.example.org/pachybox"),
        "The exit status is 1 unless each answered 2xx.",
    ),
}
