"""One worker's thread in the daemon: lay out a datum, run it, collect it, try again."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.errors import Corrupt, InvalidArgument, NotFound, Refused
from pachybox.meta.writer import utc_now
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.model.pps import Datum, DatumState, Stats
from pachybox.pps import planner
from pachybox.pps.collect import Collector
from pachybox.pps.layout import lay_out
from pachybox.pps.logs import mark
from pachybox.pps.runners.base import DatumResult, DatumTask, Layout, Worker, WorkerLost
from pachybox.store.blobs import Session
from pachybox.store.disk import full_disk_is_exhausted
from pachybox.store.trees import EMPTY

if TYPE_CHECKING:
    from pachybox.pps.run import JobRun

log = logging.getLogger("pachybox.datum")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a datum; ``dir`` is its directory in the job's tree of datums."""

    datum: Datum
    state: DatumState
    reason: str
    dir: Hash
    stats: Stats


class Attempt:
    """Processes datums one after the other with a worker of its own."""

    def __init__(self, job: JobRun, session: Session, number: int) -> None:
        self._job = job
        self._session = session
        self.number = number
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self.datum: Datum | None = None
        self.since = 0.0
        self._retry = False

    def cancel(self) -> None:
        """Kill the datum that runs, if any; ``process`` returns None."""
        with self._lock:
            self._cancelled = True
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def restart(self) -> None:
        """Kill the datum that runs and try it again, not counted as a failure."""
        with self._lock:
            self._retry = True
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def close(self) -> None:
        """Give the worker back, or end it when it may be in the middle of something."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._cancelled:
            worker.close()
        else:
            self._job.pool.give_back(self._job.pipeline, worker)

    def process(self, index: int, datum: Datum) -> Outcome | None:
        """Run one datum to its end; None when cancelled.

        Raises Refused when no worker can be started, Exhausted when the disk is full.
        """
        self._retry = False  # asked for a datum that has ended since
        self.datum, self.since = datum, time.time()
        spec = self._job.pipeline.spec
        tries = max(1, int(spec.get("datum_tries") or 3))
        home = self._job.work / str(index)
        reason, stats, left = "", Stats(), tries
        try:
            while left > 0:
                left -= 1
                outcome, reason, cost = self._try(datum, home, err_cmd=False)
                stats = stats + cost
                if outcome is not None:
                    return self._outcome(datum, DatumState.SUCCESS, "", outcome, stats)
                if self._cancelled:
                    return None
                if self._retry:
                    self._retry, left = False, left + 1
            if spec["transform"].get("err_cmd"):
                recovered, _, cost = self._try(datum, home, err_cmd=True)
                stats = stats + cost
                if self._cancelled:
                    return None
                if recovered is not None:
                    return self._outcome(datum, DatumState.RECOVERED, reason, [], stats)
            return self._outcome(datum, DatumState.FAILED, reason, [], stats)
        finally:
            self.datum = None
            shutil.rmtree(home, ignore_errors=True)

    def _try(
        self, datum: Datum, home: Path, *, err_cmd: bool
    ) -> tuple[list[Edit] | None, str, Stats]:
        """One attempt: (output edits or None, reason, cost). ``err_cmd`` sees the directories
        of the attempt before it."""
        job = self._job
        began = time.monotonic()
        if not err_cmd:
            shutil.rmtree(home, ignore_errors=True)
        inputs, out = home / "in", home / "out"
        empty = frozenset(s.name for s in planner.inputs_of(job.pipeline.spec) if s.empty_files)
        down = 0
        try:
            if not err_cmd:
                links = job.pool.runner.presents.links
                with full_disk_is_exhausted(job.work):
                    out.mkdir(parents=True)
                    inputs.mkdir()
                    down = lay_out(job.pfs, datum.inputs, inputs, links=links, empty=empty)
        except (Corrupt, NotFound) as e:
            return None, str(e), Stats()
        except OSError as e:
            return None, f"cannot lay out the inputs: {e}", Stats()
        laid_out = time.monotonic()
        result = self._run(datum, inputs, out, err_cmd)
        ran = time.monotonic()
        stats = Stats(
            download_s=laid_out - began,
            process_s=result.process_s or ran - laid_out,
            download_bytes=down,
            cpu_s=result.cpu_s,
            peak_rss_bytes=result.peak_rss_bytes,
        )
        if not result.ok:
            return None, result.reason, stats
        if err_cmd:
            return [], "", stats
        try:
            made = Collector(job.pfs, self._session, out, datum.inputs).collect()
        except InvalidArgument as e:
            return None, str(e), stats
        cost = Stats(upload_s=time.monotonic() - ran, upload_bytes=made.size)
        return made.edits, "", stats + cost

    def _run(self, datum: Datum, inputs: Path, out: Path, err_cmd: bool) -> DatumResult:
        job = self._job
        job.logs.mkdir(parents=True, exist_ok=True)
        limit = job.pipeline.spec.get("datum_timeout")
        log_file = job.logs / f"{self.number}.jsonl"
        what = "err_cmd of datum" if err_cmd else "datum"
        mark(log_file, datum.id, f"{what} started", utc_now())
        task = DatumTask(
            id=datum.id,
            layout=Layout(tree=inputs),
            out=out,
            env=self._env(datum),
            timeout_s=planner.seconds(limit) if limit else None,
            log=log_file,
            err_cmd=err_cmd,
        )
        for _ in range(2):
            worker = None
            try:
                worker = self._take()
                if worker is None:
                    break
                return worker.run(task, lambda: self._cancelled)
            except WorkerLost as e:
                log.warning("worker lost job=%s datum=%s error=%s", job.job, datum.id, e)
                with self._lock:
                    self._worker = None
                if worker is not None:
                    worker.close()
        reason = "cancelled" if self._cancelled else "the worker process died twice"
        return failed_result(reason, cancelled=self._cancelled)

    def _take(self) -> Worker | None:
        with self._lock:
            if self._cancelled:
                return None
            if self._worker is not None:
                return self._worker
        try:
            worker = self._job.pool.take(self._job.pipeline)
        except Refused:
            self._job.unstartable = True
            raise
        with self._lock:
            self._worker = worker
            return None if self._cancelled else worker

    def _env(self, datum: Datum) -> dict[str, str]:
        """What user code of this datum sees (reference §3.11)."""
        job = self._job.job
        env = {
            "PACH_JOB_ID": job.id,
            "PACH_OUTPUT_COMMIT_ID": job.id,
            "PACH_DATUM_ID": datum.id,
            "PPS_POD_NAME": f"{job.pipeline.name}-{self.number}",
        }
        for one in datum.inputs:
            env[one.name] = f"/pfs/{one.name}" + ("" if one.path == "/" else one.path)
            env[f"{one.name}_COMMIT"] = one.commit
        return env

    def _outcome(
        self, datum: Datum, state: DatumState, reason: str, edits: list[Edit], stats: Stats
    ) -> Outcome:
        """Put the datum's directory into the store: its meta file and its output."""
        trees, put = self._job.pfs.trees, self._session.put
        meta = json.dumps(
            {
                "hash": datum.hash,
                "inputs": [{**asdict(one), "hash": one.hash.hex()} for one in datum.inputs],
                "job": self._job.job.id,
                "reason": reason,
                "state": state.value,
                "stats": asdict(stats),
            },
            sort_keys=True,
        ).encode()
        entry = Entry("meta", Kind.FILE, put(meta), len(meta))
        moved: list[Edit] = [Put(f"/out{e.path}", e.entry) for e in edits if isinstance(e, Put)]
        root = trees.edit(EMPTY, [Put("/meta", entry), *moved], put)
        return Outcome(datum, state, reason, root, stats)


def failed_result(reason: str, *, cancelled: bool = False) -> DatumResult:
    """A result for a datum whose user code could not be run at all."""
    return DatumResult(
        ok=False,
        exit_code=None,
        signal=None,
        reason=reason,
        timed_out=False,
        cancelled=cancelled,
        process_s=0.0,
        cpu_s=0.0,
        peak_rss_bytes=0,
    )
