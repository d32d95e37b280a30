"""The timer of triggers with a ``cron_spec``: moves their branches on schedule (reference §1.3).

It knows no plan but the branches as they are: a tick is due when the schedule had one since
the last look. Ticks missed while the box was down are not made up for.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from pachybox.errors import PachyboxError
from pachybox.meta.tables import BRANCHES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch
from pachybox.model.schedule import ticked
from pachybox.pfs.branches import follow_source
from pachybox.pfs.service import Pfs
from pachybox.pfs.zone import local_zone

log = logging.getLogger("pachybox.triggers")

_LOOK_S = 1.0  # the finest schedule is by the second


class Ticker:
    """One thread that looks every second which branches are due."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="triggers", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent, and without effect when it was never started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        seen = utc_now()
        while not self._stop.wait(_LOOK_S):
            now = utc_now()
            for branch in self._due(seen, now):
                try:
                    self._pfs.change(lambda ch, b=branch: follow_source(ch, b))  # type: ignore[misc]
                except PachyboxError as e:
                    log.warning("branch not moved branch=%s error=%s", branch, e)
                except Exception:
                    log.exception("branch not moved branch=%s", branch)
            seen = now

    def _due(self, seen: datetime, now: datetime) -> list[Branch]:
        return [
            record.branch
            for record in self._pfs.meta.all(BRANCHES)
            if record.trigger is not None
            and record.trigger.cron_spec
            and ticked(record.trigger.cron_spec, max(seen, record.updated), now, local_zone())
        ]
