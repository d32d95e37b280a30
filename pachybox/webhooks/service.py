"""All webhooks of a box."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from pachybox.config import Webhook
from pachybox.errors import NotFound
from pachybox.meta.apply import Staged
from pachybox.meta.tables import EVENTS
from pachybox.meta.writer import Meta
from pachybox.model.events import Event
from pachybox.webhooks.hook import Hook
from pachybox.webhooks.message import KINDS, Sender
from pachybox.webhooks.place import Places, key_of
from pachybox.webhooks.post import Answer

Record = Callable[[str, str], object]
"""(error, remedy): how the webhooks do, to be kept; no error when well."""


class Webhooks:
    """Callable from any thread."""

    def __init__(
        self,
        settings: Sequence[Webhook],
        meta: Meta,
        home: Path,
        who: Callable[[], tuple[str, str]],
        record: Record,
    ) -> None:
        """``who``: the box's id and the address of its HTTP door, asked when needed."""
        self._meta, self._who, self._record = meta, who, record
        keys = _keys([one.url for one in settings])
        self._places = Places(home / "webhooks.json", keys, meta.last_event)
        self.all = tuple(
            Hook(number, key, one, meta, self._places, self._sender, self._changed)
            for number, (key, one) in enumerate(zip(keys, settings, strict=True), 1)
        )

    def start(self) -> None:
        """Begin to tell. Without webhooks nothing runs."""
        self._changed()  # what they did before is over, and they may be others
        if not self.all:
            return
        before = self._meta.on_publish

        def published(staged: Staged) -> None:
            before(staged)
            events = staged.get(EVENTS)
            if events and any(isinstance(e, Event) and e.kind in KINDS for e in events.values()):
                for hook in self.all:
                    hook.wake()

        self._meta.on_publish = published
        for hook in self.all:
            hook.start()

    def stop(self) -> None:
        """Tell no more. Idempotent."""
        for hook in self.all:
            hook.stop()

    def skip(self) -> None:
        """What is in the log by now happened to another box, and is not to be told."""
        for hook in self.all:
            self._places.put(hook.key, self._meta.last_event)

    def test(self, which: str) -> list[tuple[Hook, Answer]]:
        """Tell the webhook ``which`` (its number or its url; "" or ``all``: each) of an event
        that is none. Raises NotFound."""
        found = [
            hook
            for hook in self.all
            if which in ("", "all", str(hook.number), hook.url, hook.shown)
        ]
        if not found:
            if which in ("", "all"):
                raise NotFound("the box has no webhooks", "write [[webhook]] in box.toml")
            raise NotFound(f"webhook {which} not found", "webhook list shows what there is")
        return [(hook, hook.test()) for hook in found]

    def _sender(self) -> Sender:
        box_id, address = self._who()
        return Sender(box_id, socket.gethostname(), address)

    def _changed(self) -> None:
        wrong = [hook.told for hook in self.all if hook.told.error]
        dropped = sum(hook.told.dropped for hook in self.all)
        error = wrong[0].error if wrong else ""
        if error and dropped:
            error += f" ({dropped} dropped)"
        self._record(error, "see: pachybox webhook list" if error else "")


def _keys(urls: Sequence[str]) -> list[str]:
    """By which each is known. Two may have one address and be told of different events: each has
    a place of its own."""
    return [
        key_of(f"{url} {before}" if (before := urls[:number].count(url)) else url)
        for number, url in enumerate(urls)
    ]
