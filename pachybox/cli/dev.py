"""``dev``: the developer's loop. Everything is done by one thread, which is told by others what
happens: files were saved, a key was pressed, the box says something."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pachybox.cli import build
from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag
from pachybox.cli.output import Painted, colour, note, visible, wants_colour
from pachybox.cli.trying import Box, Telling, Trying, arguments
from pachybox.client.connection import Scope
from pachybox.client.trial_source import Folder
from pachybox.client.trial_values import TrialEnd, TrialEvent
from pachybox.errors import InvalidArgument, PachyboxError, Unreachable

_AHEAD = 1000  # what may wait to be shown: a program that prints without end waits
_QUIET_MS, _LONGEST_MS = (
    20,
    200,
)  # a save is over when nothing changed for so long, or after so long
_LOOK_MS = 1_000  # what was saved while the watch began is seen after so long

KEYS = "a: apply, r: run again, q: quit (each with Enter)"


@dataclass(frozen=True, slots=True)
class Saved:
    """Files changed, seen at a moment of time.monotonic."""

    at: float


@dataclass(frozen=True, slots=True)
class Key:
    """A line on stdin."""

    text: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The box, or the watch, is gone."""

    why: Exception


Happened = Saved | Key | Gone | TrialEvent


class Loop:
    """One session."""

    def __init__(self, app: App, args: Args) -> None:
        self._app = app
        self._args = args
        self._out = app.output
        self._box = app.box(Box)
        self._trying = Trying(app, args, args.spec, self._box)
        self._telling = Telling(app.output)
        self._happened: queue.Queue[Happened] = queue.Queue(_AHEAD)
        self._scope = Scope()
        self._stop = threading.Event()
        self._saved: float | None = None  # when the run that is under way was asked for
        self._run = 0
        self._wrong = ""  # what was said to be wrong with the files as they are
        self._watched: tuple[Path, threading.Event] | None = None

    def run(self) -> int:
        """Until it is told to quit; the exit status."""
        if self._args.spec == "-":
            raise InvalidArgument("dev reads a spec again and again", "give it as a file")
        self._start(self._listen)
        try:
            return self._loop()
        except KeyboardInterrupt:
            return 0
        finally:
            self._stop.set()
            if self._watched is not None:
                self._watched[1].set()
            self._scope.cancel()  # the box ends the session

    def _loop(self) -> int:
        while True:
            what = self._happened.get()
            if isinstance(what, Gone):
                raise what.why
            if isinstance(what, TrialEvent):
                if (status := self._event(what)) is not None:
                    return status
            elif isinstance(what, Saved):
                self._again(what.at, always=False)
            elif (text := what.text.strip().lower()) in ("q", "quit"):
                return 0
            elif text in ("a", "apply"):
                self._apply()
            elif text in ("", "r", "run"):
                self._again(time.monotonic(), always=True)
            else:
                note(f"{text!r} is no key; {KEYS}")
            self._out.out.flush()

    # ---- what happens

    def _start(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as e:
                if not self._stop.is_set():
                    self._happened.put(Gone(e))

        threading.Thread(target=guarded, name=work.__name__, daemon=True).start()

    def _listen(self) -> None:
        with self._scope, self._box.open_trial() as events:
            for event in events:
                self._happened.put(event)
        raise Unreachable("the box ended the session", "see: pachybox status")

    def _keys(self) -> None:
        for line in sys.stdin:
            self._happened.put(Key(line))

    def _watch_source(self) -> None:
        """Watch the source where it is now, which the spec may say."""
        folder = self._trying.folder
        if (
            folder is None
            or self._args.apply
            or (self._watched and self._watched[0] == folder.root)
        ):
            return
        root, prefix = folder.root, f"{folder.root}/"
        if self._watched is not None:
            self._watched[1].set()
        self._watched = (root, threading.Event())
        stop = self._watched[1]

        def watch_source() -> None:
            counts = lambda path: Folder.counts(path.removeprefix(prefix))  # noqa: E731
            self._watch(root, counts, stop, deep=True)

        self._start(watch_source)

    def _watch_spec(self) -> None:
        spec = Path(self._args.spec).absolute()
        names = {str(spec), str(spec.resolve())}
        self._watch(spec.parent, lambda path: path in names, self._stop, deep=False)

    def _watch(
        self, folder: Path, counts: Callable[[str], bool], stop: threading.Event, *, deep: bool
    ) -> None:
        from watchfiles import watch

        begun = False
        for found in watch(
            folder,
            watch_filter=lambda _change, path: counts(path),
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            stop_event=stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=deep,
        ):
            if found or not begun:
                begun = True
                self._happened.put(Saved(time.monotonic()))

    # ---- what is done

    def _event(self, event: TrialEvent) -> int | None:
        """Show an event; an exit status when it was all that was wanted."""
        what = event.what
        if what is None:
            self._begin(event.trial)
        elif event.run == self._run and self._out.form:
            self._out.raw(event.raw)
        elif event.run == self._run and not isinstance(what, TrialEnd):
            self._telling.tell(what)
        elif event.run == self._run and isinstance(what, TrialEnd):
            since = None if self._saved is None else time.monotonic() - self._saved
            self._telling.end(what, since)
        if self._args.apply and isinstance(what, TrialEnd) and what.state != "CANCELLED":
            if what.state == "SUCCESS":
                self._apply()
                return 0
            return 1
        return None

    def _begin(self, trial: str) -> None:
        """The session is open: run once, then watch."""
        self._trying.trial = trial
        if self._args.apply:  # to be wrong is to be over
            self._run = self._trying.run()
            return
        self._again(None, always=True)
        if Path(self._args.spec).is_file():
            self._start(self._watch_spec)
        self._start(self._keys)
        if not self._out.form:
            note(f"watching; {KEYS}" if sys.stdin.isatty() else "watching")

    def _again(self, saved: float | None, *, always: bool) -> None:
        """Run what the files say now; what is wrong with them is shown, and nothing more."""
        try:
            # mended, it is run even if it is what ran before: the screen says that it is wrong
            number = self._trying.run(always=always or bool(self._wrong))
        except PachyboxError as e:
            if always or str(e) != self._wrong:
                self._complain(e)
            self._wrong = str(e)
            return
        except FileNotFoundError:  # saved again meanwhile, which is seen
            return
        finally:
            self._watch_source()
        self._wrong = ""
        if number:
            self._run, self._saved = number, saved

    def _apply(self) -> None:
        """Make or update the pipeline."""
        try:
            for text in self._trying.apply():
                note(text)
        except PachyboxError as e:
            if self._args.apply:
                raise
            self._complain(e)

    def _complain(self, error: PachyboxError) -> None:
        self._out.out.flush()
        text = f"pachybox: {visible(' '.join(str(error).split()))}"
        red = wants_colour(sys.stderr) and not self._args.no_color
        sys.stderr.write((colour(Painted.of("", "red"), text) if red else text) + "\n")
        sys.stderr.flush()


def _run(app: App, args: Args) -> int:
    return Loop(app, args).run()


def _arguments(parser: Parser) -> None:
    parser.add_argument("spec", metavar="SPEC", help="the spec: a file")
    arguments(parser)
    flag(parser, "--apply", help="run once, and if all goes well make or update the pipeline")
    flag(parser, "--reprocess", help="when applied, run all datums again")
    parser.set_defaults(dry_run=False)
    build.arguments(parser)
    flag(parser, "--raw", help="one JSON object an event, as the API gives it")


COMMANDS = {
    "dev": Command(
        _arguments,
        _run,
        (
            "dev edges.json --src edges/",
            "dev edges.json --src edges/ --sample 10 --branch images@dev",
            "dev edges.json --src edges/ --apply",
        ),
        "Runs some datums of the spec, then again whenever a file of DIR or the spec is saved, in\n"
        "the same worker. Shows what the code prints, how each datum ended, and how its output\n"
        "differs from the last run. Nothing is committed. Enter runs it again; a and Enter make\n"
        "or update the pipeline; q and Enter, or Ctrl-C, end the session and leave nothing of it.\n"
        "Code sees a copy of DIR, read-only, at --mount, else at transform.working_dir, else at\n"
        "/source, and starts there unless the spec has a working_dir. Left out of DIR are what\n"
        "DIR/.pachignore says, .git, .venv, caches of Python, and what editors make for a moment.",
    )
}
