"""What the parts of a box say of their own work: when it last went well, when not and why.

A part is a name (``scrub``, ``backup``, ``webhooks``, ``janitor``). What it said last is kept in
the facts of the metadata under ``<part>.last``, so that it outlives the process: doctor, the
warnings of ``status`` and the metrics read it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from pachybox.errors import NotReady
from pachybox.meta.tables import FACTS
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta

Figure = str | int | float | bool

_SUFFIX = ".last"
_OWN = ("at", "ok", "error", "remedy", "ok_at")


@dataclass(frozen=True, slots=True)
class Record:
    """The last word of a part: at ``at`` (seconds since 1970) it went well, or not, for
    ``error``. ``ok_at``: when it last went well, None for never. ``figures`` are the part's own."""

    part: str
    at: float
    error: str = ""
    remedy: str = ""
    ok_at: float | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return not self.error

    @property
    def warning(self) -> str:
        """What whoever uses the box should know; "" when it went well."""
        if self.ok:
            return ""
        return f"{self.part}: {self.error}" + (f"; {self.remedy}" if self.remedy else "")


class Health:
    """The records of one box. Callable from any thread."""

    def __init__(self, meta: Meta, clock: Callable[[], float] = time.time) -> None:
        self._meta = meta
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, Record] = {}  # by this process; a full disk may not take it

    def record(self, part: str, error: str = "", remedy: str = "", **figures: Figure) -> Record:
        """Keep what ``part`` says: all is well, or ``error`` and what to do about it, with figures
        of its own. Never fails and waits for nothing: it is durable a moment later, and known to
        this process even where the disk takes nothing."""
        with self._lock:
            before, now = self._last(part), self._clock()
            ok_at = (before.ok_at if before is not None else None) if error else now
            made = Record(part, now, error, remedy, ok_at, figures)
            self._said[part] = made
            fact = (part + _SUFFIX, _text(made))

            def put(tx: Tx) -> None:
                tx.put(FACTS, fact)

            try:
                self._meta.later(put).add_done_callback(_told)
            except NotReady:  # the box is closing; the next one finds out anew
                pass
        return made

    def last(self, part: str) -> Record | None:
        """What ``part`` said last; None when it never did."""
        with self._lock:
            return self._last(part)

    def all(self) -> list[Record]:
        """The last word of each part that ever said something, by name."""
        with self._lock:
            kept = {r.part: r for r in self._kept()}
            return sorted({**kept, **self._said}.values(), key=lambda r: r.part)

    def warnings(self) -> list[str]:
        """What whoever uses the box should know of parts whose work went wrong. Cheap."""
        return [record.warning for record in self.all() if not record.ok]

    def _last(self, part: str) -> Record | None:
        if part in self._said:
            return self._said[part]
        fact = self._meta.get(FACTS, part + _SUFFIX)
        return _record(*fact) if fact is not None else None

    def _kept(self) -> Iterator[Record]:
        for name, text in self._meta.all(FACTS):
            if name.endswith(_SUFFIX):
                yield _record(name, text)


def _told(done: Future[None]) -> None:
    """A disk that takes nothing is told of by others."""
    done.exception()


def _text(record: Record) -> str:
    own: dict[str, Figure | None] = {
        "at": record.at,
        "ok": record.ok,
        "error": record.error,
        "remedy": record.remedy,
        "ok_at": record.ok_at,
    }
    return json.dumps({**record.figures, **own}, sort_keys=True)


def _record(name: str, text: str) -> Record:
    said = json.loads(text)
    figures = {key: value for key, value in said.items() if key not in _OWN}
    error = str(said.get("error") or "") or ("" if said.get("ok", True) else "failed")
    at = float(said["at"])
    ok_at = said.get("ok_at", at if not error else None)
    part = name.removesuffix(_SUFFIX)
    return Record(part, at, error, str(said.get("remedy", "")), ok_at, figures)
