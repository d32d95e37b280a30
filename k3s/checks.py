"""What k3s needs of a machine, looked at before anything is written."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k3s.config import ELSEWHERE
from k3s.keys import read
from k3s.leftovers import of_this_machine
from k3s.places import PROGRAM, UNIT, Places
from k3s.record import Record
from pachybox.errors import Exhausted
from pachybox.model.units import format_size
from pachybox.systemd import Systemd

_LEAST_MEMORY = 448 << 20  # what the kernel leaves of 512 MB
_GOOD_MEMORY = 1 << 30
_UNPACKED = 4
"""Bytes in the data directory for each byte of an archive, once it is unpacked."""
_SPARE = 0.05  # below this share the kubelet throws images and Pods out
_CONTROLLERS = frozenset({"cpu", "memory", "pids"})
_MODULES = ("br_netfilter", "overlay")
_UNITS = ("k3s-agent", "kubelet", "rke2-server", "rke2-agent")
_PROCESSES = ("kubelet", "k3s-server", "k3s-agent", "rke2")
_UNIT_FOLDERS = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
_ROUTES = "if it has no network at all: ip link add dummy0 type dummy && ip link set dummy0 up && "
_ROUTES += "ip addr add 203.0.113.254/31 dev dummy0 && ip route add default via 203.0.113.255 dev "
_ROUTES += "dummy0 metric 1000"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as k3s needs it. ``fatal``: it would not run."""

    what: str
    remedy: str
    fatal: bool = True


def foreign(places: Places, record: Record | None) -> Iterator[Finding]:
    """Another Kubernetes, or a file of another k3s: nothing that was not installed here is ever
    written over."""
    remover = places.on_disk(PROGRAM.with_name("k3s-uninstall.sh"))
    how = "remove it by k3s-uninstall.sh" if remover.exists() else "remove it, or move it away"
    for path in (PROGRAM, places.unit):
        there = places.on_disk(path)
        if (there.exists() or there.is_symlink()) and not (record and record.owns(path)):
            yield Finding(f"{path} was not installed by pachybox", f"{how}; or use it as it is")
    for name in (*_UNITS, UNIT):
        for folder in _UNIT_FOLDERS:
            path = places.root / folder / f"{name}.service"
            if path.exists() and path != places.on_disk(places.unit):
                yield Finding(
                    f"there is another Kubernetes here: /{folder}/{name}.service",
                    "one machine has one: use that, or remove it first",
                )
    if places.live and not _runs(record):
        for pid, name in _kubelets():
            yield Finding(f"process {pid} is a {name}", "one machine has one Kubernetes: end it")


def moved(places: Places) -> Iterator[Finding]:
    """Settings of others that have k3s keep its things where neither this nor a box looks."""
    main = places.config
    folder = main.with_name(f"{main.name}.d")
    files = {main: places.followed(main)}
    files |= {folder / at.name: at for at in sorted(places.on_disk(folder).glob("*.yaml"))}
    for path, at in files.items():
        there = read(at)
        for key, remedy in ELSEWHERE.items():
            if key in there and (path, key) != (main, "data-dir"):  # that one is followed
                yield Finding(
                    f"{path} has {key}, which is not followed there", f"take it out; {remedy}"
                )


def machine(record: Record | None, config: Mapping[str, object]) -> Iterator[Finding]:
    """What this machine lacks. ``config``: what k3s is about to be told."""
    yield from _memory()
    yield from _control_groups()
    yield from _kernel()
    yield from _network(config)
    if not _runs(record):
        yield from _ports(config)


def space(places: Places, files: Mapping[Path, int], archives: int) -> None:
    """Raise Exhausted where ``files`` (by path, in bytes) do not fit, with what k3s unpacks of
    ``archives`` bytes into its data directory."""
    needed: dict[int, tuple[Path, int]] = {}
    for path, size in (*files.items(), (places.data, archives * _UNPACKED)):
        there = _nearest(places.on_disk(path))
        device = there.stat().st_dev
        before = needed.get(device, (there, 0))
        needed[device] = (before[0], before[1] + size)
    for there, size in needed.values():
        disk = os.statvfs(there)
        free = disk.f_bavail * disk.f_frsize
        if size and free < size + int(disk.f_blocks * disk.f_frsize * _SPARE):
            raise Exhausted(
                f"the disk of {there} has {format_size(free)} free; k3s needs "
                f"{format_size(size)} there, unpacked images included, and 5% left over",
                "make room, or have its data on another disk: --data-dir DIR",
            )


def _runs(record: Record | None) -> bool:
    """Whether the k3s that was installed here runs now."""
    manager = Systemd()
    known = record is not None and not manager.why_not()
    return known and manager.shown(UNIT, "MainPID") not in ("", "0")


def _nearest(path: Path) -> Path:
    """The directory that is there, of those that ``path`` is in."""
    return next(parent for parent in path.parents if parent.is_dir())


def _memory() -> Iterator[Finding]:
    total = 0
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) << 10
    if 0 < total < _GOOD_MEMORY:
        yield Finding(
            f"this machine has {format_size(total)} of memory; k3s alone takes 512 MB",
            "take a machine of 1 GB or more, with the box and its pipelines",
            fatal=total < _LEAST_MEMORY,
        )
    if len(_lines("/proc/swaps")) > 1:
        yield Finding(
            "swap is on: what Pods may take of memory is bounded less well",
            "switch it off: swapoff -a, and its line in /etc/fstab",
            fatal=False,
        )


def _control_groups() -> Iterator[Finding]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        found = set(unified.read_text().split())
    else:
        lines = [line.split() for line in _lines("/proc/cgroups")]
        found = {line[0] for line in lines if line[-1] == "1"}
    if missing := sorted(_CONTROLLERS - found):
        yield Finding(
            f"the kernel bounds no {', '.join(missing)} (control groups)",
            "add cgroup_enable=memory cgroup_memory=1 to the kernel's command line "
            "(Raspberry Pi: /boot/firmware/cmdline.txt), then restart the machine",
        )


def _kernel() -> Iterator[Finding]:
    release = platform.release()
    folder = Path("/lib/modules") / release
    loaded = {line.split()[0] for line in _lines("/proc/modules")}
    known = [line.split(":")[0] for line in _lines(folder / "modules.dep")]
    known += _lines(folder / "modules.builtin")
    names = {Path(one).name.split(".")[0].replace("-", "_") for one in known}
    for name in _MODULES:
        if name in loaded | names or Path("/sys/module", name).exists():
            continue
        if name == "overlay" and any("overlay" in line for line in _lines("/proc/filesystems")):
            continue
        yield Finding(
            f"the kernel {release} has no module {name}"
            + ("" if folder.exists() else f", as far as can be told without {folder}"),
            "install the kernel's other modules (Ubuntu: linux-modules-extra-$(uname -r))",
            fatal=folder.exists(),
        )
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        yield Finding(
            "/proc/sys/net/ipv4 cannot be written to, and k3s sets it for Pods",
            "run this on the machine itself; a container needs --privileged",
        )


def _network(config: Mapping[str, object]) -> Iterator[Finding]:
    routes = [line.split() for line in _lines("/proc/net/route")[1:]]
    six = [line.split() for line in _lines("/proc/net/ipv6_route")]
    if any(r[1] == "00000000" for r in routes) or any(
        r[0] == "0" * 32 and r[1] == "00" and r[-1] != "lo" for r in six
    ):
        return
    if "node-ip" not in config:
        yield Finding(
            "this machine has no default route, by which k3s finds its address",
            _ROUTES,
            fatal=False,
        )


def _ports(config: Mapping[str, object]) -> Iterator[Finding]:
    api = str(config.get("https-listen-port", ""))
    for port in (int(api) if api.isdecimal() else 6443, 10250):
        with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("::" if door.family == socket.AF_INET6 else "0.0.0.0", port))
            except OSError as e:
                yield Finding(
                    f"port {port} is taken, and k3s listens there: {e.strerror}",
                    f"see who has it: ss -ltnp 'sport = :{port}'",
                )


def _kubelets() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "comm").read_text().strip()
                here = name in _PROCESSES and of_this_machine(folder)
            except OSError:  # it has ended
                continue
            if here:
                yield int(folder.name), name


def _lines(path: str | Path) -> Sequence[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
