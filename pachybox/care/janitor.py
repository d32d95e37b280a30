"""The janitor: rounds in which a box tidies up after itself.

Each task of a round stands alone: one that fails is told and the others are done. Nothing that
comes in waits for a round: content is freed beside the work, and events go some at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pachybox.care.health import Health, Record
from pachybox.errors import Corrupt, PachyboxError
from pachybox.model.units import format_size
from pachybox.store.gc import Collected

log = logging.getLogger("pachybox.janitor")

PART = "janitor"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing a round does. ``do`` returns the bytes it freed, 0 when that is not its aim."""

    name: str
    do: Callable[[], int]


class Janitor:
    """Does its tasks every so many seconds. ``round`` may be called by anybody, too."""

    def __init__(self, tasks: Sequence[Task], health: Health, interval_s: float) -> None:
        self._tasks = tasks
        self._health = health
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._one = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="janitor", daemon=True)

    def start(self) -> None:
        """Begin with the rounds; the first is when the time between two is over."""
        self.thread.start()

    def stop(self) -> None:
        """End them; a round under way is finished first. Idempotent."""
        self._stop.set()
        if self.thread.ident is not None:
            self.thread.join()

    def round(self) -> Record:
        """Do all tasks now, one after the other; what came of them."""
        with self._one:
            began, freed, failed = time.monotonic(), 0, []
            for task in self._tasks:
                try:
                    freed += task.do()
                except Corrupt as e:
                    log.error("%s: %s (run fsck)", task.name, e)
                    failed.append(f"{task.name}: {e.message}")
                except (PachyboxError, OSError) as e:
                    log.warning("%s: %s", task.name, e)
                    failed.append(f"{task.name}: {e}")
                except Exception as e:  # it must be there for the next round
                    log.exception("%s failed", task.name)
                    failed.append(f"{task.name}: {e!r}")
            took = round(time.monotonic() - began, 3)
            log.info("round took=%.3f freed=%d failed=%d", took, freed, len(failed))
            return self._health.record(
                PART,
                "; ".join(failed),
                "see run/box.log" if failed else "",
                took_s=took,
                freed_bytes=freed,
            )

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.round()


def freed_by(collect: Callable[[], Collected]) -> Callable[[], int]:
    """A task that collects garbage."""

    def do() -> int:
        done = collect()
        log.info("collected scanned=%d freed=%d", done.scanned, done.freed_bytes)
        return done.freed_bytes

    return do


def shown(last: Record | None, now: float) -> str:
    """The last round, for people."""
    if last is None:
        return "no round yet"
    freed, took = int(last.figures.get("freed_bytes", 0)), float(last.figures.get("took_s", 0))
    minutes = max(0, int((now - last.at) / 60))
    ago = (
        "just now"
        if not minutes
        else f"{minutes} min ago"
        if minutes < 120
        else (f"{minutes // 60} h ago")
    )
    text = f"{ago}, in {took:.1f} s, freed {format_size(freed)}"
    return text if last.ok else f"{text}; {last.error}"
