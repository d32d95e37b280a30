"""Runs datums as processes of this machine, each in namespaces of its own.

A worker is a small Python process (pachybox.worker) spawned without forking the daemon; it
is spoken to over its stdin and stdout. How strongly a datum is fenced off is found out once
(``facts``) and then demanded of every worker: a worker that cannot keep it refuses to start,
so inputs that are links into the store never meet a sandbox that would let them be written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pachybox
from pachybox.errors import InvalidArgument, Refused
from pachybox.pps.runners import cgroups, findings
from pachybox.pps.runners.base import Finding, Presents, WorkerSpec
from pachybox.pps.runners.process_worker import START_S, ProcessWorker, inherited_env
from pachybox.worker import wire

LEVELS = ("auto", "full", "mount", "none")
_TRIALS = 4
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
    ``shim`` False serves datums from Python, as does PACHYBOX_SHIM=off.
    Raises InvalidArgument for another word.
    """

    name = "process"

    def __init__(
        self,
        hide: Sequence[Path] = (),
        *,
        isolation: str | None = None,
        shim: bool | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._hide = tuple(str(path) for path in hide)
        self._wanted = isolation or os.environ.get("PACHYBOX_ISOLATION") or "auto"
        if self._wanted not in LEVELS:
            raise InvalidArgument(
                f"isolation {self._wanted!r} is not known",
                f"set PACHYBOX_ISOLATION to one of {', '.join(LEVELS)}",
            )
        off = os.environ.get("PACHYBOX_SHIM", "").lower() == "off"
        self._shim = not off if shim is None else shim
        self._command = tuple(command or worker_command())
        self._groups = cgroups.find()
        self._lock = threading.Lock()
        self._known: wire.JSON | None = None

    @property
    def presents(self) -> Presents:
        """Links unless there is no mount namespace; images where the shim serves as root."""
        return Presents(links=self.level != "none", image=self.shim and not self.facts()["image"])

    @property
    def shim(self) -> bool:
        """Whether the shim serves the datums: under full isolation, unless PACHYBOX_SHIM=off."""
        return self._shim and self.level == "full" and not self.facts()["shim"]

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
                    [*self._command, "--probe", *self._hide[:1]],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=START_S,
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
        found = findings.of(facts, self.level, self._wanted)
        return [*found, findings.shim(facts, self._shim), *findings.limits(self._groups)]

    def start(self, spec: WorkerSpec) -> ProcessWorker:
        """A worker process with its sandbox made; about 60 ms."""
        transform = spec.transform
        if not transform.cmd:
            raise Refused(
                f"pipeline {spec.pipeline}: nothing to run",
                "give the transform a cmd, such as a script",
            )
        seal = {"level": self.level, "hide": self._hide, "shim": self.shim}
        group = self._groups.make(spec.limits)
        try:
            worker = ProcessWorker(self._command, spec, group)
        except OSError as e:
            group.remove()
            raise Refused(f"no worker for {spec.pipeline}: {e}", findings.REINSTALL) from e
        try:
            worker.greet(seal)
        except BaseException:
            worker.close()
            raise
        return worker
