"""Containers that do nothing but wait, whoever started them, and the workers that go into them.

    engine --starts--> container: first process `shim hold`, nothing of the image runs
    daemon --frames over pipes--> worker --setns--> shim --clone--> init in the container --> code

What is in common to podman's containers and to Pods: where the program of the first process is,
what that process tells of the container, and how a worker of the box comes into it. See
pachybox.worker.container and docs/runners.md.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from pachybox.errors import PachyboxError, Refused
from pachybox.pps.runners.base import WorkerLost, WorkerSpec
from pachybox.pps.runners.cgroups import ContainerGroup
from pachybox.pps.runners.process import ProcessRunner
from pachybox.pps.runners.process_worker import ProcessWorker
from pachybox.worker import handover
from pachybox.worker.container import ENDED
from pachybox.worker.sandbox import BATCH_DIR

HOLD = f"{BATCH_DIR}/shim"
"""Where a container has the program of its first process, which is told to ``hold``."""

# What podman leaves root by itself; a raw socket (NET_RAW) would see all of the machine's network.
CAPABILITIES = {
    0: "CHOWN", 1: "DAC_OVERRIDE", 3: "FOWNER", 4: "FSETID", 5: "KILL", 6: "SETGID", 7: "SETUID",
    10: "NET_BIND_SERVICE", 18: "SYS_CHROOT",
}  # fmt: skip
"""What user code in a container may at most, by the kernel's numbers."""


class Held(Protocol):
    """A container that runs. ``pid`` is its first process on this machine."""

    @property
    def id(self) -> str:
        """What the control groups of its processes are named by."""

    @property
    def pid(self) -> int:
        """Its first process, by its number on this machine."""

    def how_it_ended(self) -> str:
        """Why it does not run any more, for people; "" while it runs. Never raises."""

    def unpause(self) -> None:
        """Let it run on where somebody paused it. Never raises."""

    def remove(self) -> None:
        """Kill and remove it; one that is gone is no trouble. Never raises."""


class ContainerWorker(ProcessWorker):
    """See base.Worker. When its container dies, however that comes about, so does it."""

    def __init__(
        self, command: Sequence[str], spec: WorkerSpec, group: ContainerGroup, container: Held
    ) -> None:
        self.container = container
        self._pausable = group
        self._uid = 0
        self._removing = threading.Lock()
        self._removed = False
        self._why = ""
        super().__init__(command, spec, group)

    @property
    def code_uid(self) -> int:
        """See AsksNext.code_uid: the container's users are the machine's, by number."""
        return self._uid

    def greet(self, seal: Mapping[str, Any]) -> None:
        """See ProcessWorker.greet; ``seal`` says who user code is."""
        self._uid = seal["container"]["uid"]
        super().greet(seal)

    def cancel(self) -> None:
        """See Worker.cancel; of a paused container too."""
        self._wake()
        super().cancel()

    def close(self) -> None:
        """See Worker.close: the container goes too."""
        with self._removing:
            if self._removed:
                return
            self._wake()
            super().close()
            if self._process.returncode:
                self._why = self.container.how_it_ended()
            self.container.remove()
            self._removed = True

    def _wake(self) -> None:
        """What is paused cannot be killed, and no engine removes what it takes for paused."""
        if self._pausable.paused():
            self.container.unpause()
            self._pausable.thaw()  # its engine may be dead, or not know of it

    def _last_words(self) -> str:
        with self._removing:
            return self._why or super()._last_words()


_NONE: Mapping[str, Any] = MappingProxyType({})
_OOM_SCORE = -999
_EXITING = 4  # PF_EXITING of the kernel
W = TypeVar("W", bound=ContainerWorker)


def enter(
    command: Sequence[str],
    spec: WorkerSpec,
    container: Held,
    kind: type[W] = ContainerWorker,  # type: ignore[assignment]  # W may be narrower
    who: Mapping[str, Any] = _NONE,
) -> W:
    """A worker of ``spec`` in a container that runs, of the class ``kind``; ``command`` starts a
    worker process. ``who`` is what user code is beside what the first process is (see
    pachybox.worker.container.Container).

    Raises WorkerLost when the container ended meanwhile, Refused when it cannot be entered. The
    container is then still the caller's to remove.
    """
    try:
        place = _first_process(container)
        place |= {**who, "env": {**place["env"], **who.get("env", {})}}
        group = ContainerGroup.of(container.pid)
    except OSError as e:
        raise WorkerLost(
            f"the container of {spec.pipeline} ended at once ({e})", "the datum will be run again"
        ) from e
    worker = kind(command, spec, group, container)
    try:
        worker.greet({"level": "full", "hide": (), "shim": True, "container": place})
    except Refused as e:
        ended = container.how_it_ended() or (ENDED if e.message == ENDED else "")
        worker.close()
        if not ended:
            raise
        raise WorkerLost(f"{spec.pipeline}: {ended}", "the datum will be run again") from e
    except BaseException:
        worker.close()
        raise
    return worker


def _first_process(container: Held) -> dict[str, Any]:
    """What pachybox.worker.container.Container is made of: the first process has the user, the
    rights and the environment that its engine made of spec and image. Raises OSError when it is
    gone."""
    proc = Path("/proc", str(container.pid))
    status = status_of(proc)
    environ = (proc / "environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(one).partition("=") for one in environ if b"=" in one)
    return {
        "id": container.id,
        "pid": container.pid,
        "uid": int(status["Uid"].split()[1]),
        "gid": int(status["Gid"].split()[1]),
        "groups": [int(n) for n in status["Groups"].split()],
        "kept": int(status["CapBnd"], 16),
        "env": {name: value for name, _, value in pairs},
    }


def status_of(proc: Path) -> dict[str, str]:
    """The lines of ``/proc/PID/status``. Raises OSError when the process is gone."""
    lines = (proc / "status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def holds(proc: Path) -> bool:
    """Whether a process has become a container's first one, with its user and rights. Raises
    OSError when it is gone."""
    return (proc / "cmdline").read_bytes().startswith(os.fsencode(HOLD) + b"\0hold\0")


def lives(pid: int) -> bool:
    """Whether a process runs. One that has ended and was not waited for yet does not, nor one that
    is ending: the first of a container does for as long as any other in it is there, all of which
    it takes along."""
    try:
        found = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    state, *_, flags = found.rpartition(")")[2].split()[:7]
    return state not in "ZX" and not int(flags) & _EXITING


def spare(pid: int) -> None:
    """Keep the memory limit's killer away from a container's first process; as far as we may."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_OOM_SCORE))
    except OSError:
        return


def unfit_for(what: str, host: ProcessRunner) -> PachyboxError | None:
    """Why this box cannot go into ``what`` ("containers"), whoever makes them; ``host`` is its own
    runner of processes."""
    if os.geteuid() != 0:
        return Refused(
            f"{what} take root, since the box goes into them with its inputs",
            "run the box as root, or a pipeline without its image: --runner process",
        )
    try:
        if host.shim:
            return None
        why = host.facts()["shim"] or "PACHYBOX_SHIM or PACHYBOX_ISOLATION forbids it"
    except PachyboxError as e:
        return e
    return Refused(
        f"{what} take the shim, which does not serve here ({why})",
        "see `pachybox doctor`, or run a pipeline without its image: --runner process",
    )


def program(home: Path) -> Path:
    """The shim as every user can execute it, on a path of this machine; a copy in ``home/run``
    where the installed one is not readable to all. Raises OSError."""
    fd = handover.handle()
    path = Path(f"/proc/self/fd/{fd}").readlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o005 == 0o005:
        return path
    copy = home / "run" / "shim"
    fresh = copy.with_suffix(".new")
    shutil.copyfile(path, fresh)
    fresh.chmod(0o755)
    fresh.replace(copy)
    return copy
