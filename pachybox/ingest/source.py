"""One source and its process through time: starting, running, crashing, ending."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pachybox.ingest.log import IngestLog
from pachybox.ingest.process import OWN, SourceProcess, Wanted
from pachybox.model.ingest import Ingest, IngestKind, IngestState, IngestStatus

log = logging.getLogger("pachybox.ingest")

READY_S = 1.0  # so long a source lives, or until its first report, before it is said to run
BACKOFF_S = (0.5, 30.0)  # before it is started again: at first, at most
_STEADY_S = 60.0  # so long it lives to be trusted again
GRACE_S, GONE_S = 10.0, 2.0  # from SIGTERM to SIGKILL; of a source that was deleted
_REASON_MOST = 500
_USERS = (IngestKind.COMMAND, IngestKind.SPOUT)  # kinds whose standard error is a user's program's


class Source:
    """For the supervisor's thread; ``shown`` may be read from any."""

    def __init__(self, ingest: Ingest, log_file: IngestLog) -> None:
        self.ingest = ingest
        self.log = log_file
        self.process: SourceProcess | None = None
        self.shown = IngestStatus(IngestState.STARTING, since=datetime.now(UTC))
        self.removed: list[threading.Event] = []
        """Who waits for its end: it is gone. Its process ends, then it is forgotten."""
        self.next_start = 0.0
        self.told: IngestState | None = None  # the state that the last event of it gave
        self._users = False
        self._began = 0.0
        self._backoff = BACKOFF_S[0]
        self._ending = 0.0  # when SIGTERM was sent
        self._killed = False
        self._reported = False
        self._errors_before = 0  # of processes before this one
        self._last_said = ""
        self._reported_at = 0.0

    # ---- its process

    def begin(self, process: SourceProcess) -> None:
        """It has a process now."""
        self.process = process
        self._began, self._ending, self._killed = time.monotonic(), 0.0, False
        self._reported, self._last_said = False, ""
        self._users = process.wanted.kind in _USERS
        self._errors_before = self.shown.errors
        crashed = self.shown.state == IngestState.CRASHING
        if crashed:  # said until it runs
            self.shown = replace(self.shown, restarts=self.shown.restarts + 1)
        else:
            self._show(IngestState.STARTING, "")
        self.shown = replace(self.shown, pid=process.pid)

    def cannot_begin(self, why: str) -> None:
        """The machine has no process for it now."""
        self._crashed(f"cannot be started: {why}")

    def end(self, now: float) -> float:
        """Have its process end, by force at last; when to look again."""
        assert self.process is not None
        grace = GONE_S if self.removed else GRACE_S  # what it has left nobody takes
        if not self._ending:
            self._ending = now
            self.process.terminate()
        elif not self._killed and now >= self._ending + grace:
            self._killed = True
            self.process.kill()
            log.warning("ingest=%s killed: it did not end by itself", self.ingest)
        return self._ending + grace if not self._killed else now + 1.0

    def ended(self, *, crashed: bool) -> None:
        """Its process has ended. ``crashed``: nobody wanted it to."""
        process = self.process
        assert process is not None
        self.reported(process.last_reports())
        self.said(process.last_words())
        code = process.close()
        self.log.settle()
        if self._ending or not crashed:
            self._show(IngestState.STARTING, "")  # unless it is to stay away
        else:
            if time.monotonic() - self._began >= _STEADY_S:
                self._backoff = BACKOFF_S[0]
            self._crashed(self._why(code))
        self.shown = replace(self.shown, pid=0)  # who sees that finds why
        self.process = None

    def _why(self, code: int) -> str:
        if code < 0:
            return f"killed by signal {-code} ({_signal_name(-code)})"
        return self._last_said or f"ended by itself (status {code})"

    def hurry(self) -> None:
        """Start it without waiting any longer, if it is to be started."""
        self.next_start = 0.0
        self._backoff = BACKOFF_S[0]

    def settle(self, now: float) -> float:
        """It goes on running; when to look again."""
        if self._reported or now - self._began >= READY_S:
            if self.shown.state in (IngestState.STARTING, IngestState.CRASHING):
                self._show(IngestState.RUNNING, "" if not self._reported else self.shown.reason)
            return now + 3600
        return self._began + READY_S

    def idle(self, state: IngestState, reason: str) -> None:
        """It is not to run, for a while or for good."""
        self._backoff = BACKOFF_S[0]
        self.next_start = 0.0
        self._show(state, reason)

    def _crashed(self, reason: str) -> None:
        reason = reason[:_REASON_MOST]
        log.warning("ingest=%s crashed: %s", self.ingest, reason)
        self.next_start = time.monotonic() + self._backoff
        self.log.write(f"{reason}; starts again in {self._backoff:g} s", user=False)
        self._backoff = min(2 * self._backoff, BACKOFF_S[1])
        self._show(IngestState.CRASHING, reason)
        self._failed(self.shown.errors + 1, reason)

    def _failed(self, errors: int, error: str) -> None:
        now = datetime.now(UTC)
        self.shown = replace(self.shown, errors=errors, error=error, error_time=now)

    def _show(self, state: IngestState, reason: str) -> None:
        if state != self.shown.state:
            self.shown = replace(self.shown, state=state, since=datetime.now(UTC))
        if reason != self.shown.reason:
            self.shown = replace(self.shown, reason=reason)

    def young(self, now: float) -> bool:
        """Whether its process is just starting, which costs the machine most."""
        return self.process is not None and not self._reported and now < self._began + READY_S

    def outdated(self, wanted: Wanted) -> bool:
        """Whether its process is of another version than is wanted."""
        return self.process is not None and self.process.wanted != wanted

    # ---- what it says

    def said(self, lines: Iterable[bytes]) -> None:
        """Lines of its standard error."""
        for raw in lines:
            own = raw.startswith(OWN)
            text = raw.removeprefix(OWN).decode(errors="replace").rstrip("\r")
            if text.strip():
                self._last_said = text.strip()
            self.log.write(text, user=self._users and not own)

    def reported(self, lines: Iterable[bytes]) -> None:
        """Lines of its standard output: reports. What is none belongs to the log."""
        for raw in lines:
            try:
                report = _Report(json.loads(raw))
            except (ValueError, TypeError, KeyError, AttributeError):
                self.said([raw])
                continue
            self._reported, self._reported_at = True, time.monotonic()
            errors = self._errors_before + report.errors
            if errors > self.shown.errors:
                self._failed(errors, report.error)
            if not self._ending:
                self._show(IngestState.RUNNING, report.reason)
            self.shown = replace(self.shown, lag_s=report.lag_s, pending=report.pending)

    def status(self) -> IngestStatus:
        """How it does. What waits grows older between two reports."""
        shown = self.shown
        if shown.pending and self._reported_at:
            shown = replace(shown, lag_s=shown.lag_s + time.monotonic() - self._reported_at)
        return shown


class _Report:
    """A report as spouts/task.py writes it. Raises what a line that is none raises."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.lag_s = max(0.0, float(found["lag_s"]))
        self.pending = max(0, int(found["pending"]))
        self.reason = str(found["reason"])[:_REASON_MOST]
        self.error = str(found["error"])[:_REASON_MOST]
        self.errors = int(found["errors"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
