"""Keeps a process running for every source that is to run, and knows how each does.

One thread starts them, listens to them and ends them. What is to run follows from the records
(kinds watch, push and command) and from what ``keep`` was told (spouts), so that nothing here has
to be durable: a box that starts begins with the records.
"""

from __future__ import annotations

import logging
import os
import selectors
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from pachybox.ingest import log as logs
from pachybox.ingest.advance import made_at
from pachybox.ingest.process import SourceProcess, Wanted, source_command
from pachybox.ingest.rates import Rate
from pachybox.ingest.source import GRACE_S, READY_S, Source
from pachybox.meta.tables import INGESTS, PIPELINES
from pachybox.meta.writer import Meta
from pachybox.model.ingest import Ingest, IngestRecord, IngestState, IngestStatus
from pachybox.pps.ingest_state import tell

log = logging.getLogger("pachybox.ingest")

_LOOK_S = 1.0  # the longest between two looks while there are sources: the disk may have filled
_STOP_S = 3.0  # from SIGTERM to the end of their input when the box stops
_REMOVE_S = GRACE_S + 5.0
_HANG_UP_S, _KILLED_S = 1.0, 5.0  # from then to SIGKILL; for that to work
_YOUNG_MOST, _YOUNG_S = 16, 0.05  # sources that start at once; until it is looked again
_REST_S = 0.01  # between two looks into a pipe: sources talk, they do not stream
_IDLE = (IngestState.PAUSED, IngestState.HELD, IngestState.STOPPED)


class Supervisor:
    """Callable from any thread; nothing waits for a source unless it says so."""

    def __init__(
        self,
        meta: Meta,
        home: Path,
        address: Path,
        held: Callable[[], str] = lambda: "",
        command: Sequence[str] | None = None,
    ) -> None:
        """``home`` is the box's folder, ``address`` its socket. ``held`` says why no source may
        bring in anything now, "" when they may; it is asked often. ``command`` starts a source
        (default: this installation's ``python -m spouts``)."""
        self._command = tuple(command or source_command())
        self._meta = meta
        self._folder = home / "ingest"
        self._logs = home / "logs"
        self._address = address
        self._held = held
        self._kept: dict[Ingest, Wanted] = {}
        self._sources: dict[Ingest, Source] = {}
        self._rates: dict[Ingest, Rate] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._waking, self._wake = os.pipe()
        for end in (self._waking, self._wake):
            os.set_blocking(end, False)
        self._closing = False
        self._young = 0  # sources that have just been started
        self._settled = threading.Condition()  # told when a process has ended
        self._resting: dict[int, tuple[float, Callable[[], None]]] = {}  # pipes, until when
        self._thread = threading.Thread(target=self._run, name="sources", daemon=True)

    # ---- for those who change what there is

    def start(self) -> None:
        """Begin to run what is to run, and remove what sources that are gone have left."""
        self._sweep()
        for record in self._meta.all(INGESTS):
            self.changed(record.ingest)
        self._thread.start()

    def stop(self) -> None:
        """End all processes; none is left. They have 3 s to commit what is whole. Idempotent."""
        self._closing = True
        self._nudge()
        if self._thread.ident is not None:
            self._thread.join()

    def changed(self, ingest: Ingest) -> None:
        """The record of a source was made, updated, paused or resumed. Returns at once."""
        self._order(lambda: self._known(ingest))

    def keep(self, wanted: Wanted) -> None:
        """Keep a process for a source that has no record of its own, from now on; again when
        what is wanted has changed."""
        self._kept[wanted.ingest] = wanted
        self.changed(wanted.ingest)

    def drop(self, ingest: Ingest) -> None:
        """What was kept is to end; its state stays. Returns at once."""
        self._kept.pop(ingest, None)
        self.changed(ingest)

    def quiet(self, ingest: Ingest, timeout_s: float) -> bool:
        """Wait until a source that is not to run has no process left; False after so long."""

        def none() -> bool:
            source = self._sources.get(ingest)
            return source is None or source.process is None

        done = threading.Event()
        self._order(done.set)  # behind what was asked for before
        until = time.monotonic() + timeout_s
        done.wait(timeout_s)
        with self._settled:
            return self._settled.wait_for(none, max(0.0, until - time.monotonic()))

    def remove(self, ingest: Ingest) -> None:
        """A source is gone for good, and its record with it: its state and log go, its process
        ends. Returns when that is done. Must not be called within a transaction."""
        self._kept.pop(ingest, None)
        done = threading.Event()

        def gone() -> None:
            if (source := self._sources.get(ingest)) is not None:
                source.removed.append(done)
            else:
                done.set()

        self._order(gone)
        if self._thread.is_alive():
            done.wait(_REMOVE_S)
        self._rates.pop(ingest, None)
        logs.remove(self._logs, ingest)
        shutil.rmtree(self.state(ingest), ignore_errors=True)

    def run(self, ingest: Ingest) -> None:
        """Have a source do now what is due later; one that waits to be started again starts."""

        def order() -> None:
            if (source := self._sources.get(ingest)) is None:
                return
            source.hurry()
            if source.process is not None:
                source.process.order_run()
                self._send(source.process)

        self._order(order)

    def advanced(self, ingest: Ingest, records: int, files: int = 0) -> None:
        """A source has committed so many records, or, where it knows none, files."""
        rate = self._rates.get(ingest)
        if rate is None:
            rate = self._rates.setdefault(ingest, Rate())
        rate.add(records or files)

    # ---- for those who look

    def state(self, ingest: Ingest) -> Path:
        """The directory of a source's own; it may not be there yet."""
        return self._folder / ingest.project / ingest.name

    def held(self) -> str:
        """Why no source may bring in anything now; "" when they may."""
        return self._held()

    def rates(self, ingest: Ingest) -> tuple[float, ...]:
        """What was committed in each of the last 60 seconds, newest last."""
        rate = self._rates.get(ingest)
        return rate.last() if rate is not None else ()

    def status(self, ingest: Ingest) -> IngestStatus:
        """How a source does, by its record as it is now."""
        record, source = self._meta.get(INGESTS, ingest), self._sources.get(ingest)
        shown = source.status() if source is not None else IngestStatus(IngestState.STARTING)
        state, reason = shown.state, shown.reason
        wanted = self._wanted(ingest, record)
        idle = self._idle(record)
        if idle is not None:
            state, reason = idle
        elif shown.state in _IDLE or (wanted and source and source.outdated(wanted)):
            state, reason = IngestState.STARTING, ""
        return replace(shown, state=state, reason=reason, rates=self.rates(ingest))

    def _idle(self, record: IngestRecord | None) -> tuple[IngestState, str] | None:
        if record is not None and record.paused:
            return IngestState.PAUSED, ""
        if why := self._held():
            return IngestState.HELD, why
        return None

    def _wanted(self, ingest: Ingest, record: IngestRecord | None) -> Wanted | None:
        if (kept := self._kept.get(ingest)) is not None:
            return kept
        if record is None or record.kind.of_pipeline:
            return None
        part = record.spec.get(record.kind.value, {})
        made = made_at(record.created)
        return Wanted(ingest, record.kind, record.version, part, record.to, made)

    # ---- the thread

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._nudge()

    def _nudge(self) -> None:
        with suppress(OSError):  # full: it is awake
            os.write(self._wake, b"x")

    def _run(self) -> None:
        self._selector.register(self._waking, selectors.EVENT_READ, self._woken)
        while not self._closing:
            try:
                self._turn()
            except Exception:  # it must be there for the next turn
                log.exception("cannot look after sources")
                time.sleep(1.0)
        self._end_all()

    def _turn(self) -> None:
        while self._orders:
            self._orders.popleft()()
        now = time.monotonic()
        self._young = sum(source.young(now) for source in self._sources.values())
        due = now + (_LOOK_S if self._sources else 3600.0)
        for source in list(self._sources.values()):
            due = min(due, self._tend(source, now))
            self._tell(source)
        if not self._orders:
            self._listen(due)

    def _listen(self, until: float) -> None:
        """Hear what comes until then, or until something came."""
        until = min((until, *(at for at, _ in self._resting.values())))
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            key.data()
        now = time.monotonic()
        for fd in [fd for fd, (at, _) in self._resting.items() if at <= now]:
            _, hear = self._resting.pop(fd)
            self._selector.register(fd, selectors.EVENT_READ, hear)

    def _hear(
        self,
        pipe: IO[bytes],
        read: Callable[[], Iterable[bytes] | None],
        take: Callable[[Iterable[bytes]], None],
    ) -> None:
        """Listen to a pipe. After each read it rests, so that a source that floods it waits, and
        not the daemon."""
        fd = pipe.fileno()

        def hear() -> None:
            lines = read()
            self._selector.unregister(fd)
            if lines is not None:
                take(lines)
                self._resting[fd] = (time.monotonic() + _REST_S, hear)

        self._selector.register(fd, selectors.EVENT_READ, hear)

    def _send(self, process: SourceProcess) -> None:
        fd = process.stdin.fileno()
        waits = fd in self._selector.get_map()
        if process.send():
            if not waits:
                self._selector.register(fd, selectors.EVENT_WRITE, lambda: self._send(process))
        elif waits:
            self._selector.unregister(fd)

    def _forget(self, process: SourceProcess) -> None:
        """Listen to it no more."""
        pipes = (process.stdin, process.stdout, process.stderr)
        for fd in (process.pidfd, *(pipe.fileno() for pipe in pipes if not pipe.closed)):
            self._unlisten(fd)

    def _unlisten(self, fd: int) -> None:
        self._resting.pop(fd, None)
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._waking, 1 << 12)

    def _known(self, ingest: Ingest) -> None:
        record = self._meta.get(INGESTS, ingest)
        if ingest not in self._sources and self._wanted(ingest, record) is not None:
            log_file = logs.IngestLog(logs.path_of(self._logs, ingest))
            self._sources[ingest] = Source(ingest, log_file)

    def _tend(self, source: Source, now: float) -> float:
        """Bring one source nearer to what it is to be; when to look again."""
        record = self._meta.get(INGESTS, source.ingest)
        wanted = None if source.removed else self._wanted(source.ingest, record)
        idle = self._idle(record)
        if (process := source.process) is not None:
            unwanted = wanted is None or idle is not None or source.outdated(wanted)
            if process.ended():
                self._forget(process)
                source.ended(crashed=not unwanted)
                with self._settled:
                    self._settled.notify_all()
                return now
            if unwanted:
                return source.end(now)
            return source.settle(now)
        if wanted is None:
            self._drop(source)
            return now
        if idle is not None:
            source.idle(*idle)
            return now + _LOOK_S
        if now < source.next_start:
            return source.next_start
        if self._young >= _YOUNG_MOST:
            return now + _YOUNG_S
        self._young += 1
        self._begin(source, wanted, record)
        return now + READY_S if source.process is not None else source.next_start

    def _tell(self, source: Source) -> None:
        """Have an event tell the state of a source when it is another one."""
        state = source.shown.state
        if state != source.told and not source.removed:
            source.told = state
            tell(self._meta, source.ingest, state, source.shown.reason)

    def _drop(self, source: Source) -> None:
        """Nothing of it runs; a new one of its name may be there already."""
        source.log.close()
        del self._sources[source.ingest]
        for done in source.removed:
            done.set()
        self._known(source.ingest)

    def _begin(self, source: Source, wanted: Wanted, record: IngestRecord | None) -> None:
        state = self.state(source.ingest)
        batch, offset = (record.batch, record.offset) if record is not None else (0, "")
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            task = wanted.task(state, self._address, batch, offset)
            process = SourceProcess(wanted, task, self._command)
        except OSError as e:
            source.cannot_begin(e.strerror or str(e))
            return
        source.begin(process)
        if process.pidfd >= 0:
            self._selector.register(process.pidfd, selectors.EVENT_READ, process.hear_end)
        self._hear(process.stdout, process.reports, source.reported)
        self._hear(process.stderr, process.said, source.said)
        self._send(process)

    # ---- the end

    def _end_all(self) -> None:
        """End all processes: asked first, then by the end of their input, then by force."""
        running = [s for s in self._sources.values() if s.process is not None]
        for source in running:
            source.end(time.monotonic())
        self._await(running, _STOP_S)
        for process in (s.process for s in running if s.process is not None):
            self._unlisten(process.stdin.fileno())
            process.hang_up()
        self._await(running, _HANG_UP_S)
        for process in (s.process for s in running if s.process is not None):
            process.kill()
        self._await(running, _KILLED_S)
        while self._orders:
            self._orders.popleft()()
        for source in list(self._sources.values()):
            source.log.close()
            for done in source.removed:
                done.set()
        self._selector.close()

    def _await(self, running: list[Source], seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            for source in running:
                if source.process is not None and source.process.ended():
                    self._forget(source.process)
                    source.ended(crashed=False)
            if all(source.process is None for source in running) or time.monotonic() > until:
                return
            self._listen(time.monotonic() + 0.05)

    # ---- what is left of sources that are gone

    def _sweep(self) -> None:
        """Remove the state and logs of sources that are gone: a crash came between."""
        states = list(self._folder.glob("*/*"))
        files = logs.all_of(self._logs)
        # read after looking: the doors are open, and a source made meanwhile has its record first
        known = {record.ingest for record in self._meta.all(INGESTS)}
        known |= {Ingest(p.pipeline.project, p.pipeline.name) for p in self._meta.all(PIPELINES)}
        for folder in states:
            if Ingest(folder.parent.name, folder.name) not in known:
                shutil.rmtree(folder, ignore_errors=True)
        for ingest in files:
            if ingest not in known:
                logs.remove(self._logs, ingest)
