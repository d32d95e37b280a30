"""Logs that come one after the other as one: the jobs of a pipeline, the parts of what is rotated.

Each begins where the one before ends, and keeps its place when those before it are removed: the
places are kept on disk.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_APART = 1 << 30  # behind one that was removed, of which it is not known how long it became


class Link(NamedTuple):
    """One log of several: its name, where it begins, and how long it is."""

    id: str
    base: int
    size: int

    @property
    def end(self) -> int:
        """Where the next begins."""
        return self.base + self.size


def linked(known: Sequence[Link], found: Sequence[tuple[str, int]]) -> list[Link]:
    """The places of what is there (name and size, in order). Those that were known keep theirs;
    of these all but the last have ended, and have the size they had."""
    at = 0
    links = list(known)
    names = {name for name, _ in found}
    numbers = {link.id: number for number, link in enumerate(links)}
    for name, size in found:
        number = numbers.get(name, -1)
        if number >= at:
            at = number + 1
            if at == len(links):
                links[number] = links[number]._replace(size=max(size, links[number].size))
        elif number < 0:
            gone = bool(links) and links[-1].id not in names
            base = links[-1].end + _APART * gone if links else 0
            links.append(Link(name, base, size))
            at = len(links)
    return [link for link in links if link.id in names or link is links[-1]]


class Chain:
    """The links of one log, kept in a file. For many threads."""

    def __init__(self, saved: Path) -> None:
        self._saved = saved
        self._lock = threading.Lock()
        self._links = self._load()

    def known(self) -> list[Link]:
        """As they were last."""
        return self._links

    def place(self, found: Sequence[tuple[str, int]]) -> list[Link]:
        """See ``linked``; those that are there."""
        with self._lock:
            links = linked(self._links, found)
            if links != self._links:
                self._links = links
                self._save()
        names = {name for name, _ in found}
        return [link for link in links if link.id in names]

    def _save(self) -> None:
        """What cannot be written holds while the box runs."""
        try:
            self._saved.parent.mkdir(parents=True, exist_ok=True)
            beside = self._saved.with_name(f"{self._saved.name}.new")
            beside.write_text(json.dumps(self._links))
            beside.replace(self._saved)
        except OSError:
            pass

    def _load(self) -> list[Link]:
        try:
            return [Link(*one) for one in json.loads(self._saved.read_text())]
        except (OSError, ValueError, TypeError):
            return []
