"""A Pod's container as this machine sees it: its first process, and who user code is in it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pachybox.errors import PachyboxError, Refused
from pachybox.pps.runners.base import WorkerLost
from pachybox.pps.runners.held import HOLD, ContainerWorker, lives, status_of
from pachybox.pps.runners.pods import states
from pachybox.pps.runners.pods.watch import Object, Watch
from pachybox.pps.runners.process_worker import ProcessWorker
from pachybox.worker import container, kernel
from pachybox.worker.wire import WorkerSpec

LOOPBACK = "127.0.0.1"
_FRESH_S = 0.05
_MOST_SHARE = 10  # times what it takes to look at all processes, between two looks
_MOST_WORDS = 1024  # bytes of a command line
_NOTICED_S = 3.0
_ADDRESS_S = 10.0
_LOOK_S = 0.2
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")  # of a control group
_BEGIN = os.fsencode(HOLD) + b"\0hold\0"


class Processes:
    """The processes of this machine that hold a container. Any thread may ask: a look at all
    processes serves all who ask at that moment."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._due = 0.0
        self._found: dict[str, list[int]] = {}

    def find(self, nonce: str, uid: str) -> int | None:
        """The number of the process that holds ``nonce`` for the Pod ``uid``; None when there is
        none here."""
        with self._lock:
            began = time.monotonic()
            if began >= self._due:
                self._found = self._look()
                now = time.monotonic()
                self._due = now + max(_FRESH_S, _MOST_SHARE * (now - began))
            found = self._found.get(nonce, ())
        return next((pid for pid in found if self.is_of(pid, nonce, uid)), None)

    def _look(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        root = str(self._proc)
        for name in os.listdir(root):
            if not name.isdigit():
                continue
            try:  # bare calls: there may be thousands
                fd = os.open(f"{root}/{name}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                words = os.read(fd, _MOST_WORDS)
            except OSError:
                continue
            finally:
                os.close(fd)
            if words.startswith(_BEGIN):
                nonce = os.fsdecode(words[len(_BEGIN) :].rstrip(b"\0"))
                found.setdefault(nonce, []).append(int(name))
        return found

    def is_of(self, pid: int, nonce: str, uid: str) -> bool:
        """Whether a process holds the Pod ``uid``. Its command line says so, which anybody may
        read and write; so it must be the first of process numbers of its own, of the users that
        we are of, which takes root to make, and in no control group of another Pod, which takes
        the kubelet."""
        proc = self._proc / str(pid)
        try:
            if (proc / "cmdline").read_bytes() != _BEGIN + os.fsencode(nonce) + b"\0":
                return False
            mine, its = ((one / "ns/user").stat() for one in (self._proc / "self", proc))
            numbers = status_of(proc)["NSpid"].split()
            groups = (proc / "cgroup").read_text().splitlines()
        except (OSError, KeyError):
            return False
        pods = [named[-1] for line in groups if (named := _POD.findall(line))]
        others = {one.replace("_", "-") for one in pods} - {uid}
        first = len(numbers) > 1 and numbers[-1] == "1"
        return os.path.samestat(mine, its) and first and not others


class PodHeld:
    """See held.Held."""

    def __init__(
        self,
        processes: Processes,
        nonce: str,
        name: str,
        uid: str,
        watch: Watch,
        gone: Callable[[], None],
    ) -> None:
        """``gone`` has the Pod deleted. Raises OSError when its first process is not here."""
        self.pid = processes.find(nonce, uid) or 0
        if not self.pid:
            raise ProcessLookupError(f"no process holds {name}")
        self.name = name
        self._uid = uid
        self._watch = watch
        self._gone = gone
        self._fd = os.pidfd_open(self.pid)
        try:
            self.id = container_id(Path(f"/proc/{self.pid}/cgroup").read_text())
            self.cwd = os.readlink(f"/proc/{self.pid}/cwd")  # noqa: PTH115  # the container's path
            if not processes.is_of(self.pid, nonce, uid):
                raise ProcessLookupError(f"the process of {name} ended")  # its number is another's
        except OSError:
            os.close(self._fd)
            raise

    @property
    def seen(self) -> Object | None:
        """The Pod as it was seen last; None when it was deleted."""
        return self._watch.pod(self._uid)

    def how_it_ended(self) -> str:
        """See Held.how_it_ended: the cluster notices later than the machine does."""
        until = time.monotonic() + _NOTICED_S
        while not lives(self.pid):
            try:
                self._watch.look(self.name, 0)
            except PachyboxError as e:
                return f"its Pod ended, and why is not known: {e.message}"
            state = states.of(self.seen)
            if state.kind == "ended":
                return f"its Pod {state.why}"
            if time.monotonic() > until:
                return "its Pod ended" if state.kind != "trouble" else f"its Pod {state.why}"
            with self._watch.changed:
                self._watch.changed.wait(_LOOK_S)
        return ""

    def unpause(self) -> None:
        """Nothing: a cluster pauses no Pods."""

    def remove(self) -> None:
        """See Held.remove. Its processes end here and now, whether or not the cluster answers."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
        self._gone()


def container_id(groups: str) -> str:
    """What the control groups of a container's processes are named by (``/proc/PID/cgroup``)."""
    if named := _CONTAINER.findall(groups):
        return str(named[-1])
    paths = [line.split(":", 2)[2] for line in groups.splitlines() if line.count(":") >= 2]
    return max(paths, key=len, default="").rpartition("/")[2]


class PodWorker(ContainerWorker):
    """See base.Worker and base.Reached."""

    container: PodHeld

    @property
    def address(self) -> str:
        """See Reached.address; a Pod that has just begun is given one within moments."""
        until = time.monotonic() + _ADDRESS_S
        while (pod := self.container.seen) is not None:
            if pod["spec"].get("hostNetwork"):
                return LOOPBACK
            if address := (pod.get("status") or {}).get("podIP"):
                return str(address)
            if time.monotonic() > until:
                break
            with contextlib.suppress(PachyboxError):
                self.container._watch.look(self.container.name, 0)
            with self.container._watch.changed:
                self.container._watch.changed.wait(_LOOK_S)
        raise WorkerLost(f"the Pod {self.container.name} has no address", "it is started again")

    def serve(self, spec: WorkerSpec) -> None:
        """See Worker.serve."""
        ProcessWorker.serve(self, at_home(spec, self.container))


def at_home(spec: WorkerSpec, container: PodHeld) -> WorkerSpec:
    """``spec`` with the working directory of the image, where it names none."""
    if spec.transform.working_dir:
        return spec
    return replace(spec, transform=replace(spec.transform, working_dir=container.cwd))


def who(user: str, pid: int) -> dict[str, Any]:
    """What a user that is given by name is in the image of a container, whose first process is
    its own user: see held.enter. Raises Refused when the image knows nobody of that name."""
    name, _, group = user.partition(":")
    if not name or (name.isdigit() and (not group or group.isdigit())):
        return {}
    made: dict[str, Any] = {"groups": []}
    if name.isdigit():
        made["uid"] = int(name)
    else:
        row = _row(pid, "passwd", name)
        if len(row) < 6:
            raise Refused(f"user {name!r} does not exist in the image", "give uid:gid")
        made |= {"uid": _number(row[2], "passwd"), "gid": _number(row[3], "passwd")}
        made |= {"env": {"HOME": row[5] or "/"}}
    if group.isdigit():
        made["gid"] = int(group)
    elif group:
        row = _row(pid, "group", group)
        if len(row) < 3:
            raise Refused(f"group {group!r} does not exist in the image", "give uid:gid")
        made["gid"] = _number(row[2], "group")
    elif not name.isdigit():
        made["groups"] = _groups(pid, name)
    return made


def _row(pid: int, file: str, name: str) -> list[str]:
    return next((row for row in _rows(pid, file) if row[0] == name), [])


def _groups(pid: int, user: str) -> list[int]:
    found = [row for row in _rows(pid, "group") if len(row) > 3 and user in row[3].split(",")]
    return [_number(row[2], "group") for row in found]


def _rows(pid: int, file: str) -> list[list[str]]:
    try:
        return container.rows(kernel.open_inside(f"/proc/{pid}/root", f"etc/{file}"))
    except OSError:
        return []


def _number(text: str, file: str) -> int:
    if not text.isdecimal():
        raise Refused(f"the image's /etc/{file} has no number, but {text!r}", "give uid:gid")
    return int(text)
