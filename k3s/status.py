"""``pachybox k3s status``: what is installed, whether it is well, and what to do if it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k3s import bundle, record
from k3s.images import full
from k3s.places import ACCOUNT, PROGRAM, UNIT, Places
from k3s.program import Program, ready
from k3s.record import Record
from k3s.start import this_node
from pachybox.errors import NotReady, PachyboxError
from pachybox.systemd import Systemd

_BOX = "pachybox.org/box"
_TRUE_NAME = "pachybox.org/pipeline"
_INSTALL = "pachybox k3s install --from DIR, where DIR has k3s and its images (docs/k3s.md)"
_AGAIN = "end what was begun: pachybox k3s install"
_PODS = ("Pending", "Running", "Succeeded")


@dataclass(slots=True)
class Status:
    """What there is. ``installed``: "" = no, "pachybox", or "others"; ``problems``: what is wrong
    and the remedy."""

    installed: str = ""
    version: str = ""
    source: str = ""
    time: str = ""
    unit: str = ""
    node: str = ""
    images: list[str] = field(default_factory=list)
    pods: list[dict[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def raw(self) -> dict[str, Any]:
        """For programs."""
        return {
            "installed": self.installed, "version": self.version, "from": self.source,
            "time": self.time, "unit": self.unit, "node": self.node, "images": self.images,
            "pods": self.pods, "well": not self.problems,
            "problems": [{"what": what, "remedy": remedy} for what, remedy in self.problems],
        }  # fmt: skip


def look(root: Path) -> Status:
    """What there is below ``root``; the cluster is asked only on this machine. Raises
    InvalidArgument when the record of what was installed cannot be read."""
    found = Status()
    at = record.load(Places(root))
    places = Places(root, Path(at.data)) if at else Places(root)
    if at:
        found.installed, found.version = "pachybox", at.version
        found.source, found.time = at.source, at.time
        _files(found, places, at)
    elif places.on_disk(PROGRAM).exists():
        found.installed = "others"
    else:
        found.problems.append(("k3s is not installed", f"install it: {_INSTALL}"))
        return found
    if not places.live:
        return found
    _unit(found, at)
    try:
        _cluster(found, Program(), at)
    except NotReady as e:
        found.problems.append((f"the cluster does not answer: {e.message}", "journalctl -u k3s"))
    except PachyboxError as e:
        found.problems.append((e.message, e.hint))
    return found


def _files(found: Status, places: Places, at: Record) -> None:
    """Whether all is there as it was written."""
    again = f"install it again from {at.source or 'its directory'}: pachybox k3s install --from DIR"
    for name in at.files:
        path = places.on_disk(Path(name))
        if not path.is_file():
            found.problems.append((f"{name} is missing", again))
        elif not at.may_be(Path(name), bundle.hashed(path)):
            found.problems.append((f"{name} is not what was installed", f"move it away; {again}"))
    for name, target in at.links.items():
        path = places.on_disk(Path(name))
        if not path.is_symlink() or str(path.readlink()) != target:
            found.problems.append((f"{name} no longer names {target}", _AGAIN))
    if at.done and not places.on_disk(ACCOUNT).is_file():
        found.problems.append((f"{ACCOUNT} is missing, by which the box reaches k3s", _AGAIN))
    if not at.done:
        what = "it has not answered since it was installed, or that was interrupted"
        found.problems.append((what, _AGAIN))


def _unit(found: Status, at: Record | None) -> None:
    manager = Systemd()
    if why := manager.why_not():
        found.problems.append((why, "k3s is started by systemd"))
        return
    found.unit = manager.shown(UNIT, "ActiveState") or "absent"
    if found.unit != "active":
        said = (
            f" ({manager.last_words(UNIT, '')})" if found.unit in ("failed", "activating") else ""
        )
        remedy = "systemctl start k3s, and journalctl -u k3s for all it said"
        found.problems.append((f"k3s.service is {found.unit}{said}", remedy))
    elif at and manager.shown(UNIT, "UnitFileState") != "enabled":
        found.problems.append(("k3s does not start with the machine", "systemctl enable k3s"))


def _cluster(found: Status, program: Program, at: Record | None) -> None:
    found.version = program.version()
    node = this_node(program.get("nodes"), str(at.chosen.get("node", "")) if at else "")
    if node is None:
        found.problems.append(("the cluster has no node", "wait; then journalctl -u k3s"))
        return
    why = ready(node)
    found.node = f"{node['metadata']['name']}, {f'not ready: {why}' if why else 'ready'}"
    if why:
        found.problems.append((f"the node is not ready: {why}", "journalctl -u k3s"))
    found.images = program.images()
    for pod in program.get("pods", "-A", "-l", _BOX):
        _pod(found, pod)


def _pod(found: Status, pod: dict[str, Any]) -> None:
    meta, state = pod.get("metadata", {}), pod.get("status", {})
    name, phase = str(meta.get("name", "")), str(state.get("phase", "Unknown"))
    pipeline = (meta.get("annotations") or {}).get(_TRUE_NAME, "")
    why = ""
    for one in state.get("containerStatuses") or ():
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            why = f"{waiting['reason']}: {one.get('image', '')}"
    for one in state.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            why = str(one.get("message") or one.get("reason", ""))
    found.pods.append({"name": name, "pipeline": pipeline, "phase": phase, "why": why})
    if why or phase not in _PODS:
        remedy = f"k3s kubectl -n {meta.get('namespace', '')} describe pod {name}"
        if "Image" in why:
            image = full(why.rpartition(": ")[2])
            remedy = f"bring the image: pachybox k3s import {image}"
        found.problems.append((f"the Pod {name} is {phase}{f': {why}' if why else ''}", remedy))
