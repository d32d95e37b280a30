"""What the runner asks of podman: containers started, looked at and removed, over its REST API.

The requests are written out (libpod's own, not the ones for Docker's clients), since podman 4
leaves some of what its Python client offers without effect.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pachybox.containers.engine import Engine
from pachybox.errors import NotReady, PachyboxError, Refused
from pachybox.pps.runners import cgroups
from pachybox.pps.runners.base import WorkerSpec
from pachybox.pps.runners.held import CAPABILITIES, HOLD, holds, lives, spare, status_of

log = logging.getLogger(__name__)

_CALL_S = 60.0
_NOTICED_S = 2.0
_CREATE = "/containers/create"
_PERIOD_US = 100_000
_OWN_PIDS = 1  # of the container's first process, beside those that a worker has anywhere

_GONE = re.compile(r"no such container|container not known|does not exist in database")
_UNKNOWN = re.compile(r"unable to find (user|group) (.+?): no matching entries")


class ContainerGone(NotReady):
    """There is no such container (any more)."""


@dataclass(frozen=True, slots=True)
class Started:
    """A container that runs; see held.Held. ``image`` is the id of what it was made of."""

    id: str
    name: str
    pid: int
    image: str
    api: Api

    def begun(self) -> Started:
        """Itself, once its first process holds: podman answers before its runtime's process has
        become the program, with its user. Raises ContainerGone when it does not come to that."""
        proc = Path("/proc", str(self.pid))
        until = time.monotonic() + _CALL_S
        try:
            while not holds(proc):
                if time.monotonic() > until or not lives(self.pid):
                    break
                time.sleep(0.001)
            else:
                return self
        except OSError:
            pass  # it is gone
        raise ContainerGone(f"the first process of {self.name} does not begin", "run: podman info")

    def how_it_ended(self) -> str:
        """See Held.how_it_ended. What is deleted by force loses its files before its process."""
        if ended := self.api.how_it_ended(self):
            return ended
        return "" if self.api.has_image(self.image) else "its image was deleted"

    def unpause(self) -> None:
        """See Held.unpause."""
        self.api.unpause(self.id)

    def remove(self) -> None:
        """See Held.remove: what cannot be removed now is removed by the next start of the box."""
        self.api.remove(self.id)


class Api:
    """Containers of one engine. Any thread may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, wanted: Mapping[str, Any]) -> Started:
        """Create and start a container. Raises Refused with podman's words when it will not,
        ContainerGone when its image, or it, was removed meanwhile."""
        try:
            made = self._ask("post", _CREATE, json.dumps(wanted))["Id"]
        except Refused:
            self._ask("get", f"/images/{wanted['image']}/exists")  # raises ContainerGone
            raise
        try:
            self._ask("post", f"/containers/{made}/start")
            state = self.inspect(made)["State"]
            if not state.get("Pid"):
                raise ContainerGone(f"the container {_ended(state)}", "run: podman info")
            spare(int(state["Pid"]))
            image = str(wanted["image"])
            return Started(made, str(wanted["name"]), int(state["Pid"]), image, self).begun()
        except Refused:
            self.inspect(made)  # raises ContainerGone: of one that was removed podman says anything
            self.remove(made)
            raise
        except BaseException:
            self.remove(made)
            raise

    def inspect(self, id_: str) -> dict[str, Any]:
        """What podman knows of a container. Raises ContainerGone when it knows none."""
        found: dict[str, Any] = self._ask("get", f"/containers/{id_}/json")
        return found

    def how_it_ended(self, one: Started) -> str:
        """Why a container does not run any more, for people; "" while it runs. Never raises."""
        until = time.monotonic() + _NOTICED_S
        while not lives(one.pid):
            try:
                state = self.inspect(one.id)["State"]
            except ContainerGone:
                return "its container was removed"
            except PachyboxError as e:
                return f"its container ended; podman does not say why: {e.message}"
            if not state.get("Running"):
                return f"its container {_ended(state)}"
            if time.monotonic() > until:
                return "its container ended"
            time.sleep(0.02)  # podman has not noticed yet
        return ""

    def with_label(self, label: str) -> list[tuple[str, dict[str, str]]]:
        """The ids and labels of all containers with this label (``name=value``), running or not."""
        filters = json.dumps({"label": [label]})
        found = self._ask("get", "/containers/json", params={"all": "true", "filters": filters})
        return [(str(one["Id"]), dict(one.get("Labels") or {})) for one in found or ()]

    def has_image(self, image: str) -> bool:
        """Whether an image is there, as far as podman says. Never raises."""
        try:
            self._ask("get", f"/images/{image}/exists")
        except ContainerGone:
            return False
        except PachyboxError:
            pass
        return True

    def unpause(self, id_: str) -> None:
        """Let a container run on that somebody paused. Never raises."""
        with contextlib.suppress(PachyboxError):
            self._ask("post", f"/containers/{id_}/unpause")

    def remove(self, id_: str) -> None:
        """Kill and remove a container with its volumes; one that is gone is no trouble. Never
        raises: what cannot be removed now is removed by the next start of the box."""
        try:
            try:
                self._delete(id_)
            except Refused:  # its files are in use by what podman does not know of, perhaps
                self._remove_unknown(id_)
                self._delete(id_)
            self._remove_unknown(id_)
        except (PachyboxError, OSError, subprocess.SubprocessError) as e:
            log.warning("container not removed id=%s error=%s", id_[:12], e)

    def _delete(self, id_: str) -> None:
        params = {"force": "true", "v": "true", "volumes": "true", "timeout": "0"}
        with contextlib.suppress(ContainerGone):
            self._ask("delete", f"/containers/{id_}", params=params)

    def _remove_unknown(self, id_: str) -> None:
        """What podman does not know to be there: it was killed while it had the runtime make the
        container."""
        runtime = self._engine.facts().runtime
        program = shutil.which(runtime)
        if program is not None and Path("/run", runtime, id_).exists():
            command = [program, "delete", "--force", id_]
            subprocess.run(command, capture_output=True, timeout=_CALL_S, check=True)
        cgroups.remove_empty(id_)

    def _ask(
        self, method: str, path: str, data: str = "", params: Mapping[str, str] | None = None
    ) -> Any:
        client = self._engine.client()
        try:
            call = getattr(client.api, method)  # get, post, delete
            body = {"data": data, "headers": {"content-type": "application/json"}} if data else {}
            answer = call(path, params=params, timeout=_CALL_S, **body)
        except Exception as e:  # of requests and urllib3: podman died, or hangs
            log.warning("podman call failed path=%s error=%s", path, e)
            raise NotReady("podman ended, or does not answer", "run: podman info") from e
        said = _words(answer) if answer.status_code >= 400 else ""
        unknown = answer.status_code == 404 and path != _CREATE  # that is of its image
        if unknown or _GONE.search(said):
            raise ContainerGone(said)
        if said:
            if nobody := _UNKNOWN.search(said):
                kind, name = nobody.groups()
                raise Refused(f"{kind} {name!r} does not exist in the image", "give uid:gid")
            raise Refused(said, "`pachybox doctor` says whether containers start here")
        return answer.json() if answer.content else None


def container_spec(
    spec: WorkerSpec,
    name: str,
    program: Path,
    labels: Mapping[str, str],
    ulimits: Mapping[str, int],
) -> dict[str, Any]:
    """A SpecGenerator of libpod: a container of ``spec``'s image that does nothing but wait."""
    limits = spec.limits
    resources: dict[str, Any] = {"pids": {"limit": limits.pids + _OWN_PIDS}}
    if limits.memory is not None:
        resources["memory"] = {"limit": limits.memory, "swap": limits.memory}
    if limits.cpu is not None:
        quota = max(1000, math.ceil(limits.cpu * _PERIOD_US))
        resources["cpu"] = {"quota": quota, "period": _PERIOD_US}
    bounds = int(
        status_of(Path("/proc/self"))["CapBnd"], 16
    )  # it cannot be given more than we have
    return {
        "name": name,
        "image": spec.image,
        "entrypoint": [HOLD, "hold"],
        "command": [],
        "user": spec.transform.user,
        "labels": dict(labels),
        "mounts": [
            {
                "destination": HOLD,
                "type": "bind",
                "source": str(program),
                "options": ["ro", "bind", "nosuid", "nodev", "rprivate"],
            },
            *(
                {
                    "destination": path,
                    "type": "bind",
                    "source": source,
                    "options": ["ro", "rbind", "nosuid", "nodev", "rprivate"],
                }
                for path, source in spec.mounts.items()
            ),
        ],
        "netns": {"nsmode": "host"},
        "userns": {"nsmode": "host"},
        "cap_drop": ["ALL"],
        "cap_add": [f"CAP_{name}" for n, name in CAPABILITIES.items() if bounds >> n & 1],
        "no_new_privileges": True,
        "selinux_opts": ["disable"],
        "r_limits": [{"type": kind, "soft": n, "hard": n} for kind, n in ulimits.items()],
        "resource_limits": resources,
        **({"shm_size": limits.shm} if limits.shm is not None else {}),
        "systemd": "false",
        "healthconfig": {"test": ["NONE"]},
        "log_configuration": {"driver": "none"},
        "stop_signal": 9,
        "stop_timeout": 0,
    }


def _ended(state: Mapping[str, Any]) -> str:
    how = f"ended from outside (exit status {state.get('ExitCode')})"
    return f"{how}: {state['Error']}" if state.get("Error") else how


def _words(answer: Any) -> str:
    try:
        said = answer.json()
        return str(said.get("message") or said.get("cause") or answer.text)
    except ValueError:
        return str(answer.text).strip() or f"status {answer.status_code}"
