"""What became of the datums of a job, as it becomes known: counted, kept, made durable.

Results are written in batches by a thread of their own, so that a crash loses at most the
last fraction of a second of work and no datum costs a transaction.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pachybox.meta.tables import DATUMS, DatumRecord
from pachybox.model.ids import Hash, Job
from pachybox.model.pps import DatumState, Stats
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import jobs
from pachybox.store.blobs import Session

_TELL_S = 0.5  # between two events that tell how far a job is
_BATCH_S = 0.2  # results wait so long at most before they are written together


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a datum; ``dir`` is its directory in the job's tree of datums. ``inputs`` and
    what follows: see DatumRecord, ``began`` in seconds since 1970."""

    id: str
    hash: str
    state: DatumState
    reason: str
    dir: Hash
    stats: Stats
    inputs: tuple[str, ...] = ()
    input_count: int = 0
    began: float = 0.0
    worker: int = 0
    tries: int = 0

    def record(self, job: Job, seq: int, now: datetime) -> DatumRecord:
        """What is kept of it; ``seq`` is that of the job's output commit."""
        return DatumRecord(
            job,
            self.id,
            self.hash,
            self.state,
            self.reason,
            self.dir,
            now,
            self.stats,
            self.inputs,
            self.input_count,
            datetime.fromtimestamp(self.began, UTC) if self.began else None,
            self.worker,
            self.tries,
            seq,
        )


class Tally:
    """The job's counters and summed stats."""

    def __init__(self, skipped: int = 0) -> None:
        """``skipped``: datums taken over from the base job without a look."""
        self._lock = threading.Lock()
        self._states: Counter[DatumState] = Counter({DatumState.SKIPPED: skipped})
        self._stats = Stats()

    def add(self, state: DatumState, stats: Stats) -> None:
        """Count one datum."""
        with self._lock:
            self._states[state] += 1
            if state is not DatumState.SKIPPED:
                self._stats = self._stats + stats

    def counts(self) -> dict[str, Any]:
        """What they are now, by the names JobRecord has for them."""
        return {
            "processed": self._states[DatumState.SUCCESS],
            "skipped": self._states[DatumState.SKIPPED],
            "failed": self._states[DatumState.FAILED],
            "recovered": self._states[DatumState.RECOVERED],
            "stats": self._stats,
        }


class Results:
    """Takes outcomes from any thread. ``changed`` is the directory of every datum noted, by id.

    ``broken`` is called (once, from the writing thread) when results cannot be written.
    """

    def __init__(
        self,
        pfs: Pfs,
        session: Session,
        job: Job,
        *,
        seq: int,
        kept: int,
        again: bool,
        begun: Future[None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """``seq``: that of the job's output commit; ``kept``: datums of the base job that are not
        looked at; ``again``: the job was begun before, so that rows of its datums may be there;
        ``begun``: the change that began it."""
        self.changed: dict[str, Hash] = {}
        self.tally = Tally(kept)
        self.failure: Outcome | None = None  # the first datum that failed
        self._pfs = pfs
        self._session = session
        self._job = job
        self._seq = seq
        self._again = again
        self._begun = begun
        self._broken = broken
        self._last: Future[None] | None = None
        self._waiting: deque[Outcome] = deque()
        self._some = threading.Event()  # there are outcomes
        self._ended = threading.Event()  # there will be no more
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._told = 0.0  # when an event told how far the job is
        self._news = False  # what became known since then is not told yet

    def skip(self, id_: str, directory: Hash, mine: Stats | None) -> None:
        """Note a datum whose result is known; ``mine``: what it cost when this job itself ran
        it, before a restart."""
        self.changed[id_] = directory
        state = DatumState.SKIPPED if mine is None else DatumState.SUCCESS
        self.tally.add(state, mine or Stats())

    def put(self, outcome: Outcome) -> None:
        """Note a datum that was run."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="results", daemon=True)
                self._thread.start()
        self._waiting.append(outcome)
        if not self._some.is_set():  # perf: a wake-up for each would cost as much as a datum
            self._some.set()

    def close(self) -> None:
        """Nothing more will be put: wait until everything noted is on its way to the disk, in
        front of whatever change comes next (or ``broken`` was told why not)."""
        if self._thread is not None:
            self._ended.set()
            self._some.set()
            self._thread.join()
            self._thread = None

    def stands(self) -> None:
        """To be called first in every further change of the job: raises what kept an earlier one
        from being written, so that none is there without those it builds on."""
        for earlier in (self._begun, self._last):
            if earlier is not None and earlier.done():
                earlier.result()

    def rescue(self) -> None:
        """The job breaks off: what is on its way to the disk will be named once it is there, and
        the end of the session must not take it back."""
        if self._last is not None and self._last.exception() is None:
            self._session.keep()

    def _write(self) -> None:
        last = False
        while not last:
            self._some.wait(_TELL_S if self._news else None)
            self._ended.wait(_BATCH_S)
            last = self._ended.is_set()
            self._some.clear()
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                if batch or (self._news and not last):
                    self._save(batch, last=last)
            except BaseException as e:
                self._broken(e)
                return

    def _save(self, batch: list[Outcome], *, last: bool) -> None:
        for o in batch:
            self.changed[o.id] = o.dir
            self.tally.add(o.state, o.stats)
            if o.state is DatumState.FAILED and self.failure is None:
                self.failure = o
        counts = self.tally.counts()
        tell = last or time.monotonic() - self._told >= _TELL_S
        self._news = not tell
        if tell:
            self._told = time.monotonic()

        def change(ch: Change) -> None:
            self.stands()
            for o in batch:
                (ch.tx.put if self._again else ch.tx.add)(
                    DATUMS, o.record(self._job, self._seq, ch.now)
                )
            jobs.update(ch, self._job, **counts)
            if tell:
                self._tell(ch, counts)

        if last:  # perf: the end of the job is next, and takes these along
            self._last = self._pfs.change_later(change)
            return
        self._pfs.change(change)
        self._session.keep()  # named now: a job that breaks off later must not take it away

    def _tell(self, ch: Change, counts: dict[str, Any]) -> None:
        ch.tx.event(
            "job.progress",
            project=self._job.pipeline.project,
            pipeline=self._job.pipeline.name,
            id=self._job.id,
            **{k: v for k, v in counts.items() if isinstance(v, int)},
        )
