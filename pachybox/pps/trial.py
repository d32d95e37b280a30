"""Trials: a session in which a spec is run on a sample of datums, again and again.

    Trials.open() -> Trial.run(Ask) ... -> Trial.events() -> Trial.close()

A run is what a job would do of these datums: the same plan, layout, worker, limits and secrets.
It leaves no record and no commit. Its outputs are in the store, under a lease of the session,
which ends with it. The workers are the session's own and live as long, so that a run costs what
the code costs. A new run cancels the one before.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pachybox.errors import NotFound, NotReady, PachyboxError, Refused
from pachybox.meta.tables import PIPELINES
from pachybox.model.ids import Hash, Pipeline
from pachybox.pps.slots import Slots
from pachybox.pps.spec import Spec
from pachybox.pps.trial_run import Built, TrialRun, work_folders
from pachybox.pps.trial_source import Source
from pachybox.pps.trial_stage import Kept
from pachybox.pps.trial_values import CANCELLED, ERROR, Ask, Ended, Event
from pachybox.pps.workshop import Workshop
from pachybox.store.disk import full_disk_is_exhausted

log = logging.getLogger("pachybox.trial")

MOST = 8
"""Sessions open at once."""

_AHEAD = 1000  # events that a client has not taken, until the run waits for it

Check = Callable[[Spec], object]
"""Raises what creating the pipeline of a spec would."""


class Trial:
    """One session. ``events`` for one thread, the rest for any."""

    def __init__(self, id_: str, shop: Workshop, slots: Slots, folder: Path, check: Check) -> None:
        """``folder`` is made, and is the session's own."""
        self.id = id_
        self._shop = shop
        self._slots = slots
        self._check = check
        self._folder = folder
        workers, logs, source = work_folders(folder)
        workers.mkdir(parents=True)
        self._pool = shop.pool.apart(workers)
        self._logs = logs
        self._source = Source(shop.pfs, source)
        self._asking = threading.Lock()  # one ask at a time, so that changes of the source add up
        self._tried: set[Pipeline] = set()
        self._keeping = threading.Lock()  # of the two below
        self._kept: list[Kept] = []  # oldest first
        self._output: Kept | None = None  # of the last run, where that did well
        self._built: Built | None = None
        self._changed = threading.Condition()  # of all below
        self._events: deque[Event] = deque()
        self._number = 0
        self._next: Ask | None = None
        self._current: TrialRun | None = None
        self._checked = ""
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"trial-{id_[:8]}", daemon=True)
        self._thread.start()

    # ---- asked from outside

    def run(self, ask: Ask, fileset: str = "", programs: Collection[str] = ()) -> int:
        """Begin a run and return its number; the one before is cancelled. ``fileset`` is what
        changed in the source since the last time, ``programs`` are all files of it that may be
        executed. Raises what creating the pipeline would, and NotFound when the session is over.
        """
        if ask.spec.canonical.get("service"):
            raise Refused(
                f"pipeline {ask.spec.pipeline} is a service, which has no datums to try",
                "run its program by hand",
            )
        with self._asking:
            self._require_open()
            if ask.build is None:  # else what it reads is there once it is made
                self._require(ask.spec)
            self._source.add(fileset, programs)
            with self._changed:
                self._require_open()
                self._tried |= {one.pipeline for one in (ask.spec, ask.build) if one is not None}
                if self._next is not None:  # it never began, and somebody waits for its end
                    self._events.append(Ended(self._number, CANCELLED, 0.0))
                self._number += 1
                self._next = ask
                if self._current is not None:
                    self._current.cancel()
                self._changed.notify_all()
                return self._number

    def _require_open(self) -> None:
        if self._closed:
            raise NotFound(f"trial {self.id} is over", "open another")

    def _require(self, spec: Spec) -> None:
        text = json.dumps(spec.canonical, sort_keys=True)
        if text != self._checked:
            self._check(spec)
            self._checked = text

    def events(self) -> Iterator[Event | None]:
        """What happens, until the session is over; None says "nothing more for now"."""
        while True:
            with self._changed:
                if self._closed:
                    return
                event = self._events.popleft() if self._events else None
                self._changed.notify_all()  # there is room again
            yield event
            if event is None:
                with self._changed:
                    self._changed.wait_for(lambda: self._events or self._closed)

    def save(self, create: Callable[[Kept], str]) -> str:
        """What ``create`` makes of the last run's outputs, put together as a job would.
        NotFound when that has none."""
        with self._keeping:
            if self._output is None:
                raise NotFound("the last run has no output", "run it until all datums do well")
            return create(self._output)

    def cancel(self) -> None:
        """Have everything end; returns at once."""
        with self._changed:
            self._closed = True
            if self._current is not None:
                self._current.cancel()
            self._changed.notify_all()

    def close(self) -> None:
        """End the session: nothing runs any more, and nothing is left."""
        self.cancel()
        self._thread.join()
        with self._asking:  # who is about to add to the source
            self._pool.close()
            for pipeline in self._tried:  # which may be none: nothing else would take its Pods away
                self._pool.drop(pipeline, self._shop.pfs.meta.get(PIPELINES, pipeline))
            for kept in [*self._kept, *([self._built.kept] if self._built else [])]:
                kept.close()
            self._source.close()
        self._shop.trash.put(self._folder)

    # ---- the thread of the session

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closed)
                if self._closed or self._next is None:
                    return
                ask, self._next, number = self._next, None, self._number
                shop = replace(self._shop, pool=self._pool, work=self._folder, logs=self._logs)
                emit = partial(self._emit, number)
                self._current = TrialRun(
                    number, ask, shop, self._slots, self._source, emit, self._before, self._built
                )
            run = self._current
            with self._keeping:
                self._output = None
            try:
                run.run()
            except Exception as e:
                log.exception("trial broke id=%s", self.id)
                emit(Ended(number, ERROR, 0.0, f"internal error: {e!r}"))
            finally:
                with self._changed:
                    self._current = None
                self._built = run.built
                if run.kept is not None:
                    self._keep(run.kept)

    def _emit(self, number: int, event: Event) -> None:
        """Tell an event of a run; of one that another took the place of, its end alone."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._events) < _AHEAD or self._closed or number != self._number
            )
            if number == self._number or isinstance(event, Ended):
                self._events.append(event)
                self._changed.notify_all()

    # ---- what runs left

    def _before(self, datum: str) -> Hash | None:
        for kept in reversed(self._kept):
            if (out := kept.out(datum)) is not None:
                return out
        return None

    def _keep(self, kept: Kept) -> None:
        """Keep what a run made, and of older ones what it did not make again."""
        with self._keeping:
            for older in self._kept:
                for datum in kept.outcomes:
                    older.outcomes.pop(datum, None)
            self._kept.append(kept)
            self._output = kept if kept.merged else None
            for one in [one for one in self._kept if not one.outcomes]:
                self._kept.remove(one)
                one.close()


class Trials:
    """The sessions of one box."""

    def __init__(self, shop: Workshop, slots: int, check: Check) -> None:
        """``slots`` is how many datums of all sessions run at once: places of their own, so that
        who tries something does not wait behind jobs."""
        self._shop = shop
        self._slots = Slots(slots)
        self._check = check
        self._lock = threading.Lock()
        self._open: dict[str, Trial] = {}
        self._closed = False

    def open(self) -> Trial:
        """A session, to be closed by ``close``. Refused when there are too many."""
        id_ = uuid.uuid4().hex
        with self._lock:
            if self._closed:
                raise NotReady("the box stops", "try again once it has started")
            if len(self._open) >= MOST:
                raise Refused(
                    f"{MOST} trials are open, and there may be no more", "end one of them"
                )
            folder = self._shop.work / f"trial-{id_}"
            with full_disk_is_exhausted(self._shop.work):
                made = Trial(id_, self._shop, self._slots, folder, self._check)
            self._open[id_] = made
        log.info("trial opened id=%s", id_)
        return made

    def find(self, id_: str) -> Trial:
        """An open session; NotFound otherwise."""
        with self._lock:
            found = self._open.get(id_)
        if found is None:
            raise NotFound(f"trial {id_} not found", "its client may have gone: open another")
        return found

    def close(self, trial: Trial) -> None:
        """End one session."""
        with self._lock:
            self._open.pop(trial.id, None)
        try:
            trial.close()
        except PachyboxError:
            log.exception("trial not ended in good order id=%s", trial.id)
        log.info("trial ended id=%s", trial.id)

    def stop(self) -> None:
        """End every session; no more are opened."""
        with self._lock:
            self._closed = True
            left = list(self._open.values())
        for trial in left:
            self.close(trial)
