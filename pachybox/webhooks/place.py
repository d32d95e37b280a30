"""How far each webhook has been told, in one small file that a crash leaves whole.

It is no part of the metadata: a box that is restored elsewhere tells its own events, not again
those of the box it was made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from pachybox.durable import replacing

log = logging.getLogger("pachybox.webhooks")


def key_of(url: str) -> str:
    """The name of a webhook in the file, which is not to hold what may be secret in its url."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


class Places:
    """Numbers of events by webhook. Callable from any thread."""

    def __init__(self, path: Path, keys: Iterable[str], newest: int) -> None:
        """Take what was kept of the webhooks ``keys``. One that is new begins with what happens
        from now on, and so does one that has seen more than there is: the metadata is another.
        Without webhooks there is no file."""
        self._path = path
        self._lock = threading.Lock()
        self._known = dict.fromkeys(keys, newest)
        if self._known:
            self._load(newest)

    def _load(self, newest: int) -> None:
        try:
            kept = json.loads(self._path.read_text())
        except FileNotFoundError:
            kept = {}
        except (OSError, ValueError) as e:
            log.warning("%s cannot be read, webhooks begin with what comes now: %s", self._path, e)
            kept = {}
        with self._lock:
            for key in self._known:
                place = kept.get(key) if isinstance(kept, dict) else None
                if not isinstance(place, int) or not 0 <= place <= newest:
                    place = newest
                self._known[key] = place
            self._save()

    def get(self, key: str) -> int:
        """The number of the newest event that is done with."""
        with self._lock:
            return self._known[key]

    def put(self, key: str, number: int) -> None:
        """So far it has been told; durable when this returns, unless the disk takes nothing: then
        a restart tells it again."""
        with self._lock:
            self._known[key] = number
            self._save()

    def _save(self) -> None:
        try:
            with replacing(self._path) as file:
                file.write(json.dumps(self._known).encode())
        except OSError as e:
            log.warning("not kept how far webhooks were told: %s", e)
