"""Runs datums as processes of this machine, each in namespaces of its own.

A worker is a small Python process (pachybox.worker) spawned without forking the daemon; it
is spoken to over its stdin and stdout. How strongly a datum is fenced off is found out once
(``facts``) and then demanded of every worker: a worker that cannot keep it refuses to start,
so inputs that are links into the store never meet a sandbox that would let them be written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pachybox
from pachybox.errors import InvalidArgument, Refused
from pachybox.pps.runners import findings
from pachybox.pps.runners.base import DatumResult, DatumTask, Finding, WorkerLost, WorkerSpec
from pachybox.worker import wire

log = logging.getLogger(__name__)

LEVELS = ("auto", "full", "mount", "none")
_START_S = 30.0
_TRIALS = 4
_CLOSE_S = 5.0
# The daemon's environment holds secrets; user code gets the part that describes the machine.
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH"
    r"|CUDA_VISIBLE_DEVICES|(?i:https?_proxy|no_proxy|all_proxy)"
)
# -S: no site-packages are needed, 5 ms less. Appended, so that nothing there hides the library.
_BOOT = "import sys; sys.path.append(sys.argv[1]); from pachybox.worker.main import main; main()"


def worker_command() -> tuple[str, ...]:
    """How this installation starts a worker; more arguments may follow."""
    root = str(Path(pachybox.__file__).parent.parent)
    return (sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, root)


class ProcessRunner:
    """The runner of pipelines without an image.

    ``hide`` are directories user code must not reach: the box's data directory.
    ``isolation`` is one of LEVELS, default $PACHYBOX_ISOLATION or auto (the best there is).
    Raises InvalidArgument for another word.
    """

    name = "process"

    def __init__(
        self,
        hide: Sequence[Path] = (),
        *,
        isolation: str | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._hide = tuple(str(path) for path in hide)
        self._wanted = isolation or os.environ.get("PACHYBOX_ISOLATION") or "auto"
        if self._wanted not in LEVELS:
            raise InvalidArgument(
                f"isolation {self._wanted!r} is not known",
                f"set PACHYBOX_ISOLATION to one of {', '.join(LEVELS)}",
            )
        self._command = tuple(command or worker_command())
        self._lock = threading.Lock()
        self._known: wire.JSON | None = None

    @property
    def links_allowed(self) -> bool:
        """True unless the machine (or PACHYBOX_ISOLATION=none) allows no mount namespace."""
        return self.level != "none"

    @property
    def level(self) -> str:
        """The isolation every worker is started with: full, mount or none."""
        return self._wanted if self._wanted != "auto" else str(self.facts()["level"])

    def facts(self) -> Mapping[str, object]:
        """What a trial worker found the machine to allow (pachybox.worker.probe); asked once."""
        with self._lock:
            if self._known is None:
                self._known = self._trial()
            return self._known

    def _trial(self) -> wire.JSON:
        """Run a trial worker; one that is killed says nothing about the machine, so another is
        run. Raises Refused when none answers."""
        try:
            for left in reversed(range(_TRIALS)):
                done = subprocess.run(
                    [*self._command, "--probe"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_START_S,
                    check=False,
                    env=inherited_env(os.environ),
                    cwd="/",
                )
                if done.returncode >= 0 or not left:
                    break
            done.check_returncode()
            found: wire.JSON = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as e:
            raise Refused(f"no worker starts: {e}", findings.REINSTALL) from e
        return found

    def probe(self) -> list[Finding]:
        """The process runner's part of ``pachybox doctor``."""
        try:
            facts = self.facts()
        except Refused as e:
            return [Finding("process runner", "fail", e.message, e.hint)]
        return findings.of(facts, self.level, self._wanted)

    def start(self, spec: WorkerSpec) -> ProcessWorker:
        """A worker process with its sandbox made; about 60 ms."""
        seal = {"level": self.level, "hide": self._hide}
        try:
            worker = ProcessWorker(self._command, spec.pipeline, spec.work_dir)
        except OSError as e:
            raise Refused(f"no worker for {spec.pipeline}: {e}", findings.REINSTALL) from e
        try:
            worker.greet(spec, seal)
        except BaseException:
            worker.close()
            raise
        return worker


def inherited_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the daemon's environment that user code gets."""
    return {key: value for key, value in environ.items() if _INHERITED.fullmatch(key)}


class ProcessWorker:
    """One worker process, seen from the daemon. ``run`` for one thread, the rest for any."""

    def __init__(self, command: Sequence[str], pipeline: str, work_dir: Path) -> None:
        self._pipeline = pipeline
        self._stderr = work_dir / "worker.log"
        with open(self._stderr, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=inherited_env(os.environ),
                cwd="/",  # a working directory elsewhere would keep a mount busy
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin
        self._from = self._process.stdout
        self._lock = threading.Lock()  # of the two below and of writing
        self._running: int | None = None
        self._closed = False
        self._runs = 0

    @property
    def pid(self) -> int:
        """The worker's process number on this machine."""
        return self._process.pid

    def greet(self, spec: WorkerSpec, seal: Mapping[str, object]) -> None:
        """Hand the worker its pipeline and wait until it is ready. Raises Refused otherwise."""
        self._send({"op": "start", "spec": wire.pack(spec), "seal": seal})
        ready = select.poll()  # not select.select: a busy daemon has descriptors above 1023
        ready.register(self._from, select.POLLIN)
        if not ready.poll(_START_S * 1000):
            raise Refused(f"the worker of {self._pipeline} does not start", "see its worker.log")
        answer = self._receive()
        if "refused" in answer:
            raise Refused(answer["refused"]["message"], answer["refused"]["hint"])
        if skipped := answer["ready"]["skipped"]:
            log.warning(
                "pipeline=%s not visible to user code: /%s", spec.pipeline, ", /".join(skipped)
            )

    def run(self, task: DatumTask, cancelled: Callable[[], bool] = lambda: False) -> DatumResult:
        """See Worker.run."""
        self._runs += 1
        self._send({"op": "run", "run": self._runs, "task": wire.pack(task)}, running=self._runs)
        if cancelled():
            self.cancel()
        try:
            return wire.result(self._receive()["result"])
        finally:
            with self._lock:
                self._running = None
                if self._closed:
                    self._from.close()

    def cancel(self) -> None:
        """See Worker.cancel."""
        with self._lock:
            if self._running is None or self._closed:
                return
            try:
                self._write({"op": "cancel", "run": self._running})
            except OSError:
                pass  # it is gone, which run() notices

    def close(self) -> None:
        """See Worker.close."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._to.close()  # the worker kills what runs and exits
            except OSError:
                pass
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its datum dies with it
            self._process.wait()
        with self._lock:
            if self._running is None:
                self._from.close()

    def _send(self, message: Mapping[str, object], running: int | None = None) -> None:
        with self._lock:
            if self._closed:
                raise self._lost("it was closed")
            self._running = running
            try:
                self._write(message)
            except OSError:
                self._running = None
            else:
                return
        self.close()
        raise self._lost(self._last_words())

    def _write(self, message: Mapping[str, object]) -> None:
        self._to.write(wire.line(message))
        self._to.flush()

    def _receive(self) -> wire.JSON:
        line = self._from.readline()
        if not line.endswith(b"\n"):
            self.close()
            self._from.close()
            raise self._lost(self._last_words())
        answer: wire.JSON = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.poll()
        try:
            said = self._stderr.read_bytes()[-4096:].decode(errors="replace").strip()
        except OSError:
            said = ""
        ended = f"killed by signal {-code}" if code is not None and code < 0 else f"status {code}"
        return f"{ended}: {said.splitlines()[-1]}" if said else ended

    def _lost(self, why: str) -> WorkerLost:
        return WorkerLost(
            f"the worker of {self._pipeline} ended ({why})", "the datum will be run again"
        )
