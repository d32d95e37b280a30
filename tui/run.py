"""Opening the terminal: what ``pachybox tui`` calls."""

from __future__ import annotations

import gc
import locale
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.errors import InvalidArgument, PachyboxError
from tui import boxes
from tui.commands import Go, Names, Unclear, names_of, read
from tui.glyphs import wants_ascii
from tui.places import PIPELINE, REPO, Place, split

if TYPE_CHECKING:
    from tui.core import Core


def main(place: str = "", *, read_only: bool = False, ascii_only: bool = False) -> int:
    """Open the terminal on the box the command line would talk to; returns the exit status.
    Raises InvalidArgument when ``place`` is not understood."""
    gc.disable()  # perf: a sixth of the opening; ``PachyApp`` enables it again soon after
    target = boxes.here()
    start = place_of(place, _names(target)) if place else None
    encoding = locale.getencoding() if sys.stdout.encoding is None else sys.stdout.encoding
    from tui.app import PachyApp

    app = PachyApp(
        target.connect,
        start=start,
        read_only=read_only,
        ascii_only=ascii_only or wants_ascii(encoding, os.environ),
        box_name=target.name,
        environment=target.environment(),
    )
    try:
        app.run()
    except Exception as e:
        import traceback

        app.crash = "".join(traceback.format_exception(e))
    if app.crash:
        told(app, sys.stderr.write)
        return 1
    return app.return_code or 0


def place_of(text: str, names: Names) -> Place:
    """The place that an argument names. Raises InvalidArgument when there is none."""
    try:
        order = read(text, names)
    except Unclear as e:
        name, ref, path = split(text)
        if names.things or not name or " " in name:
            raise InvalidArgument(str(e), "use repo, REPO@BRANCH, PIPELINE@JOB") from e
        return Place(REPO if ref or path else PIPELINE, name, ref, path)
    if isinstance(order, Go):
        return order.place
    raise InvalidArgument(f"{text!r} is no place", "use repo, REPO@BRANCH, PIPELINE@JOB")


def _names(target: boxes.Target) -> Names:
    """What there is at the box; nothing when it does not answer at once."""
    from pachybox.client import Client

    with Client(target.address, token=target.token, ca=target.ca, timeout_s=1.0) as box:
        try:
            return names_of(box.summary())
        except PachyboxError:
            return Names()


def log_path() -> Path:
    """Where crashes are written."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "pachybox" / "terminal.log"


def told(app: Core, say: Callable[[str], object]) -> None:
    """Write the story of a crash to the log, and ``say`` where it is."""
    path = log_path()
    last = app.crash.strip().splitlines()[-1] if app.crash.strip() else "unknown"
    where = f"the whole story is in {path}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"{datetime.now(UTC).isoformat()}\n{app.crash}\n")
    except OSError as e:
        where = f"and {path} could not be written: {e.strerror}"
    say(f"pachybox: the terminal ended by a defect: {last}; {where}\n")
