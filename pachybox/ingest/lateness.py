"""When a source is late, and the event that tells it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from pachybox.errors import PachyboxError
from pachybox.meta.writer import Meta
from pachybox.model.ingest import Ingest, IngestInfo, IngestKind, IngestState
from pachybox.model.units import parse_duration

log = logging.getLogger("pachybox.ingest")

LATE_S = 2.0
"""A tick later than that is late."""
TOLD_S = 30.0
"""One that is late for so long is told of: what a busy machine puts off is no news."""
_WAITS_S = 60.0  # so long what has come may wait beyond the time that the source itself gives it
_LOOK_S = 15.0
_RESTS = (IngestState.PAUSED, IngestState.STOPPED)


def is_late(info: IngestInfo, by_s: float = LATE_S) -> bool:
    """Whether a tick is overdue by more than ``by_s``, or what has come to a source waits for too
    long to be committed."""
    lag_s = info.status.lag_s
    if info.record.kind is IngestKind.CRON:
        return lag_s > by_s
    own = info.record.spec.get(info.record.kind.value) or {}
    interval = own.get("batch") or (own.get("group") or {}).get("time") or "0s"
    return bool(info.status.pending) and lag_s > _WAITS_S + parse_duration(interval)


class Lateness:
    """A thread that looks at all sources now and then, and tells of each that is late once, until
    it has caught up."""

    def __init__(self, meta: Meta, infos: Callable[[], Iterable[IngestInfo]]) -> None:
        self._meta, self._infos = meta, infos
        self._told: frozenset[Ingest] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End that. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self._look()
            except PachyboxError as e:
                log.warning("cannot tell which sources are late: %s", e)
            except Exception:  # it must be there for the next look
                log.exception("cannot tell which sources are late")

    def _look(self) -> None:
        late = {
            info.record.ingest: info
            for info in self._infos()
            if info.status.state not in _RESTS and is_late(info, TOLD_S)
        }
        for ingest, info in late.items():
            if ingest not in self._told:
                self._tell(info)
        self._told = frozenset(late)

    def _tell(self, info: IngestInfo) -> None:
        ingest, status = info.record.ingest, info.status
        log.warning("late ingest=%s seconds=%.0f reason=%s", ingest, status.lag_s, status.reason)
        self._meta.write(
            lambda tx: tx.event(
                "ingest.late",
                project=ingest.project,
                ingest=ingest.name,
                ingest_kind=info.record.kind.value,
                late_s=round(status.lag_s),
                pending=status.pending,
                state=status.state.value,
                reason=status.reason,
            )
        )
