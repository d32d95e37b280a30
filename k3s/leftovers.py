"""What k3s leaves when it is stopped: containers, mounts, interfaces. Each is known by what only
k3s makes; nothing else is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from k3s.places import KUBELET, PROGRAM, Places
from pachybox.errors import Refused
from pachybox.placing import mounts

_RUN = Path("/run/k3s")
_BRIDGE = "cni0"
_INTERFACES = ("flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0", _BRIDGE)
_NETS = Path("/run/netns")


def end_all(places: Places) -> list[str]:
    """End the processes, unmount, remove the interfaces: what was done, for people. k3s must have
    been stopped. Raises Refused for a mount that cannot be removed."""
    ended = _end_processes(places)
    found = [f"{ended} processes"] if ended else []
    if mounts := list(unmounted(places)):
        found.append(f"{len(mounts)} mounts")
    return found + [f"interface {name}" for name in _remove_interfaces()]


def unmounted(places: Places) -> Iterator[Path]:
    """Remove the mounts, the deepest first, saying each."""
    for path in sorted(mounts_of(places), key=lambda path: len(path.parts), reverse=True):
        done = subprocess.run(["umount", path], capture_output=True, text=True, check=False)
        if done.returncode and path in mounts_of(places):
            lazy = subprocess.run(["umount", "-l", path], capture_output=True, check=False)
            if lazy.returncode:
                raise Refused(f"umount {path}: {done.stderr.strip()}", "unmount it by hand")
        if path.parent == _NETS:
            path.unlink(missing_ok=True)
        yield path


def mounts_of(places: Places) -> list[Path]:
    """The mounts that k3s, its kubelet and its containers made."""
    below = (_RUN, KUBELET / "pods", KUBELET / "plugins", places.data / "agent")
    return [
        path
        for path in mounts()
        if any(path.is_relative_to(one) and path != one for one in below)
        or (path.parent == _NETS and path.name.startswith("cni-"))
    ]


def _end_processes(places: Places) -> int:
    """Kill the shims and whatever stands below them: how many."""
    programs = places.data / "data"
    parents: dict[int, int] = {}
    roots = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            program = Path(str((folder / "exe").readlink()).removesuffix(" (deleted)"))
            named = program == PROGRAM or program.is_relative_to(programs)
            mine = named and of_this_machine(folder)
        except OSError:  # it has ended, or is the kernel's
            continue
        pid = int(folder.name)
        parents[pid] = int(stat[1])
        if mine:
            roots.add(pid)
    ended = {pid for pid in parents if _below(pid, parents, roots)} - {os.getpid()}
    for pid in ended:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(ended)


def of_this_machine(folder: Path) -> bool:
    """Whether the process of a folder of /proc sees the files of this machine: that of another,
    which is a container here, has programs at the same paths. Raises OSError when it has ended."""
    return (folder / "root").samefile("/")


def _below(pid: int, parents: dict[int, int], roots: set[int]) -> bool:
    seen = set()
    while pid and pid not in seen:
        if pid in roots:
            return True
        seen.add(pid)
        pid = parents.get(pid, 0)
    return False


def _remove_interfaces() -> Iterator[str]:
    """Remove those of flannel and the bridge of Pods, with what hangs on it."""
    net = Path("/sys/class/net")
    bridged = [path.name for path in net.glob(f"{_BRIDGE}/brif/*")]
    ip = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    for name in (*bridged, *_INTERFACES):
        if ip and (net / name).exists():
            command = [ip, "link", "delete", name]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                yield name
