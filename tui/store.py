"""The latest that is known of a box, and what has changed since it was drawn. No Textual here.

Data goes one way: events and answers come in by ``Feed``, ``take`` hands the topics that
changed to the view, ten times a second at most. A topic is ``link``, ``summary``, or a noun and
the name it is of: ``repo:raw``, ``pipeline:clean``, ``job:clean@4f2a...``, ``ingest:mqtt``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pachybox.client.view_values import Summary
    from pachybox.model.events import Event

_LOADS = 4  # that are remembered for the header
LINK, SUMMARY = "link", "summary"
CONNECTING, LIVE, LOST = "connecting", "live", "lost"


@dataclass(frozen=True, slots=True)
class Link:
    """The way to the box: ``state`` is connecting, live or lost; ``retry_s`` until the next try;
    ``ping_ms`` of the last answer; ``why`` it was lost; ``refused``: the box is there, and lets
    nobody in who shows what was shown."""

    state: str = CONNECTING
    ping_ms: float = 0.0
    why: str = ""
    retry_s: float = 0.0
    lost_at: datetime | None = None
    refused: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """Latest values of one box. Not thread-safe: the user interface's loop owns it."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self.link = Link()
        self.summary: Summary | None = None
        self.seq = 0
        self.loads: deque[float] = deque(maxlen=_LOADS)  # of the machine's processors, 0 to 1
        self._ahead = timedelta(0)
        self._dirty: set[str] = set()
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to ``take``."""

    @property
    def read_only(self) -> bool:
        """Whether the box says that nothing may be changed."""
        return bool(self.summary and self.summary.read_only)

    @property
    def now(self) -> datetime:
        """The box's clock: ages are told by it, wherever the terminal runs."""
        return self._clock() + self._ahead

    def forget(self) -> None:
        """Another box is gone to: nothing is known of it."""
        self.link, self.summary, self.seq = Link(), None, 0
        self.loads.clear()
        self._ahead = timedelta(0)
        self.touch(LINK, SUMMARY, "reset")

    def set_link(self, link: Link) -> None:
        """The connection's new state."""
        if link != self.link:
            self.link = link
            self.touch(LINK)

    def set_summary(self, summary: Summary) -> None:
        """What the box answered to the one call of Home."""
        if summary.time:
            self._ahead = summary.time - self._clock()
        self.summary = summary
        self.loads.append(summary.machine.cpu)
        self.seq = max(self.seq, summary.event_seq)
        self.touch(SUMMARY)

    def apply(self, event: Event) -> None:
        """An event of the box's log; one seen before (after a reconnect) changes nothing."""
        if event.kind == "reset":  # the log no longer has what we missed: all may have changed
            self.seq = event.seq
            self.touch(SUMMARY, "reset")
            return
        if event.seq < self.seq:
            return
        self.seq = event.seq
        self.touch(*topics(event))

    def take(self) -> frozenset[str]:
        """The topics that changed since the last call."""
        taken, self._dirty = frozenset(self._dirty), set()
        return taken

    def touch(self, *topics: str) -> None:
        """Have views draw these again, without an event."""
        self._dirty.update(topics)
        self.wake()


def topics(event: Event) -> frozenset[str]:
    """What an event is about: ``commit.finished`` of repo raw touches ``repo`` and ``repo:raw``."""
    data = event.data
    project = str(data.get("project") or "default")
    prefix = "" if project == "default" else f"{project}/"
    found = {event.kind.split(".")[0]}
    for noun in ("repo", "pipeline", "ingest"):
        if name := data.get(noun):
            found |= {noun, f"{noun}:{prefix}{name}"}
    if found & {"job"} and (pipeline := data.get("pipeline")):
        job = data.get("job") or data.get("id") or ""
        found.add(f"job:{prefix}{pipeline}@{job}")
    return frozenset(found)
