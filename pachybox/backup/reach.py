"""What backups need of their repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pachybox.backup.create import Report
from pachybox.backup.known import Held
from pachybox.backup.packs import Kind
from pachybox.backup.records import roots
from pachybox.backup.recover import read_records
from pachybox.backup.repository import Repository, Snapshot
from pachybox.backup.walk import Seen, walk
from pachybox.errors import Refused
from pachybox.model.ids import Hash


def needed(
    repository: Repository,
    held: Held,
    snapshots: Sequence[Snapshot],
    scratch: Path,
    report: Report,
    gone: Callable[[], bool],
) -> Seen:
    """The hashes of all that ``snapshots`` name, directly or not. All records and trees are read
    and proven; of the rest it is looked up whether it is there.

    Raises Corrupt when something is missing or not what it should be, Refused when called off.
    """
    found, trees = Seen(), set[Hash]()
    for i, snapshot in enumerate(snapshots):
        report("reading records", i, len(snapshots))
        with tempfile.TemporaryFile(dir=scratch) as spool:
            trees |= roots(read_records(repository, held, snapshot, spool))
        for pieces in snapshot.tables.values():
            found.new(bytes.fromhex("".join(pieces)))
    for some in walk(lambda h: repository.blob(held, h), trees):
        if gone():
            raise Refused("it was called off", "run it again")
        found.new(some.trees)
        _require(repository, held, bytes(some.trees), Kind.TREE)
        fresh = found.new(some.data)
        _require(repository, held, fresh, None)
        report("reading trees", len(found.keys), 0)
    return found


def _require(repository: Repository, held: Held, hashes: bytes, kind: Kind | None) -> None:
    lacking = np.flatnonzero(~held.has(hashes, kind))
    if len(lacking):
        at = 32 * int(lacking[0])
        raise repository.missing(Hash(hashes[at : at + 32]))
