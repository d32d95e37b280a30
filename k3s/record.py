"""What was installed, beside the settings of k3s: so that nothing of others is replaced or removed.

Written before anything else is, with what is about to be; so an installation that was cut short
is known as ours.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from k3s.places import Places
from pachybox.errors import InvalidArgument, Refused
from pachybox.placing import put_text

_FORM = 1


@dataclass(slots=True)
class Record:
    """``files``: the sums that a file may have, by path: its own, and while an upgrade goes on
    that of the former. ``keys``: by file and key of settings, what was written and what stood
    there before (None = nothing). ``chosen``: what flags asked for, here or earlier. ``box``: the
    same as ``keys``, of the box.toml at ``home``. ``done``: k3s answered with all this."""

    version: str = ""
    source: str = ""
    time: str = ""
    data: str = ""
    done: bool = False
    files: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    keys: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    home: str = ""
    box: dict[str, dict[str, Any]] = field(default_factory=dict)

    def owns(self, path: Path) -> bool:
        """Whether it was installed here."""
        return str(path) in self.files or str(path) in self.links

    def may_be(self, path: Path, found: str) -> bool:
        """Whether a file with the sum ``found`` is what was installed at ``path``."""
        return found in self.files.get(str(path), ())


def load(places: Places) -> Record | None:
    """The record of a machine; None when nothing was installed. Raises InvalidArgument when it
    cannot be read."""
    path = places.on_disk(places.record)
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise _unreadable(places, str(e)) from e
    if not isinstance(found, Mapping) or found.get("form") != _FORM:
        raise _unreadable(places, "it is of another version of pachybox")
    try:
        return Record(**{key: value for key, value in found.items() if key != "form"})
    except TypeError as e:
        raise _unreadable(places, str(e)) from e


def save(places: Places, record: Record) -> None:
    """Have it on disk for good."""
    text = json.dumps({"form": _FORM, **asdict(record)}, indent=1)
    put_text(places.on_disk(places.record), text + "\n", 0o600)


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """With no other install or uninstall of this machine. Raises Refused when there is one, or
    where there is no system."""
    folder = places.root / "etc"
    if not folder.is_dir():
        raise Refused(
            f"{places.root} is no system: it has no etc",
            "name the directory where one is installed, or mounted",
        )
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("another pachybox installs or removes k3s now", "wait for it") from None
        yield
    finally:
        os.close(fd)


def _unreadable(places: Places, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"cannot read {places.record}: {why}",
        "mend it; or move it away and remove what it names by hand",
    )
