"""One worker of a job, seen from the daemon: lay out a datum, run it, collect it, try again.

Up to two datums are under way at a time: while user code works on one, the next is laid out,
and while the next runs, the output of the first is collected.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pachybox.errors import Corrupt, Exhausted, InvalidArgument, NotFound, Refused
from pachybox.meta.writer import utc_now
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.pps import Datum, DatumState, Stats
from pachybox.model.units import format_size
from pachybox.pps import gate, meta_file, planner
from pachybox.pps.bench import Bench, Running
from pachybox.pps.collect import Collector
from pachybox.pps.disk_watch import Output
from pachybox.pps.environment import environment
from pachybox.pps.layout import Presented
from pachybox.pps.logs import heading
from pachybox.pps.results import Outcome
from pachybox.pps.runners.base import DatumResult, DatumTask, Worker, WorkerLost, WorkerWaits
from pachybox.pps.slots import Slots
from pachybox.pps.trash import remove_tree
from pachybox.store.disk import full_disk_is_exhausted
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.datum")

_UNDER_WAY = 2
_QUICK_S = 0.1  # where datums take longer, none is held ahead: another lane may be free for it
_PATHS_SHOWN = 500  # characters of the paths that are kept to sort and search by
_ASK_AGAIN_S = 0.5  # for a worker that is to come
_LOSSES = 2  # workers that may die under one datum before it counts as failed


@dataclass(frozen=True, slots=True)
class _Home:
    """The directories of one datum under way: its output, and files its layout may need."""

    out: Path
    inputs: Path


@dataclass(eq=False)
class _Try:
    """A datum on its way through attempts. ``stats`` are the sum of those that ended;
    ``filled`` is what this attempt wrote when it was stopped because the disk is full, ``handed``
    whether the worker has it, ``attempt`` its number as the log tells it."""

    datum: Datum
    home: _Home
    left: int
    err_cmd: bool = False
    reason: str = ""
    losses: int = 0
    filled: int = 0
    handed: bool = False
    attempt: int = 0
    first: float = 0.0  # when the first attempt began, in seconds since 1970
    since: float = 0.0  # and this one
    began: float = 0.0  # the same by time.monotonic
    laid_out_s: float = 0.0
    shown: Presented | None = None
    door: gate.Door | None = None
    stats: Stats = field(default_factory=Stats)


class Lane:
    """Processes datums with a worker of its own. ``work`` for one thread, the rest for any."""

    def __init__(
        self, bench: Bench, number: int, done: Callable[[Outcome], None], slots: Slots
    ) -> None:
        """``done`` gets every outcome, from the thread of ``work``."""
        self._bench = bench
        self._slots = slots
        self._done = done
        self.number = number
        self.unstartable = False
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._holding = False  # a slot of the box
        self._under: deque[_Try] = deque()
        self._ended: _Try | None = None  # of which is not known yet whether it filled the disk
        self._begun: set[_Try] = set()  # not finished: they may have inputs laid out
        self._homes: list[_Home] = []
        self._made = 0
        spec = bench.pipeline.spec
        self._tries = max(1, int(spec.get("datum_tries") or 3))
        limit = spec.get("datum_timeout")
        self._timeout_s = planner.seconds(limit) if limit else None
        self._depth = 1 if spec.get("max_queue_size") == 1 else _UNDER_WAY
        self._quick = False  # how the last datum was
        self._batching = bool(spec["transform"].get("datum_batching"))
        self._set = (0, 0)  # datums, and bytes of input, since user code was started

    # ---- from any thread

    @property
    def _cancelled(self) -> bool:
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Kill what is under way; ``work`` returns without outcomes for it."""
        with self._lock:
            self._cancel.set()
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def restart(self) -> None:
        """Kill what is under way and try it again, not counted as a failure."""
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.cancel()

    def running(self) -> list[Running]:
        """The datums under way."""
        return [
            Running(t.datum, t.since, self.number, self._tries - t.left + 1)
            for t in list(self._under)
        ]

    def outputs(self) -> list[Output]:
        """The outputs of the datums under way, each with what stops its datum."""
        with self._lock:
            tries = [*self._under, *([self._ended] if self._ended else [])]
            return [
                Output(one.home.out, partial(self._stop_filler, one, one.began)) for one in tries
            ]

    def _stop_filler(self, one: _Try, began: float, wrote: int) -> bool:
        """Kill an attempt that filled the disk; what else is under way here is tried again."""
        with self._lock:
            if self._worker is None or one not in self._under or one.began != began:
                return False
            one.filled = wrote
            self._worker.cancel()
            return True

    # ---- the loop

    def work(self, take: Callable[[bool], Datum | None]) -> None:
        """Process what ``take`` gives until it gives no more, or until cancelled.

        ``take(wait)`` gives the next datum; with ``wait`` None means that there are no more.
        Raises Refused when no worker can be started, Exhausted when the disk is full.
        """
        with self._bench.shop.disk.watching(self):
            self._work(take)

    def _work(self, take: Callable[[bool], Datum | None]) -> None:
        try:
            while not self._cancelled:
                depth = self._depth if self._quick and not self._slots.contended else 1
                while len(self._under) < depth:
                    if self._batching and self._bench.set_size.full(*self._set):
                        if self._under:
                            break
                        self._end_set()
                    datum = take(not self._under and not self._holding)  # no place is held idly
                    if datum is None:
                        break
                    self._count(datum)
                    if not self._holding and not self._hold():
                        return
                    self._begin(_Try(datum, self._home(), self._tries))
                if self._under:
                    self._end()
                elif not self._holding:
                    return
                if not self._under:
                    self._let_go()
        finally:
            self._let_go()

    def _hold(self) -> bool:
        """Take one of the box's slots; False when cancelled meanwhile."""
        self._holding = self._slots.acquire(lambda: self._cancelled)
        return self._holding

    def _let_go(self) -> None:
        if self._holding:
            self._slots.release()
            self._holding = False

    def _count(self, datum: Datum) -> None:
        number, size = self._set
        self._set = (number + 1, size + sum(one.size for one in datum.inputs))

    def _end_set(self) -> None:
        """Batched code is told that there are no more datums; the next set has code of its own."""
        self._set = (0, 0)
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            self._bench.shop.pool.end(worker)

    def close(self, *, keep: bool = False) -> None:
        """Give the worker back, or end it when it may be in the middle of something; batched
        code ends with its set. With ``keep`` what was cancelled is waited for, so that its worker
        can go on."""
        for one in self._begun:
            if one.door is not None:
                one.door.close()
            if one.shown is not None:
                one.shown.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            busy = self._cancelled or self._under
            if self._batching or (busy and not (keep and self._emptied(worker))):
                self._bench.shop.pool.end(worker)
            else:
                self._bench.shop.pool.give_back(worker)

    def _emptied(self, worker: Worker) -> bool:
        """Wait for the attempts that were killed; False when the worker has died too."""
        if not self._cancelled:
            return False
        try:
            for one in self._under:
                if one.handed:
                    worker.finish()
        except WorkerLost:
            return False
        return True

    def _home(self) -> _Home:
        """A home for one datum, used again and again: making one costs as much as a datum."""
        if self._homes:
            return self._homes.pop()
        self._made += 1
        folder = self._bench.work / f"{self.number}.{self._made}"
        home = _Home(folder / "out", folder / "in")
        with full_disk_is_exhausted(self._bench.work):
            home.out.mkdir(parents=True)
        return home

    def _begin(self, one: _Try) -> None:
        """Lay a datum out and hand it to the worker; its failure to be laid out is an attempt."""
        one.since, one.began = time.time(), time.monotonic()
        one.first = one.first or one.since
        one.handed = False
        self._begun.add(one)
        if not one.err_cmd:
            try:
                self._lay_out(one)
            except (Corrupt, NotFound, InvalidArgument, OSError) as e:
                self._bench.shop.trash.put(one.home.inputs)
                known = not isinstance(e, OSError)
                self._failed(one, str(e) if known else f"cannot lay out the inputs: {e}")
                return
        one.laid_out_s = time.monotonic() - one.began
        self._under.append(one)
        try:
            self._hand_over(one)
        except WorkerLost as e:
            self._lost(e)

    def _lay_out(self, one: _Try) -> None:
        bench = self._bench
        visible = gate.shown(one.datum, bench.by_s3)
        one.shown = bench.presenter.present(visible.inputs, one.home.inputs)
        one.door = bench.open_door(one.datum)

    def _hand_over(self, one: _Try) -> None:
        bench = self._bench
        worker = self._take()
        if worker is None or one.shown is None:
            return
        log_file = bench.logs / f"{self.number}.jsonl"
        what = "err_cmd of datum" if one.err_cmd else "datum"
        one.attempt += not one.err_cmd
        one.handed = True
        worker.start(
            DatumTask(
                id=one.datum.id,
                head=heading(one.datum.id, f"{what} started", utc_now(), one.attempt),
                layout=one.shown.layout,
                out=one.home.out,
                env=environment(bench.job, self.number, one.datum, bench.by_s3)
                | (one.door.environment if one.door is not None else {}),
                timeout_s=self._timeout_s,
                log=log_file,
                err_cmd=one.err_cmd,
            )
        )
        if self._cancelled:  # race: it was cancelled before it was there to be killed
            worker.cancel()

    def _take(self) -> Worker | None:
        with self._lock:
            if self._cancelled:
                return None
            if self._worker is not None:
                return self._worker
        worker = self._taken()
        with self._lock:
            self._worker = worker
            return None if self._cancelled else worker

    def _taken(self) -> Worker | None:
        """A worker, waited for if need be, asked for without a slot once it was not there: that
        may take for ever, and each answer seconds. None when cancelled."""
        waited = False
        while True:
            try:
                worker = self._bench.shop.pool.take(self._bench.pipeline)
                break
            except Refused:
                self.unstartable = True
                raise
            except WorkerWaits as e:
                self._bench.waits(e)
                waited = True
            self._let_go()
            self._cancel.wait(_ASK_AGAIN_S)
            if self._cancelled:
                return None
        if waited:
            self._bench.waits(None)
            if not self._hold():
                self._bench.shop.pool.end(worker)
                return None
        return worker

    def _end(self) -> None:
        """Wait for the oldest datum under way and see what became of it."""
        if self._worker is None:
            return
        try:
            result = self._worker.finish()
        except WorkerLost as e:
            self._lost(e)
            return
        with self._lock:  # race: after this it is not stopped for what it wrote
            one = self._ended = self._under.popleft()
        # what ended by itself may be what filled the disk: its writes failed, or it was quicker
        one.filled = one.filled or self._bench.shop.disk.fills(one.home.out)
        self._ended = None
        self._judge(one, result)

    def _lost(self, error: WorkerLost) -> None:
        """The worker died: what was under way is run again by another."""
        log.warning("worker lost job=%s error=%s", self._bench.job, error)
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            self._bench.shop.pool.end(worker)
        again = list(self._under)
        self._under.clear()
        if again:
            again[0].losses += 1
        for one in again:
            if self._cancelled:
                return
            if one.filled:  # it died with the datum that was stopped
                self._filled(one)
            elif one.losses >= _LOSSES:
                one.losses = 0
                self._failed(one, f"the worker died twice: {error.message}")
            else:
                self._again(one)

    def _judge(self, one: _Try, result: DatumResult) -> None:
        self._quick = result.process_s < _QUICK_S
        if result.cancelled and not one.filled:
            if not self._cancelled:
                self._again(one)
            return
        if self._cancelled and result.cancelled:
            return
        one.stats += Stats(
            download_s=one.laid_out_s,
            process_s=result.process_s,
            download_bytes=one.shown.layout.bytes if one.shown and not one.err_cmd else 0,
            cpu_s=result.cpu_s,
            peak_rss_bytes=result.peak_rss_bytes,
        )
        if one.filled:
            self._filled(one)
        elif not result.ok and self._bench.shop.disk.made_room_since(one.began):
            self._bench.shop.disk.settle()
            self._again(one)  # its writes may have failed for what another had filled
        elif not result.ok:
            self._failed(one, result.reason)
        elif one.err_cmd:
            self._finish(one, DatumState.RECOVERED, [])
        else:
            self._collect(one)

    def _collect(self, one: _Try) -> None:
        bench = self._bench
        began = time.monotonic()
        try:
            made = Collector(
                bench.shop.pfs,
                bench.session,
                one.home.out,
                gate.shown(one.datum, bench.by_s3).inputs,
                bench.presenter.root_of,
                one.shown.layout.tree if one.shown is not None else None,
            ).collect()
            if one.door is not None:
                made = one.door.collected(made)
        except InvalidArgument as e:
            self._failed(one, str(e))
            return
        one.stats += Stats(upload_s=time.monotonic() - began, upload_bytes=made.size)
        one.reason = ""
        self._finish(one, DatumState.SUCCESS, made.edits, wrote=not made.empty)

    def _filled(self, one: _Try) -> None:
        """The attempt filled the disk: what it wrote is removed at once."""
        what = f"datum {one.datum.id} wrote {format_size(one.filled)} to /pfs/out"
        where = f"free space on the file system of {self._bench.work.parent}"
        remove_tree(one.home.out)
        self._bench.shop.disk.settle()
        # the watch removes it too, and must not meet the next attempt there
        one.home, one.filled = _Home(self._home().out, one.home.inputs), 0
        reason = Exhausted(f"the disk is full: {what}", f"write less, or {where}")
        self._failed(one, str(reason))

    def _failed(self, one: _Try, reason: str) -> None:
        """An attempt failed: the next one, or err_cmd, or that was it."""
        if one.err_cmd:
            self._finish(one, DatumState.FAILED, [])
            return
        one.reason = reason
        one.left -= 1
        if one.left > 0:
            self._again(one)
        elif one.shown is not None and self._bench.pipeline.spec["transform"].get("err_cmd"):
            one.err_cmd = True  # it sees what cmd saw; of inputs never laid out there is nothing
            self._begin(one)
        else:
            self._finish(one, DatumState.FAILED, [])

    def _again(self, one: _Try) -> None:
        if not one.err_cmd:
            self._clear(one)
        self._begin(one)

    def _clear(self, one: _Try, *, wrote: bool = True) -> None:
        """Make a home as new; what is in it is removed elsewhere, later."""
        trash, home = self._bench.shop.trash, one.home
        if one.door is not None:
            one.door.close()
            one.door = None
        if one.shown is not None:
            one.shown.close()
            if one.shown.layout.tree or one.shown.layout.image:
                trash.put(home.inputs)
            one.shown = None
        with full_disk_is_exhausted(self._bench.work):
            if wrote and any(home.out.iterdir()):
                trash.put(home.out)
                home.out.mkdir()
            else:
                home.out.chmod(0o755)  # user code may have changed it

    def _finish(
        self, one: _Try, state: DatumState, edits: list[Edit], *, wrote: bool = True
    ) -> None:
        """Put the datum's directory into the store: its meta file and its output."""
        trees, put = self._bench.shop.pfs.trees, self._bench.session.put
        meta = meta_file.write(one.datum, self._bench.job.id, state, one.reason, one.stats)
        entry = Entry("meta", Kind.FILE, put(meta), len(meta))
        moved: list[Edit] = [Put(f"/out{e.path}", e.entry) for e in edits if isinstance(e, Put)]
        root = trees.edit(EMPTY, [Put("/meta", entry), *moved], put)
        self._done(
            Outcome(
                one.datum.id,
                one.datum.hash,
                state,
                one.reason,
                root,
                one.stats,
                _shown_paths(one.datum),
                len(one.datum.inputs),
                one.first,
                self.number,
                self._tries - one.left + (state is DatumState.SUCCESS),
            )
        )
        self._clear(one, wrote=wrote)
        self._begun.discard(one)
        self._homes.append(one.home)


def _shown_paths(datum: Datum) -> tuple[str, ...]:
    """The paths of the inputs, as many as fit into a few hundred characters but one at least."""
    found: list[str] = []
    size = 0
    for one in datum.inputs:
        size += len(one.path) + 1
        if found and size > _PATHS_SHOWN:
            break
        found.append(one.path)
    return tuple(found)
