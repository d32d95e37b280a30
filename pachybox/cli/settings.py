"""Commands on the settings of a box: those in force, ``box.toml``, and what each means."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.cli.output import note, visible
from pachybox.client.box import Box
from pachybox.client.values import Json
from pachybox.config import (
    MARKS,
    SETTINGS,
    WEBHOOK_EVENTS,
    Setting,
    Value,
    default_home,
    load,
    setting,
)
from pachybox.errors import InvalidArgument, Refused, Unreachable
from pachybox.model.units import format_size
from pachybox.settings import Effective, change, effective

WEBHOOK = (
    ("url", "", "the address that is told, http:// or https://"),
    ("events", "[]", f"what it is told of: a list of {', '.join(WEBHOOK_EVENTS)}; empty = all"),
    ("secret", "", "what is sent is signed with it; such a file must be closed to others"),
)
"""The keys of a ``[[webhook]]`` table: name, default, meaning."""

_FLAGS = {"http_port": "--port", "grpc_port": "--grpc-port", "runner": "--runner"}
_NUMBERS = {"bytes": 'bytes, or a size such as "2GB"', "s": 'seconds, or a time such as "1h30m"'}


class _Effects:
    """What the box at hand runs with, or would."""

    def __init__(self, app: App) -> None:
        box = app.box(Box)
        self.address = box.address
        self.home = _home_of(box)
        try:
            answer = box.settings()
            self.running = True
            self.all = [_typed(record) for record in answer.get("settings") or ()]
            if box.address.local:
                self.home = Path(answer.get("home") or self.home)
        except Unreachable:
            if not box.address.local:
                raise
            self.running = False
            self.all = []

    def known(self) -> list[Effective]:
        """All of them; those of a box that does not run as it would start here. Raises
        InvalidArgument where it would not."""
        return self.all if self.running else list(effective(load(self.home)))


def _home_of(box: Box) -> Path:
    """The data directory that a socket is in."""
    socket = Path(box.address.path)
    return socket.parent.parent if socket.parts[-2:] == ("run", "box.sock") else default_home()


def _typed(record: Json) -> Effective:
    key, text = str(record.get("key", "")), str(record.get("value", ""))
    one = SETTINGS.get(key)
    value: Value = int(text) if one is not None and one.kind is int else text
    return Effective(key, value, str(record.get("origin", "")))


def _get(app: App, args: Args) -> None:
    for key in args.key:
        if key != "webhook":
            setting(key)
    out, found = app.output, _Effects(app).known()
    chosen = [one for one in found if not args.key or one.key in args.key]
    if out.form:
        for one in chosen:
            out.raw({"key": one.key, "value": one.value, "origin": one.origin})
    elif len(args.key) == 1:
        for one in chosen:
            out.line(visible(str(one.value)))
        if chosen:
            note(f"{args.key[0]}: {_from(chosen[0].origin)}")
    else:
        out.table(((one.key, str(one.value), one.origin) for one in chosen), _HEADER)


_HEADER = ("KEY", "VALUE", "FROM")


def _from(origin: str) -> str:
    return {"flag": "from a flag", "environment": "from the environment"}.get(
        origin, "the default" if origin == "default" else f"from {origin}"
    )


def _set(app: App, args: Args) -> None:
    if args.unset and args.words:
        raise InvalidArgument(
            "--unset takes all the keys", "set others with a command of their own"
        )
    if not args.unset and not args.words:
        raise InvalidArgument("nothing to set", "give KEY VALUE, or --unset KEY")
    put = {} if args.unset else _pairs(args.words)
    if any(key.startswith("backup_") for key in put):
        from appliance.backups import check_settings

        check_settings(put)
    effects = _Effects(app)
    if not effects.address.local:
        raise Refused(
            f"the settings of {effects.address} are in a file of its machine",
            "run this there, or edit box.toml in its data directory",
        )
    if not change(effects.home, put, args.unset or ()):
        note(f"{effects.home / 'box.toml'} says so already")
        return
    told = [_overruled(effects, key) for key in put or args.unset]
    if effects.running and not all(told):
        note(
            "the box that runs takes it up when it starts again: pachybox down, pachybox up "
            "(a service: systemctl restart)"
        )


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """KEY VALUE KEY VALUE ...; a value ``-`` is read. Raises InvalidArgument."""
    if len(words) % 2:
        setting(words[-1])
        raise InvalidArgument(
            f"{words[-1]} has no value", f"give one, or - to be asked: config set {words[-1]} -"
        )
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    for key, text in pairs.items():
        if text == "-":
            pairs[key] = asked(key)
        elif key in SETTINGS and SETTINGS[key].about.hidden:
            raise InvalidArgument(
                f"{key} is a secret, and others can read command lines",
                f"have it asked for, or pipe it in: pachybox config set {key} -",
            )
    return pairs


def asked(key: str) -> str:
    """A value from a line of standard input; at a terminal it is asked for and not shown."""
    if sys.stdin.isatty():
        from getpass import getpass

        text = getpass(f"{key}: ")
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise InvalidArgument(f"no value for {key}", "give one line on standard input")
    return text


def _overruled(effects: _Effects, key: str) -> bool:
    """Whether something keeps a new value from being used, which is said."""
    for one in effects.all:
        if one.key == key and one.origin in ("flag", "environment"):
            note(f"{key} stays {one.value} while the box is started with it ({one.origin})")
            return True
    one_setting = SETTINGS.get(key)
    variable = one_setting.variable if one_setting is not None else ""
    if not effects.running and variable and os.environ.get(variable):
        note(f"${variable} is set here and goes before box.toml")
        return True
    return False


def _explain(app: App, args: Args) -> None:
    out = app.output
    if args.key == "webhook":
        _explain_webhook(app)
        return
    chosen = [setting(args.key)] if args.key else list(SETTINGS.values())
    if out.form:
        for one in chosen:
            out.raw(_record(one))
    elif args.key:
        one = chosen[0]
        lines = [
            ("kind", kind_of(one)),
            ("default", default_of(one)),
            ("variable", one.variable or "none: it is a secret"),
            ("flag", _flag_of(one)),
        ]
        out.line(f"{one.key}: {one.about.help}")
        for label, text in lines:
            out.line(f"  {label.ljust(9)} {text}")
    else:
        rows = [(one.key, default_of(one), one.about.help) for one in chosen]
        rows.append(("webhook", "none", "who is told of events: [[webhook]] tables"))
        out.table(rows, ("KEY", "DEFAULT", "MEANING"))


def _explain_webhook(app: App) -> None:
    out = app.output
    if not out.form:
        out.line("webhook: who is told of events; each is a [[webhook]] table in box.toml")
    for key, default, meaning in WEBHOOK:
        if out.form:
            out.raw({"key": f"webhook.{key}", "default": default, "help": meaning})
        else:
            out.line(f"  {key.ljust(9)} {meaning}")


def _record(one: Setting) -> Json:
    about = one.about
    return {
        "key": one.key,
        "help": about.help,
        "kind": one.kind.__name__,
        "default": one.default,
        "unit": about.unit,
        **({"least": about.least, "most": about.most} if one.kind is int else {}),
        "choices": list(about.choices),
        "secret": about.hidden,
        "variable": one.variable,
    }


def kind_of(one: Setting) -> str:
    """What may be given, in words."""
    about = one.about
    if about.choices:
        return f"one of {', '.join(about.choices)}"
    if one.kind is str:
        return "a secret text" if about.hidden else "text"
    if one.key in MARKS:
        return "a number, 0 to 100"
    text = f"a number of {_NUMBERS[about.unit]}" if about.unit else "a number"
    if about.most == 65535:
        return f"{text}, {about.least} to {about.most}"
    return f"{text}, at least {about.least}"


def default_of(one: Setting) -> str:
    """The default, in words where it is a number of bytes or seconds."""
    if isinstance(one.default, str):
        return one.default or '""'
    if one.default and one.about.unit == "bytes":
        return f"{one.default} ({format_size(one.default)})"
    if one.default >= 60 and one.about.unit == "s":
        return f"{one.default} ({one.default // 60} minutes)"
    return str(one.default)


def _flag_of(one: Setting) -> str:
    if one.about.hidden:
        return "none: others can read command lines"
    short = f", or up {_FLAGS[one.key]} VALUE" if one.key in _FLAGS else ""
    return f"up --set {one.key}=VALUE{short}"


def candidates(name: str, rest: Sequence[str]) -> list[str]:
    """Words that may follow a command here and ``rest``: keys, and what a key may be."""
    given = [word for word in rest if not word.startswith("-")]
    if name == "config set" and len(given) % 2 and "--unset" not in rest:
        one = SETTINGS.get(given[-1])
        return list(one.about.choices) if one is not None else []
    if name == "config explain" and given:
        return []
    return [*SETTINGS, *(() if name == "config set" else ("webhook",))]


def flags(given: Sequence[str]) -> dict[str, Value]:
    """The values of ``--set KEY=VALUE``. Raises InvalidArgument."""
    from pachybox.settings import pair

    return {key: setting(key).parse(text, "--set") for key, text in map(pair, given)}


def _getting(parser: Parser) -> None:
    parser.add_argument("key", nargs="*", metavar="KEY", help="these (default: all)")
    _records(parser)


def _setting(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="KEY VALUE", help="what to set; a VALUE of - is asked for"
    )
    parser.add_argument("--unset", nargs="+", metavar="KEY", help="take these out of the file")


def _explaining(parser: Parser) -> None:
    parser.add_argument("key", nargs="?", metavar="KEY", help="this one (default: all)")
    _records(parser)


def _records(parser: Parser) -> None:
    flag(parser, "--raw", help="one JSON object a line")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


COMMANDS = {
    "config get": Command(
        _getting,
        _get,
        ("config get", "config get http_port", "config get --raw"),
        "Those of the box that runs; without one, those it would start with. Flags go before\n"
        "the environment, the environment before box.toml. Secrets are shown as ***.",
    ),
    "config set": Command(
        _setting,
        _set,
        (
            "config set logs_bytes 2GB",
            "config set disk_warn_percent 90 disk_pause_percent 95 disk_refuse_percent 98",
            "config set token - < token.txt",
            "config set --unset s3_domain",
        ),
        "Comments in the file stay. A file with which the box would not start is not written.\n"
        "A box that runs takes changes up when it starts again.",
    ),
    "config explain": Command(
        _explaining, _explain, ("config explain", "config explain backup_schedule")
    ),
}
