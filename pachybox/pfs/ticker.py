"""The timer of triggers with a ``cron_spec``: moves their branches on schedule (reference §1.3).

It knows no plan but the branches as they are: a tick is due when the schedule had one since
the last look. Ticks missed while the box was down are not made up for.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from pachybox.errors import PachyboxError
from pachybox.meta.apply import Staged
from pachybox.meta.tables import BRANCHES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch
from pachybox.model.pfs import BranchRecord
from pachybox.model.schedule import ticked
from pachybox.pfs.branches import follow_source
from pachybox.pfs.service import Pfs
from pachybox.pfs.zone import local_zone

log = logging.getLogger("pachybox.triggers")

_LOOK_S = 1.0  # the finest schedule is by the second


class Ticker:
    """One thread that looks every second which branches are due, as long as one may be."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._stopping = False
        self._idle = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="triggers", daemon=True)

    def start(self) -> None:
        """Begin to look. Comes after whoever else wants to be told of publications."""
        meta = self._pfs.meta
        before = meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            if self._idle and any(map(_has_schedule, staged.get(BRANCHES, {}).values())):
                self._wake.set()

        meta.on_publish = published
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent, and without effect when it was never started."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        seen = utc_now()
        while True:
            self._wake.clear()
            if self._stopping:  # looked at behind that: who stops this sets it first
                return
            self._idle = True  # before looking, so that one that comes now is told of
            self._idle = not any(map(_has_schedule, self._pfs.meta.all(BRANCHES)))
            self._wake.wait(None if self._idle else _LOOK_S)
            now = utc_now()
            if self._idle:
                seen = now
                continue
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


def _has_schedule(record: object) -> bool:
    if not isinstance(record, BranchRecord):
        return False  # it is gone
    return record.trigger is not None and bool(record.trigger.cron_spec)
