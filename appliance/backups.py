"""Backups where no box runs: looking at them, and making a data directory of one.

What is returned has the form of the API's answers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox.backup.repository import Snapshot
from pachybox.backup.service import Place, never
from pachybox.config import load
from pachybox.errors import Corrupt, InvalidArgument, Refused

Told = Callable[[str, int, int], None]
Json = dict[str, Any]

_GIVEN = frozenset({"box.toml", "tls", "secret.key"})  # what one may bring before


def listed(to: str) -> list[Json]:
    """Every backup in a place, the oldest first."""
    place = _place(to)
    return [_info(one, place.target.shown) for one in place.list()]


def verified(to: str, ids: Sequence[str], share: float, told: Told) -> Json:
    """Prove backups by reading; see pachybox.backup.verify."""
    done = _place(to).verify(ids, share, told, never)
    return {
        "done": str(done.backups),
        "packs": str(done.packs_read),
        "total": str(done.packs),
        "bytes": str(done.bytes_read),
        "problems": done.problems,
    }


def restored(home: Path, to: str, id: str, password: str, told: Told) -> Json:
    """Make the data directory ``home`` of a backup; nothing runs in it until a box is started.

    What was cut short goes on. Raises Refused when something is in the directory.
    """
    _require_new(home)
    _place(to).chosen(id, password)  # what cannot be restored makes no directory
    os.umask(0o077)
    from pachybox.box import Box  # perf: nothing else here needs the database

    box = Box(load(home))
    try:
        place = box.backups.place(to)
        done = place.restore(box.pfs, box.config.key_file, id, password, told, never)
        box.webhooks.skip()
    finally:
        box.close()
    return {"backup": _info(done.snapshot, place.target.shown), "hasKey": done.key}


def check_settings(put: Mapping[str, str]) -> None:
    """Raises InvalidArgument where a setting of backups cannot be."""
    from pachybox.backup.keep import parse_keep
    from pachybox.backup.target import open_target
    from pachybox.model.schedule import parse_schedule

    checks: dict[str, Callable[[str], object]] = {
        "backup_to": open_target,
        "backup_schedule": parse_schedule,
        "backup_keep": parse_keep,
    }
    for key, check in checks.items():
        if put.get(key):
            try:
                check(put[key])
            except InvalidArgument as e:
                raise InvalidArgument(f"{key}: {e.message}", e.hint) from None


def _place(to: str) -> Place:
    return Place(to, Path(tempfile.gettempdir()))


def _info(one: Snapshot | Corrupt, to: str) -> Json:
    if isinstance(one, Corrupt):
        return {"to": to, "problem": one.message}
    numbers = {name: one.records.get(name, 0) for name in _COUNTS}
    numbers |= {"boxBytes": one.bytes, "blobs": one.blobs, "sentBytes": one.sent}
    return {
        "id": one.id,
        "to": to,
        "time": datetime.fromtimestamp(one.time, UTC).isoformat().replace("+00:00", "Z"),
        "box": one.box,
        "host": one.host,
        "pachybox": one.pachybox,
        **{name: str(number) for name, number in numbers.items() if number},
        "withKey": bool(one.key),
    }


_COUNTS = ("repos", "commits", "pipelines", "jobs", "secrets")


def _require_new(home: Path) -> None:
    """Refused unless the directory is new, or a box's. Whether that is empty is seen by itself."""
    names = os.listdir(home) if home.exists() else []
    foreign = [name for name in names if name not in _GIVEN]
    if foreign and not (home / "run" / "box.pid").exists():
        raise Refused(f"{home} holds other files, like {foreign[0]}", "name a new directory")
