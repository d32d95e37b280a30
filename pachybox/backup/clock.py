"""The box backs itself up when ``backup_schedule`` says so, and removes what ``backup_keep`` does
not want.

What is due follows from when the last backup was tried, so that one for which the box was down is
made when it is up again, once. One that failed is tried again after a while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from pachybox.backup.service import Backups, silent
from pachybox.config import Config
from pachybox.errors import Internal, InvalidArgument, PachyboxError
from pachybox.model.schedule import Schedule, parse_schedule

log = logging.getLogger("pachybox.backup")

_LOOK_S = 1.0  # the clock may be set meanwhile
_AGAIN = timedelta(hours=1)

Last = Callable[[], tuple[float, bool] | None]
"""When a backup was last tried (seconds since 1970) and whether it went well; None: never."""


class Clock:
    """One thread that makes the backups that are due."""

    def __init__(
        self, backups: Backups, config: Config, last: Last, zone: Callable[[], tzinfo]
    ) -> None:
        self._backups = backups
        self._config = config
        self._last = last
        self._zone = zone
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)
        self._began = datetime.now(UTC)
        self._old_stay = False  # what failed last is the prune: no reason for one more backup

    def start(self) -> None:
        """Begin, where there is a schedule and a place. A schedule that is none is told of."""
        if not self._config.backup_schedule or not self._config.backup_to:
            return
        try:
            parse_schedule(self._config.backup_schedule)
        except InvalidArgument as e:
            wrong = InvalidArgument(f"backup_schedule: {e.message}", e.hint)
            log.error("no backups are made: %s", wrong)
            self._backups.failed(self._config.backup_to, wrong)
            return
        self._thread.start()

    def stop(self) -> None:
        """End; a backup that is being made is called off."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        schedule = parse_schedule(self._config.backup_schedule, "", self._zone())
        while not self._stop.wait(_LOOK_S):
            try:
                if self._due(schedule):
                    self._make()
            except Exception as e:  # it must be there for the next one, which is not now
                log.exception("the backup could not be made")
                wrong = Internal(f"the backup went wrong: {e!r}", "see run/box.log")
                self._backups.failed(self._config.backup_to, wrong)

    def _due(self, schedule: Schedule) -> bool:
        now, last = datetime.now(UTC), self._last()
        since = self._began if last is None else datetime.fromtimestamp(last[0], UTC)
        if since > now:  # the clock was set back
            since = self._began = min(self._began, now)
        due = schedule.after(since)
        if last is not None and not last[1] and not self._old_stay:
            again = since + _AGAIN
            due = again if due is None else min(due, again)
        return due is not None and due <= now

    def _make(self) -> None:
        to, keep = self._config.backup_to, self._config.backup_keep
        gone = self._stop.is_set
        self._old_stay = False
        try:
            self._backups.create(to, silent, gone)
        except PachyboxError:
            return  # it is told already
        if not keep:
            return
        try:
            self._backups.place(to).prune(keep, silent, gone)
        except PachyboxError as e:
            self._old_stay = True
            log.warning("old backups stay: %s", e)
            told = type(e)(f"old backups stay: {e.message}", e.hint)
            self._backups.failed(to, told)
