"""The file system a datum sees: the host's, with /pfs added and the box's own data hidden.

A worker calls ``prepare`` once, which builds a root directory beside the host's in a mount
namespace of the worker's own: every top-level entry of / bound, an empty /pfs, empty
read-only directories where the box keeps its data. Each datum's first process calls
``enter``, which puts inputs and out under /pfs in a further namespace and moves in.
Nothing is made or changed on the host but an empty directory in the worker's work_dir.

What user code cannot do there, root or not: write to an input, remount or unmount
anything, reach the store. docs/runners.md says what it still can.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH102, PTH103, PTH112, PTH115, PTH211

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pachybox.worker import kernel, mounts, secrets
from pachybox.worker.identity import Identity
from pachybox.worker.kernel import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY
from pachybox.worker.layout import Layout

FULL = "full"  # mount and PID namespaces
MOUNT = "mount"  # a mount namespace only: a datum's processes are found by descent
NONE = "none"  # no namespace: inputs must be copies, /pfs is rewritten
LEVELS = (FULL, MOUNT, NONE)

# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE NET_RAW SYS_CHROOT
# AUDIT_WRITE: what container engines leave to root, less the making of device nodes and of
# capability files. In particular no SYS_ADMIN (mounts), no DAC_READ_SEARCH (files by handle).
KEPT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 10, 13, 18, 29})

# What root sees of /dev: no disk among it, since a disk holds the store.
_DEVICES = frozenset(
    {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue"}
    | {"hugepages", "fd", "stdin", "stdout", "stderr", "kfd", "dri", "snd", "infiniband"}
)
_DEVICE_PREFIXES = ("nvidia",)

BATCH_DIR = "/.pachybox"  # where batched user code finds the socket to ask at

# Written by root, these change the running kernel.
_PROC_READONLY = ("sys", "sysrq-trigger", "irq", "bus")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The prepared root.

    ``rootless``: it took a user namespace; ``skipped``: entries of / that could not be shown.
    """

    level: str
    root: str = ""
    rootless: bool = False
    skipped: tuple[str, ...] = ()

    @property
    def namespaces(self) -> int:
        """The clone flags of a datum's first process."""
        if self.level == NONE:
            return 0
        return kernel.CLONE_NEWNS | (kernel.CLONE_NEWPID if self.level == FULL else 0)

    def enter(self, layout: Layout, out: str, *, as_root: bool) -> None:
        """In a datum's first process: present ``layout`` and ``out`` under /pfs and move in.

        ``as_root``: user code will have uid 0, so the kernel's own files are protected too.
        """
        if self.level == NONE:
            return
        if layout.image is not None:
            raise OSError(errno.ENOTSUP, "an image is shown by the shim alone", str(layout.image))
        pfs = self.root + "/pfs"
        room = (1 << 20) + sum((len(content) | 4095) + 1 for _, content in layout.files)
        kernel.mount("tmpfs", pfs, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=755,size={room}")
        if layout.tree is not None:
            with os.scandir(layout.tree) as entries:
                for entry in entries:
                    _show(entry.path, f"{pfs}/{entry.name}", readonly=True)
        write_files(layout, pfs)
        for path, source in layout.links:
            target = f"{pfs}/{path}"
            if not os.path.lexists(target):
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
            kernel.bind(source, target, readonly=True)
        _show(out, pfs + "/out", readonly=False)
        kernel.restrict(pfs, MS_RDONLY, recursive=False)
        kernel.pivot(self.root)
        if self.level == FULL:
            try:
                kernel.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            except PermissionError:
                pass  # inside some containers: the outer /proc stays, with outer numbers
        if as_root and not self.rootless:
            _protect_proc("/proc")


def write_files(layout: Layout, pfs: str) -> None:
    """The directories and the small files of a layout, under ``pfs``."""
    for path in layout.dirs:
        os.makedirs(f"{pfs}/{path}", 0o755, exist_ok=True)
    for path, content in layout.files:
        fd = os.open(f"{pfs}/{path}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
        with open(fd, "wb") as file:
            file.write(content)


def prepare(
    level: str,
    work_dir: str,
    hide: Sequence[str],
    files: Mapping[str, bytes] | None = None,
    owner: Identity | None = None,
    shown: Mapping[str, str] | None = None,
) -> Sandbox:
    """Make this process's mount namespace and the root its datums will move into.

    ``hide`` (and work_dir) appear to user code as empty read-only directories, ``files`` as
    files in memory that ``owner`` alone can read, the directories of ``shown`` read-only at
    their paths. ``seal`` is still to be called. Raises OSError where the machine forbids it; the
    process is then good for nothing else.
    """
    if level == NONE:
        if files:
            secrets.refuse_without_mounts(files)
        if shown:
            mounts.refuse(shown)
        return Sandbox(NONE)
    rootless = own_mounts()
    root = work_dir + "/.root"
    os.makedirs(root, exist_ok=True)
    kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    # Else the binding of the entry that holds work_dir would show the new root within itself.
    kernel.mount("", root, flags=kernel.MS_UNBINDABLE)
    skipped = tuple(name for name in os.listdir("/") if not _fill(root, name, rootless))
    os.mkdir(root + "/pfs")
    os.mkdir(root + BATCH_DIR)
    for path in _outermost([os.path.realpath(p) for p in (*hide, work_dir)]):
        if os.path.isdir(root + path):
            options = "mode=555,size=4k"
            kernel.mount("tmpfs", root + path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, options)
    mounts.show(shown or {}, root)
    secrets.show(files or {}, root, owner)
    kernel.mount("", root, flags=kernel.MS_PRIVATE)
    kernel.restrict(root, MS_RDONLY, recursive=False)
    if not rootless and level == MOUNT:
        _protect_proc(root + "/proc")
    return Sandbox(level, root, rootless, skipped)


def seal(box: Sandbox) -> None:
    """From here on no program this process runs can gain rights, and orphans come to it."""
    kernel.adopt_orphans()
    if box.level != NONE:
        kernel.limit_capabilities(kept_capabilities())
    kernel.no_new_privileges()


def kept_capabilities() -> frozenset[int]:
    """What user code may hold at most."""
    return KEPT_CAPABILITIES if os.geteuid() == 0 else frozenset()


def own_mounts() -> bool:
    """Enter a mount namespace of our own; True when that took a user namespace as well.

    Mounts made on the host later still arrive (and go), ours never leave. In the user
    namespace the process keeps its own user and group numbers.
    """
    uid, gid = os.geteuid(), os.getegid()
    rootless = False
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
    except PermissionError:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        rootless = True
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    return rootless


def _fill(root: str, name: str, rootless: bool) -> bool:
    """Show one top-level entry of / in the new root; False when that is not possible."""
    source, target = "/" + name, f"{root}/{name}"
    if name == "pfs":
        return True
    if name == "dev" and not rootless:
        _devices(target)
        return True
    try:
        shown = _show(source, target, readonly=name == "sys" and not rootless, guard=False)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.ENOMEM):
            raise
        return False
    return shown


def _show(source: str, target: str, *, readonly: bool, guard: bool = True) -> bool:
    """Make ``target`` and bind ``source`` there (a symlink is copied); False for sockets and
    disks."""
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
        return True
    if stat.S_ISDIR(mode):
        os.mkdir(target)
    elif stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    else:
        return False
    kernel.bind(source, target, readonly=readonly, guard=guard)
    return True


def _devices(target: str) -> None:
    os.mkdir(target)
    kernel.mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for name in os.listdir("/dev"):
        if name in _DEVICES or name.startswith(_DEVICE_PREFIXES):
            _show("/dev/" + name, f"{target}/{name}", readonly=False, guard=False)
    kernel.restrict(target, MS_RDONLY, recursive=False)


def _protect_proc(proc: str) -> None:
    for name in _PROC_READONLY:
        path = f"{proc}/{name}"
        if os.path.lexists(path):
            kernel.bind(path, path, readonly=True, guard=False)


def _outermost(paths: list[str]) -> list[str]:
    """``paths`` without those inside another, and without /, which cannot be hidden."""
    kept: list[str] = []
    for path in sorted(set(paths) - {"/"}):
        if not any(path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept
