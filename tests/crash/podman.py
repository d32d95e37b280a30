"""The containers of a box, seen and disturbed from outside, and whatever they might leave."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests import groups, images
from tests.boxes import RealBox
from tests.crash.kills import Process, below

HOME = "org.pachybox.home"


@dataclass(frozen=True)
class Container:
    """A container of a box; ``pid`` is its first process, 0 when it does not run."""

    id: str
    pid: int

    @property
    def root(self) -> Path:
        """Its files, while it runs."""
        return Path(f"/proc/{self.pid}/root")


def podman(*args: str) -> str:
    """What podman prints; fails with its words."""
    done = images.run(*args)
    assert done.returncode == 0, f"podman {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def containers(box: RealBox) -> list[Container]:
    """Those of a box, running or not."""
    found = podman("ps", "--all", f"--filter=label={HOME}={box.home}", "--format=json")
    return [Container(one["Id"], one["Pid"]) for one in json.loads(found)]


def service(box: RealBox) -> list[Process]:
    """The processes of the podman that the box has started; none when it uses another one."""
    assert box.process is not None
    found = []
    for one in below(box.process.pid):
        words = _command(one.pid)
        if words[:1] == ["podman"] or (words and Path(words[0]).name == "podman"):
            found.append(one)
    return found


def leftovers(box: RealBox, seen: set[Container]) -> list[str]:
    """What is left on this machine of a box and of containers that were seen: containers, mounts,
    control groups, processes. Empty when nothing is."""
    ids = [one.id for one in seen]
    found = [f"container {one.id}" for one in containers(box)]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if str(box.home) in line or any(id_ in line for id_ in ids):
            found.append(f"mount {line}")
    found += [f"group {folder}" for folder in groups.of(ids)]
    for process in Path("/proc").glob("[0-9]*"):
        words = " ".join(_command(int(process.name)))
        if str(box.home) in words or any(id_ in words for id_ in ids):
            found.append(f"process {process.name}: {words}")
    return found


def _command(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[:-1]
    except OSError:  # it has ended
        return []
