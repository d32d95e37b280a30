"""One job from plan to output commit.

    plan --datums--> known? --no--> feed --> lanes --outcomes--> results --> merge
                        \\--yes: its result is taken over--------/

The datums of a job and what became of them are a tree (``JobRecord.datums``): one directory
per datum, ``/<datum id>/meta`` (JSON) and ``/<datum id>/out/...``. A datum that is skipped
brings its directory from the job that ran it, by hash.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import UTC, datetime

from pachybox.errors import InvalidArgument, NotReady
from pachybox.meta.tables import DatumRecord
from pachybox.model.ids import Job
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import (
    Datum,
    DatumState,
    JobRecord,
    JobState,
    PipelineRecord,
    PipelineState,
)
from pachybox.pfs.change import Change
from pachybox.pps import jobs, pipelines, planner
from pachybox.pps.bench import Bench, Running
from pachybox.pps.feed import Feed
from pachybox.pps.known import with_hashes
from pachybox.pps.lane import Lane
from pachybox.pps.layout import Presenter, Way
from pachybox.pps.logs import directory
from pachybox.pps.merge import Merger, Parts
from pachybox.pps.plan import Plan
from pachybox.pps.results import Results
from pachybox.pps.runners.base import WorkerWaits, is_news
from pachybox.pps.sets import SetSize
from pachybox.pps.slots import Slots
from pachybox.pps.workshop import Workshop
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.job")

_MANY = 4_000  # datums looked up together, and held in memory meanwhile


class JobRun:
    """Runs one job. ``cancel`` may be called from any thread."""

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
        name = record.job.pipeline
        self.work = shop.work / f"{record.job.id}-{name.project}-{name.name}"
        self.logs = directory(shop.logs, record.job)
        self.cancelled = threading.Event()
        self.timed_out = False
        self._record = record
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._feed = Feed()
        self._slots: Slots | None = None
        self._error: BaseException | None = None
        self._telling = threading.Lock()  # of the next, until the records are to say it
        self._told: WorkerWaits | None = None  # of a worker that is to come

    # ---- control

    def cancel(self) -> None:
        """Kill what runs; ``run`` then raises NotReady (handed back) or ends the job."""
        self.cancelled.set()
        self._stop_lanes()

    def running(self) -> list[Running]:
        """The datums running now."""
        with self._lock:
            return [one for lane in self._lanes for one in lane.running()]

    def waiting(self) -> list[Datum]:
        """The datums next in turn: not all that are still to come, which are planned as they
        are needed."""
        return self._feed.waiting()

    def restart(self, worker: int) -> None:
        """Try again what one worker of the job works on."""
        with self._lock:
            lanes = [lane for lane in self._lanes if lane.number == worker]
        for lane in lanes:
            lane.restart()

    @property
    def unstartable(self) -> bool:
        """Whether no worker could be started."""
        return any(lane.unstartable for lane in self._lanes)

    def _stop_lanes(self) -> None:
        self._feed.abort()
        with self._lock:
            for lane in self._lanes:
                lane.cancel()
        if self._slots is not None:
            self._slots.wake()

    def _broke(self, error: BaseException) -> None:
        """The job cannot go on, for a reason that is no datum's."""
        self._error = self._error or error
        self._stop_lanes()

    # ---- the whole

    def run(self, slots: Slots) -> None:
        """Plan, run, merge, finish. Raises NotReady when cancelled without being over."""
        self._slots = slots
        with ExitStack() as held, self.pfs.blobs.session() as session:
            plan = self.shop.plans.plan(self.pipeline, self._record, self.commit, held)
            begun = self._begin(plan)
            timer = self._start_timer()
            results = Results(
                self.pfs,
                session,
                self.job,
                seq=self.commit.seq,
                kept=plan.kept,
                again=self._record.started is not None,
                begun=begun,
                broken=self._broke,
            )
            try:
                try:
                    self._run_datums(session, plan, results, slots)
                finally:
                    if timer:
                        timer.cancel()
                    self.shop.trash.put(self.work)
                self._end(session, plan, results)
            except BaseException:
                results.rescue()
                raise

    def _start_timer(self) -> threading.Timer | None:
        limit = self.pipeline.spec.get("job_timeout")
        if not limit:
            return None
        now = datetime.now(UTC)
        left = time_left(planner.seconds(limit), self._record.started or now, now)

        def expire() -> None:
            self.timed_out = True
            self.cancel()

        timer = threading.Timer(left, expire)
        timer.daemon = True
        timer.start()
        return timer

    def _begin(self, plan: Plan) -> Future[None]:
        began = datetime.now(UTC)  # the change itself may be held back until the job ends

        def change(ch: Change) -> None:
            now = jobs.require(ch.tx, self.job)
            jobs.update(
                ch,
                self.job,
                state=JobState.RUNNING,
                reason="",
                started=now.started or began,
                total=plan.total,
                restarts=now.restarts + (1 if now.state is JobState.RUNNING else 0),
                processed=0,
                skipped=plan.kept,
                failed=0,
                recovered=0,
                plan_key=plan.key,
            )
            pipelines.set_state(ch, self.job.pipeline, PipelineState.RUNNING, "")

        return self.pfs.change_later(change)  # nobody waits for it: the next change takes it along

    # ---- datums

    def _run_datums(self, session: Session, plan: Plan, results: Results, slots: Slots) -> None:
        """Have an outcome of every datum of the plan; durable as they come."""
        spec = self.pipeline.spec
        most = min(planner.workers_wanted(spec), slots.width)
        bench = Bench(
            self.shop,
            self.pipeline,
            self.job,
            session,
            Presenter(
                self.pfs,
                Way.of(self.shop.pool.runner_of(self.pipeline).presents),
                planner.empty_inputs(spec),
            ),
            self.work,
            self.logs,
            SetSize.of(spec, plan.total - plan.kept, most),
            self._waits,
        )
        threads: list[threading.Thread] = []
        try:
            for datum in self._unknown(plan, results):
                if len(threads) < most:
                    threads.append(self._start_lane(bench, len(threads), results, slots))
                if not self._feed.put(datum):
                    break
        except BaseException:
            self._feed.abort()  # what the plan gave so far is not worth running
            raise
        finally:
            self._feed.close()
            for thread in threads:
                thread.join()
            self._waits(None)
            results.close()

    def _start_lane(
        self, bench: Bench, number: int, results: Results, slots: Slots
    ) -> threading.Thread:
        if not number:
            self.shop.trash.put(self.work)  # crash: what could not be removed must not be collected
            self.work.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(parents=True, exist_ok=True)
        lane = Lane(bench, number, results.put, slots)

        def work() -> None:
            try:
                lane.work(self._feed.take)
            except BaseException as e:
                self._broke(e)
            finally:
                lane.close()

        with self._lock:
            self._lanes.append(lane)
            if self.cancelled.is_set():
                lane.cancel()
        thread = threading.Thread(target=work, name=f"lane-{number}", daemon=True)
        thread.start()
        return thread

    def _waits(self, why: WorkerWaits | None) -> None:
        """Have the pipeline and the job say why a worker is waited for, or that one came."""
        said = str(why) if why is not None else ""
        state = PipelineState.RUNNING
        if why is not None:
            state = PipelineState.CRASHING if why.trouble else PipelineState.STARTING

        def change(ch: Change) -> None:
            jobs.wait(ch, self.job, said)
            pipelines.set_state(ch, self.job.pipeline, state, said)

        with self._telling:  # lanes tell at any time: what was told last must be written last
            if is_news(why, self._told):
                self._told = why
                self.pfs.change_later(change)

    def _unknown(self, plan: Plan, results: Results) -> Iterator[Datum]:
        """The datums whose result is not known yet; the others are noted."""
        datums = plan.datums()
        while chunk := list(itertools.islice(datums, _MANY)):
            known = self._known([datum.hash for datum in chunk])
            unknown = []
            for datum in chunk:
                earlier = known.get(datum.hash)
                if earlier is None:
                    unknown.append(datum)
                else:
                    mine = earlier.stats if earlier.job == self.job else None
                    results.skip(datum.id, earlier.dir, mine)
            yield from unknown

    def _known(self, hashes: list[str]) -> dict[str, DatumRecord]:
        """Earlier successes by hash: any job of this pipeline; only this one's own (from before
        a restart) when every job must process everything."""
        found: dict[str, DatumRecord] = {}
        every = planner.skips_nothing(self.pipeline.spec)
        for record in with_hashes(self.pfs, hashes):
            mine = record.job == self.job
            if record.state is not DatumState.SUCCESS or record.job.pipeline != self.job.pipeline:
                continue
            if mine or (not every and record.hash not in found):
                found[record.hash] = record
        return found

    # ---- the end

    def _end(self, session: Session, plan: Plan, results: Results) -> None:
        """What comes of the job now that no datum runs; see ``run``."""
        if self.timed_out:
            self._end_failed(session, plan, results, JobState.KILLED, "job timed out")
        elif self.cancelled.is_set():
            raise NotReady(f"job {self.job} was stopped")
        elif self._error is not None:
            raise self._error
        elif results.failure is not None:
            self._end_failed(session, plan, results, JobState.FAILURE, _why(results))
        else:
            self._merge(session, plan, results)

    def _merge(self, session: Session, plan: Plan, results: Results) -> None:
        policy = self.pipeline.spec.get("output_merge") or "error"
        before = (plan.base.datums, plan.base.commit.root) if plan.base else (EMPTY, EMPTY)
        merger = Merger(self.pfs, session, *before, policy)
        counts = results.tally.counts()
        parts = Parts(results.changed, plan.removed)
        try:
            merged = merger.merge(parts)
        except InvalidArgument as e:
            # two datums wrote one path: the datums stand, the job has no output
            self._end_failed(session, plan, results, JobState.FAILURE, e.message)
            return
        whole = self.pfs.trees.entry(merged.output)
        end = jobs.to_egress if self.pipeline.spec.get("egress") else jobs.succeed

        def change(ch: Change) -> None:
            results.stands()
            end(
                ch, self.job, merged.output, whole.size, whole.count, **counts, datums=merged.datums
            )

        self.pfs.change(change)

    def _end_failed(
        self, session: Session, plan: Plan, results: Results, state: JobState, reason: str
    ) -> None:
        before = plan.base.datums if plan.base else EMPTY
        tree = Merger(self.pfs, session, before).tree(Parts(results.changed, plan.removed))
        counts = results.tally.counts()

        def change(ch: Change) -> None:
            results.stands()
            jobs.fail(ch, self.job, state, reason, **counts, datums=tree)

        self.pfs.change(change)


def _why(results: Results) -> str:
    """The reason of a job with failed datums."""
    first = results.failure
    assert first is not None
    reason = f"datum {first.id} failed: {first.reason}"
    more = results.tally.counts()["failed"] - 1
    return f"{reason} (and {more} more)" if more else reason


def time_left(limit_s: float, began: datetime, now: datetime) -> float:
    """Seconds a job may still take that began before the box did. Its beginning is known by the
    wall clock alone: one that was put back since does not give a job more than its whole time."""
    return limit_s - min(max((now - began).total_seconds(), 0.0), limit_s)
