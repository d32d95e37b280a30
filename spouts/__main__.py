"""One source: ``python -m spouts``, started by the box, which writes the task to its stdin."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from pachybox.errors import PachyboxError
from spouts.desk import Desk, Stopping
from spouts.task import Task

_NICE = 5  # the daemon and its jobs go first
_OOM = 500  # of 1000: when memory is short a source ends, which starts again where it was


def _step_back() -> None:
    """Leave the machine to the daemon where there is not enough of it; a machine that does not
    know how is left alone."""
    with suppress(OSError):
        os.nice(_NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM))


def _run(kind: str) -> Callable[[Desk], None]:
    """What reads sources of a kind. Imported by need: a source pays for its own libraries only."""
    from importlib import import_module

    run: Callable[[Desk], None] = import_module(f"spouts.{kind}").run
    return run


def _listen(orders: TextIO, desk: Desk) -> None:
    """Take orders until there are no more: the box is gone. Then nothing can be committed, and
    what was is known to it: this process ends at once, whatever it is at, with what it started."""
    try:
        for line in orders:
            with suppress(ValueError, AttributeError):  # a line that a dying box has not ended
                if json.loads(line).get("order") == "run":
                    desk.order_run()
    finally:
        # Not by PR_SET_PDEATHSIG, which would kill this process before it has killed its children.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


def _stop_on_sigterm(desk: Desk) -> None:
    """Have SIGTERM order the end. A handler of Python's runs in the main thread, which may hold
    the very lock the order needs, or wait for long; the one below it wakes a thread."""
    waking, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.detach(), warn_on_full_buffer=False)

    def wait() -> None:
        with waking:
            waking.recv(1)
        desk.order_stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    signal.signal(signal.SIGTERM, _noted)


def _noted(number: int, frame: FrameType | None) -> None:
    """In place of what the signal would do by itself."""


def main() -> int:
    """Read the task, run until told to stop; the exit status."""
    _step_back()
    orders = sys.stdin
    first = orders.readline()
    if not first.endswith("\n"):
        return 0  # the box went before it had said what to do
    desk = Desk(Task.from_line(first))
    _stop_on_sigterm(desk)
    threading.Thread(target=_listen, args=(orders, desk), name="orders", daemon=True).start()
    try:
        _run(desk.task.kind)(desk)
    except Stopping:
        return 0
    except PachyboxError as e:
        desk.log(str(e))
        return 1
    except OSError as e:
        desk.log(f"{e.strerror or e}{f': {e.filename}' if e.filename else ''}")
        return 1
    finally:
        desk.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
