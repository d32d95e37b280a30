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
from pachybox.pps import gate, jobs, pipelines, planner
from pachybox.pps.bench import Bench, Running
from pachybox.pps.environment import environment
from pachybox.pps.layout import Presenter, Way
from pachybox.pps.logs import directory, heading
from pachybox.pps.ports import Publisher
from pachybox.pps.program import GRACE_S, Pauses, Program
from pachybox.pps.runners.base import DatumTask, WorkerWaits
from pachybox.pps.slots import Slots
from pachybox.pps.workshop import Workshop
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.services")


def _task(bench: Bench, datum: Datum, held: ExitStack) -> DatumTask:
    """What a worker runs; ``held`` keeps what it needs."""
    home = bench.work / "0"
    bench.shop.trash.put(home)
    (home / "out").mkdir(parents=True)
    visible = gate.shown(datum, bench.by_s3)
    shown = held.enter_context(bench.presenter.present(visible.inputs, home / "in"))
    env = environment(bench.job, 0, datum, bench.by_s3)
    if (door := bench.open_door(datum)) is not None:
        held.callback(door.close)
        env |= door.environment
    del env["PACH_OUTPUT_COMMIT_ID"]  # nothing it writes is an output
    return DatumTask(
        id=datum.id,
        head=heading(datum.id, "service started", utc_now()),
        layout=shown.layout,
        out=home / "out",
        env=env,
        log=bench.logs / "0.jsonl",
        grace_s=GRACE_S,
    )


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
        self._running: list[Running] = []

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
            return list(self._running)

    def waiting(self) -> list[Datum]:
        """None: there is but the one."""
        return []

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
        publisher = Publisher(
            self.pipeline.spec["service"], self._address, runner=self.pipeline.runner
        )
        pauses = Pauses()
        try:
            while not self._over:
                began = time.monotonic()
                why = self._live(bench, datum, publisher)
                publisher.cut()
                if self._over or not why:
                    continue
                log.warning("service ended job=%s reason=%s", self.job, why)
                self._note(PipelineState.CRASHING, why)
                pause = pauses.after(time.monotonic() - began)
                with self._wake:
                    self._wake.wait_for(lambda: self._over, timeout=pause)
        finally:
            publisher.close()

    def _live(self, bench: Bench, datum: Datum, publisher: Publisher) -> str:
        """One life of the program; why it ended, or could not begin. Nothing: it was stopped."""
        try:
            publisher.ready(lambda: self._over)
            if self._over:
                return ""
            self._note(PipelineState.RUNNING, "")
            program = Program(
                bench.shop.pool,
                self.pipeline,
                lambda held: _task(bench, datum, held),
                self._waits,
            )
            with self._wake:
                self._program = program
                self._running = [Running(datum, time.time(), 0)]
            if self._over:  # race: stopped before it was there to be stopped
                program.stop()
            reason = program.run()
            return reason and f"the program ended ({reason}) and is started again"
        except (Refused, Exhausted, OSError) as e:
            return f"the program cannot be started: {e}"
        finally:
            with self._wake:
                self._program = None
                self._running = []

    def _address(self) -> str:
        """Where the program of now listens."""
        with self._wake:
            program = self._program
        return program.address() if program is not None else ""

    def _waits(self, why: WorkerWaits | None) -> None:
        if why is None:
            self._note(PipelineState.RUNNING, "")
        else:
            state = PipelineState.CRASHING if why.trouble else PipelineState.STARTING
            self._note(state, str(why))

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
