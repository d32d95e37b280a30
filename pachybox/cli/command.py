"""What a command is, the flags many share, and a parser that speaks in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from pachybox.errors import InvalidArgument, PachyboxError

if TYPE_CHECKING:
    from pachybox.cli.app import App

Args = argparse.Namespace

RUNNERS = ("auto", "process", "podman", "kubernetes")


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, and with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit 2."""
        sys.stderr.write(f"pachybox: {message}; see: {self.prog} --help\n")
        raise SystemExit(2)


class Command(NamedTuple):
    """One command: its arguments, what it does, and examples that show it.

    ``run`` returns an exit status; None is 0. ``about`` follows the summary in the help.
    """

    arguments: Callable[[Parser], object]
    run: Callable[[App, Args], int | None]
    examples: tuple[str, ...]
    about: str = ""


def build(name: str, summary: str, command: Command) -> Parser:
    """The parser of one command."""
    about = f"\n\n{command.about}" if command.about else ""
    examples = "\n".join(f"  $ pachybox {example}" for example in command.examples)
    parser = Parser(
        prog=f"pachybox {name}",
        description=summary[0].upper() + summary[1:] + "." + about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    shared = parser.add_argument_group("everywhere")
    shared.add_argument("-v", "--verbose", action="store_true", help="show where errors come from")
    shared.add_argument("--no-color", action="store_true", help="no colours on a terminal")
    return parser


def flag(parser: Parser, *names: str, help: str) -> None:
    """A switch."""
    parser.add_argument(*names, action="store_true", help=help)


def many(parser: Parser, *names: str, metavar: str, help: str) -> None:
    """A flag that may be repeated."""
    parser.add_argument(*names, action="append", default=[], metavar=metavar, help=help)


def project(parser: Parser) -> None:
    """--project."""
    parser.add_argument("--project", metavar="NAME", help="the project (default: the context's)")


def all_projects(parser: Parser) -> None:
    """--project and -A."""
    project(parser)
    flag(parser, "-A", "--all-projects", help="of all projects")


def runner(
    parser: Parser, what: str = "run it with this runner: process, podman, kubernetes"
) -> None:
    """--runner, by name."""
    parser.add_argument("--runner", metavar="NAME", choices=RUNNERS, help=what)


def records(parser: Parser, *, short: bool = True, times: bool = True) -> None:
    """--raw and -o, of commands that print records; --full-timestamps where ``times`` are shown."""
    flag(parser, "--raw", help="one JSON object a line, as the API gives it")
    names = ("-o", "--output") if short else ("--output",)
    parser.add_argument(*names, choices=("json", "yaml"), help="the same as JSON or YAML")
    if times:
        flag(parser, "--full-timestamps", help="times instead of ages")


def ignored(parser: Parser, *names: str, value: bool = False) -> None:
    """A flag kept for scripts, without effect; not shown in the help."""
    if value:
        parser.add_argument(*names, help=argparse.SUPPRESS)
    else:
        parser.add_argument(*names, action="store_true", help=argparse.SUPPRESS)


def whole(text: str) -> int:
    """A type of arguments: a number that is not negative."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """A type of arguments: a length of time, ``10`` or ``1m30s``."""
    from pachybox.model.units import parse_duration

    try:
        plain = text.replace(".", "", 1).isdecimal()
        return parse_duration(f"{text}s" if plain else text)
    except PachyboxError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def states(values: list[str], prefix: str, known: Iterable[str]) -> set[str]:
    """The states that --state names, without ``prefix``. Raises InvalidArgument."""
    names = [name.removeprefix(prefix) for name in known]
    found = {value.upper().removeprefix(prefix) for value in listed(values)}
    if wrong := sorted(found.difference(names)):
        raise InvalidArgument(
            f"state {wrong[0].lower()!r} is not known", f"use {', '.join(names).lower()}"
        )
    return found


def listed(values: list[str]) -> list[str]:
    """The values of a repeatable flag that also takes commas."""
    return [part for value in values for part in value.split(",") if part]
