"""Runs datums in Pods of a cluster whose node is this machine, each worker in a Pod of its own.

A Pod's container only holds: the box finds its first process on this machine, and a worker goes
into it as into a container of podman (pachybox.pps.runners.held). The cluster is asked to make,
show and delete Pods, and nothing of a datum passes through its API: whatever happens to that, what
runs runs on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path

from pachybox.config import Config
from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.pps.runners import cgroups
from pachybox.pps.runners.base import Finding, Presents, WorkerLost, WorkerSpec, WorkerWaits
from pachybox.pps.runners.held import enter, program, spare, unfit_for
from pachybox.pps.runners.pods import findings, inside, manifest, node, states
from pachybox.pps.runners.pods.access import Settings
from pachybox.pps.runners.pods.api import Kube
from pachybox.pps.runners.pods.claims import Asked, Claims
from pachybox.pps.runners.pods.inside import PodHeld, PodWorker, Processes
from pachybox.pps.runners.pods.making import Maker, nonce_of
from pachybox.pps.runners.pods.manifest import BOX, Place
from pachybox.pps.runners.pods.remover import Remover
from pachybox.pps.runners.pods.troubles import Exists, Forbidden, Missing, Unanswered
from pachybox.pps.runners.pods.watch import Watch
from pachybox.pps.runners.process import ProcessRunner, worker_command

log = logging.getLogger(__name__)

_COMING_S = 3.0  # waited for a Pod at most: whoever is to stop meanwhile waits too
_TROUBLE_S = 3.0  # that something is in its way before that is worth a word
_HERE_S = 5.0  # until the process of a Pod that runs must be seen
_LOOK_S = 1.0  # between direct looks at a Pod that is waited for
_POLL_S = 0.1
_UNCLAIMED_S = 60.0
_CLOSE_S = 5.0
_QUICK_S = 2.0  # for an answer that somebody waits for at a terminal
_OWN_PIDS = 1  # the first process


class PodsRunner:
    """The runner of pipelines in Pods.

    ``host`` is the process runner of the same box: what its workers can show, those here can too.
    ``home`` and ``box`` (its id) mark what is the box's in the cluster; ``pipelines`` are those
    whose objects are left there while the box is away.
    """

    name = "kubernetes"

    def __init__(
        self,
        host: ProcessRunner,
        home: Path,
        config: Config,
        box: Callable[[], str] = lambda: "",
        pipelines: Callable[[], Collection[str]] = tuple,
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        self._host = host
        self._home = home.resolve()
        self._config = config
        self._box = box
        self._pipelines = pipelines
        self._command = tuple(command or worker_command())
        self._used = home / "run" / "pods"  # there: the cluster may have something of ours
        self.kube = Kube(Settings.of(config))
        self._lock = threading.Lock()  # of the four below
        self._silent: tuple[Unanswered | None, float] = (None, 0.0)  # and when that was
        self._place: Place | None = None
        self._watch: Watch | None = None
        self._swept = False
        self._processes = Processes()
        self._claims = Claims(lambda: self._watch.names() if self._watch else ())
        self._maker = Maker(self.kube, self._claims)
        self._remover = Remover(self._tidy)

    @property
    def presents(self) -> Presents:
        """See Runner.presents: read-only mounts, and images where the kernel mounts them."""
        return Presents(links=True, image=self._host.presents.image)

    def probe(self) -> list[Finding]:
        """The part of ``pachybox doctor`` that is about the cluster."""
        if unfit := unfit_for("Pods", self._host):
            return [findings.none(unfit)]
        return findings.of(self.kube, self._config, self._host)

    def why_not(self) -> PachyboxError | None:
        """See placement.PodRunner."""
        if unfit := unfit_for("Pods", self._host):
            return unfit
        try:
            self.kube.list("pod", f"{BOX}={self._mark}", _QUICK_S)
        except PachyboxError as e:
            return e
        return None

    def check(self, spec: WorkerSpec) -> None:
        """See placement.PodRunner: the cluster is asked what it would say to the Pod."""
        with contextlib.suppress(NotReady, Missing, Exists):
            place = self._opened()
            name = f"{manifest.base_name(place.mark, spec.pipeline)}-check"
            self.kube.tries("pod", manifest.pod(place, spec, name, "0" * 32), _QUICK_S)

    def start(self, spec: WorkerSpec) -> PodWorker:
        """A Pod with a worker in it; see Runner.start. One that is waited for is kept, and whoever
        asks for the same next has it."""
        if not spec.transform.cmd:
            raise Refused(
                f"pipeline {spec.pipeline}: nothing to run",
                "give the transform a cmd: a cluster does not tell its image's entrypoint",
            )
        if unfit := unfit_for("Pods", self._host):
            raise Refused(f"no Pod for {spec.pipeline}: {unfit.message}", unfit.hint)
        try:
            place = self._opened()
            one = self._claims.claim(place, spec)
        except InvalidArgument as e:
            raise Refused(f"no Pod for {spec.pipeline}: {e.message}", e.hint) from e
        except WorkerWaits:
            raise
        except PachyboxError as e:
            raise _waits(spec, e) from e
        try:
            if not one.uid:
                self._make(place, one)
            held = self._comes(one)
        except WorkerWaits:
            if one.name in self._claims.names():
                self._claims.release(one)
            raise
        except BaseException:
            self._remove(one)
            raise
        return self._entered(one, held)

    def _entered(self, one: Asked, held: PodHeld) -> PodWorker:
        spec = one.spec
        try:
            spare(held.pid)
            cgroups.ContainerGroup.of(held.pid).bound(spec.limits.pids + _OWN_PIDS)
            who = inside.who(spec.transform.user, held.pid)
            worker = enter(self._command, inside.at_home(spec, held), held, PodWorker, who)
        except OSError as e:
            held.remove()
            raise WorkerLost(
                f"the Pod of {spec.pipeline} ended at once ({e})", "the datum will be run again"
            ) from e
        except BaseException:
            held.remove()
            raise
        self._claims.serves(one)
        return worker

    def _opened(self) -> Place:
        """Where Pods are to be; what earlier lives left there is gone. Raises Refused, Forbidden or
        Unanswered."""
        with self._lock:
            silent, said_at = self._silent
            if silent is not None and time.monotonic() < said_at + _LOOK_S:
                raise Unanswered(silent.message, silent.hint)  # said to who waited for the lock
            try:
                return self._open()
            except Unanswered as e:
                self._silent = (e, time.monotonic())
                raise

    def _open(self) -> Place:
        if self._place is None:
            shim_image = self._config.kubernetes_shim_image
            self._place = Place(
                self._mark,
                self.kube.namespace,
                "" if shim_image else str(program(self._home)),
                shim_image,
                node.hostname(self.kube, self._config.kubernetes_node),
            )
        self._used.touch()  # before there is anything: else a kill would leave it unknown
        if not self._swept:
            self._leave()
            self._swept = True
        if self._watch is None:
            self._watch = Watch(self.kube, self._place.selector)
            self._watch.start()
            self._remover.start()
        return self._place

    @cached_property
    def _mark(self) -> str:
        return manifest.mark(str(self._home), self._box())

    # ---- a Pod comes to be

    def _make(self, place: Place, one: Asked) -> None:
        """Have the cluster make it. Raises WorkerWaits while it does not, Refused when it never
        will."""
        spec = one.spec
        try:
            try:
                self._made(place, one)
            except Missing as e:
                if not e.namespace:
                    raise
                try:
                    self.kube.make_namespace()
                except Forbidden:
                    raise e from None  # which says what to do
                self._made(place, one)
        except InvalidArgument as e:
            hint = e.hint or "see pod_spec, pod_patch and scheduling_spec of the pipeline"
            raise Refused(f"no Pod for {spec.pipeline}: {e.message}", hint) from e
        except PachyboxError as e:
            raise _waits(spec, e) from e

    def _made(self, place: Place, one: Asked) -> None:
        made = self._maker.make(place, one)
        if self._watch is not None:
            self._watch.put(made)

    def _comes(self, one: Asked) -> PodHeld:
        """Wait for its first process on this machine, for moments. Raises WorkerWaits."""
        assert self._watch is not None
        began = time.monotonic()
        looked = 0.0 if one.told else began
        unseen: PachyboxError | None = None
        while True:
            with contextlib.suppress(OSError):  # it is not here yet, or not any more
                return PodHeld(
                    self._processes, one.nonce, one.name, one.uid, self._watch,
                    lambda: self._remove(one),
                )  # fmt: skip
            if time.monotonic() > looked + _LOOK_S:
                unseen, looked = self._looked(one), time.monotonic()
            state = states.of(self._watch.pod(one.uid))
            if state.kind == "ended":
                raise self._failed(one, state)
            lasts = one.lasts(state.kind)
            if state.kind == "trouble" and lasts > _TROUBLE_S:
                raise _waiting(one.spec, state)
            if state.kind == "running" and lasts > _HERE_S and unseen is None:
                raise self._elsewhere(one)
            if time.monotonic() > began + _COMING_S:
                if unseen is not None:
                    raise _waits(one.spec, unseen)
                raise _waiting(one.spec, state, trouble=False)
            with self._watch.changed:
                self._watch.changed.wait(_POLL_S)

    def _looked(self, one: Asked) -> PachyboxError | None:
        assert self._watch is not None
        try:
            self._watch.look(one.name, 0)
        except PachyboxError as e:
            return e
        return None

    def _failed(self, one: Asked, state: states.State) -> WorkerWaits:
        """It does not come to serve: another is made, not at once."""
        why = _waiting(one.spec, state)
        self._claims.ended(one, why)
        self._remove(one)
        self._claims.drop(one)
        return why

    def _elsewhere(self, one: Asked) -> WorkerWaits:
        """It is on another node, or was ended here and nobody has told the cluster yet: another
        is made, where this machine is by then."""
        assert self._watch is not None
        pod = self._watch.pod(one.uid) or {}
        where = (pod.get("spec") or {}).get("nodeName") or "a node"
        with self._lock:
            self._place = None
        words = f"{one.name} runs on {where}, and its process is not on this machine"
        remedy = (
            "set kubernetes_node to the node that is this machine; a box in a Pod needs hostPID"
        )
        return self._failed(one, states.State("trouble", words, remedy))

    # ---- what is left

    def _remove(self, one: Asked) -> None:
        """Have a Pod deleted; its name is free afterwards."""
        self._remover.add(f"pod={one.name}", lambda: self._delete(one))

    def _delete(self, one: Asked) -> None:
        if not one.uid:  # whether it was made is not known
            found = self.kube.get("pod", one.name)
            if found is not None and nonce_of(found) == one.nonce:
                one.uid = found["metadata"]["uid"]
        if one.uid:
            self.kube.delete("pod", one.name, one.uid)
        self._claims.drop(one)

    def _tidy(self) -> None:
        for one in self._claims.unclaimed(_UNCLAIMED_S):
            log.info("nobody asks for a pod any more pod=%s", one.name)
            self._remove(one)

    def forget(self, pipeline: str) -> None:
        """See placement.PodRunner. Asks nothing of a cluster where the pipeline has nothing."""
        for one in self._claims.unclaimed(0.0, pipeline):
            self._remove(one)
        anchor = manifest.base_name(self._mark, pipeline)
        if uid := self._maker.forget(anchor):
            self._remover.add(
                f"anchor={anchor}", lambda: self.kube.delete("config_map", anchor, uid)
            )

    def sweep(self) -> None:
        """Remove what a box left that was killed: the Pods of earlier lives, and all of pipelines
        that are no more; beside the caller, and again until it is done. Asks nothing where it had
        nothing."""
        if self._used.exists():
            self._remover.add("what an earlier life left", self._opened)

    def _leave(self, patience_s: float | None = None) -> None:
        """Delete all Pods of this box, and the anchors of pipelines that are no more. Raises what
        Kube does."""
        selector = f"{BOX}={self._mark}"
        for pod in self.kube.list("pod", selector, patience_s).items:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            self.kube.delete("pod", name, uid, patience_s)
            log.info("removed pod=%s", name)
        anchors = self.kube.list("config_map", selector, patience_s).items
        for one in anchors:  # before it is asked what is kept: one that goes now is told of
            self._maker.found(one)
        keep = {manifest.base_name(self._mark, one) for one in self._pipelines()}
        for one in anchors:
            name = one["metadata"]["name"]
            if name not in keep:
                self.kube.delete("config_map", name, one["metadata"]["uid"], patience_s)

    def close(self) -> None:
        """Remove every Pod of this box. Never raises, and does not wait long for a cluster that
        does not answer."""
        self._remover.close(_CLOSE_S)
        try:
            if self._used.exists() and self._swept:
                self._leave(_QUICK_S)
                if not self._pipelines():
                    self._used.unlink(missing_ok=True)
        except (PachyboxError, OSError) as e:
            log.warning("pods not removed: %s", e)
        if self._watch is not None:
            self._watch.stop()
        self.kube.close()


def _waits(spec: WorkerSpec, why: PachyboxError) -> WorkerWaits:
    return WorkerWaits(f"no Pod for {spec.pipeline} yet: {why.message}", why.hint)


def _waiting(spec: WorkerSpec, state: states.State, *, trouble: bool = True) -> WorkerWaits:
    words = state.why or "runs, and its process is not there yet"
    return WorkerWaits(f"the Pod of {spec.pipeline} {words}", state.remedy, trouble=trouble)
