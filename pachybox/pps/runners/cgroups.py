"""Limits of user code by control groups, v1 and v2: one group per worker, joined before it starts.

What a machine lets the box make is found by trying. A limit that cannot be kept is named
(``Group.unkept``), never dropped silently. A group's name holds the box's process number, so
what a killed box left is known and removed by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from pachybox.limits import memory_groups
from pachybox.worker.wire import Limits

_PREFIX = "pachybox-"
_CONTROLLERS = ("cpu", "memory", "pids")
_LEAF = "pachybox"
_PERIOD_US = 100_000
_GONE_S = 2.0
_numbers = itertools.count(1)


@dataclass
class Group:
    """One worker's group in each hierarchy; ``unkept`` are limits asked for and not enforced."""

    folders: dict[str, Path] = field(default_factory=dict)
    unkept: list[str] = field(default_factory=list)
    _kills: int = 0

    def add(self, pid: int) -> None:
        """Put a process in; what it starts is counted too."""
        for folder in set(self.folders.values()):
            try:
                (folder / "cgroup.procs").write_text(str(pid))
            except OSError as e:
                self.unkept.append(f"{folder}: {e.strerror}")
        self._kills = self._killed()

    def out_of_memory(self) -> bool:
        """Whether the kernel killed for want of memory since this was asked last."""
        before, self._kills = self._kills, self._killed()
        return self._kills > before

    def remove(self) -> None:
        """Remove it, once its last process is gone; idempotent."""
        deadline = time.monotonic() + _GONE_S
        for folder in set(self.folders.values()):
            while not _remove(folder) and time.monotonic() < deadline:
                time.sleep(0.005)
        self.folders = {}

    def _killed(self) -> int:
        folder = self.folders.get("memory")
        if folder is not None:
            return _kills(folder, "memory.events")
        around = {*self.folders.values(), _own_memory()}
        return sum(_kills(one, "memory.events.local") for one in around if one is not None)


class ContainerGroup(Group):
    """The groups of a container, which its engine made and removes. What a process of ours does
    for it is counted there too."""

    def remove(self) -> None:
        """Nothing: they go with the container."""

    def paused(self) -> bool:
        """Whether somebody froze it: its processes neither run nor die."""
        return any(_read(file) in ("FROZEN", "FREEZING", "1") for file, _ in self._freezers())

    def thaw(self) -> None:
        """Let its processes run on, as far as the kernel lets us."""
        for file, word in self._freezers():
            _try_write(file, word)

    def bound(self, pids: int) -> None:
        """Let it have ``pids`` processes at most, and the memory limit end one of them in place of
        all; as far as the kernel lets us. For engines that cannot be asked for it."""
        for name in ("pids", ""):
            if name in self.folders:
                _try_write(self.folders[name] / "pids.max", str(pids))
                _try_write(self.folders[name] / "memory.oom.group", "0")

    def _freezers(self) -> list[tuple[Path, str]]:
        kinds = (("freezer", "freezer.state", "THAWED"), ("", "cgroup.freeze", "0"))
        return [
            (self.folders[name] / file, word) for name, file, word in kinds if name in self.folders
        ]

    @classmethod
    def of(
        cls, pid: int, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")
    ) -> ContainerGroup:
        """The groups of a container's first process. Raises OSError when that is gone."""
        group = cls()
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            place = path.lstrip("/")
            if not names:  # v2: by itself, or beside v1 with no controller
                mixed = root / "unified"
                folder = (mixed if mixed.is_dir() else root) / place
                group.folders[""] = folder
                if not mixed.is_dir():
                    group.folders["memory"] = folder
                continue
            folder = root / names.removeprefix("name=") / place
            if folder.is_dir():
                group.folders |= dict.fromkeys(names.split(","), folder)
        return group


_ENGINES = ("libpod_parent", "machine.slice")  # without systemd, and with it


def remove_empty(container: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """Remove the groups of a container that is gone, where its engine was killed before it did.
    Never raises; one with a process in it stays."""
    for hierarchy, parent in itertools.product((root, *root.glob("*")), _ENGINES):
        with contextlib.suppress(OSError):  # all of these come and go with other containers
            for folder in (hierarchy / parent).glob(f"libpod-{container}*"):
                for inner in folder.iterdir():
                    if inner.is_dir():
                        inner.rmdir()
                folder.rmdir()


@dataclass(frozen=True)
class Groups:
    """Where this box may make groups, by controller; ``missing`` says why one is not usable."""

    parents: dict[str, Path]
    version: str
    missing: dict[str, str]

    def make(self, limits: Limits) -> Group:
        """A group with these limits, as far as the machine enforces them."""
        group = Group()
        wanted = {"pids": limits.pids, "cpu": limits.cpu, "memory": limits.memory}
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        for controller, limit in wanted.items():
            if limit is None:
                continue
            parent = self.parents.get(controller)
            try:
                if parent is None:
                    raise OSError(0, self.missing[controller])
                folder = parent / name
                folder.mkdir(exist_ok=True)
                group.folders[controller] = folder
                self._set(controller, folder, limits)
            except OSError as e:
                if controller != "pids":
                    group.unkept.append(f"resource_limits.{controller}: {e.strerror}")
        return group

    def _set(self, controller: str, folder: Path, limits: Limits) -> None:
        if controller == "pids":
            (folder / "pids.max").write_text(str(limits.pids))
        elif controller == "cpu":
            quota = max(1000, int((limits.cpu or 0) * _PERIOD_US))
            if self.version == "v2":
                (folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
            else:
                (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (folder / "cpu.cfs_quota_us").write_text(str(quota))
        elif self.version == "v2":
            (folder / "memory.max").write_text(str(limits.memory))
            _try_write(folder / "memory.swap.max", "0")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limits.memory))
            _try_write(folder / "memory.memsw.limit_in_bytes", str(limits.memory))


def find(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Groups:
    """What this machine allows, tried by making a group in each hierarchy; leftovers of boxes
    that are gone are removed on the way."""
    try:
        rows = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError as e:
        return Groups({}, "", dict.fromkeys(_CONTROLLERS, f"{own}: {e.strerror}"))
    v1 = {name: path for _, names, path in rows for name in names.split(",") if name}
    unified = next((path for number, names, path in rows if number == "0" and not names), "/")
    version = "v1" if any((root / c).is_dir() for c in _CONTROLLERS) else "v2"
    parents: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for controller in _CONTROLLERS:
        if version == "v1":
            places = [root / controller / v1.get(controller, "/").lstrip("/"), root / controller]
        else:
            place = root / unified.lstrip("/")
            place = place.parent if place.name == _LEAF else place
            places = [place, place.parent]
        for place in places:
            why = _usable(place, controller, version)
            if not why:
                parents[controller] = place
                missing.pop(controller, None)
                break
            missing.setdefault(controller, why)
    for place in set(parents.values()):
        _sweep(place)
    return Groups(parents, version, missing)


def _usable(parent: Path, controller: str, version: str) -> str:
    """Why groups with this controller cannot be made in ``parent``; empty when they can."""
    if not parent.is_dir():
        return f"{parent} does not exist"
    if version == "v2":
        try:
            offered = (parent / "cgroup.subtree_control").read_text().split()
            if controller not in offered:
                _offer(parent, controller)
        except OSError as e:
            return f"{parent}: the {controller} controller is not delegated ({e.strerror})"
    trial = parent / f"{_PREFIX}{os.getpid()}-0"
    try:
        trial.mkdir(exist_ok=True)
        trial.rmdir()
    except OSError as e:
        return f"{parent}: {e.strerror}"
    return ""


def _offer(parent: Path, controller: str) -> None:
    """Let groups in ``parent`` use a controller (v2). A group with processes of its own cannot;
    when the box is alone in it (a service with Delegate=yes), it makes itself a leaf."""
    control = parent / "cgroup.subtree_control"
    try:
        control.write_text(f"+{controller}")
    except OSError as e:
        inside = (parent / "cgroup.procs").read_text().split()
        if e.errno != errno.EBUSY or inside != [str(os.getpid())]:
            raise
        leaf = parent / _LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        control.write_text(f"+{controller}")


def _sweep(parent: Path) -> None:
    """Remove groups of boxes that are gone; one with living processes stays."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _remove(folder)


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as e:
        return e.errno != errno.EBUSY
    return True


def _kills(folder: Path, events: str) -> int:
    """How often the kernel has killed in a group for want of memory, ever: by the file ``events``
    (v2, with or without the groups below it), or v1's, which is of the group alone."""
    for name in (events, "memory.oom_control"):
        words = _read(folder / name).split()
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return 0


@functools.cache
def _own_memory() -> Path | None:
    """The group by whose memory this process is counted, and with it user code that has none of
    its own; None where there are no groups."""
    names = "memory.events", "memory.oom_control"
    there = (one for one in memory_groups() if any((one / name).exists() for name in names))
    return next(there, None)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _try_write(path: Path, text: str) -> None:
    """For settings that not every kernel has."""
    try:
        path.write_text(text)
    except OSError:
        pass
