"""Proof that backups can be restored: by reading them.

Every snapshot, index, record and tree is read and proven. Of the content it is proven that an index
names all of it and that its packs are there with their sizes. As many packs as one asks for are
read whole: it is proven that they are as they were written, and that what the indexes say of them
gives each blob by its hash, read by what a restore reads with (pieces.py). A blob that is cut into
pieces is proven so when all packs are read; else only that its pieces can be unpacked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from blake3 import blake3

from pachybox.backup.create import Report
from pachybox.backup.known import Held
from pachybox.backup.packs import Rows, damaged, name_of, unpacked
from pachybox.backup.pieces import short_blobs
from pachybox.backup.reach import needed
from pachybox.backup.repository import Repository, Snapshot
from pachybox.errors import Corrupt, Refused
from pachybox.model.ids import Hash


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
    count = min(max(count, 1), len(held.packs)) if share > 0 else 0
    if count:
        chosen = random.sample(held.packs, count)
        _Content(repository, held, done).read(set(chosen), report, gone)
    return done


def _snapshots(repository: Repository, ids: Sequence[str], done: Verified) -> Iterator[Snapshot]:
    for id in ids:
        try:
            yield repository.snapshot(id)
            done.backups += 1
        except Corrupt as e:
            done.problems.append(e.message)


class _Content:
    """Reads packs and proves what the indexes say of them; what is wrong goes to ``done``."""

    def __init__(self, repository: Repository, held: Held, done: Verified) -> None:
        self._repository = repository
        self._held = held
        self._done = done
        self._cut: dict[Hash, tuple[blake3, int] | None] = {}
        """By blob in pieces what came of it: its hash and its bytes so far; None: it was proven."""

    def read(self, chosen: Set[str], report: Report, gone: Callable[[], bool]) -> None:
        """Prove what is in some packs. Raises Refused when called off."""
        every = len(chosen) == len(self._held.packs)
        for name, rows in self._held.by_pack():
            if name not in chosen:
                continue
            if gone():
                raise Refused("the check was called off", "run it again")
            report("reading packs", self._done.packs_read, len(chosen))
            try:
                self._pack(name, rows, every=every)
            except Corrupt as e:
                self._done.problems.append(e.message)
        for h, begun in self._cut.items():
            if begun is not None:
                self._again(h)

    def _pack(self, name: str, rows: Rows, *, every: bool) -> None:
        shown = self._repository.shown_pack(name)
        data = memoryview(self._repository.read_whole(name))
        self._done.packs_read += 1
        self._done.bytes_read += len(data)
        if name_of(data) != name:
            remedy = "move it away, and the next backup sends again what the box still has of it"
            raise Corrupt(f"{shown} is damaged; {remedy}")
        cut = rows["length"] != rows["total"]

        def read(offset: int, length: int) -> memoryview:
            return data[offset : offset + length]

        for _, found in short_blobs(rows[~cut], read, shown):
            if isinstance(found, Corrupt):
                raise found
        for row in rows[cut]:
            piece = unpacked(row, read(int(row["offset"]), int(row["stored"])), shown)
            if every:
                self._piece(row, piece, shown)

    def _piece(self, row: np.void, piece: bytes, shown: str) -> None:
        """Go on with the hash of a blob: its pieces lie one after another where a box sent it."""
        h = Hash(row["hash"].tobytes())
        begun = self._cut.setdefault(h, (blake3(), 0))
        if begun is None or begun[1] != int(row["at"]):
            return  # a copy, or it lies in another order
        hasher, end = begun[0].update(piece), begun[1] + len(piece)
        whole = end == int(row["total"])
        self._cut[h] = None if whole else (hasher, end)
        if whole and hasher.digest() != h:
            raise damaged(shown, f"blob {h.hex()}, which ends there, is not what its name says")

    def _again(self, h: Hash) -> None:
        """Read a blob whose pieces lie in another order."""
        try:
            for piece in self._repository.blob_pieces(self._held, h):
                self._done.bytes_read += len(piece)
        except Corrupt as e:
            self._done.problems.append(e.message)
