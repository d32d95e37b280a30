"""Datums on their way from the plan to the lanes: a short queue, so that a plan of any length
takes little memory."""

from __future__ import annotations

import threading
from collections import deque

from pachybox.model.pps import Datum

_AHEAD = 1000  # planned datums that wait, at most
_LOW = 500  # so few wait when more are let in: a plan that is ahead wakes up rarely
_SPARE = 16  # the last ones are not handed out ahead: whoever is free first takes them


class Feed:
    """A bounded queue with an end."""

    def __init__(self) -> None:
        self._waiting: deque[Datum] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False

    def put(self, datum: Datum) -> bool:
        """Add a datum, waiting for room; False when nobody takes any more."""
        with self._changed:
            if len(self._waiting) >= _AHEAD:
                self._changed.wait_for(lambda: self._aborted or len(self._waiting) <= _LOW)
            if not self._aborted:
                self._waiting.append(datum)
                self._changed.notify_all()
            return not self._aborted

    def take(self, wait: bool) -> Datum | None:
        """The next datum. None: there are no more, or (without ``wait``, to hold it ahead) there
        are too few to hold any."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._waiting or self._closed or self._aborted)
            if len(self._waiting) < (1 if wait else _SPARE) or self._aborted:
                return None
            datum = self._waiting.popleft()
            if len(self._waiting) == _LOW:
                self._changed.notify_all()
            return datum

    def waiting(self) -> list[Datum]:
        """Those that wait now, in order."""
        with self._changed:
            return list(self._waiting)

    def close(self) -> None:
        """No more will be put."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Nothing more will be taken: whoever waits is let go."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()
