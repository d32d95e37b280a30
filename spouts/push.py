"""Records that were posted: from the source's inbox, which the daemon writes, to its branch.

The daemon cuts away what is committed. What is in the inbox is durable, so that nothing is held
here that could be lost.
"""

from __future__ import annotations

from spouts.desk import Desk, Stopping
from spouts.flow import Flow
from spouts.records import Settings

FOLDER = "spool"


def run(desk: Desk) -> None:
    """Commit what comes until told to stop. Raises Stopping, then with all committed."""
    task = desk.task
    settings = Settings.of(task.name, task.spec)
    flow = Flow(desk, task.state / FOLDER, settings)
    flush = False
    while True:
        wait = flow.turn(flush=flush)
        try:
            flush = desk.pause(wait)
        except Stopping:
            flow.turn(flush=True)
            raise
