"""``pachybox doctor``: what this machine and this data directory can and cannot do.

Works without a box running. Every trouble is named with its remedy.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pachybox.config import Config
from pachybox.containers.engine import Engine
from pachybox.model.units import format_size
from pachybox.pps.placement import PROCESS
from pachybox.pps.runners.base import Finding, Runner
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.process import ProcessRunner
from pachybox.watermarks import REMEDY, Level, Marks, disk_of

_FILES_WANTED = 4096


def findings(
    config: Config, runner: Runner | None = None, podman: PodmanRunner | None = None
) -> list[Finding]:
    """Everything worth knowing, in the order of reading. ``runner`` and ``podman`` are the box's
    own when it runs; otherwise new ones are asked."""
    if runner is None:
        runner = ProcessRunner(hide=(config.home,))
    return [
        _python(),
        *_home(config),
        _disk(config),
        _open_files(),
        _kernel_copy(),
        *runner.probe(),
        *_containers(config, runner, podman),
    ]


def _python() -> Finding:
    version = ".".join(str(n) for n in sys.version_info[:3])
    return Finding("python", "ok", f"Python {version} on {os.uname().machine}")


def _home(config: Config) -> Iterator[Finding]:
    home = config.home
    where = home if home.exists() else _existing_parent(home)
    if not os.access(where, os.W_OK):
        yield Finding(
            "data directory",
            "fail",
            f"{home} cannot be written",
            "set PACHYBOX_HOME to a directory of yours",
        )
        return
    state = "exists" if home.exists() else "will be made"
    yield Finding("data directory", "ok", f"{home} ({state})")
    if home.exists() and home.stat().st_mode & 0o077:
        yield Finding(
            "data directory rights",
            "warn",
            f"{home} can be read by other users of this machine",
            f"run: chmod 700 {home}",
        )
    if _file_system(where) in ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"):
        yield Finding(
            "file system",
            "warn",
            f"{home} is on a network file system, where locks and fsync may not hold",
            "keep the data directory on a local disk",
        )


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _file_system(path: Path) -> str:
    """The type of the file system that holds ``path``, from /proc/self/mounts."""
    best, kind = "", ""
    target = str(path.resolve())
    try:
        mounts = Path("/proc/self/mounts").read_text()
    except OSError:
        return ""
    for line in mounts.splitlines():
        fields = line.split()
        mount = fields[1].replace("\\040", " ")
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind


def _disk(config: Config) -> Finding:
    disk = disk_of(os.statvfs(_existing_parent(config.home)))
    text = f"{format_size(disk.available)} free of {format_size(disk.used + disk.available)}"
    marks = Marks.of(config)
    level = marks.level(disk)
    if level == Level.FREE:
        return Finding("disk", "ok", f"{text} ({disk.shown} used)")
    trouble = marks.warning(disk, level).removesuffix(f"; {REMEDY}")
    return Finding("disk", "fail" if level == Level.REFUSE else "warn", trouble, REMEDY)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES_WANTED <= hard:
        return Finding(
            "open files",
            "warn",
            f"limit {soft}; many clients at once may meet it",
            f"run: ulimit -n {_FILES_WANTED}",
        )
    return Finding("open files", "ok", f"limit {soft}")


def _kernel_copy() -> Finding:
    if hasattr(os, "copy_file_range"):
        return Finding("kernel copy", "ok", "large files are copied inside the kernel")
    return Finding("kernel copy", "warn", "not available: large files are copied by reading")


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
