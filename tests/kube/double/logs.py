"""The output of containers, as a kubelet keeps it and the API gives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tests.kube.double.answers import ApiError, Object
from tests.kube.double.kubelet import Kubelets
from tests.kube.double.store import Store

_LOOK_S = 0.05


class Logs:
    """The logs of all Pods that are there."""

    def __init__(self, store: Store, kubelets: Kubelets) -> None:
        self._store, self._kubelets = store, kubelets

    def read(self, pod: Object, query: dict[str, str], gone: Callable[[], bool]) -> Iterator[bytes]:
        """A container's output. Raises ApiError 400 while there can be none."""
        names = [one["name"] for one in pod["spec"]["containers"]]
        every = [*names, *(one["name"] for one in pod["spec"].get("initContainers") or ())]
        container = query.get("container") or names[0]
        name = pod["metadata"]["name"]
        if container not in every:
            raise ApiError(400, f"container {container} is not valid for pod {name}")
        if len(names) > 1 and "container" not in query:
            told = f"a container name must be specified for pod {name}, choose one of: {names}"
            raise ApiError(400, told)
        uid = pod["metadata"]["uid"]
        path = None
        if runner := self._kubelets.get(uid):
            path = runner.log(container, query.get("previous") == "true")
        if path is None:
            said = f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
            raise ApiError(400, said)
        since = time.time() - float(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
        stamps = query.get("timestamps") == "true"
        lines = output(path, since, stamps)
        told_lines = len(lines)
        if "tailLines" in query:
            most = int(query["tailLines"])
            lines = lines[-most:] if most else []
        text = "".join(f"{line}\n" for line in lines).encode()
        yield text[: int(query["limitBytes"])] if "limitBytes" in query else text
        while query.get("follow") == "true" and not gone():
            over = self._has_ended(uid, pod, container)
            lines = output(path, since, stamps) if path.exists() else []
            yield "".join(f"{line}\n" for line in lines[told_lines:]).encode()
            told_lines = max(told_lines, len(lines))
            if over:
                return
            time.sleep(_LOOK_S)

    def _has_ended(self, uid: str, pod: Object, container: str) -> bool:
        meta = pod["metadata"]
        now = self._store.find("pods", meta["namespace"], meta["name"])
        if now is None or now["metadata"]["uid"] != uid:
            return True
        both = ("containerStatuses", "initContainerStatuses")
        states = [one for kind in both for one in now["status"].get(kind) or ()]
        return any("terminated" in one["state"] for one in states if one["name"] == container)


def output(path: Path, since: float, stamps: bool) -> list[str]:
    """The lines of a log that were written since then (seconds since 1970)."""
    lines: list[str] = []
    begun: dict[str, int] = {}  # the line that a stream has not ended yet
    for line in path.read_text(errors="replace").split("\n"):
        stamp, _, rest = line.partition(" ")
        stream, _, rest = rest.partition(" ")
        kind, _, text = rest.partition(" ")
        if not stamp or (since and datetime.fromisoformat(stamp).timestamp() < since):
            continue
        if stream in begun:
            lines[begun[stream]] += text
        else:
            lines.append(f"{stamp} {text}" if stamps else text)
        if kind == "P":
            begun.setdefault(stream, len(lines) - 1)
        else:
            begun.pop(stream, None)
    return lines
