"""``pachybox doctor``: what is wrong with this machine and this box, each thing with a code and a
remedy (codes.py).

Works without a box running, which then says what it knows itself. Nothing is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from pachybox.config import Config
from pachybox.containers.engine import Engine
from pachybox.doctor import doors, home, machine, service, settings
from pachybox.doctor.codes import numbered
from pachybox.pps.placement import KUBERNETES, PROCESS
from pachybox.pps.runners.base import Finding, Runner
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.pods.runner import PodsRunner
from pachybox.pps.runners.process import ProcessRunner


def findings(
    config: Config,
    runner: Runner | None = None,
    podman: PodmanRunner | None = None,
    more: Iterable[Finding] = (),
    pods: PodsRunner | None = None,
) -> list[Finding]:
    """Everything worth knowing, in the order of the codes. ``runner``, ``podman`` and
    ``pods`` are the box's own when it runs, and ``more`` what only it knows; otherwise new runners
    are asked."""
    running = runner is not None
    if runner is None:
        runner = ProcessRunner(hide=(config.home,))
    made = [
        *machine.findings(config),
        *home.findings(config, running=running),
        *settings.findings(config, running=running),
        *doors.findings(config, running=running),
        *runner.probe(),
        *_containers(config, runner, podman),
        *_pods(config, runner, pods, running=running),
        *service.findings(running=running),
        *more,
    ]
    return numbered(made)


def _containers(config: Config, runner: Runner, podman: PodmanRunner | None) -> list[Finding]:
    if podman is not None:
        return podman.probe()
    if config.runner == PROCESS or not isinstance(runner, ProcessRunner):
        detail = "not used: pipelines are processes here unless made with --runner podman"
        return [Finding("containers", "ok", detail)]
    with tempfile.TemporaryDirectory(prefix="pachybox-doctor-") as folder:
        engine = Engine(Path(folder))
        try:
            return PodmanRunner(engine, runner, Path(folder)).probe()
        finally:
            engine.close()


def _pods(
    config: Config, runner: Runner, pods: PodsRunner | None, *, running: bool
) -> list[Finding]:
    """About the cluster, where the box uses one."""
    asked = not running and config.runner == KUBERNETES
    if pods is None and asked and isinstance(runner, ProcessRunner):
        pods = PodsRunner(runner, config.home, config)
    if pods is not None:
        return pods.probe()
    detail = "not used: pipelines are not run in Pods unless made with --runner kubernetes"
    return [Finding("cluster", "ok", detail)]
