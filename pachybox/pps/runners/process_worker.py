"""One worker process, seen from the daemon: frames to and from it, the log, its limits."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pachybox.errors import InvalidArgument, Refused
from pachybox.limits import allowed
from pachybox.pps.runners.base import DatumResult, DatumTask, WorkerLost, WorkerSpec
from pachybox.pps.runners.cgroups import Group
from pachybox.worker import descendants, identity, wire
from pachybox.worker.frames import Splitter
from pachybox.worker.log import CAP, ENDLESS, LogFile, LogParts, LogWriter
from pachybox.worker.sandbox import BATCH_DIR

log = logging.getLogger(__name__)

START_S = 30.0
_CLOSE_S = 5.0
_UNDER_WAY = 2
_LOGS = 3  # kept open
_CHUNK = 1 << 18
# The daemon's environment holds secrets; user code gets the part that describes the machine.
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH"
    r"|CUDA_VISIBLE_DEVICES|(?i:https?_proxy|no_proxy|all_proxy)"
)


def inherited_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the daemon's environment that user code gets."""
    return {key: value for key, value in environ.items() if _INHERITED.fullmatch(key)}


@dataclass(frozen=True, slots=True)
class _Run:
    """An attempt under way; ``unwritable`` says why its log cannot be written: it is not run."""

    number: int
    task: DatumTask
    path: str
    log: LogWriter | None
    unwritable: str = ""


class ProcessWorker:
    """See base.Worker. ``start`` and ``finish`` for one thread each, the rest for any."""

    def __init__(self, command: Sequence[str], spec: WorkerSpec, group: Group) -> None:
        self._spec = spec
        self._group = group
        self._stderr = spec.work_dir / "worker.log"
        with open(self._stderr, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=inherited_env(os.environ),
                cwd="/",  # a working directory elsewhere would keep a mount busy
                start_new_session=True,
                bufsize=0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin
        self._from = self._process.stdout
        self._frames = Splitter()
        self._writing = threading.Lock()  # of self._to
        self._lock = threading.Lock()  # of the four below
        self._runs: deque[_Run] = deque()
        self._closed = False
        self._reading = False
        self._logs: dict[str, LogFile] = {}
        self._count = 0

    @property
    def pid(self) -> int:
        """The worker's process number on this machine."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """See Worker.alive."""
        return self._process.poll() is None

    @property
    def code_uid(self) -> int:
        """See AsksNext.code_uid."""
        user = self._spec.transform.user
        return identity.resolve(user).uid if user else os.geteuid()

    def next_socket(self) -> str:
        """See AsksNext.next_socket."""
        return f"/proc/{self._init()}/root{BATCH_DIR}/next"

    def end_code(self) -> None:
        """See AsksNext.end_code."""
        try:
            init = self._init()
            for pid in descendants.children(init):
                descendants.kill_child(pid, init)
        except OSError:
            return  # the worker is gone, and its code with it

    def _init(self) -> int:
        """The first process of the shim's PID namespace, by its number on this machine."""
        found = descendants.children(self.pid) if self._process.poll() is None else []
        if not found:
            raise ProcessLookupError(f"the worker of {self._spec.pipeline} is gone")
        return found[0]

    def greet(self, seal: Mapping[str, object]) -> None:
        """Hand the worker its pipeline and wait until it is ready. Raises Refused otherwise."""
        name = self._spec.pipeline
        self._group.add(self.pid)  # before it is told anything, so that all it starts is counted
        self._write(wire.pack_start(self._spec, seal))
        ready = select.poll()  # not select.select: a busy daemon has descriptors above 1023
        ready.register(self._from, select.POLLIN)
        if not ready.poll(START_S * 1000):
            raise Refused(f"the worker of {name} does not start", "see its worker.log")
        kind, body = self._receive()
        if kind == wire.REFUSED:
            raise _refusal(body, name)
        if skipped := json.loads(body)["skipped"]:
            log.warning("pipeline=%s not visible to user code: /%s", name, ", /".join(skipped))
        for unkept in self._group.unkept:
            log.warning("pipeline=%s limit not enforced: %s", name, unkept)

    def start(self, task: DatumTask) -> None:
        """See Worker.start."""
        with self._lock:
            if self._closed:
                raise self._lost("it was closed")
            if len(self._runs) >= _UNDER_WAY:
                raise InvalidArgument(
                    f"the worker of {self._spec.pipeline} has {_UNDER_WAY} datums under way",
                    "finish one first",
                )
            if not self._runs:
                self._group.out_of_memory()  # what happened while it had no datum
            self._count += 1
            run = self._open(task)
            self._runs.append(run)
        if run.log is not None and not self._write(self._packed(run)):
            self.close()
            raise self._lost(self._last_words())

    def finish(self) -> DatumResult:
        """See Worker.finish."""
        with self._lock:
            if not self._runs:
                raise (
                    self._lost("it was closed")
                    if self._closed
                    else InvalidArgument(
                        f"the worker of {self._spec.pipeline} has no datum under way", "start one"
                    )
                )
            run = self._runs[0]
            self._reading = True
        try:
            if run.log is None:
                return DatumResult(False, reason=f"cannot set up the datum: {run.unwritable}")
            end = self._attend(run, run.log)
            run.log.close(end.dropped)
            result = wire.judge(end, self._spec.transform.accept_return_code, run.task)
            killed = self._group.out_of_memory()
            return self._explained(result) if killed and not result.ok else result
        finally:
            with self._lock:
                self._reading = False
                if self._runs and self._runs[0] is run:
                    self._runs.popleft()
                if self._closed:
                    self._release()

    def run(self, task: DatumTask, cancelled: Callable[[], bool] = lambda: False) -> DatumResult:
        """See Worker.run."""
        self.start(task)
        if cancelled():
            self.cancel()
        return self.finish()

    def serve(self, spec: WorkerSpec) -> None:
        """See Worker.serve."""
        with self._lock:
            assert not self._runs
            self._spec = spec

    def _packed(self, run: _Run) -> bytes:
        code = wire.code_of(self._spec, err_cmd=run.task.err_cmd)
        return wire.pack_run(run.number, run.task, code)

    def cancel(self) -> None:
        """See Worker.cancel."""
        with self._lock:
            numbers = [run.number for run in self._runs]
        if numbers:
            # At once: a worker that hears of the first alone may begin the second before it hears
            # of that. One that is gone is noticed by finish().
            self._write(b"".join(map(wire.pack_cancel, numbers)))

    def close(self) -> None:
        """See Worker.close."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with self._writing:
            self._to.close()  # the worker kills what runs and exits
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its datum dies with it
            self._process.wait()
        self._group.remove()
        with self._lock:
            if not self._reading:
                self._release()

    def _open(self, task: DatumTask) -> _Run:
        path = str(task.log)
        file = self._logs.get(path)
        try:
            if file is None or file.deleted:
                file = LogParts(path) if task.endless else LogFile(path)
                if old := self._logs.pop(path, None):
                    old.close()
                self._logs[path] = file
        except OSError as e:
            return _Run(self._count, task, path, None, str(e))
        used = {run.path for run in self._runs} | {path}
        for spare in [p for p in self._logs if p not in used][: len(self._logs) - _LOGS]:
            self._logs.pop(spare).close()
        writer = LogWriter(file, ENDLESS if task.endless else CAP, task.head)
        return _Run(self._count, task, path, writer)

    def _attend(self, run: _Run, writer: LogWriter) -> wire.End:
        while True:
            kind, body = self._receive()
            number, rest = wire.numbered(body)
            if number != run.number:
                continue  # of a run that was given up
            if kind == wire.OUTPUT:
                writer.feed(rest)
            elif kind == wire.END:
                return wire.end(rest)

    def _explained(self, result: DatumResult) -> DatumResult:
        limit = self._spec.limits.memory
        if limit is not None and "memory" in self._group.folders:
            reason = f"out of memory: used more than {limit} bytes (resource_limits.memory)"
        else:
            most, what = min(allowed())
            reason = (
                f"{result.reason}; out of memory: the kernel killed a process, since the box with "
                f"all its pipelines may use {most} bytes ({what})"
            )
        return replace(result, reason=reason)

    def _write(self, data: bytes) -> bool:
        with self._writing:
            try:
                with memoryview(data) as view:
                    done = 0
                    while done < len(data):
                        done += self._to.write(view[done:])
            except (OSError, ValueError):  # it is gone, or was closed
                return False
            return True

    def _receive(self) -> tuple[bytes, bytes]:
        while (got := self._frames.next()) is None:
            data = os.read(self._from.fileno(), _CHUNK)
            if not data:
                self.close()
                raise self._lost(self._last_words())
            self._frames.feed(data)
        return got

    def _release(self) -> None:
        self._runs.clear()
        self._from.close()
        for file in self._logs.values():
            file.close()

    def _last_words(self) -> str:
        code = self._process.poll()
        try:
            said = self._stderr.read_bytes()[-4096:].decode(errors="replace").strip()
        except OSError:
            said = ""
        if code is not None and code < 0:
            ended = f"killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            ended = f"status {code}"
        return f"{ended}: {said.splitlines()[-1]}" if said else ended

    def _lost(self, why: str) -> WorkerLost:
        return WorkerLost(
            f"the worker of {self._spec.pipeline} ended ({why})", "the datum will be run again"
        )


def _refusal(body: bytes, pipeline: str) -> Refused:
    """The Python worker refuses in JSON, the shim in the kernel's words."""
    if body.startswith(b"{"):
        said = json.loads(body)
        return Refused(said["message"], said["hint"])
    why = body.decode(errors="replace")
    return Refused(
        f"the shim cannot make the sandbox of {pipeline}: {why}",
        "set PACHYBOX_SHIM=off to do without it, and see `pachybox doctor`",
    )
