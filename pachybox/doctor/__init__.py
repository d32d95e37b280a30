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
from pachybox.pps.placement import PROCESS
from pachybox.pps.runners.base import Finding, Runner
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.process import ProcessRunner


def findings(
    config: Config,
    runner: Runner | None = None,
    podman: PodmanRunner | None = None,
    more: Iterable[Finding] = (),
) -> list[Finding]:
    """Everything worth knowing, in the order of the codes. ``runner`` and ``podman`` are the box's
    own when it runs, and ``more`` what only it knows; otherwise new runners are asked."""
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
