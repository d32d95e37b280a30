"""Commands on tokens and the audit log."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, many, records, seconds, whole
from pachybox.client.tokens import Tokens
from pachybox.errors import InvalidArgument


def _create(app: App, args: Args) -> None:
    token = app.box(Tokens).create_token(
        args.name, args.role, repos=args.repo, expires_s=args.expires, s3=args.s3
    )
    out = app.output
    if out.form:
        out.raw({"name": args.name, "role": args.role, "token": token})
    else:
        out.line(token)


def _list(app: App, args: Args) -> None:
    out = app.output
    out.records(
        app.box(Tokens).list_token(),
        ("NAME", "ROLE", "OF", "STATE", "CREATED", "EXPIRES", "USED", "S3"),
        lambda t: (
            t.name,
            t.role,
            " ".join(t.repos) or "the box",
            t.state,
            out.time(t.created),
            out.stamp(t.expires) if t.expires else "never",
            out.time(t.used) if t.used else "-",
            "yes" if t.s3 else "no",
        ),
    )


def _delete(app: App, args: Args) -> None:
    box = app.box(Tokens)
    if args.all == bool(args.name):
        raise InvalidArgument("name tokens, or --all", "see: pachybox list token")
    if args.all:
        box.delete_all_tokens()
    for name in args.name:
        box.delete_token(name, purge=args.purge)


def _audit(app: App, args: Args) -> None:
    out = app.output
    found = app.box(Tokens).audit(
        since_s=args.since, who=args.who or "", tail=args.tail, follow=args.follow
    )
    with found:
        for one in found:
            if out.form:
                out.raw(one.raw)
            else:
                what = " ".join((one.method.rpartition("/")[2], *one.things))
                mark = "" if one.code == "ok" else f"  {one.code}"
                when = out.stamp(one.time)
                out.line(f"{when:24}  {one.who:16}  {one.door:7}  {one.peer:21}  {what}{mark}")
            if args.follow:
                out.out.flush()


def _lasts(text: str) -> float:
    """A type of arguments: a length of time, days among them (``90d``)."""
    days = text.removesuffix("d")
    if days != text and days.isdecimal() and len(days) < 7:
        return seconds(f"{int(days) * 24}h")
    return seconds(text)


def _until(text: str) -> float:
    """A type of arguments: how long a token holds, which is for ever where nothing is given."""
    lasts = _lasts(text)
    if lasts < 1:
        raise ArgumentTypeError(f"a token cannot last {text!r}; give a time such as 90d or 12h")
    return lasts


def _since(text: str) -> float:
    """Seconds back: a time such as 24h, or since a moment such as 2026-01-31."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return _lasts(text)
        except ArgumentTypeError:
            raise ArgumentTypeError(
                f"{text!r} is no time; write 24h, 7d, 2026-01-31 or 2026-01-31T08:00"
            ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((datetime.now(UTC) - moment).total_seconds(), 0.001)


def _made(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--role",
        choices=("reader", "writer", "admin"),
        default="reader",
        help="what it may do (default: reader)",
    )
    many(parser, "--repo", metavar="REPO", help="only of this repo; else of the whole box")
    parser.add_argument(
        "--expires", type=_until, default=0.0, metavar="TIME", help="how long it holds: 90d, 12h"
    )
    flag(parser, "--s3", help="S3 clients may use NAME as access key, the token as secret key")
    records(parser, short=False, times=False)


def _gone(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="*")
    flag(parser, "--purge", help="forget that it was, so that its name is free again")
    flag(parser, "--all", help="forget all: the box is then open to this machine again")


def _told(parser: Parser) -> None:
    about = "of the last 24h, or since 2026-01-31"
    parser.add_argument("--since", type=_since, default=0.0, metavar="TIME", help=about)
    parser.add_argument("--who", metavar="NAME", help="only what this caller did")
    parser.add_argument(
        "--tail", type=whole, default=0, metavar="N", help="only the last N lines; 0 = all"
    )
    flag(parser, "-f", "--follow", help="go on with what happens")
    flag(parser, "--raw", help="one JSON object a line")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


_ABOUT = """\
The token is printed this once; of it only a hash is kept. From the first token on, callers that do
not come by the box's own socket must show one: PACHYBOX_TOKEN, or `token` of a context. A reader
sees, a writer changes data (of the whole box: also pipelines, whose code runs on this machine), an
admin does everything. With --repo it is for these repos alone."""

COMMANDS = {
    "create token": Command(
        _made,
        _create,
        (
            "create token ci --role writer --repo images --expires 90d",
            "create token grafana > token.txt",
            "create token backup --role reader --s3",
        ),
        _ABOUT,
    ),
    "list token": Command(records, _list, ("list token", "list token --raw")),
    "delete token": Command(_gone, _delete, ("delete token ci", "delete token ci --purge")),
    "audit": Command(_told, _audit, ("audit --since 24h", "audit --who ci --raw", "audit -f")),
}
