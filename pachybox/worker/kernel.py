"""The Linux calls Python 3.11 has no name for: namespaces, mounts, prctl. Linux only.

Every function raises OSError naming the call and the path. Callers are single-threaded:
``fork_into`` is a bare clone, without the locks os.fork() mends for threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
_SIGCHLD = 17

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
_KEPT = {1: MS_RDONLY, 2: MS_NOSUID, 4: MS_NODEV, 8: MS_NOEXEC, 1024: 1024, 4096: MS_RELATIME}
_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_FROM_EMPTY_PATH = 4
_RESOLVE_IN_ROOT = 16
# One number on every architecture.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
# The generic table serves arm64 and riscv64; elsewhere clone's arguments differ too.
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}.get(platform.machine())

# PyDLL keeps the interpreter's lock across the call: what fork_into needs, and cheaper.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]

Path = str | bytes


def _check(result: int, call: str, path: Path = b"") -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", os.fsdecode(path) or None)


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def enter(namespace: int, kind: int) -> None:
    """Move this process into the namespace of a descriptor; ``kind`` is its CLONE_* flag."""
    _check(_libc.setns(namespace, kind), "setns")


def fork_into(flags: int) -> int:
    """Fork; the child starts in the new namespaces of ``flags`` (0: a plain fork)."""
    if not flags:
        return os.fork()
    if _SYS_CLONE is None:
        raise OSError(errno.ENOSYS, "clone: not known for this processor")
    pid = int(_libc.syscall(_SYS_CLONE, ctypes.c_long(flags | _SIGCHLD), *[ctypes.c_long(0)] * 4))
    _check(pid, "clone")
    return pid


def mount(source: Path, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); ``kind`` and ``data`` may be empty."""
    done = _libc.mount(
        os.fsencode(source) or None, os.fsencode(target), kind.encode() or None, flags,
        data.encode() or None,
    )  # fmt: skip
    _check(done, "mount", target)


def unmount(target: Path) -> None:
    """Take a mount away at once, whoever still uses it."""
    _check(_libc.umount2(os.fsencode(target), _DETACH), "umount", target)


def bind(source: Path, target: Path, *, readonly: bool = False, guard: bool = True) -> None:
    """Show ``source`` and the mounts below it at ``target``.

    ``guard`` forbids set-user-id programs and device nodes there. Flags the source has
    already are never lifted, which a user namespace would not allow.
    """
    mount(source, target, flags=MS_BIND | MS_REC)
    flags = (MS_RDONLY if readonly else 0) | (MS_NOSUID | MS_NODEV if guard else 0)
    if flags:
        restrict(target, flags)


def restrict(target: Path, flags: int, *, recursive: bool = True) -> None:
    """Add MS_RDONLY, MS_NOSUID, MS_NODEV or MS_NOEXEC to a mount and those below it."""
    attr = struct.pack("=QQQQ", flags, 0, 0, 0)  # the first four flags are the same bits there
    done = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_long(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_long(_AT_RECURSIVE if recursive else 0),
        ctypes.c_char_p(attr),
        ctypes.c_long(len(attr)),
    )
    if done < 0 and ctypes.get_errno() == errno.ENOSYS:  # before Linux 5.12
        for point in _mounts_from(target) if recursive else [os.fsencode(target)]:
            kept = os.statvfs(point).f_flag
            had = sum(to for bit, to in _KEPT.items() if kept & bit)
            mount("", point, flags=MS_REMOUNT | MS_BIND | flags | had)
        return
    _check(done, "mount_setattr", target)


def _mounts_from(target: Path) -> list[bytes]:
    top = os.path.realpath(os.fsencode(target))
    with open("/proc/self/mountinfo", "rb") as info:
        # The kernel writes blanks and the like as \ooo.
        points = [
            re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), row.split(b" ", 5)[4])
            for row in info
        ]
    return [point for point in points if point == top or point.startswith(top + b"/")]


def detached(source: Path) -> int:
    """A copy of the mounts at ``source`` that stands nowhere yet, as a descriptor."""
    fd = _libc.syscall(
        ctypes.c_long(_SYS_OPEN_TREE),
        ctypes.c_long(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(source)),
        ctypes.c_long(_OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC),
    )
    _check(fd, "open_tree", source)
    return int(fd)


def open_inside(root: Path, path: str) -> int:
    """A file below ``root``, to be read; links lead to where they do for who has that as its root.
    Nothing is waited for, also where it is a pipe."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        fd = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_long(folder),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.c_char_p(how),
            ctypes.c_long(len(how)),
        )
        _check(fd, "openat2", path)
    finally:
        os.close(folder)
    return int(fd)


def attach(fd: int, target: Path) -> None:
    """Let what ``detached`` gave stand at ``target``; the descriptor is closed."""
    done = _libc.syscall(
        ctypes.c_long(_SYS_MOVE_MOUNT),
        ctypes.c_long(fd),
        ctypes.c_char_p(b""),
        ctypes.c_long(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_long(_FROM_EMPTY_PATH),
    )
    os.close(fd)
    _check(done, "move_mount", target)


def move_detached(source: Path, target: Path) -> None:
    """Show ``source`` at ``target`` by way of a detached mount, from a namespace entered by name:
    the calls that the shim makes and nothing else here does."""
    with open("/proc/self/ns/mnt") as own:
        _check(_libc.setns(own.fileno(), CLONE_NEWNS), "setns")
    attach(detached(source), target)


def pivot(new_root: Path) -> None:
    """Make ``new_root`` (a mount point) the root and the working directory; forget the old one."""
    os.chdir(new_root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root", new_root)
    unmount(b".")
    os.chdir("/")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def die_with_parent(signal: int) -> None:
    """Send this process ``signal`` when its parent thread ends; a change of user undoes it."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_dumpable(on: bool) -> None:
    """Whether others of the same user may trace this process and read its /proc entries."""
    _prctl(_PR_SET_DUMPABLE, int(on))


def no_new_privileges() -> None:
    """From now on no program gains rights by being set-user-id; children inherit this."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities() -> None:
    """Let the program that this process executes next hold all that the process holds.

    Root's programs do anyhow; in a user namespace the ambient set carries them over.
    """
    if os.geteuid() == 0:
        return
    head = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)  # effective, permitted, inheritable: low, then high
    _check(_libc.capget(head, sets), "capget")
    low, high = struct.unpack_from("=III III", sets)[1::3]
    struct.pack_into("=III III", sets, 0, low, low, low, high, high, high)
    _check(_libc.capset(head, sets), "capset")
    for number in range(64):
        if (low | high << 32) >> number & 1:
            zero = ctypes.c_ulong(0)
            raised = ctypes.c_ulong(number)
            ambient = ctypes.c_ulong(_PR_CAP_AMBIENT_RAISE)
            _check(_libc.prctl(_PR_CAP_AMBIENT, ambient, raised, zero, zero), "prctl ambient")


def limit_capabilities(kept: frozenset[int]) -> None:
    """No program run from here on can hold a capability outside ``kept``; needs CAP_SETPCAP."""
    for number in range(64):
        if number in kept:
            continue
        try:
            _prctl(_PR_CAPBSET_DROP, number)
        except OSError as e:
            if e.errno == errno.EINVAL:  # past the last one this kernel knows
                return
            raise
