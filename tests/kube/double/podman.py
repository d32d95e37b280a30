"""Containers as the kubelet wants them, by podman's REST API."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pachybox.containers.engine import Engine
from tests.kube.double.answers import Object
from tests.kube.double.kinds import at, quantity

LABEL = "pachybox-double"  # its value is the process whose containers they are
_CALL_S = 60.0
_REMOVE_S = 10.0
_NOTICE_S = 10.0
_MOST_SHARES = 262144  # that there are
_PERIOD_US = 100_000
# What containerd leaves root by itself.
_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
    "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
_NUMBERS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4, "KILL": 5,
    "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "LINUX_IMMUTABLE": 9, "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14, "SYS_MODULE": 16, "SYS_CHROOT": 18,
    "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24, "SYS_TIME": 25,
    "MKNOD": 27, "AUDIT_WRITE": 29, "SETFCAP": 31, "SYSLOG": 34, "PERFMON": 38, "BPF": 39,
}  # fmt: skip


class Trouble(Exception):
    """podman says no, in its own words."""


class Gone(Trouble):
    """There is no such container or image."""


class Podman:
    """Containers of one engine. Any thread may use it."""

    def __init__(self, engine: Engine) -> None:
        self._client = engine.client()
        self.ulimits = engine.facts().ulimits

    def create(self, spec: Mapping[str, Any]) -> str:
        """A container's id. Raises Trouble."""
        return str(self._ask("post", "/containers/create", json.dumps(spec))["Id"])

    def start(self, id_: str) -> tuple[int, str]:
        """The first process, 0 when it has ended already, and the address of its own network."""
        self._ask("post", f"/containers/{id_}/start")
        found = self.inspect(id_)
        networks = at(found, "NetworkSettings.Networks") or {}
        address = next((one.get("IPAddress") for one in networks.values()), "")
        return int(found["State"].get("Pid") or 0), str(address or "")

    def inspect(self, id_: str) -> Object:
        """Raises Gone."""
        found: Object = self._ask("get", f"/containers/{id_}/json")
        return found

    def ended(self, id_: str) -> Object:
        """The State of a container whose first process is gone, when podman has noticed, too.
        Raises Gone."""
        until = time.monotonic() + _NOTICE_S
        while (state := self.inspect(id_)["State"]).get("Running") or state.get("Paused"):
            if time.monotonic() > until:
                raise Gone(f"podman does not notice the end of {id_}")
            time.sleep(0.01)
        return dict(state)

    def pause(self, id_: str, on: bool) -> None:
        """Freeze a container or let it go on; one that has ended is no trouble."""
        with contextlib.suppress(Trouble):
            self._ask("post", f"/containers/{id_}/{'pause' if on else 'unpause'}")

    def remove(self, id_: str) -> None:
        """Kill and remove; one that is gone is no trouble. Raises Trouble when podman cannot."""
        params = {"force": "true", "v": "true", "timeout": "0"}
        until = time.monotonic() + _REMOVE_S
        with contextlib.suppress(Gone):
            while True:
                try:
                    self._ask("delete", f"/containers/{id_}", params=params)
                    return
                except Gone:
                    raise
                except Trouble:  # it is ending by itself just now
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

    def image(self, name: str) -> Object | None:
        """What podman knows of an image; None when there is none of that name."""
        try:
            found: Object = self._ask("get", f"/images/{name}/json")
        except Trouble:
            return None
        return found

    def of_process(self, alive: bool) -> list[str]:
        """The ids of containers of this process, or of those that are no more."""
        filters = json.dumps({"label": [LABEL]})
        found = self._ask("get", "/containers/json", params={"all": "true", "filters": filters})
        ids = []
        for one in found or ():
            pid = one["Labels"][LABEL]
            if pid == str(os.getpid()) if alive else not Path("/proc", pid).exists():
                ids.append(str(one["Id"]))
        return ids

    def _ask(
        self, method: str, path: str, data: str = "", params: Mapping[str, str] | None = None
    ) -> Any:
        body = {"data": data, "headers": {"content-type": "application/json"}} if data else {}
        call = getattr(self._client.api, method)
        answer = call(path, params=params, timeout=_CALL_S, **body)
        if answer.status_code < 400:
            return answer.json() if answer.content else None
        try:
            said = str(answer.json().get("message") or answer.json().get("cause"))
        except ValueError:
            said = answer.text
        if answer.status_code == 404 or "no such container" in said:
            raise Gone(said)
        raise Trouble(said)


def specification(
    pod: Object,
    container: Object,
    env: Mapping[str, str],
    mounts: list[Object],
    log: Path,
    ulimits: Mapping[str, int],
) -> Object:
    """A SpecGenerator of libpod for one container of a Pod; networks are not in it."""
    spec, own = pod["spec"], container.get("securityContext") or {}
    pods = spec.get("securityContext") or {}
    made: Object = {
        "image": container["image"],
        "env": dict(env),
        "labels": {LABEL: str(os.getpid()), "io.kubernetes.pod.name": pod["metadata"]["name"]},
        "mounts": mounts,
        "cap_drop": ["ALL"],
        "cap_add": [f"CAP_{name}" for name in _capabilities(own)],
        "no_new_privileges": own.get("allowPrivilegeEscalation") is False,
        "privileged": bool(own.get("privileged")),
        "read_only_filesystem": bool(own.get("readOnlyRootFilesystem")),
        "selinux_opts": ["disable"],
        "r_limits": [{"type": kind, "soft": n, "hard": n} for kind, n in ulimits.items()],
        "resource_limits": _limits(container),
        "systemd": "false",
        "healthconfig": {"test": ["NONE"]},
        "log_configuration": {"driver": "k8s-file", "path": str(log)},
    }
    if container.get("command"):
        made["entrypoint"], made["command"] = _expanded(container["command"], env), []
    if container.get("args"):
        made["command"] = _expanded(container["args"], env)
    if container.get("workingDir"):
        made["work_dir"], made["create_working_dir"] = container["workingDir"], True
    user = own.get("runAsUser", pods.get("runAsUser"))
    group = own.get("runAsGroup", pods.get("runAsGroup"))
    if user is not None or group is not None:
        made["user"] = f"{user or 0}" + (f":{group}" if group is not None else "")
    groups = [
        *(pods.get("supplementalGroups") or ()),
        *([pods["fsGroup"]] if "fsGroup" in pods else ()),
    ]
    if groups:
        made["groups"] = [str(one) for one in groups]
    if spec.get("hostPID"):
        made["pidns"] = {"nsmode": "host"}
    if spec.get("hostIPC"):
        made["ipcns"] = {"nsmode": "host"}
    return made


def _capabilities(own: Object) -> list[str]:
    """What a container may do, as far as this machine lets us give it."""
    change = own.get("capabilities") or {}
    drop, add = change.get("drop") or (), change.get("add") or ()
    kept = () if "ALL" in drop else _CAPABILITIES
    names = {one for one in kept if one not in drop} | (set(_NUMBERS) if "ALL" in add else set(add))
    status = Path("/proc/self/status").read_text()
    bounds = int(status.partition("CapBnd:")[2].split()[0], 16)
    return sorted(one for one in names - {"ALL"} if bounds >> _NUMBERS.get(one, 63) & 1)


def _limits(container: Object) -> Object:
    limits = at(container, "resources.limits") or {}
    requests = at(container, "resources.requests") or {}
    made: Object = {}
    if "memory" in limits:
        most = int(quantity(limits["memory"]))
        made["memory"] = {"limit": most, "swap": most}
    if "cpu" in limits:
        quota = max(1000, int(quantity(limits["cpu"]) * _PERIOD_US))
        made["cpu"] = {"quota": quota, "period": _PERIOD_US}
    if "cpu" in requests:
        shares = max(2, int(quantity(requests["cpu"]) * 1024))
        made.setdefault("cpu", {})["shares"] = min(shares, _MOST_SHARES)
    return made


_REFERENCE = re.compile(r"\$(\$?)\(([A-Za-z_][\w.-]*)\)")


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' own ``$(NAME)``; one that names nothing stays, ``$$(NAME)`` is escaped."""
    return _REFERENCE.sub(
        lambda found: f"$({found[2]})" if found[1] else env.get(found[2], found[0]), text
    )


def _expanded(words: list[str], env: Mapping[str, str]) -> list[str]:
    return [expanded(word, env) for word in words]
