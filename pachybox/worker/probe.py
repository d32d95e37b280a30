"""What this machine allows a worker: each step of the sandbox tried for real, in a child.

The answers are plain facts; the process runner turns them into doctor's findings.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH102, PTH103, PTH108, PTH112

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable

from pachybox.worker import handover, kernel, sandbox

_SETTINGS = (
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
    "user/max_mnt_namespaces",
    "user/max_pid_namespaces",
)


def facts(folder: str = "") -> dict[str, object]:
    """Facts by name: each step's error ("" when it works), kernel settings, identity.

    ``level`` is the strongest sandbox all whose steps work; ``shim`` and ``image`` say why
    there is none. Images will lie in ``folder``.
    """
    steps: dict[str, Callable[[], None]] = {
        "mounts": _mounts,
        "readonly": _readonly,
        "pids": _pids,
        "proc": _proc,
    }
    tried = {name: _attempt(step) for name, step in steps.items()}
    if tried["mounts"] or tried["readonly"]:
        level = sandbox.NONE
    else:
        level = sandbox.MOUNT if tried["pids"] else sandbox.FULL
    return {
        "steps": tried,
        "level": level,
        "rootless": not _attempt(_rootless),
        "settings": {name: _setting(name) for name in _SETTINGS},
        "uid": os.geteuid(),
        "kernel": os.uname().release,
        "shim": handover.why_not({}) or _attempt(_detached),
        "image": _attempt(lambda: _image(folder)),
    }


def _attempt(step: Callable[[], None]) -> str:
    """Run ``step`` in a child; what it died of, "" when it did not."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            step()
        except BaseException as e:
            os.write(theirs, (str(e) or type(e).__name__).encode()[:4096])
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text.decode()


def _mounts() -> None:
    sandbox.own_mounts()


def _rootless() -> None:
    if not sandbox.own_mounts():
        raise PermissionError("a user namespace is not needed")


def _readonly() -> None:
    folder = tempfile.gettempdir()
    sandbox.own_mounts()
    kernel.mount("tmpfs", folder, "tmpfs", 0, "size=64k")
    os.makedirs(folder + "/from/below")
    os.mkdir(folder + "/to")
    kernel.mount("tmpfs", folder + "/from/below", "tmpfs", 0, "size=64k")
    kernel.bind(folder + "/from", folder + "/to", readonly=True)
    for name in ("/to/x", "/to/below/x"):
        try:
            os.mkdir(folder + name)
        except OSError:
            continue
        raise OSError("a read-only bind mount could be written to")


def _pids() -> None:
    sandbox.own_mounts()
    pid = kernel.fork_into(kernel.CLONE_NEWPID)
    if pid == 0:
        os._exit(0 if os.getpid() == 1 else 1)
    if os.waitpid(pid, 0)[1]:
        raise OSError("a new PID namespace does not start at 1")


def _proc() -> None:
    sandbox.own_mounts()
    ours, theirs = os.pipe()
    pid = kernel.fork_into(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS)
    if pid == 0:
        try:
            kernel.mount("proc", "/proc", "proc")
        except OSError as e:
            os.write(theirs, str(e).encode())
        os._exit(0)
    os.close(theirs)
    text = os.read(ours, 4096)
    os.waitpid(pid, 0)
    if text:
        raise OSError(text.decode())


def _detached() -> None:
    folder = tempfile.gettempdir()
    sandbox.own_mounts()
    kernel.mount("tmpfs", folder, "tmpfs", 0, "size=64k")
    os.makedirs(folder + "/from/below")
    os.mkdir(folder + "/to")
    kernel.move_detached(folder + "/from", folder + "/to")
    if not os.path.isdir(folder + "/to/below"):
        raise OSError("a detached mount does not arrive where it is attached")


def _setting(name: str) -> str:
    try:
        with open("/proc/sys/" + name) as file:
            return file.read().strip()
    except OSError:
        return ""


def _image(folder: str) -> None:
    """Mount an empty EROFS image that is a file of ``folder``."""
    size = 4096
    root = 36  # an inode number is a place in units of 32 bytes
    data = bytearray(size)
    struct.pack_into("<IIIBBHQQIIII", data, 1024, 0xE0F5E1E2, 0, 0, 12, 0, root, 1, 0, 0, 1, 0, 0)
    struct.pack_into("<HHHHIIIIHHI", data, root * 32, 0, 0, 0o40755, 2, 0, 0, 0, 1, 0, 0, 0)
    sandbox_dir = folder if os.path.isdir(folder) else tempfile.gettempdir()
    fd, path = tempfile.mkstemp(dir=sandbox_dir, prefix=".erofs-")
    try:
        os.write(fd, data)
        if sandbox.own_mounts():
            raise PermissionError("mounting an image takes root")
        kernel.mount(path, sandbox_dir, "erofs", kernel.MS_RDONLY)
        kernel.unmount(sandbox_dir)
    finally:
        os.close(fd)
        os.unlink(path)
