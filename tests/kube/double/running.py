"""One container of a Pod, from its image to its end."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kube.double.answers import Object
from tests.kube.double.kinds import at
from tests.kube.double.podman import Gone, Podman, Trouble, specification
from tests.kube.double.store import Store, now
from tests.kube.double.volumes import NotConfigured, Volumes, environment

_CGROUP_V1 = Path("/sys/fs/cgroup/memory")


@dataclass
class Container:
    """A container that a Pod is to have, and how far it is. ``state`` is as in a Pod's status."""

    spec: Object
    init: bool
    state: Object = field(default_factory=dict)
    last: Object = field(default_factory=dict)
    restarts: int = 0
    id: str = ""
    address: str = ""
    image_id: str = ""
    pidfd: int = -1
    oomfd: int = -1
    memory: Path = Path()  # its control group, where oomfd is one
    oom: bool = False
    old: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def ended(self) -> Object | None:
        """What its end was; None when it has not ended."""
        return self.state.get("terminated")

    @property
    def succeeded(self) -> bool:
        return self.ended is not None and self.ended["exitCode"] == 0

    def wait_for(self, reason: str, message: str = "") -> None:
        """It does not run, and why."""
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}

    def signal(self, number: int) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        for number in (self.pidfd, self.oomfd):
            if number >= 0:
                os.close(number)
        self.pidfd = self.oomfd = -1

    def look(self, podman: Podman) -> bool:
        """Notice its end, if it has come; whether it has just now."""
        if not self.running:
            return False
        self.oom = self.oom or self._oom_seen()
        if self.pidfd >= 0 and not _readable(self.pidfd):
            return False
        try:
            found = podman.ended(self.id)
            self.oom = self.oom or bool(found.get("OOMKilled"))
            self._end(int(found["ExitCode"]))
        except Gone:
            self._end(137, "ContainerStatusUnknown", _UNKNOWN)
        return True

    def _oom_seen(self) -> bool:
        """Whether the memory limit has killed. The end of the control group is told the same way:
        what is told once after that was only the end."""
        if not _readable(self.oomfd):
            return False
        there = self.memory.exists()
        return os.eventfd_read(self.oomfd) > (0 if there else 1)

    def _end(self, code: int, reason: str = "", message: str = "") -> None:
        killed = self.oom and code == 137
        reason = reason or ("OOMKilled" if killed else "Error" if code else "Completed")
        self.close()
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                "startedAt": self.state["running"]["startedAt"],
                "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "containerID": f"containerd://{self.id}",
                **({"message": message} if message else {}),
            }
        }

    def status(self) -> Object:
        """As the Pod's status has it."""
        made: Object = {
            "name": self.name, "image": self.spec["image"], "imageID": self.image_id,
            "ready": self.succeeded if self.init else self.running,
            "started": self.running, "restartCount": self.restarts,
            "state": self.state, "lastState": self.last,
        }  # fmt: skip
        return made | ({"containerID": f"containerd://{self.id}"} if self.id else {})


_UNKNOWN = "The container could not be located when the pod was terminated"
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:\d+)?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*")


class Starter:
    """Starts the containers of one Pod."""

    def __init__(
        self, podman: Podman, store: Store, volumes: Volumes, logs: Path, most_pids: int | None
    ) -> None:
        self._podman, self._store, self._volumes, self._logs = podman, store, volumes, logs
        self._most_pids = most_pids

    def log(self, name: str, restarts: int) -> Path:
        """Where a container's output goes, in the form that a kubelet keeps it in."""
        return self._logs / f"{name}.{restarts}.log"

    def start(self, pod: Object, one: Container, network: Object) -> str:
        """Start it, or set its state to why that cannot be; a warning, "" when all is well."""
        if (why := self._no_image(one)) is not None:
            return why
        try:
            env = environment(self._store, pod, one.spec)
            if why := self._as_root(pod, one):
                raise NotConfigured(why)
        except NotConfigured as error:
            one.wait_for("CreateContainerConfigError", str(error))
            return f"Error: {error}"
        mounts = self._volumes.mounts(one.spec)
        log = self.log(one.name, one.restarts)
        spec = specification(pod, one.spec, env, mounts, log, self._podman.ulimits) | network
        spec["name"] = f"k8s_{one.name}_{pod['metadata']['uid']}_{one.restarts}"
        if self._most_pids:
            spec["resource_limits"]["pids"] = {"limit": self._most_pids}
        try:
            one.id = self._podman.create(spec)
        except Trouble as error:
            one.wait_for("CreateContainerError", str(error))
            return f"Error: {error}"
        one.oom = False
        try:
            pid, one.address = self._podman.start(one.id)
        except Trouble as error:
            said = f"failed to create containerd task: {error}"
            self._never_ran(one, said)
            return f"Error: {said}"
        one.state = {"running": {"startedAt": now()}}
        with contextlib.suppress(OSError):  # it has ended already
            if pid:
                one.pidfd = os.pidfd_open(pid)
                one.oomfd, one.memory = _oom_of(pid)
        return ""

    def _never_ran(self, one: Container, said: str) -> None:
        one.state = {
            "terminated": {
                "exitCode": 128, "reason": "StartError", "message": said,
                "startedAt": "1970-01-01T00:00:00Z", "finishedAt": now(),
                "containerID": f"containerd://{one.id}",
            }
        }  # fmt: skip

    def _no_image(self, one: Container) -> str | None:
        """Why its image cannot be had, which is in its state too; None when it is there."""
        name = one.spec["image"]
        if not _NAME.fullmatch(re.sub(r"(:[\w.-]+)?(@sha256:\w+)?$", "", name)):
            said = f'Failed to apply default image tag "{name}": couldn\'t parse image name'
            one.wait_for("InvalidImageName", f'{said} "{name}": invalid reference format')
            return said
        if found := self._podman.image(name):
            one.image_id = f"sha256:{found['Id']}"
            return None
        if one.spec["imagePullPolicy"] == "Never":
            said = f'Container image "{name}" is not present with pull policy of Never'
            one.wait_for("ErrImageNeverPull", said)
            return said
        tried = at(one.state, "waiting.reason")
        if tried in ("ErrImagePull", "ImagePullBackOff"):
            said = f'Back-off pulling image "{name}"'
            one.wait_for("ImagePullBackOff", said)
        else:
            said = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}"'
            said += f": {name}: not found"
            one.wait_for("ErrImagePull", said)
        return said

    def _as_root(self, pod: Object, one: Container) -> str:
        pods, own = pod["spec"].get("securityContext") or {}, one.spec.get("securityContext") or {}
        if not own.get("runAsNonRoot", pods.get("runAsNonRoot")):
            return ""
        image: Any = self._podman.image(one.spec["image"]) or {}
        user = own.get("runAsUser", pods.get("runAsUser"))
        user = str(at(image, "Config.User") or "0") if user is None else str(user)
        return "" if user.split(":")[0] not in ("0", "root") else _ROOT


_ROOT = "container has runAsNonRoot and image will run as root"


def _readable(number: int) -> bool:
    return number >= 0 and bool(select.select([number], [], [], 0)[0])


def _oom_of(pid: int) -> tuple[int, Path]:
    """What becomes readable when the memory limit of a process kills, and the folder of its
    control group; -1 where podman tells by itself."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        folder = _CGROUP_V1 / path.lstrip("/")
        if "memory" in names.split(",") and folder.is_dir():
            made = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            with open(folder / "memory.oom_control") as control:
                (folder / "cgroup.event_control").write_text(f"{made} {control.fileno()}")
            return made, folder
    return -1, Path()
