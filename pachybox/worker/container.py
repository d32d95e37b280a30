"""Into a container that a runner started: its namespaces opened, and /pfs made in a copy of its
mounts, so that the shim finds there what it finds in a sandbox that the worker made itself.

What is done here to the container's files: empty directories /pfs and /.pachybox, and those that
secrets are shown in. All mounts are in the copy, and go with the worker.
"""

# Bare system calls on strings, as in sandbox.
# ruff: noqa: PTH102

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from pachybox.errors import Refused
from pachybox.worker import kernel, mounts, sandbox, secrets
from pachybox.worker.identity import Identity
from pachybox.worker.wire import JSON

ENDED = "the container ended before its worker was there"
_OTHERS = ("ipc", "uts", "net", "cgroup")
_MOST_USERS = 16 << 20  # characters of a file of users


@dataclass(frozen=True, slots=True)
class Container:
    """A container as its runner saw it: ``pid`` is its first process, ``kept`` the capabilities
    that one may hold at most, the rest what podman made of image and spec for it."""

    id: str
    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    kept: int
    env: Mapping[str, str]

    @classmethod
    def of(cls, given: JSON) -> Container:
        """From the seal of a start frame."""
        return cls(**{**given, "groups": tuple(given["groups"])})


@dataclass(frozen=True, slots=True)
class Joined:
    """Descriptors of a container's namespaces, to be inherited by the shim: ``inside`` the copy of
    its mounts, ``pids`` its process numbers, ``others`` the rest. ``identity`` is who user code is
    there, by name as well where its image has one."""

    container: Container
    identity: Identity
    inside: int
    pids: int
    others: tuple[int, ...]


def join(container: Container, files: Mapping[str, bytes], shown: Mapping[str, str]) -> Joined:
    """Open ``container`` and prepare a copy of its mounts; ``files`` are shown there, to its user
    alone, and the host's directories of ``shown`` (see WorkerSpec). This process is in a copy of
    the machine's mounts afterwards.

    Raises Refused when the container has ended, or its image leaves no place for /pfs; OSError
    where the kernel forbids it.
    """
    spaces, pids, others = _open(container)
    if sandbox.own_mounts():
        raise Refused("containers take root", "run the box as root, or use --runner process")
    own = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)  # inside, /proc knows us not
    outside = os.open("ns/mnt", os.O_RDONLY, dir_fd=own)
    directories = mounts.open_all(shown)
    kernel.enter(spaces, kernel.CLONE_NEWNS)
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    for place in ("/pfs", sandbox.BATCH_DIR):
        _make(place)
    identity = Identity(container.uid, container.gid, _name(container.uid))
    secrets.show(files, "", identity)
    mounts.show(directories, "")
    inside = os.open("ns/mnt", os.O_RDONLY, dir_fd=own)
    kernel.enter(outside, kernel.CLONE_NEWNS)
    for fd in (spaces, own, outside):
        os.close(fd)
    for fd in (inside, pids, *others):
        os.set_inheritable(fd, True)
    return Joined(container, identity, inside, pids, others)


def _open(container: Container) -> tuple[int, int, tuple[int, ...]]:
    """The namespaces of its first process, which is sure to be the one that was meant: the folder
    is opened first, and what it says of control groups names the container."""
    gone = Refused(ENDED, "the datum will be run again")
    try:
        proc = os.open(f"/proc/{container.pid}", os.O_RDONLY | os.O_DIRECTORY)
        spaces, pids, *others = [
            os.open(f"ns/{name}", os.O_RDONLY, dir_fd=proc) for name in ("mnt", "pid", *_OTHERS)
        ]
        with open(os.open("cgroup", os.O_RDONLY, dir_fd=proc)) as file:
            groups = file.read()
    except (FileNotFoundError, ProcessLookupError):
        raise gone from None
    os.close(proc)
    if container.id not in groups:
        raise gone
    return spaces, pids, tuple(others)


def _name(uid: int) -> str:
    """The image's name for a user; "" when it has none. Its home is in the environment already."""
    try:
        found = rows(os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return ""
    return next((row[0] for row in found if len(row) > 2 and row[2] == str(uid)), "")


def rows(fd: int) -> list[list[str]]:
    """The lines of an image's file of users or groups, each in its parts; the file is closed. None
    when it is no file: an image may have there what never ends. Raises OSError."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return []
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        return [line.split(":") for line in file.read(_MOST_USERS).splitlines()]


def _make(place: str) -> None:
    try:
        os.mkdir(place, 0o755)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            raise Refused(
                f"the image has a file {place}, where the box shows its own",
                "build the image without it",
            ) from None
