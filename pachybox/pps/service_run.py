"""The job of a service: a program that serves the data of one commit and never ends.

It is started again when it exits, with growing pauses. A newer commit takes its place: the
program is stopped, its job is over (SUCCESS, with an empty output), and the next one starts on
the new data.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack

from pachybox.errors import Exhausted, NotReady, Refused
from pachybox.meta.tables import JOBS, PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Job
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import Datum, JobRecord, JobState, PipelineRecord, PipelineState
from pachybox.pfs.change import Change
from pachybox.pps import gate, jobs, pipelines, planner, ports
from pachybox.pps.environment import environment
from pachybox.pps.lane import Bench, Running
from pachybox.pps.layout import Presenter, Way
from pachybox.pps.logs import directory, heading
from pachybox.pps.ports import Publisher
from pachybox.pps.runners.base import DatumTask, Worker, WorkerLost
from pachybox.pps.slots import Slots
from pachybox.pps.workshop import Workshop
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.services")

_PAUSE_S = (0.5, 30.0)  # before a program that ended is started again: at first, at most
_SETTLED_S = 60.0  # a program that lived so long begins with the first pause again
_GRACE_S = 10.0  # for a program to end by itself when it is stopped (SIGTERM, then SIGKILL)
_FREED_S = 2.0  # for a port to be free again after a box or program before this was killed
_LOOK_S = 0.05


class Program:
    """One life of a service's program."""

    def __init__(self, bench: Bench, datum: Datum) -> None:
        self._bench = bench
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._stopped = False
        self.running = Running(datum, time.time(), 0)

    def stop(self) -> None:
        """End it, from any thread; ``run`` then returns."""
        with self._lock:
            self._stopped = True
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def run(self) -> str:
        """Run the program until it ends; why it did, nothing when it was stopped. Raises Refused
        when no worker can be started."""
        bench, datum = self._bench, self.running.datum
        home = bench.work / "0"
        bench.shop.trash.put(home)
        (home / "out").mkdir(parents=True)
        try:
            worker = bench.shop.pool.take(bench.pipeline)
        except WorkerLost as e:
            return e.message  # it died while it was started: that is an end like any other
        with self._lock:
            self._worker = worker
        held = ExitStack()
        try:
            visible = gate.shown(datum, bench.by_s3)
            shown = held.enter_context(bench.presenter.present(visible.inputs, home / "in"))
            env = environment(bench.job, 0, datum, bench.by_s3)
            if (door := bench.open_door(datum)) is not None:
                held.callback(door.close)
                env |= door.environment
            del env["PACH_OUTPUT_COMMIT_ID"]  # nothing it writes is an output
            log_file = bench.logs / "0.jsonl"
            worker.start(
                DatumTask(
                    id=datum.id,
                    head=heading(datum.id, "service started", utc_now()),
                    layout=shown.layout,
                    out=home / "out",
                    env=env,
                    log=log_file,
                    grace_s=_GRACE_S,
                )
            )
            if self._stopped:  # race: stopped before it was there to be killed
                worker.cancel()
            result = worker.finish()
            return "" if result.cancelled else result.reason or "exit status 0"
        except WorkerLost as e:
            return e.message
        finally:
            bench.shop.pool.end(worker)
            held.close()


class ServiceRun:
    """Runs one service on one commit. ``cancel`` and ``supersede`` are for any thread."""

    def __init__(
        self,
        shop: Workshop,
        pipeline: PipelineRecord,
        record: JobRecord,
        commit: CommitRecord,
    ) -> None:
        self.shop = shop
        self.pfs = shop.pfs
        self.pipeline = pipeline
        self.job: Job = record.job
        self.commit = commit
        self.unstartable = False  # one that cannot be started is tried again
        self._record = record
        name = record.job.pipeline
        self._work = shop.work / f"{record.job.id}-{name.project}-{name.name}"
        self._logs = directory(shop.logs, record.job)
        self._wake = threading.Condition()
        self._cancelled = False
        self._superseded = False
        self._program: Program | None = None

    # ---- control

    def cancel(self) -> None:
        """Stop the program; ``run`` then raises NotReady."""
        with self._wake:
            self._cancelled = True
        self._stop()

    def supersede(self) -> None:
        """Newer data has come: stop the program and end the job well."""
        with self._wake:
            self._superseded = True
        self._stop()

    def restart(self, worker: int) -> None:
        """Stop the program; it is started again."""
        with self._wake:
            program = self._program
        if program is not None:
            program.stop()

    def running(self) -> list[Running]:
        """The one datum, while the program runs."""
        with self._wake:
            return [self._program.running] if self._program is not None else []

    def _stop(self) -> None:
        with self._wake:
            self._wake.notify_all()
            program = self._program
        if program is not None:
            program.stop()

    @property
    def _over(self) -> bool:
        return self._cancelled or self._superseded

    # ---- the whole

    def run(self, slots: Slots) -> None:
        """Serve until superseded. Raises NotReady when cancelled, Refused when there is not
        exactly one datum. A service takes none of the ``slots``: it waits
        most of its life."""
        with ExitStack() as held, self.pfs.blobs.session() as session:
            plan = self.shop.plans.plan(self.pipeline, self._record, self.commit, held, whole=True)
            datums = list(plan.datums()) if plan.total <= 1 else []
            if len(datums) != 1:
                raise Refused(
                    f"services must have a single datum, and {plan.total} match",
                    'set the glob of its input to "/"',
                )
            self._begin()
            bench = Bench(
                self.shop,
                self.pipeline,
                self.job,
                session,
                Presenter(
                    self.pfs,
                    Way.of(self.shop.pool.runner_of(self.pipeline).presents),
                    planner.empty_inputs(self.pipeline.spec),
                ),
                self._work,
                self._logs,
            )
            try:
                self._serve(bench, datums[0])
            finally:
                self.shop.trash.put(self._work)
        if self._cancelled:
            self._note(PipelineState.RUNNING, "", over=True)
            raise NotReady(f"service {self.job} was stopped")
        self.pfs.change(
            lambda ch: jobs.succeed(ch, self.job, EMPTY, 0, 0, processed=1, datums=EMPTY)
        )

    def _serve(self, bench: Bench, datum: Datum) -> None:
        self._work.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        publisher = Publisher(self.pipeline.spec["service"], lambda: self._program is not None)
        pause = _PAUSE_S[0]
        try:
            while not self._over:
                began = time.monotonic()
                why = self._live(bench, datum, publisher)
                publisher.cut()
                if self._over or not why:
                    continue
                log.warning("service ended job=%s reason=%s", self.job, why)
                self._note(PipelineState.CRASHING, why)
                if time.monotonic() - began > _SETTLED_S:
                    pause = _PAUSE_S[0]
                with self._wake:
                    self._wake.wait_for(lambda: self._over, timeout=pause)
                pause = min(2 * pause, _PAUSE_S[1])
        finally:
            publisher.close()

    def _live(self, bench: Bench, datum: Datum, publisher: Publisher) -> str:
        """One life of the program; why it ended, or could not begin. Nothing: it was stopped."""
        try:
            publisher.open()
            self._await_port()
            if self._over:
                return ""
            self._note(PipelineState.RUNNING, "")
            with self._wake:
                program = self._program = Program(bench, datum)
            if self._over:  # race: stopped before it was there to be stopped
                program.stop()
            reason = program.run()
            return reason and f"the program ended ({reason}) and is started again"
        except (Refused, Exhausted, OSError) as e:
            return f"the program cannot be started: {e}"
        finally:
            with self._wake:
                self._program = None

    def _await_port(self) -> None:
        """Raises Refused when another program keeps the port that this one will listen on: its
        users would be connected to that other."""
        inner = ports.of(self.pipeline.spec["service"])[1]
        until = time.monotonic() + _FREED_S
        while not self._over:
            try:
                ports.require_free(inner)
                return
            except Refused:
                if time.monotonic() > until:
                    raise
            with self._wake:
                self._wake.wait_for(lambda: self._over, timeout=_LOOK_S)

    def _begin(self) -> None:
        def change(ch: Change) -> None:
            now = jobs.require(ch.tx, self.job)
            self._record = jobs.update(
                ch,
                self.job,
                state=JobState.RUNNING,
                reason="",
                started=now.started or ch.now,
                total=1,
                restarts=now.restarts + (1 if now.state is JobState.RUNNING else 0),
            )

        self.pfs.change(change)

    def _note(self, state: PipelineState, reason: str, *, over: bool = False) -> None:
        """Record the pipeline's state, unless the job was ended meanwhile; with ``over`` only
        then, and not for a newer version of the pipeline."""

        def change(ch: Change) -> None:
            job = ch.tx.get(JOBS, self.job)
            pipeline = ch.tx.get(PIPELINES, self.job.pipeline)
            if pipeline is None or pipeline.spec_commit != self.pipeline.spec_commit:
                return
            if (job is None or job.state.terminal) == over:
                pipelines.set_state(ch, self.job.pipeline, state, reason)

        self.pfs.change(change)
