"""``doctor``: what is wrong, by code; and what a code means."""

from __future__ import annotations

from itertools import groupby
from shutil import get_terminal_size
from textwrap import fill

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.cli.output import Output, Painted, visible
from pachybox.client.box import Box
from pachybox.client.values import Json
from pachybox.config import Config, default_home, load
from pachybox.errors import InvalidArgument, PachyboxError

_FIELDS = ("code", "check", "level", "detail", "remedy")
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_PATIENCE_S = 60.0  # a loaded machine tries podman for a while


def findings() -> list[Json]:
    """What the box of this machine says, which knows its pipelines too; without one what can be
    seen from here."""
    config = readable_config()
    box = Box(str(config.socket), timeout_s=_PATIENCE_S)
    try:
        return [{key: f.get(key, "") for key in _FIELDS} for f in box.doctor()]
    except (PachyboxError, OSError):  # it does not run, is too busy to say, or is another user's
        pass
    finally:
        box.close()
    from pachybox.doctor import findings

    return [{key: getattr(f, key) for key in _FIELDS} for f in findings(config)]


def readable_config() -> Config:
    """The settings here, or where they cannot be read, of which doctor speaks, the defaults."""
    try:
        return load()
    except InvalidArgument:
        return Config(home=default_home())


def _doctor(app: App, args: Args) -> int:
    out = app.output
    if args.code:
        return _explain(out, args.code)
    found = findings()
    if out.form:
        for one in found:
            out.raw(one)
    else:
        _print(out, found)
    return int(any(one["level"] == "fail" for one in found))


def _print(out: Output, found: list[Json]) -> None:
    from pachybox.doctor.codes import SUBJECTS

    for begin, group in groupby(found, key=lambda one: str(one["code"])[:3]):
        out.line(SUBJECTS.get(begin, "Of a newer box"))
        for one in group:
            level = one["level"]
            painted = out.paint(Painted.of(level, _COLOURS.get(level, "")), level.ljust(5))
            said = visible(f"{one['check']}: {one['detail']}")
            out.line(f"  {painted} {one['code']} {said}")
            if one["remedy"] and level != "ok":
                out.line(f"              {visible(one['remedy'])}")
    bad = [one for one in found if one["level"] != "ok"]
    if bad:
        worst = next((one for one in bad if one["level"] == "fail"), bad[0])
        failed = sum(one["level"] == "fail" for one in bad)
        out.line(f"{failed} failed, {len(bad) - failed} to know of; about one of them: "
                 f"pachybox doctor {worst['code']}")  # fmt: skip


def _explain(out: Output, text: str) -> int:
    from pachybox.doctor.codes import code

    one = code(text)
    if out.form:
        fields = ("code", "check", "subject", "looks_at", "means", "remedy")
        out.raw({key: getattr(one, key).strip() for key in fields})
        return 0
    out.line(f"{one.code} {one.check.strip()} ({one.subject})")
    width = min(get_terminal_size().columns, 100)
    for label, words in (
        ("looks at", one.looks_at),
        ("trouble", one.means),
        ("remedy", one.remedy),
    ):
        first = f"  {label.ljust(9)} "
        wrapped = fill(
            words,
            width,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
            break_long_words=False,
        )
        out.line(wrapped)
    return 0


def _arguments(parser: Parser) -> None:
    parser.add_argument("code", nargs="?", metavar="CODE", help="explain this code")
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="the same as JSON or YAML")


COMMANDS = {
    "doctor": Command(
        _arguments,
        _doctor,
        ("doctor", "doctor PB204", "doctor --raw"),
        "Works without a box; one that runs says more. Every finding has a code, which\n"
        "`doctor CODE` and docs/troubleshooting.md explain. Exit status 1 when a check failed.",
    ),
}
