"""What runs the pipelines of a box: processes of this machine, and beside them, where they can be
had, containers of podman and Pods of a cluster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable

from pachybox.config import Config
from pachybox.containers.engine import Engine
from pachybox.containers.images import Images
from pachybox.errors import Refused
from pachybox.model.pps import PipelineRecord
from pachybox.pps import moving
from pachybox.pps.placement import (
    KUBERNETES,
    PROCESS,
    RUNNERS,
    Containers,
    Pods,
    in_container,
    in_pod,
)
from pachybox.pps.runners.base import Finding, Runner
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.pods.runner import PodsRunner

log = logging.getLogger("pachybox.box")

_NAMED = 5  # pipelines in a line of doctor or the log
_MOVE = "move them: pachybox move pipeline --all (-A: of all projects)"


class Machinery:
    """The runners of one box. Nothing is started, and no cluster asked, before a pipeline or the
    setting wants it."""

    def __init__(
        self,
        config: Config,
        box: Callable[[], str],
        pipelines: Callable[[], Collection[PipelineRecord]],
        runner: Runner | None = None,
    ) -> None:
        """``box`` gives the box's id and ``pipelines`` all there are; ``runner`` is used for plain
        processes in place of the own one, and then alone. Raises Refused when the runner that the
        setting names is not known."""
        from pachybox.pps.runners.process import ProcessRunner

        if config.runner not in RUNNERS:
            raise Refused(
                f"runner {config.runner!r} is not available in this version of pachybox",
                f"use one of {', '.join(RUNNERS)}, or leave PACHYBOX_RUNNER unset",
            )
        self._config = config
        self._pipelines = pipelines
        self.runner: Runner = runner or ProcessRunner(hide=(config.home,))
        self.engine = Engine(config.home / "run")  # looks for podman when it is first asked for
        self.containers: Containers | None = None
        self.pods: Pods | None = None
        self._pods: PodsRunner | None = None
        if isinstance(self.runner, ProcessRunner):
            podman = PodmanRunner(self.engine, self.runner, config.home, box)
            self.containers = Containers(podman, Images(self.engine))
            self._pods = PodsRunner(self.runner, config.home, config, box, self._in_pods)
            self.pods = Pods(self._pods)

    def start(self) -> None:
        """Remove what a box left that was killed, and have podman and the cluster ready where they
        will be asked, beside all else: the cluster's client alone takes seconds to import."""
        if elsewhere := self._elsewhere():
            log.warning("pipelines run %s; %s", elsewhere, _MOVE)
        if self.containers is not None:
            threading.Thread(target=self._prepare, name="containers", daemon=True).start()

    def _prepare(self) -> None:
        assert self.containers is not None
        assert self._pods is not None
        self.containers.runner.sweep()
        if self.uses_images():
            self.containers.runner.why_not()
        self._pods.sweep()
        if self._uses_pods() and (why := self._pods.why_not()):
            log.warning("pipelines are not run in pods: %s", why)

    def close(self) -> None:
        """Remove all containers and Pods; the scheduler has stopped."""
        if self.containers is not None:
            self.containers.runner.close()
        if self._pods is not None:
            self._pods.close()
        self.engine.close()

    # ---- what is in use

    def uses_images(self) -> bool:
        """Whether a pipeline runs in containers of podman."""
        return any(map(in_container, self._pipelines()))

    def _in_pods(self) -> list[str]:
        return [str(one.pipeline) for one in self._pipelines() if in_pod(one)]

    def _uses_pods(self) -> bool:
        """Whether pipelines are to run in Pods by the setting, or one does."""
        return self._config.runner == KUBERNETES or bool(self._in_pods())

    def shown(self) -> str:
        """What ``pachybox status`` says of it."""
        images = ", podman for images" if self.uses_images() else ""
        pods = ", kubernetes for Pods" if self._uses_pods() else ""
        return f"{self.runner.name}{images}{pods}"

    def _elsewhere(self) -> str:
        """The pipelines that do not run by what the setting says; "" when all do."""
        others = moving.elsewhere(self._pipelines(), self._config.runner)
        if not others:
            return ""
        names = sorted(str(one.pipeline) for one in others)
        shown = ", ".join(names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
        return f"{len(names)} not by the setting's runner, {self._config.runner}: {shown}"

    def findings(self, more: Iterable[Finding]) -> list[Finding]:
        """What doctor says about this machine and these runners, and ``more``."""
        from pachybox.doctor import findings
        from pachybox.doctor.codes import found

        asked = self._config.runner != PROCESS or self.uses_images()
        podman = self.containers.runner if self.containers is not None and asked else None
        pods = self._pods if self._uses_pods() else None
        own = [*more]
        if elsewhere := self._elsewhere():
            own.append(found("PB705", "warn", elsewhere, _MOVE))
        return findings(self._config, self.runner, podman, own, pods)
