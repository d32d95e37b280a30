"""``pachybox k3s uninstall``: what install wrote goes, where it still is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from k3s import boxes, bundle, config, keys
from k3s.install import owned
from k3s.places import ACCOUNT, KUBECONFIG, KUBELET, PROGRAM, Places
from k3s.record import Record
from pachybox.errors import Refused
from pachybox.placing import (
    State,
    Step,
    on_disk,
    put_text,
    remove,
    remove_empty,
    remove_folder,
)

_NETWORKS = Path("/var/lib/cni")
"""Others have networks there too, as podman did: k3s's is called cbr0."""
_RESULTS = _NETWORKS / "results"
_LEFT = (
    *(Path("/etc/rancher/node"), Path("/run/k3s"), Path("/run/flannel")),
    *(_NETWORKS / "flannel", _NETWORKS / "networks/cbr0"),
)


def places_of(root: Path, record: Record) -> Places:
    """The paths of an installation."""
    return Places(root, Path(record.data))


def check_purge(places: Places) -> None:
    """Raise Refused, before anything is stopped, when a purge would delete what is not k3s's."""
    for path in (KUBELET, _RESULTS, *_LEFT):
        on_disk(places.root, path)
    at = places.on_disk(places.data)
    if at.is_symlink():
        raise Refused(
            f"{places.data} is a link to {at.readlink()}",
            "uninstall without --purge, and remove the data by hand",
        )
    known = {"agent", "server", "data", "storage", "etc", "lost+found"}
    others = sorted(p.name for p in at.iterdir() if p.name not in known) if at.is_dir() else []
    if others:
        raise Refused(
            f"{places.data} has other things in it than k3s's: {', '.join(others[:3])}",
            "move them away, or uninstall without --purge",
        )


def uninstall(places: Places, record: Record, *, purge: bool, act: bool = True) -> Iterator[Step]:
    """Take everything away, saying each step; k3s's data only with ``purge``. Without ``act`` only
    say what would go. k3s must have been stopped, and its leftovers be gone.

    The record goes last: what was cut short is ended by the next.
    """
    step = boxes.restore(places, record, act=act)
    if step:
        yield step
    yield Step(
        "start with the machine",
        str(places.wanted),
        remove(places.on_disk(places.wanted), act=act),
    )
    for name, target in record.links.items():
        at = places.on_disk(Path(name))
        mine = at.is_symlink() and str(at.readlink()) == target
        yield Step("command", name, remove(at, act=act) if mine else _state(at))
    if act:
        for path in places.leftovers():
            path.unlink()
    remove(places.on_disk(places.former), act=act)
    for name in record.files:
        yield _file(places, record, Path(name), act=act)
    yield from _settings(places, record, act=act)
    yield Step("account of the box", str(ACCOUNT), remove(places.on_disk(ACCOUNT), act=act))
    if purge:
        yield from _purge(places, act=act)
    else:
        yield Step("data", str(places.data), _state(places.on_disk(places.data)))
    remove(places.on_disk(places.record), act=act)
    if act:
        remove_empty(*map(places.on_disk, (KUBECONFIG.parent, KUBECONFIG.parent.parent)))


def _file(places: Places, record: Record, path: Path, *, act: bool) -> Step:
    what = {PROGRAM: "program", places.unit: "unit"}.get(path, "images")
    at = places.on_disk(path)
    if at.is_file() and not record.may_be(path, bundle.hashed(at)):
        return Step(what, f"{path}, which was changed since", State.KEPT)
    return Step(what, str(path), remove(at, act=act))


def _settings(places: Places, record: Record, *, act: bool) -> Iterator[Step]:
    """Settings without the keys that were written; the file goes when nothing is left in it."""
    for path, what, restored in (
        (places.config, "settings", keys.restored),
        (places.registries, "registries", config.restored_registries),
    ):
        at = places.followed(path)
        noted = record.keys.get(str(path), {})
        if not at.exists() or not noted:
            continue
        text, kept = restored(at, noted)
        where = f"{path}, with {', '.join(kept)}, changed since" if kept else str(path)
        if text.strip() or places.on_disk(path).is_symlink():
            yield Step(what, where, put_text(at, text, *owned(at), act=act))
        else:
            yield Step(what, where, remove(at, act=act))


def _purge(places: Places, *, act: bool) -> Iterator[Step]:
    """k3s's data, what its kubelet left, and the keys to the cluster."""
    for path in (places.data, KUBELET, *_LEFT):
        at = on_disk(places.root, path)
        if at.exists():
            yield Step("data", str(path), remove_folder(at, act=act))
    if act:
        for one in on_disk(places.root, _RESULTS).glob("cbr0-*"):
            one.unlink()
        networks = (_RESULTS, _NETWORKS / "networks", _NETWORKS)
        remove_empty(*map(places.on_disk, networks))
        if places.data.parent.name == "rancher":
            remove_empty(places.on_disk(places.data.parent))
    yield Step("keys to the cluster", str(KUBECONFIG), remove(places.on_disk(KUBECONFIG), act=act))


def _state(path: Path) -> State:
    return State.KEPT if path.exists() or path.is_symlink() else State.ABSENT
