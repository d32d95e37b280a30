"""A command's standard output, cut into records: by a log on disk to the branch.

    command -> pipe -> Pump (a thread) -> log -> Flow (the main thread) -> branch

What was read is in the log before more is read, with the marker behind it, so that a crash loses
what was in the pipe and nothing else, and the command's next life is told where to go on. While the
log is full nothing is read, and the command waits in its writing.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path

from pachybox.errors import Exhausted
from pachybox.model.units import parse_decimal_size, parse_duration
from pachybox.spool import Frame, Log, Reader
from spouts.desk import Desk
from spouts.flow import Flow
from spouts.program import Program, arguments, told
from spouts.records import LINE_MOST, Settings, marker_of
from spouts.task import Json

_BLOCK = 1 << 16
_MARKER_MOST = 4096
_SYNC_S = 0.1
_FULL_S = 0.05  # between two looks whether there is room again
_CLOSED_S = 5.0  # that a command may go on without an output
_GRACE_S = 1.5  # from SIGTERM to SIGKILL: the box gives a source 3 s
_BACKOFF_S = (1.0, 30.0)
_STEADY_S = 60.0  # so long a command runs to be started again at once


class Cutter:
    """Cuts what comes into lines."""

    def __init__(self, most: int = LINE_MOST) -> None:
        self._most = most
        self._part = b""
        self._dropping = False

    @property
    def rest(self) -> bytes:
        """What has come of the next line."""
        return self._part

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in ``data``, without their ends; one that is too long as soon as it
        is known to be, without what is beyond."""
        first, *more = data.split(b"\n")
        lines: list[bytes] = []
        self._extend(first, lines)
        for piece in more:
            if not self._dropping:
                lines.append(self._part.removesuffix(b"\r"))
            self._part, self._dropping = b"", False
            self._extend(piece, lines)
        return lines

    def _extend(self, piece: bytes, lines: list[bytes]) -> None:
        if self._dropping:
            return
        self._part = self._part + piece if self._part else piece
        if len(self._part) > self._most:
            lines.append(self._part[: self._most])
            self._part, self._dropping = b"", True


class Pump:
    """Runs the command, again and again as its spec says, in a thread."""

    def __init__(self, desk: Desk, log: Log, marker: str, settings: Settings) -> None:
        """``marker`` is that of the last record there is."""
        self._desk = desk
        self._spec: Json = desk.task.spec
        self._log = log
        self._marker = marker
        self._form = settings.form
        self._blank = settings.form == "lines"
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._synced_at = 0.0
        self._waiting = self._full = ""
        self._lost = False
        self.ends = 0
        """How often the command has ended."""
        self.failed: BaseException | None = None
        """What ended the thread, when it was not told to end."""
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    @property
    def reason(self) -> str:
        """Why the command does not run now, or is kept from writing; "" when it does."""
        return self._full or self._waiting

    def hurry(self) -> None:
        """Start a command that waits to be started."""
        self._hurry.set()

    def stop(self) -> None:
        """End the command. Afterwards all that it wrote in whole records is in the log."""
        self._stopping.set()
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._lives()
        except BaseException as e:
            self.failed = e
        finally:
            self._desk.wake.set()

    def _lives(self) -> None:
        pause = _BACKOFF_S[0]
        while not self._stopping.is_set():
            wait: float | None = None
            if not self._has_ended():
                began = time.monotonic()
                status = self._live()
                lived = time.monotonic() - began
                pause = _BACKOFF_S[0] if lived > _STEADY_S else pause
                wait = self._after(status, lived, pause)
                pause = min(2 * pause, _BACKOFF_S[1])
            if wait is None:
                self._waiting = "the command has ended; start it again with: run ingest"
            self._hurry.clear()
            self.ends += 1
            self._desk.wake.set()  # what it wrote is committed now
            if self._stopping.is_set():
                return
            if self._hurry.wait(wait) and not self._stopping.is_set():
                self._mark_ended(False)
                pause = _BACKOFF_S[0]
            self._waiting = ""

    def _after(self, status: int | None, lived: float, pause: float) -> float | None:
        """Seconds until the command is started again; None: when it is asked for."""
        if self._stopping.is_set():
            return 0.0
        if status:
            self._desk.failed(f"the command ended: {told(status)}")
        elif status == 0:
            self._desk.log("the command ended: exit status 0")
        if every := self._spec["every"]:
            wait = max(0.0, parse_duration(every) - lived)
            self._waiting = f"the command runs every {every}"
            return wait
        restart = self._spec["restart"]
        if status is not None and (restart == "never" or (restart == "on-failure" and not status)):
            self._mark_ended(True)
            return None
        self._waiting = f"the command ended; it is started again in {pause:g} s"
        return pause

    # A command that is not to run again must not because the box was restarted.

    def _has_ended(self) -> bool:
        with suppress(OSError):
            return (self._desk.task.state / "ended").read_text() == str(self._desk.task.version)
        return False

    def _mark_ended(self, ended: bool) -> None:
        mark = self._desk.task.state / "ended"
        if ended:
            mark.write_text(str(self._desk.task.version))
        else:
            mark.unlink(missing_ok=True)

    def _live(self) -> int | None:
        """One run of the command; its exit status, None when it could not be started."""
        spec, marker = self._spec, self._marker
        environment = {**os.environ, **spec["env"], "PACHYBOX_INGEST": self._desk.task.full_name}
        if spec["marker"]:
            environment["PACHYBOX_MARKER"] = marker
        try:
            program = Program(arguments(spec["cmd"], marker), environment, spec["dir"])
        except OSError as e:
            self._desk.failed(f"the command cannot be started: {e.strerror}: {e.filename}")
            return None
        cutter = Cutter()
        ending: threading.Thread | None = None
        try:
            while self._pump(program, cutter):
                if self._stopping.is_set() and ending is None:
                    ending = threading.Thread(target=program.stop, args=(_GRACE_S,))
                    ending.start()
            program.wait(_CLOSED_S)  # it may have closed its output a moment before it ends
        finally:
            if ending is not None:
                ending.join()
            status = program.close()
        self._last(cutter.rest, status)
        self._log.sync(self._log.end)
        return status

    def _pump(self, program: Program, cutter: Cutter) -> bool:
        """Take what has come; False when nothing more will."""
        ended = program.ended() is not None
        if select.select([program.stdout], [], [], 0.0 if ended else _SYNC_S)[0]:
            data = os.read(program.stdout, _BLOCK)
            if not data:
                return False
            self._keep(cutter.feed(data))
        elif ended:
            return False  # what it left in the background has its output, and goes with it
        if time.monotonic() - self._synced_at > _SYNC_S:
            self._log.sync(self._log.end)
            self._synced_at = time.monotonic()
        return True

    def _last(self, rest: bytes, status: int) -> None:
        """A record without its end counts when the command ended well, or will not say it again."""
        if not rest:
            return
        if status == 0 or (status > 0 and not self._spec["marker"]):
            self._keep([rest])
        else:
            self._desk.log(f"{len(rest)} bytes of a record without its end are dropped")

    def _keep(self, records: list[bytes]) -> None:
        if not self._blank:
            records = [record for record in records if record.strip()]
        if not records or self._lost:
            return  # what comes behind a gap has a marker that would pass over it
        if self._spec["marker"]:
            found = marker_of(records, self._spec["marker"], self._form)
            if len(found.encode()) <= _MARKER_MOST and "\0" not in found:
                self._marker = found or self._marker
        frame = Frame(time.time_ns() // 1000, records, self._marker.encode("utf-8", "replace"))
        while not self._kept(frame):
            if self._stopping.wait(_FULL_S):
                self._desk.log("there is no room for what the command wrote last")
                self._lost = True
                return
        self._full = ""

    def _kept(self, frame: Frame) -> bool:
        """Append a frame; False when there is no room."""
        try:
            self._log.append([frame])
        except Exhausted as e:
            self._full = f"the command waits: {e.message}"
            return False
        return True


def run(desk: Desk) -> None:
    """Run the command and commit what it writes until told to stop. Raises Stopping, then with
    the command ended and all that it wrote committed."""
    task, spec = desk.task, desk.task.spec
    settings = Settings.of(task.name, spec)
    folder = task.state / "spool"
    flow = Flow(desk, folder, settings, spec["marker"])
    log = Log(folder, parse_decimal_size(str(spec["spool"])), flow.committed)
    marker = _last_marker(desk, folder, flow.committed)
    pump = Pump(desk, log, marker, settings)
    try:
        _serve(desk, flow, log, pump)
    finally:
        pump.stop()
        flow.turn(flush=True)
        log.close()


def _serve(desk: Desk, flow: Flow, log: Log, pump: Pump) -> None:
    """Until told to stop: raises Stopping."""
    ends = 0
    flush = False
    while pump.failed is None:
        wait = flow.turn(flush=flush)
        log.cut(flow.committed)
        desk.report(reason=pump.reason)
        run = desk.pause(wait)
        if run:
            pump.hurry()
        flush, ends = run or pump.ends != ends, pump.ends
    raise pump.failed


def _last_marker(desk: Desk, folder: Path, position: int) -> str:
    """The marker of the last record that was read in a former life; "" when the command is to
    begin from its beginning."""
    if "marker" not in desk.offset and desk.batch:
        return ""
    marker = str(desk.offset.get("marker", ""))
    with Reader(folder, position) as reader:
        at = -1
        while at != reader.position:
            at = reader.position
            for _, _, frame in reader.frames():
                marker = frame.note.decode() or marker
    return marker
