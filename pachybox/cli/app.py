"""From the arguments to one command run: look-up, errors, exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, TypeVar

from pachybox.cli.table import ALIASES, NOT_BUILT, commands
from pachybox.errors import InvalidArgument, PachyboxError, Unauthenticated

if TYPE_CHECKING:
    from pachybox.cli.command import Args, Command
    from pachybox.cli.output import Output
    from pachybox.client.base import Base
    from pachybox.client.contexts import Settings

    B = TypeVar("B", bound=Base)

_GLOBAL = ("-v", "--verbose", "--no-color")
TOPICS = (
    "repo", "branch", "commit", "file", "ingest", "pipeline", "job", "datum", "project",
    "transaction",
)  # fmt: skip


class App:
    """One run of the command line: settings, the box, the output."""

    def __init__(self, args: Args) -> None:
        self.args = args
        self._settings: Settings | None = None
        self._output: Output | None = None
        self._boxes: list[Base] = []

    @property
    def settings(self) -> Settings:
        """The user's settings file, read when first asked for."""
        if self._settings is None:
            from pachybox.client.contexts import Settings

            self._settings = Settings.load()
        return self._settings

    @property
    def project(self) -> str:
        """--project, else the context's."""
        return getattr(self.args, "project", None) or self.settings.context.get(
            "project", "default"
        )

    def check_project(self) -> None:
        """Raise NotFound when --project names none: a list of it would just be empty."""
        if name := getattr(self.args, "project", None):
            from pachybox.client.repos import Projects

            self.box(Projects).inspect_project(name)

    def box(self, kind: type[B], *, project: str | None = None) -> B:
        """The box by the part of the client that is needed: loading one part starts faster."""
        from pachybox.client.address import resolve

        address = resolve(self.settings.address(), self.settings.ca())
        box = kind(
            address,
            token=os.environ.get("PACHYBOX_TOKEN") or self.settings.context.get("token", ""),
            project=project or self.project,
            transaction_id=self.settings.transaction(address),
        )
        self._boxes.append(box)
        return box

    @property
    def output(self) -> Output:
        """Standard output, in the form the flags ask for."""
        if self._output is None:
            from pachybox.cli.output import Output, wants_colour

            args = self.args
            form = getattr(args, "output", None)
            if form not in ("json", "yaml"):
                form = "json" if getattr(args, "raw", False) else ""
            self._output = Output(
                sys.stdout,
                colour=wants_colour(sys.stdout) and not args.no_color,
                full=getattr(args, "full_timestamps", False),
                form=form,
            )
        return self._output

    def confirm(self, what: str) -> None:
        """Ask before ``what``; a line "yes" on stdin or -y will do. Raises InvalidArgument."""
        if getattr(self.args, "yes", False):
            return
        if sys.stdin.isatty():
            sys.stderr.write(f"{what}? [y/N] ")
            sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise InvalidArgument("not confirmed, nothing was done", "answer yes, or add -y")

    def close(self) -> None:
        """Close the connections."""
        for box in self._boxes:
            box.close()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _open_standard()
        status = _run(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        _silence()
        return 0
    except SystemExit as e:  # argparse: help is 0, usage is 2
        return e.code if isinstance(e.code, int) else 1
    except Exception as e:
        return _failed(e, verbose="-v" in words or "--verbose" in words)


def _failed(e: Exception, *, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exc()
    if isinstance(e, Unauthenticated) and not e.hint:  # its texts are those of Pachyderm
        return _fail(f"{e.message}; show one: PACHYBOX_TOKEN, made by pachybox create token")
    if isinstance(e, PachyboxError):
        return _fail(str(e))
    if isinstance(e, OSError):
        import errno

        where = e.filename or ("standard output" if e.errno == errno.ENOSPC else "")
        return _fail(f"{where}: {e.strerror}" if where else e.strerror or str(e))
    what = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
    return _fail(f"a defect of this command: {what}; add -v to see where, and report it")


def _fail(message: str) -> int:
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it, or its disk is full: what went wrong is said anyway
        _silence()
    from pachybox.cli.output import visible

    sys.stderr.write(f"pachybox: {visible(' '.join(message.split()))}\n")
    return 1


def _open_standard() -> None:
    """Streams the caller closed become /dev/null: else a connection would take their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            setattr(sys, name, open(number, mode))  # noqa: SIM115  # open until the end
    if isinstance(sys.stdout, TextIOWrapper):  # a name its encoding lacks is written out
        sys.stdout.reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Nobody reads stdout: what is left in its buffer must not fail at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _run(words: list[str]) -> int:
    first = 0
    while first < len(words) and words[first] in _GLOBAL:
        first += 1
    leading, words = words[:first], words[first:]
    if not words and sys.stdin.isatty() and sys.stdout.isatty():
        words = ["tui"]
    if not words or words[0] in ("-h", "--help"):
        from pachybox.cli.help import overview

        sys.stdout.write(overview())
        return 0
    if words[0] == "__complete":
        from pachybox.cli.candidates import complete

        return complete(words[1:])
    if words[0] == "--version":
        words[0] = "version"
    known = commands()
    name, rest = find(words, known)
    if name in known:
        module, summary = known[name]
        return _command(name, module, summary, [*rest, *leading])
    return _unknown(words, known)


def find(words: Sequence[str], known: dict[str, tuple[str, str]]) -> tuple[str, list[str]]:
    """(the longest command that ``words`` begin with, the rest); ("", words) when none."""
    for count in (3, 2, 1):
        if len(words) < count:
            continue
        name = " ".join(words[:count])
        for candidate in (name, ALIASES.get(name, ""), name.removesuffix("s")):
            if candidate in known:
                return candidate, list(words[count:])
    return "", list(words)


def _command(name: str, module: str, summary: str, rest: list[str]) -> int:
    from importlib import import_module

    from pachybox.cli.command import build

    command: Command = import_module(f"pachybox.cli.{module}").COMMANDS[name]
    args = build(name, summary, command).parse_args(rest)
    app = App(args)
    try:
        return command.run(app, args) or 0
    finally:
        app.close()


def _unknown(words: list[str], known: dict[str, tuple[str, str]]) -> int:
    plain = [word for word in words if not word.startswith("-")]
    for count in (2, 1):
        name = " ".join(words[:count])
        for candidate in (name, name.removesuffix("s")):
            if candidate in NOT_BUILT:
                what, instead = NOT_BUILT[candidate]
                tail = f"; {instead}" if instead else ""
                sys.stderr.write(f"pachybox: {candidate}: {what} is not built{tail}\n")
                return 1
    if len(words) == 1 and words[0] in TOPICS:
        from pachybox.cli.help import topic

        sys.stdout.write(topic(words[0]))
        return 0
    if len(words) == 2 and words[1] in ("-h", "--help"):
        from pachybox.cli.help import group

        if found := group(words[0]):
            sys.stdout.write(found)
            return 0
    below = [name for name in known if name.startswith(words[0] + " ")]
    if below and len(plain) == 1:
        what = f"{words[0]} what? " + ", ".join(sorted(below))
    else:
        import difflib

        two = " ".join(plain[:2])
        turned, _ = find(plain[1::-1], known) if len(plain) > 1 else ("", [])
        near = (
            [turned]
            if turned
            else (
                difflib.get_close_matches(" ".join(plain[:3]), known, 1, 0.5)
                or difflib.get_close_matches(two, known, 1, 0.5)
            )
        )
        what = f"unknown command {two!r}" if plain else f"unknown flag {words[0]}"
        what += f"; did you mean: pachybox {near[0]}" if near else "; see: pachybox --help"
    sys.stderr.write(f"pachybox: {what}\n")
    return 2
