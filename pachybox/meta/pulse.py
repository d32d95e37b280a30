"""Whether something still moves: it is asked to prove it, and the time it takes is looked at.

Whoever asks never waits: a proof is made on a thread of its own, at most one at a time, so that
one that never ends costs a thread and is seen by its age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pachybox.errors import PachyboxError

_PAUSE_S = 1.0  # a proof is good for so long, however often it is asked for


class Pulse:
    """Callable from any thread."""

    def __init__(self, name: str, prove: Callable[[], None]) -> None:
        """``prove`` returns once what it asks has answered; it may raise PachyboxError."""
        self._name = name
        self._prove = prove
        self._lock = threading.Lock()
        self._began = 0.0  # of the proof under way; 0.0 when none is
        self._proven = float("-inf")
        self._error = ""

    def beat(self) -> tuple[float, str]:
        """Have a proof made when none is under way and the last one is old. Returns how many
        seconds the one under way has taken (0.0: none is), and what the last one raised."""
        now = time.monotonic()
        with self._lock:
            if self._began:
                return now - self._began, self._error
            if now - self._proven < _PAUSE_S:
                return 0.0, self._error
            self._began = now
            error = self._error
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as e:
            self._done(str(e))
            return 0.0, str(e)
        return 0.0, error

    def _run(self) -> None:
        error = ""
        try:
            self._prove()
        except PachyboxError as e:
            error = e.message
        finally:
            self._done(error)

    def _done(self, error: str) -> None:
        with self._lock:
            self._error, self._began, self._proven = error, 0.0, time.monotonic()
