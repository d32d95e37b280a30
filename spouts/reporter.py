"""How a source tells the box how it does, without troubling itself or the box."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from spouts.task import Report

EVERY_S = 0.5  # figures alone are told at most so often; news at once


class Reporter:
    """Keeps the newest report and sends it. Callable from any thread.

    What is left unsent because figures came too often is sent when its time has come, so that
    the box knows the last ones of a source that falls silent.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        """``write`` sends a line; OSError means that nobody hears it, which is no error here."""
        self._write = write
        self._changed = threading.Condition()
        self._now = self._told = Report()
        self._told_at = -EVERY_S
        self._thread: threading.Thread | None = None

    @property
    def reason(self) -> str:
        """What the source waits for now, by its own last word."""
        return self._now.reason

    def update(
        self,
        *,
        lag_s: float | None = None,
        pending: int | None = None,
        reason: str | None = None,
        error: str | None = None,
        errors: int = 0,
    ) -> None:
        """What is given is so now, and ``errors`` more have been met; the rest is as before."""
        given = {"lag_s": lag_s, "pending": pending, "reason": reason, "error": error}
        known = {key: value for key, value in given.items() if value is not None}
        with self._changed:
            self._now = replace(self._now, errors=self._now.errors + errors, **known)  # type: ignore[arg-type]
            if self._now == self._told:
                return
            if self._is_news() or time.monotonic() >= self._told_at + EVERY_S:
                self._send()
            elif self._thread is None:
                self._thread = threading.Thread(target=self._later, name="reports", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def flush(self) -> None:
        """Send what was not sent yet."""
        with self._changed:
            if self._now != self._told:
                self._send()

    def _is_news(self) -> bool:
        now, told = self._now, self._told
        return (now.reason, now.errors, bool(now.pending)) != (
            told.reason, told.errors, bool(told.pending),
        )  # fmt: skip

    def _send(self) -> None:
        self._told, self._told_at = self._now, time.monotonic()
        try:
            self._write(self._now.line())
        except (OSError, ValueError):  # the box is gone, which is noticed elsewhere
            return

    def _later(self) -> None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._now != self._told)
                left = self._told_at + EVERY_S - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                elif self._now != self._told:
                    self._send()
