"""Takes away what is no longer needed in the cluster, beside whoever no longer needs it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pachybox.errors import PachyboxError

log = logging.getLogger(__name__)

_AGAIN_S, _MOST_S = 1.0, 30.0
_TIDY_S = 5.0
_LEVELS = (logging.WARNING, logging.INFO)  # at first, and when it is told again


@dataclass(eq=False, slots=True)
class _Thing:
    """``due`` is when it is tried, ``pause_s`` how long it then rests."""

    name: str
    remove: Callable[[], object]
    due: float
    pause_s: float = _AGAIN_S


class Remover:
    """A thread that deletes, again and again until it is done; it begins with the first thing.
    ``tidy`` is called now and then from it."""

    def __init__(self, tidy: Callable[[], None]) -> None:
        self._tidy = tidy
        self._wake = threading.Condition()
        self._things: list[_Thing] = []
        self._under_way: _Thing | None = None
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; no trouble when it has."""
        with self._wake:
            if self._thread is not None or self._ending:
                return
            self._thread = threading.Thread(target=self._run, name="pods-remover", daemon=True)
        self._thread.start()

    def add(self, name: str, remove: Callable[[], object]) -> None:
        """Have the thread call ``remove`` until it raises no PachyboxError. Returns at once."""
        self.start()
        with self._wake:
            self._things.append(_Thing(name, remove, time.monotonic()))
            self._wake.notify_all()

    def close(self, timeout_s: float) -> None:
        """Try all that is left once more, for so long, and end."""
        with self._wake:
            if self._ending:
                return
            for one in self._things:
                one.due = 0.0
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._things and not self._under_way, timeout_s)
            self._ending = True
            self._wake.notify_all()

    def _run(self) -> None:
        tidied = time.monotonic()
        while not self._ending:
            if (one := self._next(tidied + _TIDY_S)) is not None:
                done = self._removed(one)
                with self._wake:
                    self._under_way = None
                    if not done:
                        self._things.append(one)
                    self._wake.notify_all()
            if time.monotonic() > tidied + _TIDY_S and not self._ending:
                self._tidy()
                tidied = time.monotonic()

    def _next(self, until: float) -> _Thing | None:
        """What is due first, waited for; None at that time, and at the end."""
        with self._wake:
            while not self._ending and (now := time.monotonic()) <= until:
                first = min(self._things, key=lambda one: one.due, default=None)
                if first is not None and first.due <= now:
                    self._things.remove(first)
                    self._under_way = first
                    return first
                self._wake.wait(min(until, first.due if first else until) - now + 0.001)
        return None

    def _removed(self, one: _Thing) -> bool:
        try:
            one.remove()
        except PachyboxError as e:
            log.log(_LEVELS[one.pause_s > _AGAIN_S], "not removed yet %s error=%s", one.name, e)
            one.due = time.monotonic() + one.pause_s
            one.pause_s = min(2 * one.pause_s, _MOST_S)
            return False
        except Exception:
            log.exception("not removed %s", one.name)
        return True
