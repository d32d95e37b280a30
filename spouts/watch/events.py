"""The kernel's word that something changed in a folder: when to look, and where.

A hint only. What is true is found by looking, and the folder is looked through as a whole now and
then, since the kernel drops events when there are too many.
"""

from __future__ import annotations

import threading
import time

from watchfiles._rust_notify import RustNotify

_GROUP_MS, _QUIET_MS = 100, 20  # how long events are gathered, or until none comes
_MOST = 100_000  # paths remembered; more are one: look at everything
_FLOOD = 4096  # events in a second: the kernel's queue (16,384) may have run over


class Events:
    """Watches ``root`` from its construction on, in a thread; ``wake`` is set at every event.

    Raises OSError when there are no watches left (ENOSPC), or none at all here.
    """

    def __init__(self, root: str, wake: threading.Event) -> None:
        self.partial = False
        """Whether there may be places whose events do not come."""
        try:
            self._notify = RustNotify([root], False, False, 300, True, False)
        except PermissionError:  # a directory that we may not read; the lack of watches is hidden
            self._notify = RustNotify([root], False, False, 300, True, True)
            self.partial = True
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._lost = False
        self._second = (0, 0)
        self._failure = ""
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="events", daemon=True).start()

    def take(self) -> tuple[set[str], bool]:
        """The paths at which something changed since the last call, and whether more may have:
        then everything is to be looked at."""
        with self._lock:
            paths, lost = self._paths, self._lost
            self._paths, self._lost = set(), False
        return paths, lost

    @property
    def failure(self) -> str:
        """Why there will be no more events; "" while there will."""
        return self._failure

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._notify.watch(_GROUP_MS, _QUIET_MS, 5000, self._stop)
            except Exception as e:  # whatever it is, its owner falls back
                self._failure = str(e) or type(e).__name__
                self._wake.set()
                return
            if isinstance(found, set):
                self._add({path for _, path in found})
                self._wake.set()

    def _add(self, paths: set[str]) -> None:
        second = int(time.monotonic())
        count = len(paths) + (self._second[1] if self._second[0] == second else 0)
        self._second = (second, count)
        with self._lock:
            self._paths |= paths
            self._lost |= count >= _FLOOD
            if len(self._paths) > _MOST:
                self._paths, self._lost = set(), True
