"""One job from plan to output commit.

The datums of a job and what became of them are a tree (``JobRecord.datums``): one
directory per datum, ``/<datum id>/meta`` (JSON) and ``/<datum id>/out/...``. A datum that
is skipped brings its directory from the job that ran it, by hash. The output commit is
the base job's output changed by the difference of the two trees of datums, so its cost
follows what changed.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox.errors import InvalidArgument, NotReady
from pachybox.meta.tables import COMMITS, DATUMS, JOBS, DatumRecord
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Job
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import (
    Datum,
    DatumState,
    JobRecord,
    JobState,
    PipelineRecord,
    PipelineState,
    Stats,
)
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps import algebra, jobs, pipelines, planner
from pachybox.pps.attempt import Attempt, Outcome
from pachybox.pps.logs import directory
from pachybox.pps.pool import WorkerPool
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.job")

_FEW = 64  # datums looked up one by one
_BATCH_S = 0.2  # results wait so long at most before they are written together


@dataclass(frozen=True, slots=True)
class Base:
    """The last successful job before this one: its datums and its output."""

    datums: Hash
    output: Hash


class JobRun:
    """Runs one job. ``cancel`` may be called from any thread."""

    def __init__(
        self,
        pfs: Pfs,
        pool: WorkerPool,
        pipeline: PipelineRecord,
        record: JobRecord,
        commit: CommitRecord,
        work: Path,
        logs: Path,
    ) -> None:
        self.pfs = pfs
        self.pool = pool
        self.pipeline = pipeline
        self.job: Job = record.job
        self.commit = commit
        name = record.job.pipeline
        self.work = work / f"{record.job.id}-{name.project}-{name.name}"
        self.logs = directory(logs, record.job)
        self.unstartable = False
        self.cancelled = threading.Event()
        self.timed_out = False
        self._record = record
        self._attempts: dict[int, Attempt] = {}
        self._lock = threading.Lock()
        self._results: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()

    # ---- control

    def cancel(self) -> None:
        """Kill what runs; ``run`` then raises NotReady (handed back) or ends the job."""
        self.cancelled.set()
        with self._lock:
            for attempt in self._attempts.values():
                attempt.cancel()

    def current(self) -> list[Attempt]:
        """The datums running now."""
        with self._lock:
            return list(self._attempts.values())

    # ---- the whole

    def run(self, slots: threading.Semaphore, width: int) -> None:
        """Plan, run, merge, finish. ``width`` is how many ``slots`` there are: more workers than
        that would only wait for each other. Raises NotReady when cancelled without being over."""
        with ExitStack() as held, self.pfs.blobs.session() as session:
            base = self._base()
            for root in (base.datums, base.output) if base is not None else ():
                # its commit may be squashed or deleted while we build on it
                held.enter_context(self.pfs.reading(root))
            datums = self._plan(held)
            self._begin(len(datums))
            timer = self._start_timer()
            try:
                done = self._run_datums(session, datums, slots, width)
            finally:
                if timer:
                    timer.cancel()
                shutil.rmtree(self.work, ignore_errors=True)
            if self.timed_out:
                self._end_failed(session, done, JobState.KILLED, "job timed out")
                return
            if self.cancelled.is_set():
                raise NotReady(f"job {self.job} was stopped")
            failed = [o for o in done.values() if o.state is DatumState.FAILED]
            if failed:
                first = failed[0]
                reason = f"datum {first.datum.id} failed: {first.reason}"
                if len(failed) > 1:
                    reason += f" (and {len(failed) - 1} more)"
                self._end_failed(session, done, JobState.FAILURE, reason)
                return
            self._merge(session, base, done)

    def _start_timer(self) -> threading.Timer | None:
        limit = self.pipeline.spec.get("job_timeout")
        if not limit:
            return None
        began = self._record.started or datetime.now(UTC)
        left = planner.seconds(limit) - (datetime.now(UTC) - began).total_seconds()

        def expire() -> None:
            self.timed_out = True
            self.cancel()

        timer = threading.Timer(max(0.0, left), expire)
        timer.daemon = True
        timer.start()
        return timer

    def _plan(self, held: ExitStack) -> list[Datum]:
        given = self.pipeline.spec.get("input")
        if not given:
            return []
        node = algebra.parse(given)
        commits = {b: CommitId(id_) for b, id_ in self.commit.direct_provenance}
        roots: dict[Branch, tuple[CommitId, Hash] | None] = {}
        for branch in algebra.branches(node):
            if branch not in commits:
                continue  # no commit yet: no datums
            root = self.pfs.resolve(branch.repo, commits[branch]).root
            held.enter_context(self.pfs.reading(root))
            roots[branch] = (commits[branch], root)
        made = algebra.whole(node, roots, self.pfs.trees)
        return [planner.to_datum(parts, commits, self.pipeline.salt) for parts in made]

    def _base(self) -> Base | None:
        """The nearest finished ancestor whose job made it, whatever came of its egress."""
        repo = self.job.pipeline.repo
        parent = self.commit.parent
        while parent is not None:
            commit = self.pfs.meta.get(COMMITS, Commit(repo, parent))
            if commit is None:
                return None
            job = self.pfs.meta.get(JOBS, Job(self.job.pipeline, commit.commit.id))
            if job is not None and job.datums is not None and not commit.error:
                return Base(job.datums, commit.root)
            parent = commit.parent
        return None

    def _begin(self, total: int) -> None:
        def change(ch: Change) -> None:
            now = jobs.require(ch.tx, self.job)
            self._record = jobs.update(
                ch,
                self.job,
                state=JobState.RUNNING,
                started=now.started or ch.now,
                total=total,
                restarts=now.restarts + (1 if now.state is JobState.RUNNING else 0),
                processed=0,
                skipped=0,
                failed=0,
                recovered=0,
            )
            pipelines.set_state(ch, self.job.pipeline, PipelineState.RUNNING, "")

        self.pfs.change(change)

    # ---- datums

    def _known(self, datums: list[Datum]) -> dict[str, DatumRecord]:
        """Earlier successes by hash: any job of this pipeline; only this one's own (from before
        a restart) when every job must process everything."""
        p = self.job.pipeline
        where = "WHERE project = ? AND pipeline = ? AND state = 'SUCCESS'"
        params: list[Any] = [p.project, p.name]
        if self.pipeline.spec.get("reprocess_spec") == "every_job":
            where += " AND job = ?"
            params.append(self.job.id)
        found: dict[str, DatumRecord] = {}
        hashes = [d.hash for d in datums]
        # perf: DuckDB's index serves equality only; a list is a scan (1.5 M datums: 100 ms)
        few = len(hashes) <= _FEW
        where += " AND hash = ?" if few else " AND hash IN (SELECT unnest(?))"
        wanted = hashes if few else [hashes[i : i + 20_000] for i in range(0, len(hashes), 20_000)]
        for one in wanted:
            for record in self.pfs.meta.select(DATUMS, where, [*params, one]):
                if record.hash not in found or record.job == self.job:
                    found[record.hash] = record
        return found

    def _run_datums(
        self, session: Session, datums: list[Datum], slots: threading.Semaphore, width: int
    ) -> dict[str, Outcome]:
        """Outcome of every datum by id, the skipped ones too; durable as they come."""
        known = self._known(datums) if datums else {}
        done: dict[str, Outcome] = {}
        todo: queue.SimpleQueue[tuple[int, Datum]] = queue.SimpleQueue()
        waiting = 0
        for i, datum in enumerate(datums):
            earlier = known.get(datum.hash)
            if earlier is None:
                todo.put((i, datum))
                waiting += 1
                continue
            mine = earlier.job == self.job
            state = DatumState.SUCCESS if mine else DatumState.SKIPPED
            done[datum.id] = Outcome(
                datum, state, "", earlier.dir, earlier.stats if mine else Stats()
            )
        if not waiting:
            return done
        self._tally = Tally(done.values())
        writer = threading.Thread(target=self._write_results, args=(session, done), daemon=True)
        self._error: BaseException | None = None
        writer.start()
        count = min(planner.workers_wanted(self.pipeline.spec), waiting, width)
        threads = [
            threading.Thread(target=self._work_loop, args=(n, session, todo, slots), daemon=True)
            for n in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._results.put(None)
        writer.join()
        if self._error is not None and not self.cancelled.is_set():
            raise self._error
        return done

    def _work_loop(
        self,
        number: int,
        session: Session,
        todo: queue.SimpleQueue[tuple[int, Datum]],
        slots: threading.Semaphore,
    ) -> None:
        attempt = Attempt(self, session, number)
        with self._lock:
            self._attempts[number] = attempt
        try:
            while not self.cancelled.is_set() and self._error is None:
                try:
                    index, datum = todo.get_nowait()
                except queue.Empty:
                    return
                with slots:
                    outcome = attempt.process(index, datum)
                if outcome is not None:
                    self._results.put(outcome)
        except BaseException as e:
            self._error = self._error or e
        finally:
            attempt.close()
            with self._lock:
                del self._attempts[number]

    def _write_results(self, session: Session, done: dict[str, Outcome]) -> None:
        """Take results as they come and write them in batches, so that a crash loses at most
        the last fraction of a second of work, and no datum costs a transaction of its own."""
        ended = False
        while not ended:
            first = self._results.get()
            if first is None:
                return
            batch = [first]
            until = time.monotonic() + _BATCH_S
            while (left := until - time.monotonic()) > 0 and len(batch) < 5000:
                try:
                    more = self._results.get(timeout=left)
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                    break
                batch.append(more)
            try:
                for outcome in batch:
                    done[outcome.datum.id] = outcome
                    self._tally.add(outcome)
                self._save(session, batch)
            except BaseException as e:
                self._error = self._error or e
                self.cancel_quietly()
                return

    def cancel_quietly(self) -> None:
        """Stop the workers because the job cannot go on."""
        with self._lock:
            for attempt in self._attempts.values():
                attempt.cancel()

    def _save(self, session: Session, batch: list[Outcome]) -> None:
        counts = self._tally.counts()

        def change(ch: Change) -> None:
            for o in batch:
                ch.tx.put(
                    DATUMS,
                    DatumRecord(
                        self.job,
                        o.datum.id,
                        o.datum.hash,
                        o.state,
                        o.reason,
                        o.dir,
                        ch.now,
                        o.stats,
                    ),
                )
            jobs.update(ch, self.job, **counts)
            ch.tx.event(
                "job.progress",
                project=self.job.pipeline.project,
                pipeline=self.job.pipeline.name,
                id=self.job.id,
                **{k: v for k, v in counts.items() if isinstance(v, int)},
            )

        self.pfs.change(change)
        session.keep()  # named now: a job that breaks off later must not take it away

    # ---- the end

    def _tree(self, session: Session, base: Base | None, done: dict[str, Outcome]) -> Hash:
        """The tree of datums of this job, as a change of the base job's."""
        root = base.datums if base is not None else EMPTY
        have = {e.name: e.hash for e in self.pfs.trees.list(root)}
        edits: list[Edit] = [Delete(f"/{id_}") for id_ in have if id_ not in done]
        for id_, outcome in done.items():
            if have.get(id_) == outcome.dir:
                continue
            if id_ in have:
                edits.append(Delete(f"/{id_}"))
            whole = self.pfs.trees.entry(outcome.dir)
            edits.append(Put(f"/{id_}", Entry(id_, Kind.DIR, outcome.dir, whole.size, whole.count)))
        return self.pfs.trees.edit(root, edits, session.put)

    def _merge(self, session: Session, base: Base | None, done: dict[str, Outcome]) -> None:
        tree = self._tree(session, base, done)
        counts = _counts(done)
        try:
            root = self._output(session, base, tree)
        except InvalidArgument as e:
            # two datums wrote one path: the datums stand, the job has no output
            reason = e.message
            self.pfs.change(
                lambda ch: jobs.fail(ch, self.job, JobState.FAILURE, reason, **counts, datums=tree)
            )
            return
        whole = self.pfs.trees.entry(root)
        end = jobs.to_egress if self.pipeline.spec.get("egress") else jobs.succeed
        self.pfs.change(
            lambda ch: end(ch, self.job, root, whole.size, whole.count, **counts, datums=tree)
        )
        session.keep()

    def _output(self, session: Session, base: Base | None, tree: Hash) -> Hash:
        """The output tree: the base's, less what changed datums wrote there, plus what they
        write now. Raises InvalidArgument when two datums write one path."""
        deletes: list[Edit] = []
        puts: dict[str, tuple[str, Entry]] = {}
        before = base.datums if base is not None else EMPTY
        for change in self.pfs.trees.diff(before, tree):
            parts = change.path.split("/", 3)
            if len(parts) < 4 or parts[2] != "out":
                continue
            path = f"/{parts[3]}"
            if change.old is not None and not change.old.is_dir:
                deletes.append(Delete(path))
            if change.new is not None and not change.new.is_dir:
                if path in puts:
                    raise _collision(path, parts[1], puts[path][0])
                puts[path] = (parts[1], change.new)
        root = base.output if base is not None else EMPTY
        root = self.pfs.trees.edit(root, deletes, session.put)
        for path, (id_, _) in puts.items():
            there = self.pfs.trees.get(root, path) if root != EMPTY else None
            if there is not None and not there.is_dir:
                raise _collision(path, id_, self._owner(tree, path, id_))
        edits = [Put(path, entry) for path, (_, entry) in sorted(puts.items())]
        return self.pfs.trees.edit(root, edits, session.put)

    def _owner(self, tree: Hash, path: str, other: str) -> str:
        for entry in self.pfs.trees.list(tree):
            if entry.name != other and self.pfs.trees.get(tree, f"/{entry.name}/out{path}"):
                return entry.name
        return "another datum"

    def _end_failed(
        self, session: Session, done: dict[str, Outcome], state: JobState, reason: str
    ) -> None:
        tree = self._tree(session, None, done)
        counts = _counts(done)
        self.pfs.change(lambda ch: jobs.fail(ch, self.job, state, reason, **counts, datums=tree))


def _collision(path: str, one: str, other: str) -> InvalidArgument:
    return InvalidArgument(
        f"duplicate path output by different datums ({path} from {one} and {path} from {other})"
    )


class Tally:
    """The job's counters and summed stats, kept as results come."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._states: Counter[DatumState] = Counter()
        self._stats = Stats()
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: Outcome) -> None:
        """Count one datum."""
        self._states[outcome.state] += 1
        if outcome.state is not DatumState.SKIPPED:
            self._stats = self._stats + outcome.stats

    def counts(self) -> dict[str, Any]:
        """What they are now, by the names JobRecord has for them."""
        return {
            "processed": self._states[DatumState.SUCCESS],
            "skipped": self._states[DatumState.SKIPPED],
            "failed": self._states[DatumState.FAILED],
            "recovered": self._states[DatumState.RECOVERED],
            "stats": self._stats,
        }


def _counts(done: dict[str, Outcome]) -> dict[str, Any]:
    return Tally(done.values()).counts()
