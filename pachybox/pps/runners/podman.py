"""Runs datums in containers of podman, each worker in one of its own.

A container is started once a worker, with the user, the limits and the rights that its code is to
have. The worker's own shim then goes into its namespaces and control groups and serves datums
there as it serves them anywhere: see pachybox.pps.runners.held and docs/runners.md.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from pachybox.containers.engine import Engine
from pachybox.errors import NotReady, PachyboxError, Refused
from pachybox.pps.runners import podman_findings
from pachybox.pps.runners.base import Finding, Presents, WorkerLost, WorkerSpec
from pachybox.pps.runners.held import ContainerWorker, enter, program, unfit_for
from pachybox.pps.runners.podman_api import Api, Started, container_spec
from pachybox.pps.runners.process import ProcessRunner, worker_command

log = logging.getLogger(__name__)

BOX = "org.pachybox.box"
HOME = "org.pachybox.home"
PIPELINE = "org.pachybox.pipeline"
LIFE = "org.pachybox.life"


class PodmanRunner:
    """The runner of pipelines with an image.

    ``host`` is the process runner of the same box: what its workers can show, those here can too.
    ``home`` marks the containers, which are nobody else's to remove; ``box`` (its id) names them
    for people.
    """

    name = "podman"

    def __init__(
        self,
        engine: Engine,
        host: ProcessRunner,
        home: Path,
        box: Callable[[], str] = lambda: "",
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        self.engine = engine
        self._api = Api(engine)
        self._host = host
        self._home = home.resolve()
        self._box = box
        self._command = tuple(command or worker_command())
        self._mark = home / "run" / "containers"
        self._life = uuid.uuid4().hex

    @property
    def presents(self) -> Presents:
        """See Runner.presents: read-only mounts, and images where the kernel mounts them."""
        return Presents(links=True, image=self._host.presents.image)

    def probe(self) -> list[Finding]:
        """The podman runner's part of ``pachybox doctor``."""
        if unfit := unfit_for("containers", self._host):
            return [podman_findings.none(unfit)]  # podman is not started for that
        return podman_findings.of(self.engine, self.why_not())

    def why_not(self) -> PachyboxError | None:
        """Why no container can be started here, whatever its image; None when nothing is known
        to be in the way."""
        if unfit := unfit_for("containers", self._host):
            return unfit
        try:
            facts = self.engine.facts()
        except PachyboxError as e:
            return e
        if facts.rootless:
            return Refused(
                f"the podman at {facts.socket} is not root's, and its containers cannot be entered",
                "use root's: unset CONTAINER_HOST",
            )
        return None

    def start(self, spec: WorkerSpec) -> ContainerWorker:
        """A container with a worker in it; about 0.3 s. Raises Refused when there is none to be
        had, WorkerLost when it, its image or podman went away before it served: the next try
        knows which."""
        if not spec.transform.cmd:
            raise Refused(
                f"pipeline {spec.pipeline}: nothing to run",
                "give the transform a cmd: its image has no entrypoint",
            )
        if why := self.why_not():
            if isinstance(why, NotReady):  # podman was killed a moment ago, it may be
                raise WorkerLost(_for(spec, why).message, why.hint)
            raise _for(spec, why)
        self._mark.touch()  # before there is one: else a kill would leave it unknown
        try:
            started = self._started(spec)
        except NotReady as e:
            raise WorkerLost(
                f"no container for {spec.pipeline}: {e.message}", "the datum will be run again"
            ) from e
        try:
            return enter(self._command, spec, started)
        except BaseException:
            started.remove()
            raise

    def _started(self, spec: WorkerSpec, again: int = 2) -> Started:
        """A new container; podman may die meanwhile, and one of our own is then started again."""
        labels = {
            HOME: str(self._home), BOX: self._box(), PIPELINE: spec.pipeline, LIFE: self._life
        }  # fmt: skip
        ulimits = self.engine.facts().ulimits
        wanted = container_spec(spec, self._name(spec), program(self._home), labels, ulimits)
        try:
            return self._api.start(wanted)
        except NotReady:
            if not again:
                raise
            return self._started(spec, again - 1)

    @staticmethod
    def _name(spec: WorkerSpec) -> str:
        pipeline = re.sub(r"[^a-zA-Z0-9_.-]", "-", spec.pipeline)
        return f"pachybox-{pipeline}-{uuid.uuid4().hex[:8]}"

    # ---- what is left

    def sweep(self) -> None:
        """Remove the containers that a box left that was killed: those of this home, which is
        ours alone, from lives before this one. Starts no podman where there can be none. Never
        raises."""
        self._remove(before=True)

    def _remove(self, *, before: bool) -> bool:
        """Whether all is gone that was to go."""
        if not self._mark.exists():
            return True
        try:
            for id_, labels in self._api.with_label(f"{HOME}={self._home}"):
                if not (before and labels.get(LIFE) == self._life):
                    self._api.remove(id_)
                    log.info("removed container id=%s", id_[:12])
        except (PachyboxError, OSError) as e:
            log.warning("containers not removed: %s", e)
            return False
        return True

    def close(self) -> None:
        """Remove every container of this box. Never raises."""
        if self._remove(before=False):
            self._mark.unlink(missing_ok=True)


def _for(spec: WorkerSpec, why: PachyboxError) -> PachyboxError:
    """Said of one pipeline; no podman today is no worker, like no podman at all."""
    return Refused(f"no container for {spec.pipeline}: {why.message}", why.hint)
