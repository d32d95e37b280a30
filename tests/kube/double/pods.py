"""One Pod on its node: a thread that makes it what it should be, and tells what it is."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.kube.double import nodes
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.api import Api
from tests.kube.double.kinds import at
from tests.kube.double.nodes import condition
from tests.kube.double.podman import Podman
from tests.kube.double.running import Container, Starter
from tests.kube.double.store import now
from tests.kube.double.volumes import NotMounted, Volumes

_AGAIN_S = 0.2  # until what did not work is tried again; a real kubelet takes up to 5 minutes
_LOOK_S = 0.5  # how often volumes are measured
_ENDED = ("Succeeded", "Failed")
_READY = ("Ready", "ContainersReady")


class PodRunner:
    """One Pod on its node, until it is deleted and nothing of it is left."""

    def __init__(
        self,
        api: Api,
        podman: Podman,
        pod: Object,
        folder: Path,
        most_pids: int | None,
        done: Callable[[], None],
    ) -> None:
        """Nothing runs before start(). ``done`` is called when nothing is left of it."""
        name = f"pod-{pod['metadata']['name']}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._api, self._podman, self._done = api, podman, done
        self.pod = pod  # as it was last seen
        self.gone = False  # its object is not there any more
        self.lost = threading.Event()  # the node cannot be reached: nothing is done or told
        self._order: tuple[str, str] | None = None  # reason and message of an end before its time
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._started = now()
        self._began = time.monotonic()
        self._volumes = Volumes(api.store, pod, folder / "volumes")
        self._starter = Starter(podman, api.store, self._volumes, folder / "logs", most_pids)
        self._folder = folder
        self._mounted = self._told = False
        self._retry_at: float | None = None
        self._warned = ""
        spec = pod["spec"]
        self.containers = [Container(one, True) for one in spec.get("initContainers") or ()]
        self.containers += [Container(one, False) for one in spec["containers"]]

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    # ---- what others say (any thread)

    def seen(self, pod: Object, gone: bool) -> None:
        """The object as it is now; ``gone`` when it was the last of it."""
        self.pod, self.gone = pod, gone or self.gone
        if self.gone or at(pod, "metadata.deletionTimestamp"):
            self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # race: it is over, and its number -1
            os.eventfd_write(self._wake, 1)

    def end(self, reason: str, message: str) -> None:
        """Kill its containers and let it be Failed, as by eviction."""
        self._order = (reason, message)
        self.wake()

    def oom(self) -> None:
        """Kill its containers as the memory limit does."""
        for one in self.containers:
            if one.running:
                one.oom = True
                one.signal(signal.SIGKILL)

    def freeze(self, on: bool) -> None:
        for one in self.containers:
            if one.running:
                self._podman.pause(one.id, on)

    def kill(self) -> None:
        for one in self.containers:
            one.signal(signal.SIGKILL)

    def log(self, container: str, previous: bool) -> Path | None:
        """The file of a container's output; None while there is none."""
        for one in self.containers:
            if one.name == container:
                path = self._starter.log(one.name, one.restarts - previous)
                return path if path.exists() else None
        return None

    # ---- its own thread

    def _run(self) -> None:
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        try:
            while not (self.gone and not self.lost.is_set()):
                if not self.lost.is_set() and self._step():
                    return
                self._wait()
        finally:
            try:
                self._tear_down()
            finally:
                wake, self._wake = self._wake, -1
                os.close(wake)
                self._done()

    def _step(self) -> bool:
        """Bring it one step nearer to what it should be; whether it is over and done with."""
        self._retry_at = None
        for one in self.containers:
            one.look(self._podman)
        if self.gone:
            return True
        if at(self.pod, "metadata.deletionTimestamp"):
            self._stop(int(self.pod["metadata"]["deletionGracePeriodSeconds"]))
            self._report(self._phase(over=True))
            self._tear_down()
            with contextlib.suppress(ApiError):
                meta = self.pod["metadata"]
                self._api.store.remove("pods", meta["namespace"], meta["name"], meta["uid"])
            return True
        if at(self.pod, "status.phase") in _ENDED:
            return False
        self._look_at_limits()
        if self._order:
            self._stop(0)
            reason, message = self._order
            self._report("Failed", reason, message)
            return False
        if not self._told:
            self._told = True
            self._report("Pending")
        if self._mount():
            self._start_what_should_run()
        self._report(self._phase())
        return False

    def _wait(self) -> None:
        """Until somebody says something, a container ends or it is time to try again."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for one in self.containers:
            for number in (one.pidfd, *(() if one.oom else (one.oomfd,))):
                if number >= 0 and not self.lost.is_set():
                    poll.register(number, select.POLLIN)
        ends = [self._retry_at, self._deadline()]
        if any(
            "sizeLimit" in (one.get("emptyDir") or {})
            for one in self.pod["spec"].get("volumes") or ()
        ):
            ends.append(time.monotonic() + _LOOK_S)
        left = [max(0.0, end - time.monotonic()) for end in ends if end is not None]
        idle = self.lost.is_set() or at(self.pod, "status.phase") in _ENDED
        poll.poll(min(left) * 1000 + 1 if left and not idle else None)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else self._began + float(seconds)

    def _look_at_limits(self) -> None:
        deadline = self._deadline()
        if deadline is not None and time.monotonic() >= deadline:
            said = "Pod was active on the node longer than the specified deadline"
            self._order = self._order or ("DeadlineExceeded", said)
        if said := self._volumes.overfull():
            self._order = self._order or ("Evicted", said)

    def _mount(self) -> bool:
        if self._mounted:
            return True
        try:
            self._volumes.mount()
        except NotMounted as error:
            self._warn("FailedMount", str(error))
            self._again()
            return False
        self._mounted = True
        return True

    def _warn(self, reason: str, message: str) -> None:
        """Write an Event, once for as long as it stays the same."""
        if self._warned != message:
            self._warned = message
            self._api.event(self.pod, "Warning", reason, message)

    def _again(self) -> None:
        self._retry_at = time.monotonic() + _AGAIN_S

    def _start_what_should_run(self) -> None:
        for one in self.containers:
            if not one.running and not self._is_final(one):
                self._start(one)
            if one.init and not one.succeeded:
                return  # the next waits for it

    def _is_final(self, one: Container) -> bool:
        """Whether a container that has ended stays so."""
        if one.ended is None:
            return False
        policy = self.pod["spec"]["restartPolicy"]
        policy = "OnFailure" if one.init and policy == "Always" else policy
        return policy == "Never" or (policy == "OnFailure" and one.succeeded)

    def _start(self, one: Container) -> None:
        if ended := one.ended:
            one.last, one.restarts = {"terminated": ended}, one.restarts + 1
            one.old.append(one.id)
            said = f"back-off restarting failed container={one.name}"
            one.wait_for("CrashLoopBackOff", said)
            self._again()
            return
        if said := self._starter.start(self.pod, one, self._network(one)):
            self._warn("Failed", said)
            self._again()
        elif one.pidfd < 0:
            one.look(self._podman)
            self._again()

    def _network(self, one: Container) -> Object:
        """The namespaces that a container shares with its node or its Pod."""
        spec = self.pod["spec"]
        if spec.get("hostNetwork"):
            return {"netns": {"nsmode": "host"}}
        first = next((c for c in self.containers if not c.init and c.running), None)
        if not one.init and first is not None:
            return {"netns": {"nsmode": "container", "value": first.id}}
        hostname = spec.get("hostname") or self.pod["metadata"]["name"][:63]
        return {"netns": {"nsmode": "bridge"}, "hostname": hostname}

    def _stop(self, grace_s: int) -> None:
        """End what runs: asked to at first, when there is time for that."""
        alive = [one for one in self.containers if one.running and one.pidfd >= 0]
        for one in alive:
            one.signal(signal.SIGTERM if grace_s else signal.SIGKILL)
        end = time.monotonic() + grace_s
        while grace_s and (left := end - time.monotonic()) > 0:
            waiting = [one.pidfd for one in alive if not select.select([one.pidfd], [], [], 0)[0]]
            if (
                not waiting
                or self.gone
                or self.pod["metadata"].get("deletionGracePeriodSeconds", 1) == 0
            ):
                break
            select.select(waiting, [], [], min(left, 0.1))
        for one in alive:
            one.signal(signal.SIGKILL)
        for one in alive:
            while not one.look(self._podman):
                if not select.select([one.pidfd], [], [], 1.0)[0]:
                    self._podman.pause(one.id, False)  # somebody has frozen it

    def _tear_down(self) -> None:
        for one in self.containers:
            one.signal(signal.SIGKILL)
            one.close()
            for id_ in (*one.old, one.id):
                if id_:
                    self._podman.remove(id_)
            one.old, one.id = [], ""
        self._volumes.close()

    # ---- what it tells

    def _phase(self, over: bool = False) -> str:
        mains = [one for one in self.containers if not one.init]
        failed = [one for one in self.containers if one.ended and not one.succeeded]
        if any(one.init and self._is_final(one) and not one.succeeded for one in failed):
            return "Failed"
        if all(one.ended and (over or self._is_final(one)) for one in mains):
            return "Failed" if any(not one.succeeded for one in mains) else "Succeeded"
        begun = any(one.running or one.ended or one.restarts for one in mains)
        return "Running" if begun else "Pending"

    def _report(self, phase: str, reason: str = "", message: str = "") -> None:
        status = self._status(phase)
        if self.lost.is_set():
            return
        if reason:
            status |= {"reason": reason, "message": message}

        def told(one: Object) -> None:
            if at(one, "status.phase") not in _ENDED:
                one["status"] = {**status, "qosClass": one["status"].get("qosClass", "BestEffort")}

        meta = self.pod["metadata"]
        with contextlib.suppress(ApiError):
            namespace, name = meta["namespace"], meta["name"]
            self._api.store.update("pods", namespace, name, told, meta["uid"])  # seen() follows

    def _status(self, phase: str) -> Object:
        mains = [one for one in self.containers if not one.init]
        for one in self.containers:
            if not one.state:
                waits = any(c.init and not c.succeeded for c in self.containers) and not one.init
                one.wait_for("PodInitializing" if waits else "ContainerCreating")
        ready = phase == "Running" and all(one.running for one in mains)
        why = "" if ready else "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
        set_up = all(one.succeeded for one in self.containers if one.init)
        names = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
        values = [set_up, ready, ready, True]
        conditions = [
            condition(name, value, "" if value else why)
            for name, value in zip(names, values, strict=True)
        ]
        address = self._address(mains)
        status: Object = {"phase": phase, "conditions": conditions, "hostIP": nodes.ADDRESS}
        status |= {"hostIPs": [{"ip": nodes.ADDRESS}], "startTime": self._started}
        if address:
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        if len(mains) < len(self.containers):
            status["initContainerStatuses"] = [c.status() for c in self.containers if c.init]
        status["containerStatuses"] = [one.status() for one in mains]
        return status

    def _address(self, mains: list[Container]) -> str:
        if self.pod["spec"].get("hostNetwork"):
            return nodes.ADDRESS
        return next((one.address for one in mains if one.address), "")
