"""Proof that backups can be restored: by reading them.

Every snapshot, index, record and tree is read and proven. Of the content it is proven that an index
names all of it and that its packs are there with their sizes; what is in the packs, of as many as
one asks for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pachybox.backup.create import Report
from pachybox.backup.packs import name_of, pack_path
from pachybox.backup.reach import needed
from pachybox.backup.repository import Repository, Snapshot
from pachybox.errors import Corrupt, NotFound, Refused


@dataclass(slots=True)
class Verified:
    """What was looked at. Sizes in bytes. ``problems``: a line each; none is good."""

    backups: int = 0
    packs: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)


def verify(
    repository: Repository,
    ids: Sequence[str],
    share: float,
    scratch: Path,
    report: Report,
    gone: Callable[[], bool],
) -> Verified:
    """Prove the backups ``ids``, and read ``share`` (0 to 1) of the packs, by chance."""
    done = Verified()
    snapshots = list(_snapshots(repository, ids, done))
    try:
        held = repository.held()
    except Corrupt as e:
        done.problems.append(e.message)
        return done
    done.packs = len(held.packs)
    try:
        needed(repository, held, snapshots, scratch, report, gone)
    except Corrupt:
        for name in sorted(held.lost):
            done.problems.append(f"{repository.shown_pack(name)} is missing or cut")
        for snapshot in snapshots:  # each by itself, to say which
            try:
                needed(repository, held, [snapshot], scratch, report, gone)
            except Corrupt as e:
                done.problems.append(f"backup {snapshot.id} cannot be restored: {e.message}")
    count = round(share * len(held.packs)) if share < 1 else len(held.packs)
    chosen = random.sample(held.packs, min(max(count, 1), len(held.packs)) if share > 0 else 0)
    for i, name in enumerate(chosen):
        if gone():
            raise Refused("the check was called off", "run it again")
        report("reading packs", i, len(chosen))
        _read(repository, name, done)
    return done


def _snapshots(repository: Repository, ids: Sequence[str], done: Verified) -> Iterator[Snapshot]:
    for id in ids:
        try:
            yield repository.snapshot(id)
            done.backups += 1
        except Corrupt as e:
            done.problems.append(e.message)


def _read(repository: Repository, name: str, done: Verified) -> None:
    shown = repository.shown_pack(name)
    try:
        data = repository.target.get(pack_path(name))
    except NotFound:
        done.problems.append(f"{shown} is missing")
        return
    done.packs_read += 1
    done.bytes_read += len(data)
    if name_of(data) != name:
        done.problems.append(
            f"{shown} is damaged; move it away, and the next backup sends again what the box still "
            "has of it"
        )
