"""The datums of one spec, run as a job would run them, with no record and no commit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from pachybox.meta.tables import JOBS, PIPELINES
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch, CommitId, Hash, Job, new_commit_id
from pachybox.model.pps import Datum, DatumState, JobRecord, PipelineRecord, PipelineState
from pachybox.pfs.service import Pfs
from pachybox.pps import planner
from pachybox.pps.bench import Bench
from pachybox.pps.feed import Feed
from pachybox.pps.lane import Lane
from pachybox.pps.layout import Presenter, Way
from pachybox.pps.logs import JobLog
from pachybox.pps.merge import Merger, Parts
from pachybox.pps.results import Outcome
from pachybox.pps.runners.base import WorkerWaits
from pachybox.pps.sets import SetSize
from pachybox.pps.slots import Slots
from pachybox.pps.spec import Spec
from pachybox.pps.trial_compare import compare
from pachybox.pps.trial_plan import Pick, Sample, TrialPlanner
from pachybox.pps.trial_values import Difference, Event, Line, Planned, Tried
from pachybox.pps.workshop import Workshop
from pachybox.store.trees import EMPTY

_LOOK_S = 0.02  # between two looks at the logs: files that grow tell nobody


@dataclass(eq=False)
class Kept:
    """What datums left: by their id the directory (meta and out) of each that did well, and the
    tree of all outputs together, once it is ``merged``. Held in the store until closed."""

    pfs: Pfs
    outcomes: dict[str, Hash] = field(default_factory=dict)
    output: Hash = EMPTY
    merged: bool = False

    def __post_init__(self) -> None:
        self.held = ExitStack()
        self.session = self.pfs.blobs.session()

    def out(self, datum: str) -> Hash | None:
        """The output tree of a datum; None when it did not do well."""
        directory = self.outcomes.get(datum)
        if directory is None:
            return None
        entry = self.pfs.trees.child(directory, "out")
        return EMPTY if entry is None else entry.hash

    def close(self) -> None:
        """Let go; large outputs that nobody else has leave the disk at once."""
        self.held.close()
        self.session.end(undo=True)


class Stage:
    """Runs datums of one spec. ``cancel`` for any thread; the rest for one.

    ``sample`` chooses them, ``run`` runs them, ``merge`` puts their outputs together.
    """

    def __init__(
        self,
        number: int,
        spec: Spec,
        shop: Workshop,
        slots: Slots,
        emit: Callable[[Event], None],
        before: Callable[[str], Hash | None] = lambda _: None,
    ) -> None:
        """``number`` is that of the run. ``shop`` has a pool and directories of the session's
        own. ``before`` gives the last good output of a datum."""
        self.kept = Kept(shop.pfs)
        self.failed = False
        self.picked = Sample(0, (), {}, ())
        self._number = number
        self._spec = spec
        self._shop = shop
        self._slots = slots
        self._emit = emit
        self._before = before
        self._found = shop.pfs.meta.get(PIPELINES, spec.pipeline)
        self._feed = Feed()
        self._lock = threading.Lock()
        self._cancelled = False
        self._lanes: list[Lane] = []
        self._done: deque[Outcome] = deque()
        self._error: BaseException | None = None
        self._waiting_for = ""

    def cancel(self) -> None:
        """Kill what runs and run no more; workers stay."""
        with self._lock:
            self._cancelled = True
            lanes = list(self._lanes)
        self._feed.abort()
        for lane in lanes:
            lane.cancel()
        self._slots.wake()

    def _broke(self, error: BaseException) -> None:
        self._error = self._error or error
        self.cancel()

    def sample(self, pick: Pick, refs: Sequence[str], given: Mapping[Branch, Hash]) -> None:
        """Choose the datums; see TrialPlanner.sample."""
        self.picked = TrialPlanner(self._shop.pfs).sample(
            self._spec.pipeline, self._spec.canonical, refs, pick, self.kept.session,
            self.kept.held, given=given, cancelled=lambda: self._cancelled,
        )  # fmt: skip

    def run(self, place: str) -> None:
        """Run the datums, and tell what happens. ``place`` is where the source is shown, and code
        starts, unless the spec says where; empty: it is not. Raises what keeps it from going on.
        """
        sample, spec = self.picked, self._spec.canonical
        pipeline = self.record(place)
        self._shop.pool.keep(pipeline)
        exists = self._found is not None
        self._emit(
            Planned(
                self._number, self._spec.pipeline, exists, sample.total, sample.datums, place,
                tuple(str(branch) for branch in sample.empty),
            )
        )  # fmt: skip
        if not sample.datums:
            return
        presenter = Presenter(
            self._shop.pfs,
            Way.of(self._shop.pool.runner_of(pipeline).presents),
            planner.empty_inputs(spec),
            roots=sample.roots,
        )
        workers = min(planner.workers_wanted(spec), self._slots.width, len(sample.datums))
        job = Job(self._spec.pipeline, new_commit_id())
        bench = Bench(  # no path is used twice: a worker that goes on has its last log open
            self._shop, pipeline, job, self.kept.session, presenter, self._shop.work / job.id,
            self._shop.logs / job.id, SetSize.of(spec, len(sample.datums), workers), self._waits,
        )  # fmt: skip
        self._work(bench, workers, sample.datums)
        if self._error is not None:
            raise self._error

    def _waits(self, why: WorkerWaits | None) -> None:
        """Tell once what a worker is waited for: whoever looks on would see nothing at all."""
        said = str(why) if why is not None else ""
        with self._lock:
            if said == self._waiting_for:
                return
            self._waiting_for = said
        if said:
            first = self.picked.datums[0].id
            self._emit(Line(self._number, first, utc_now(), f"waits: {said}"))

    def merge(self) -> None:
        """Put the outputs together as a job would. Raises InvalidArgument naming the path that two
        datums wrote."""
        policy = self._spec.canonical.get("output_merge") or "error"
        merger = Merger(self._shop.pfs, self.kept.session, policy=policy)
        self.kept.output = merger.merge(Parts(self.kept.outcomes, ())).output
        self.kept.merged = True

    def record(self, place: str = "") -> PipelineRecord:
        """The pipeline that the spec would make, its code starting at ``place`` unless the spec
        says where."""
        made = dict(self._spec.canonical)
        made["transform"] = transform = dict(made["transform"])
        made["datum_tries"] = 1  # who looks on wants to see the first failure, and at once
        if place and not transform.get("working_dir"):
            transform["working_dir"] = place
        # by content: a worker that shows secrets serves the specs it was started for
        text = json.dumps(made, sort_keys=True).encode()
        version = CommitId(hashlib.blake2b(text, digest_size=16).hexdigest())
        now, state = utc_now(), PipelineState.RUNNING
        number = 1 if self._found is None else self._found.version
        return PipelineRecord(
            self._spec.pipeline, number, made, "", "", state, "", False, now, now, version,
            self._spec.runner, self._spec.image_pin,
        )  # fmt: skip

    # ---- datums

    def _work(self, bench: Bench, workers: int, datums: tuple[Datum, ...]) -> None:
        bench.work.mkdir(parents=True, exist_ok=True)
        bench.logs.mkdir(parents=True, exist_ok=True)
        by_id = {datum.id: datum for datum in datums}
        lines = JobLog(bench.logs, bench.job)
        threads = [self._start_lane(bench, number) for number in range(workers)]
        for datum in datums:
            self._feed.put(datum)
        self._feed.close()
        with ExitStack() as held:
            present = self._present()
            if present is not None:
                held.enter_context(self._shop.pfs.reading(present))
            while threads:
                threads[0].join(_LOOK_S)
                if not threads[0].is_alive():
                    threads.pop(0)
                self._tell(lines, by_id, present)
        self._shop.trash.put(bench.work)
        self._shop.trash.put(bench.logs)

    def _start_lane(self, bench: Bench, number: int) -> threading.Thread:
        lane = Lane(bench, number, self._done.append, self._slots)

        def work() -> None:
            try:
                lane.work(self._feed.take)
            except BaseException as e:
                self._broke(e)
            finally:
                lane.close(keep=True)

        with self._lock:
            self._lanes.append(lane)
            if self._cancelled:
                lane.cancel()
        thread = threading.Thread(target=work, name=f"trial-{number}", daemon=True)
        thread.start()
        return thread

    def _present(self) -> Hash | None:
        """The tree of datums of the pipeline's newest job that did well."""
        if self._found is None:
            return None
        name = self._found.pipeline
        jobs: list[JobRecord] = self._shop.pfs.meta.select(
            JOBS,
            "WHERE project = ? AND pipeline = ? AND state = 'JOB_SUCCESS' "
            "ORDER BY created_us DESC LIMIT 1",
            (name.project, name.name),
        )
        return jobs[0].datums if jobs else None

    def _tell(self, lines: JobLog, datums: Mapping[str, Datum], present: Hash | None) -> None:
        """What is new: of each datum that has ended its lines, which are all there, and its end;
        then the lines of those that run."""
        ended = [self._done.popleft() for _ in range(len(self._done))]
        said: dict[str, list[Line]] = {}
        for line in lines.new_lines():
            if line.user:
                told = Line(self._number, line.datum, line.time, line.message)
                said.setdefault(line.datum, []).append(told)
        for outcome in ended:
            for told in said.pop(outcome.id, ()):
                self._emit(told)
            self._emit(self._ended(outcome, datums[outcome.id], present))
        for left in said.values():
            for told in left:
                self._emit(told)

    def _ended(self, outcome: Outcome, datum: Datum, present: Hash | None) -> Tried:
        pfs = self._shop.pfs
        last = now = None
        files = size = 0
        if outcome.state is DatumState.SUCCESS:
            before = self._before(datum.id)
            self.kept.outcomes[datum.id] = outcome.dir
            out = self.kept.out(datum.id) or EMPTY
            whole = pfs.trees.entry(out)
            files, size = whole.count, whole.size
            last = None if before is None else compare(pfs, before, out)
            now = self._compared(present, datum.id, out)
        self.failed = self.failed or outcome.state is DatumState.FAILED
        return Tried(
            self._number, datum, outcome.state, outcome.reason, outcome.stats, files, size,
            last, now,
        )  # fmt: skip

    def _compared(self, present: Hash | None, datum: str, out: Hash) -> Difference | None:
        """How an output differs from the one that the pipeline has of the same datum."""
        pfs = self._shop.pfs
        if present is None or pfs.trees.child(present, datum) is None:
            return None
        entry = pfs.trees.get(present, f"/{datum}/out")
        return compare(pfs, EMPTY if entry is None else entry.hash, out)
