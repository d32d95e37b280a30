"""``events``."""

from __future__ import annotations

import json

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, many, whole
from pachybox.client.box import Box
from pachybox.client.values import Json
from pachybox.model.events import Event


def _record(event: Event) -> Json:
    time = event.time.isoformat().replace("+00:00", "Z")
    return {"seq": str(event.seq), "time": time, "kind": event.kind, "data": event.data}


def _run(app: App, args: Args) -> None:
    out = app.output
    for event in app.box(Box).events(after=args.after, follow=args.follow, kinds=args.kind):
        if out.form:
            out.raw(_record(event))
        else:
            data = " ".join(f"{key}={_short(value)}" for key, value in event.data.items())
            out.line(f"{event.seq:>6}  {out.time(event.time):20}  {event.kind:20}  {data}")
        if args.follow:
            out.out.flush()


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _arguments(parser: Parser) -> None:
    flag(parser, "-f", "--follow", help="go on with new events, also after the box was away")
    parser.add_argument(
        "--after", type=whole, default=0, metavar="SEQ", help="only events numbered above SEQ"
    )
    many(
        parser, "-k", "--kind", metavar="KIND", help="only kinds that begin so: commit., job.state"
    )
    flag(parser, "--raw", help="one JSON object a line")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")
    flag(parser, "--full-timestamps", help="times instead of ages")


COMMANDS = {"events": Command(_arguments, _run, ("events -f", "events -k job. --raw"))}
