"""Commands on contexts: named boxes in the user's settings file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser
from pachybox.client.address import resolve
from pachybox.client.contexts import KEYS
from pachybox.errors import AlreadyExists, InvalidArgument


def _get_active(app: App, args: Args) -> None:
    app.output.line(app.settings.active)


def _set_active(app: App, args: Args) -> None:
    app.settings.activate(args.context)


def _get_context(app: App, args: Args) -> None:
    context = app.settings.named(args.context)
    app.output.line(json.dumps({**context, **({"token": "***"} if "token" in context else {})}))


def _set_context(app: App, args: Args) -> None:
    if args.context in app.settings.contexts and not args.overwrite:
        raise AlreadyExists(f"context {args.context} already exists", "add --overwrite")
    try:
        given = json.loads(sys.stdin.read() or "{}")
    except ValueError as e:
        raise InvalidArgument(f"the context is not JSON: {e}") from e
    if not isinstance(given, dict) or not set(given) <= {*KEYS, "pachd_address", "session_token"}:
        raise InvalidArgument(
            "the context is not an object of known fields", f"known: {', '.join(KEYS)}"
        )
    if wrong := sorted(key for key, value in given.items() if not isinstance(value, str)):
        raise InvalidArgument(f"{wrong[0]} of the context is not a string", "put it in quotes")
    renamed = {"pachd_address": "address", "session_token": "token"}
    app.settings.put_context(
        args.context, {renamed.get(key) or key: value for key, value in given.items()}
    )


def _update_context(app: App, args: Args) -> None:
    name = args.context or app.settings.active
    changed = {key: value for key in KEYS if (value := getattr(args, key)) is not None}
    if changed.get("token") == "-":
        from pachybox.cli.settings import asked

        changed["token"] = asked("token")
    if changed.get("ca"):
        changed["ca"] = str(Path(changed["ca"]).absolute())
    if "address" in changed:
        changed["address"] = str(resolve(changed["address"]))
    merged = {**app.settings.named(name), **changed}
    app.settings.put_context(name, {key: value for key, value in merged.items() if value})


def _list_context(app: App, args: Args) -> None:
    active = app.settings.active
    rows = [
        ("*" if name == active else "", name, c.get("address", "-"), c.get("project", "default"))
        for name, c in sorted(app.settings.contexts.items())
    ]
    app.output.table(rows, ("ACTIVE", "NAME", "ADDRESS", "PROJECT"))


def _delete_context(app: App, args: Args) -> None:
    app.settings.named(args.context)
    if args.context == app.settings.active:
        raise InvalidArgument(
            f"context {args.context} is in use", "first: pachybox config set active-context OTHER"
        )
    app.settings.put_context(args.context, None)


def _get_metrics(app: App, args: Args) -> None:
    app.output.line("false")


def _set_metrics(app: App, args: Args) -> None:
    if args.value not in ("true", "false"):
        raise InvalidArgument(f"{args.value!r} is neither true nor false")


def _connect(app: App, args: Args) -> None:
    if not args.address:
        raise InvalidArgument("no address given", "use a socket's path or http://host:port")
    address = str(resolve(args.address))
    name = args.alias or address
    context = {**app.settings.contexts.get(name, {}), "address": address}
    if args.ca:
        context["ca"] = str(Path(args.ca).absolute())
    app.settings.put_context(name, context)
    app.settings.activate(name)


def _name(parser: Parser) -> None:
    parser.add_argument("context", metavar="CONTEXT")


def _set_arguments(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a context of that name")


def _update_arguments(parser: Parser) -> None:
    parser.add_argument("context", metavar="CONTEXT", nargs="?", help="default: the one in use")
    parser.add_argument(
        "--address",
        "--pachd-address",
        metavar="ADDR",
        help="a socket's path, http://host:port or https://host:port",
    )
    parser.add_argument(
        "--token", help="the token to send; - has it asked for, since others can read command lines"
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="the certificates an https box is known by (see cert show)"
    )
    parser.add_argument("--project", metavar="NAME", help="the project of names without one")


def _connect_arguments(parser: Parser) -> None:
    parser.add_argument(
        "address", metavar="ADDR", help="a socket's path, http://host:port or https://host:port"
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="the certificates an https box is known by (see cert show)"
    )
    parser.add_argument("--alias", metavar="NAME", help="the context's name (default: ADDR)")


def _nothing(parser: Parser) -> None:
    pass


def _value(parser: Parser) -> None:
    parser.add_argument("value", metavar="true|false")


COMMANDS: dict[str, Command] = {
    "config get active-context": Command(_nothing, _get_active, ("config get active-context",)),
    "config set active-context": Command(_name, _set_active, ("config set active-context lab",)),
    "config get context": Command(_name, _get_context, ("config get context lab",)),
    "config set context": Command(
        _set_arguments,
        _set_context,
        ('config set context lab <<< \'{"address": "http://127.0.0.1:30600"}\'',),
    ),
    "config update context": Command(
        _update_arguments, _update_context, ("config update context lab --project genomes",)
    ),
    "config list context": Command(_nothing, _list_context, ("config list context",)),
    "config delete context": Command(_name, _delete_context, ("config delete context lab",)),
    "config get metrics": Command(_nothing, _get_metrics, ("config get metrics",)),
    "config set metrics": Command(_value, _set_metrics, ("config set metrics false",)),
    "connect": Command(
        _connect_arguments,
        _connect,
        (
            "connect http://127.0.0.1:30600 --alias lab",
            "connect https://lab.example.org:30600 --ca ca.pem --alias lab",
        ),
    ),
}
