"""One source: ``python -m spouts``, started by the box, which writes the task to its stdin."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from pachybox.errors import PachyboxError
from spouts.desk import Desk, Stopping
from spouts.task import Task


def _run(kind: str) -> Callable[[Desk], None]:
    """What reads sources of a kind. Imported by need: a source pays for its own libraries only."""
    from importlib import import_module

    run: Callable[[Desk], None] = import_module(f"spouts.{kind}").run
    return run


def _listen(orders: TextIO, desk: Desk) -> None:
    for line in orders:
        if json.loads(line).get("order") == "run":
            desk.order_run()
    os._exit(0)  # the box is gone: nothing can be committed, and what was is known to it


def main() -> int:
    """Read the task, run until told to stop; the exit status."""
    orders = sys.stdin
    first = orders.readline()
    if not first:
        return 0
    desk = Desk(Task.from_line(first))
    signal.signal(signal.SIGTERM, lambda *_: desk.order_stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the box is told, and tells us
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
