"""The data directory: rights, file system, room, and whether its parts can be read."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pachybox.config import Config
from pachybox.doctor.codes import found
from pachybox.model.units import format_size
from pachybox.pps.runners.base import Finding
from pachybox.watermarks import REMEDY, Level, Marks, disk_of, is_read_only

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "fuse.glusterfs")
_MEMORY = ("tmpfs", "ramfs")
_FEW_INODES = (0.05, 0.01)  # of all: warn, fail


def findings(config: Config, *, running: bool) -> Iterator[Finding]:
    """What can be seen from outside; ``running``: this is the box itself."""
    home = config.home
    where = _existing_parent(home)
    facts = os.statvfs(where)
    yield from _access(home, where)
    yield from _file_system(home, where)
    yield _disk(config, facts)
    yield _inodes(facts)
    if there(home):
        yield from _inside(config, running)


def there(path: Path) -> bool:
    """Whether ``path`` exists, as far as this user may see."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _access(home: Path, where: Path) -> Iterator[Finding]:
    if is_read_only(where):
        yield found(
            "PB206",
            "fail",
            f"the file system of {home} is read-only",
            "see dmesg for why and check the disk; then: mount -o remount,rw",
        )
    elif not os.access(where, os.W_OK | os.X_OK):
        remedy = "set PACHYBOX_HOME to a directory of yours, or be the user the box runs as"
        yield found("PB201", "fail", f"{home} cannot be written", remedy)
        return
    state = "exists" if there(home) else "will be made"
    yield found("PB201", "ok", f"{home} ({state})")
    if there(home) and home.stat().st_mode & 0o077:
        yield found(
            "PB202",
            "warn",
            f"{home} can be read by other users of this machine",
            f"run: chmod 700 {home}",
        )


def _existing_parent(path: Path) -> Path:
    while not there(path):
        path = path.parent
    return path


def _file_system(home: Path, where: Path) -> Iterator[Finding]:
    kind = _kind_of(where)
    if kind in _NETWORK:
        text = f"{home} is on a network file system, where locks and fsync may not hold"
        yield found("PB203", "warn", text, "keep the data directory on a local disk")
    elif kind in _MEMORY:
        text = f"{home} is in memory ({kind}): it is gone when the machine starts again"
        yield found("PB203", "warn", text, "keep the data directory on a disk")
    elif kind == "overlay":
        text = f"{home} is in a container's own layer: it is gone with the container"
        yield found("PB203", "warn", text, "give the container a volume for it")
    elif kind:
        yield found("PB203", "ok", kind)


def _kind_of(path: Path) -> str:
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


def _disk(config: Config, facts: os.statvfs_result) -> Finding:
    disk = disk_of(facts)
    text = f"{format_size(disk.available)} free of {format_size(disk.used + disk.available)}"
    marks = Marks.of(config)
    level = marks.level(disk)
    if level == Level.FREE:
        return found("PB204", "ok", f"{text} ({disk.shown} used)")
    trouble = marks.warning(disk, level).removesuffix(f"; {REMEDY}")
    return found("PB204", "fail" if level == Level.REFUSE else "warn", trouble, REMEDY)


def _inodes(facts: os.statvfs_result) -> Finding:
    if not facts.f_files:
        return found("PB205", "ok", "this file system makes them as they are needed")
    share = facts.f_favail / facts.f_files
    text = f"{facts.f_favail:,} of {facts.f_files:,} left"
    warn, fail = _FEW_INODES
    if share >= warn:
        return found("PB205", "ok", text)
    remedy = "remove small files on that file system, or make it with more inodes"
    return found("PB205", "fail" if share < fail else "warn", text, remedy)


# ---- what is in it


def _inside(config: Config, running: bool) -> Iterator[Finding]:
    try:
        entries = {entry.name: entry for entry in config.home.iterdir()}
    except OSError:  # another user's, which was said
        return
    yield from _owner(config.home, entries)
    yield from _parts(config.home, entries)
    lock = _lock(config, running)
    yield lock
    if not running and lock.level == "ok" and "meta.duckdb" in entries:
        from pachybox.doctor import cold

        yield from cold.findings(config)


def _owner(home: Path, entries: dict[str, Path]) -> Iterator[Finding]:
    mine = home.stat().st_uid
    others = sorted(name for name, path in entries.items() if _uid(path, mine) != mine)
    if others:
        yield found(
            "PB207",
            "fail",
            f"{', '.join(others)} in {home} belong to another user than it",
            f"as root, with the box stopped: chown -R --reference={home} {home}",
        )


def _uid(path: Path, gone: int) -> int:
    """Of one that was there a moment ago: a box makes files and removes them."""
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return gone


def _parts(home: Path, entries: dict[str, Path]) -> Iterator[Finding]:
    for here, missing in (("meta.duckdb", "store"), ("store", "meta.duckdb")):
        if here in entries and missing not in entries:
            remedy = f"put {missing} back, or restore a backup"
            yield found("PB210", "fail", f"{home} has {here} and no {missing}", remedy)


def _lock(config: Config, running: bool) -> Finding:
    path = config.pid_file
    if running:
        return found("PB208", "ok", f"held by this box, process {os.getpid()}")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        if e.errno == errno.ENOENT:
            return found("PB208", "ok", "no box runs here")
        remedy = "run this as the user the box runs as"
        return found("PB208", "fail", f"{path} cannot be read: {e.strerror}", remedy)
    try:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return found(
            "PB208",
            "fail",
            f"process {pid or 'unknown'} holds {config.home} and does not answer",
            f"it may be starting or stopping; see {config.log_file}; if it hangs: kill {pid}",
        )
    finally:
        os.close(fd)
    ended = f"; the last one (process {pid}) was killed, the next start recovers" if pid else ""
    return found("PB208", "ok", f"no box runs here{ended}")
