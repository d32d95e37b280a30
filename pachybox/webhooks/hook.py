"""One webhook: a thread that tells it of events in their order, again and again until it listens.

    event log --(kinds, above its place)--> post --> its place moves on

What cannot be told for a day is dropped, counted and said. The box waits for none of this.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pachybox.config import WEBHOOK_EVENTS, Webhook
from pachybox.errors import NotReady, PachyboxError
from pachybox.meta.tables import EVENTS
from pachybox.meta.writer import Meta
from pachybox.model.events import Event
from pachybox.webhooks import message
from pachybox.webhooks.place import Places
from pachybox.webhooks.post import Answer, post, shown

log = logging.getLogger("pachybox.webhooks")

KEPT = timedelta(days=1)
"""So long it is tried to tell an event."""
_FIRST_S, _LONGEST_S = 1.0, 300.0  # between two attempts
_PAGE = 100
_NEXT = f"WHERE seq > ? AND kind IN ({', '.join('?' * len(message.KINDS))}) ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of what a webhook was to be told, since the box started."""

    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    error: str = ""
    error_time: datetime | None = None
    last_time: datetime | None = None


class Hook:
    """Callable from any thread."""

    def __init__(
        self,
        number: int,
        key: str,
        settings: Webhook,
        meta: Meta,
        places: Places,
        sender: Callable[[], message.Sender],
        changed: Callable[[], None],
    ) -> None:
        """``number``: which it is in ``box.toml``, from 1. ``key``: by which its place is kept.
        ``changed`` is called when it begins or ceases to fail, or drops something."""
        self.number = number
        self.url = settings.url
        self.shown = shown(settings.url)
        self.key = key
        self.events = settings.events or WEBHOOK_EVENTS
        self.signed = bool(settings.secret)
        self._secret = settings.secret
        self._meta, self._places, self._sender = meta, places, sender
        self._changed = changed
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._told = Told()
        self._thread = threading.Thread(target=self._run, name=f"webhook-{number}", daemon=True)

    def start(self) -> None:
        """Begin to tell, what was left over first."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """Tell no more. What is under way is not waited for: it is told again by the next box."""
        self._stop.set()
        self._wake.set()

    def wake(self) -> None:
        """There may be something to tell. Returns at once."""
        self._wake.set()

    @property
    def told(self) -> Told:
        """What became of it."""
        return self._told

    @property
    def place(self) -> int:
        """The number of the newest event that is done with."""
        return self._places.get(self.key)

    def waiting(self) -> int:
        """How many events are still to be told. Reads those since its place, some thousands at
        most."""
        rows = self._meta.select(EVENTS, f"{_NEXT} LIMIT 10000", (self.place, *message.KINDS))
        return sum(message.name_of(event) in self.events for event in rows)

    def test(self) -> Answer:
        """Tell it of an event that is none, once, and wait for the answer."""
        sender = self._sender()
        now = datetime.now(UTC)
        return self._post(Event(0, now, message.TEST, {}), message.TEST, sender, 1)

    # ---- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            try:
                while not self._stop.is_set() and self._page():
                    pass
            except NotReady:
                return  # the box is stopping
            except PachyboxError as e:
                log.warning("webhook %s: cannot read events: %s", self.shown, e)
            except Exception:  # it must be there for the next event
                log.exception("webhook %s", self.shown)

    def _page(self) -> bool:
        """Tell what is next of it; whether there may be more."""
        where = f"{_NEXT} LIMIT {_PAGE}"
        found = self._meta.select(EVENTS, where, (self.place, *message.KINDS))
        done = self.place
        for event in found:
            name = message.name_of(event)
            if name in self.events:
                if not self._deliver(event, name):
                    return False
                self._places.put(self.key, event.seq)
            done = event.seq
        if done != self.place:
            self._places.put(self.key, done)
        return len(found) == _PAGE

    def _deliver(self, event: Event, name: str) -> bool:
        """Try until it is told, or not worth it any more; False when the box stops meanwhile."""
        sender, pause, attempt = self._sender(), _FIRST_S, 1
        while True:
            answer = self._post(event, name, sender, attempt)
            if self._stop.is_set() and answer.error:
                return False
            if not answer.error:
                self._note(delivered=1)
                return True
            late = datetime.now(UTC) - event.time > KEPT
            self._note(answer.error, failed=1, dropped=int(answer.hopeless or late))
            if answer.hopeless or late:
                log.error(
                    "webhook %s: event %d is dropped: %s", self.shown, event.seq, answer.error
                )
                return True
            if attempt == 1:
                log.warning("webhook %s: tried again until it works: %s", self.shown, answer.error)
            if self._stop.wait(pause * random.uniform(0.8, 1.2)):
                return False
            pause, attempt = min(2 * pause, _LONGEST_S), attempt + 1

    def _post(self, event: Event, name: str, sender: message.Sender, attempt: int) -> Answer:
        body = message.body(event, name, sender)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pachybox",
            "Connection": "close",
            "Pachybox-Event": name,
            "Pachybox-Delivery": message.id_of(event, sender),
            "Pachybox-Attempt": str(attempt),
        }
        if self._secret:
            now = int(time.time())
            headers["Pachybox-Signature"] = message.signature(self._secret, body, now)
        return post(self.url, body, headers)

    def _note(self, error: str = "", delivered: int = 0, failed: int = 0, dropped: int = 0) -> None:
        before, now = self._told, datetime.now(UTC)
        self._told = Told(
            before.delivered + delivered,
            before.failed + failed,
            before.dropped + dropped,
            error,
            now if error else before.error_time,
            now if delivered else before.last_time,
        )
        if dropped or bool(error) != bool(before.error):
            self._changed()
