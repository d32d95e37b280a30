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


@dataclass(frozen=True, slots=True)
class _Thing:
    name: str
    remove: Callable[[], None]


class Remover:
    """A thread that deletes, again and again until it is done; it begins with the first thing.
    ``tidy`` is called now and then from it."""

    def __init__(self, tidy: Callable[[], None]) -> None:
        self._tidy = tidy
        self._wake = threading.Condition()
        self._things: list[_Thing] = []
        self._under_way = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; no trouble when it has."""
        with self._wake:
            if self._thread is not None or self._ending:
                return
            self._thread = threading.Thread(target=self._run, name="pods-remover", daemon=True)
        self._thread.start()

    def add(self, name: str, remove: Callable[[], None]) -> None:
        """Have the thread call ``remove`` until it raises no PachyboxError. Returns at once."""
        self.start()
        with self._wake:
            self._things.append(_Thing(name, remove))
            self._wake.notify_all()

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, for so long, and end."""
        with self._wake:
            self._wake.wait_for(lambda: not self._things and not self._under_way, timeout_s)
            self._ending = True
            self._wake.notify_all()

    def _run(self) -> None:
        pause, tidied = 0.0, time.monotonic()
        while True:
            with self._wake:
                if pause:
                    self._wake.wait_for(lambda: self._ending, pause)
                else:
                    self._wake.wait_for(lambda: self._ending or self._things, _TIDY_S)
                if self._ending:
                    return
                things, self._things = self._things, []
                self._under_way = len(things)
            left = [one for one in things if not self._removed(one)]
            with self._wake:
                self._things[:0] = left
                self._under_way = 0
                self._wake.notify_all()
            pause = min(2 * pause or _AGAIN_S, _MOST_S) if left else 0.0
            if time.monotonic() > tidied + _TIDY_S:
                self._tidy()
                tidied = time.monotonic()

    def _removed(self, one: _Thing) -> bool:
        try:
            one.remove()
        except PachyboxError as e:
            log.warning("not removed yet %s error=%s", one.name, e)
            return False
        except Exception:
            log.exception("not removed %s", one.name)
        return True
