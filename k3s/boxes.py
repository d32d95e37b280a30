"""The box beside k3s: its settings say that datums run there, and no longer do after uninstall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from k3s.places import ACCOUNT, NAMESPACE, Places
from k3s.record import Record, save
from pachybox.config import default_home, written
from pachybox.durable import cut_short
from pachybox.placing import State, Step
from pachybox.settings import change

_WANTED = {
    "runner": "kubernetes",
    "kubeconfig": str(ACCOUNT),
    "kubernetes_namespace": NAMESPACE,
}
_SYSTEM_HOME = Path("/var/lib/pachybox")
_MARKS = ("box.toml", "meta.duckdb")
WHAT = "settings of the box"


def _home(places: Places) -> Path:
    """The data directory of the box of this machine, or of the one below a root."""
    return default_home() if places.live else _SYSTEM_HOME


def _exists(places: Places, folder: Path) -> bool:
    """Whether there is a box at ``folder``."""
    return any(places.on_disk(folder / mark).exists() for mark in _MARKS)


def put(places: Places, record: Record, *, ended: bool, act: bool) -> Step:
    """Have the box of the machine run its datums in k3s, and note in the record, which is saved
    before, what it was told until then. One that somebody has told otherwise since stays so;
    where the install before this one has not ``ended``, one as it was may not have been told yet.
    There may be no box. Raises InvalidArgument when its settings cannot be read."""
    folder = _home(places)
    if not _exists(places, folder):
        return Step(WHAT, f"{folder}, where there is no box yet", State.ABSENT)
    there = _values(places, folder)
    noted = record.box if record.home == str(folder) else {}
    new = {}
    for key, value in _WANTED.items():
        # Neither what was put there, nor what may not have been changed yet.
        ours = (
            [noted[key]["put"], *([] if ended else [noted[key]["before"]])] if key in noted else []
        )
        if ours and there.get(key) not in ours:
            continue
        before = noted[key]["before"] if key in noted else there.get(key)
        new[key] = {"put": value, "before": before}
    changes = {key: _WANTED[key] for key, note in new.items() if there.get(key) != note["put"]}
    if act:
        record.home, record.box = str(folder), {**noted, **new}
        if changes or _cut_short(places, folder):
            save(places, replace(record, done=False))
            change(places.on_disk(folder), changes)
    return Step(WHAT, str(folder / "box.toml"), State.REPLACED if changes else State.KEPT)


def restore(places: Places, record: Record, *, act: bool) -> Step | None:
    """Have the box told again what it was before, where it still says what was put there; None
    when nothing was."""
    if not record.box:
        return None
    folder = Path(record.home)
    there = _values(places, folder) if _exists(places, folder) else {}
    mine = {key: note for key, note in record.box.items() if there.get(key) == note["put"]}
    put_back = {k: str(n["before"]) for k, n in mine.items() if n["before"] is not None}
    drop = [key for key, note in mine.items() if note["before"] is None]
    if act and (mine or _cut_short(places, folder)):
        change(places.on_disk(folder), put_back, drop)
    return Step(WHAT, str(folder / "box.toml"), State.REPLACED if mine else State.KEPT)


def _cut_short(places: Places, folder: Path) -> bool:
    """Whether a change was killed, and left something that the next takes away."""
    return bool(cut_short(places.followed(folder / "box.toml")))


def _values(places: Places, folder: Path) -> dict[str, int | str]:
    path = places.followed(folder / "box.toml")
    return written(path, path.read_text()).values if path.exists() else {}
