"""A spout that is to run: one life of its program after the other, until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pachybox.containers.troubles import ImageMissing
from pachybox.errors import NotReady, PachyboxError
from pachybox.ingest.spout_life import Life, Readers
from pachybox.meta.tables import PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ingest import IngestState
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import pipelines, ports
from pachybox.pps.ports import Publisher
from pachybox.pps.program import Pauses
from pachybox.pps.runners.base import WorkerWaits
from pachybox.pps.scheduler import Scheduler

log = logging.getLogger("pachybox.spouts")


@dataclass
class Shown:
    """What is known of a spout since the box started, over its lives."""

    state: IngestState = IngestState.STARTING
    reason: str = ""
    since: datetime | None = None
    errors: int = 0
    error: str = ""
    error_time: datetime | None = None
    restarts: int = 0
    seen: int | None = None  # the number of the newest commit that was counted

    def show(self, state: IngestState, reason: str = "") -> None:
        """It does that now."""
        if state is not self.state:
            self.state, self.since = state, utc_now()
        self.reason = reason

    def failed(self, error: str, times: int = 1) -> None:
        """Something went wrong."""
        self.errors += times
        self.error, self.error_time = error, utc_now()


class SpoutRun:
    """The lives of one version of a spout, in a thread of its own."""

    def __init__(
        self,
        pfs: Pfs,
        scheduler: Scheduler,
        readers: Readers,
        record: PipelineRecord,
        shown: Shown,
        done: Callable[[], None],
    ) -> None:
        """``done`` is told when it has ended, or is just about to."""
        self.record = record
        self._done = done
        self._pfs = pfs
        self._scheduler = scheduler
        self._readers = readers
        self._shown = shown
        self._pauses = Pauses()
        self._wake = threading.Condition()
        self._over = False
        self._hurry = False
        self._life: Life | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"spout-{record.pipeline.name}", daemon=True
        )

    def start(self) -> None:
        """Begin the first life."""
        self._thread.start()

    def stop(self) -> None:
        """End it, soon. Idempotent."""
        with self._wake:
            self._over = True
            self._wake.notify_all()
            life = self._life
        if life is not None:
            life.stop()

    def hurry(self) -> None:
        """Begin the next life now."""
        self._pauses.forget()
        with self._wake:
            self._hurry = True
            self._wake.notify_all()
            life = self._life
        if life is not None:
            life.stop()

    def look(self) -> None:
        """See Life.look."""
        with self._wake:
            life = self._life
        if life is not None:
            life.look()

    def ended(self) -> bool:
        """Whether it is over, for good."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self) -> None:
        """Wait until it is over."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        service = ports.published(self.record.spec)
        publisher = None
        if service:
            publisher = Publisher(service, self._address, runner=self.record.runner)
        try:
            while not self._over:
                began = time.monotonic()
                why = self._live(publisher)
                if publisher is not None:
                    publisher.cut()
                if self._over or not why:
                    continue
                self._crashed(why, self._pauses.after(time.monotonic() - began))
        except NotReady:
            pass  # the box stops
        except Exception:
            log.exception("spout broke pipeline=%s", self.record.pipeline)
        finally:
            if publisher is not None:
                publisher.close()
            self._done()

    def _crashed(self, why: str, pause: float) -> None:
        log.warning("spout ended pipeline=%s reason=%s", self.record.pipeline, why)
        self._shown.failed(why)
        self._shown.show(IngestState.CRASHING, why)
        note(self._pfs, self.record, PipelineState.CRASHING, why)
        with self._wake:
            self._wake.wait_for(lambda: self._over or self._hurry, timeout=pause)
        self._shown.restarts += 1

    def _live(self, publisher: Publisher | None) -> str:
        """One life; why it ended, or could not begin. Nothing: it was stopped."""
        try:
            if publisher is not None:
                publisher.ready(lambda: self._over)
            with self._wake:
                if self._over:
                    return ""
                self._hurry = False
                life = self._life = Life(
                    self._scheduler.shop, self._readers, self.record, self._waits
                )
            reason = life.run(self._running)
            return reason and f"the program ended ({reason}) and is started again"
        except ImageMissing as e:
            if self._scheduler.pins is not None:
                self._scheduler.pins.lost(self.record, e)
            return str(e)
        except (PachyboxError, OSError) as e:
            return f"the program cannot be started: {e}"
        finally:
            with self._wake:
                ended, self._life = self._life, None
            if ended is not None and ended.errors:
                self._shown.failed(ended.error, ended.errors)

    def _address(self) -> str:
        """Where the program of now listens."""
        with self._wake:
            life = self._life
        return life.address() if life is not None else ""

    def _waits(self, why: WorkerWaits | None) -> None:
        """It has no worker yet, or now it has."""
        if why is None:
            self._running()
        elif why.trouble:
            self._shown.show(IngestState.CRASHING, str(why))
            note(self._pfs, self.record, PipelineState.CRASHING, str(why))
        else:
            note(self._pfs, self.record, PipelineState.STARTING, str(why))

    def _running(self) -> None:
        self._shown.show(IngestState.RUNNING)
        note(self._pfs, self.record, PipelineState.RUNNING, "")


def note(pfs: Pfs, record: PipelineRecord, state: PipelineState, reason: str) -> None:
    """Record the state of a pipeline, unless there is a newer version of it."""

    def change(ch: Change) -> None:
        now = ch.tx.get(PIPELINES, record.pipeline)
        if now is not None and now.spec_commit == record.spec_commit:
            pipelines.set_state(ch, record.pipeline, state, reason)

    now = pfs.meta.get(PIPELINES, record.pipeline)
    if now is not None and (now.state, now.reason) != (state, reason) and not now.stopped:
        pfs.change(change)
