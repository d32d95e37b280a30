"""A backup back into an empty box, all of it or nothing.

Content goes into the store first, proven by its hashes and flushed now and then: what a restore
that was cut short has brought is not fetched again. When everything that a record names is there,
the records become one transaction. Until then the box is empty.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from blake3 import blake3

from pachybox.backup.create import Report
from pachybox.backup.known import Held
from pachybox.backup.packs import Rows, damaged
from pachybox.backup.pieces import short_blobs
from pachybox.backup.records import TAKEN, Records, fill, require_empty, roots
from pachybox.backup.repository import Repository, Snapshot
from pachybox.backup.walk import Seen, keys_of, walk
from pachybox.errors import Corrupt, InvalidArgument, Refused
from pachybox.meta.connect import migrations
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.store.gc import contains
from pachybox.store.session import Session

_FLUSH = 256 << 20  # bytes between two flushes


def recover(
    pfs: Pfs,
    repository: Repository,
    id: str,
    scratch: Path,
    report: Report,
    gone: Callable[[], bool],
    before: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Fill the empty box from the backup ``id``; returns what it is. ``before`` runs when all
    content is there, before the records.

    Raises Refused when the box is not empty, NotFound, Corrupt when something of the backup is
    missing or damaged, InvalidArgument when a newer pachybox wrote it.
    """
    require_empty(pfs)
    snapshot = repository.snapshot(id)
    require_known(repository, snapshot)
    held = repository.held()
    with tempfile.TemporaryFile(dir=scratch) as spool, pfs.blobs.session() as session:
        report("reading records", 0, 0)
        records = read_records(repository, held, snapshot, spool)
        inflow = _Inflow(pfs, repository, held, session, report, gone)
        data = inflow.trees(roots(records))
        inflow.data(data)
        report("checking", inflow.done, inflow.done)
        pfs.blobs.flush()
        session.keep()
        before()
        fill(pfs, session, records)
    return snapshot


def require_known(repository: Repository, snapshot: Snapshot) -> None:
    """InvalidArgument when this program does not know the records of a backup."""
    if snapshot.schema > migrations()[-1][0]:
        raise InvalidArgument(
            f"backup {snapshot.id} was made by a newer pachybox ({snapshot.pachybox})",
            "restore it with that version or a later one",
        )


def read_records(
    repository: Repository, held: Held, snapshot: Snapshot, spool: IO[bytes]
) -> Records:
    """The records of a backup in ``spool``. Raises Corrupt unless all are as they were written."""
    found = Records(spool)
    known = {table.name for table in TAKEN}
    shown = f"{repository.target.shown}: backup {snapshot.id}"
    for name, pieces in snapshot.tables.items():
        if name not in known:
            raise damaged(shown, f"it has records of an unknown kind, {name}")
        at, count, hasher = spool.tell(), 0, blake3()
        for piece in pieces:
            data = repository.blob(held, Hash(bytes.fromhex(piece)))
            spool.write(data)
            hasher.update(data)
            count += data.count(b"\n")
        if count != snapshot.records.get(name) or hasher.hexdigest() != snapshot.hashes.get(name):
            raise damaged(shown, f"its {name} are not those that were written")
        found.parts[name] = (at, spool.tell() - at)
        found.counts[name] = count
    spool.flush()
    return found


class _Inflow:
    """Content on its way from a repository into a store. ``done``: bytes that are there."""

    def __init__(
        self,
        pfs: Pfs,
        repository: Repository,
        held: Held,
        session: Session,
        report: Report,
        gone: Callable[[], bool],
    ) -> None:
        self._pfs = pfs
        self._repository = repository
        self._held = held
        self._session = session
        self._report = report
        self._gone = gone
        self._flushed = 0
        self.done = 0
        self._total = 0

    def trees(self, found: set[Hash]) -> Seen:
        """Bring all trees; what else they name."""
        data = Seen()
        for some in walk(self._tree, found):
            data.new(some.data)
        return data

    def _tree(self, h: Hash) -> bytes:
        if not self._session.hold((h,)):
            return self._pfs.blobs.get(h)  # an earlier try brought it
        data = self._repository.blob(self._held, h)
        self._session.put(data)
        self._came(len(data), "reading trees")
        return data

    def data(self, wanted: Seen) -> None:
        """Bring the rest. Raises Corrupt when some of it is nowhere."""
        keys, rows = wanted.keys, self._held.rows
        self._total = self.done + int(
            rows["length"][contains(keys, keys_of(rows["hash"].tobytes()))].astype(np.int64).sum()
        )
        there = np.zeros(len(keys), bool)
        troubles: list[Corrupt] = []
        long: set[Hash] = set()
        for name, rows in self._held.by_pack():
            mine = rows[contains(keys, keys_of(rows["hash"].tobytes()))]
            at = np.searchsorted(keys, keys_of(mine["hash"].tobytes()))
            cut = mine["length"] != mine["total"]
            long.update(Hash(row["hash"].tobytes()) for row in mine[cut])
            short, at = mine[~cut & ~there[at]], at[~cut & ~there[at]]
            for i, trouble in self._pack(name, short):
                if trouble is None:
                    there[at[i]] = True
                else:
                    troubles.append(trouble)
        for h in long:
            self._long(h)
            there[np.searchsorted(keys, keys_of(h))] = True
        if not there.all():
            raise (
                troubles[0]
                if troubles
                else damaged(
                    self._repository.target.shown,
                    f"{int((~there).sum())} blobs that the backup names are missing",
                )
            )

    def _pack(self, name: str, rows: Rows) -> Iterator[tuple[int, Corrupt | None]]:
        """Bring blobs of one pack; for each of the rows None, or why it could not be had."""
        hashes = [Hash(row["hash"].tobytes()) for row in rows]
        missing = set(self._session.hold(hashes))
        fetch = [i for i, h in enumerate(hashes) if h in missing]
        for i, h in enumerate(hashes):
            if h not in missing:
                self._pfs.blobs.verify(h)
                self._came(int(rows[i]["length"]), "restoring")
                yield i, None
        read = partial(self._repository.read, name)
        for i, found in short_blobs(rows[fetch], read, self._repository.shown_pack(name)):
            if isinstance(found, Corrupt):
                yield fetch[i], found
                continue
            self._session.put(found)
            self._came(len(found), "restoring")
            yield fetch[i], None

    def _long(self, h: Hash) -> None:
        if not self._session.hold((h,)):
            self._pfs.blobs.verify(h)
            self._came(self._pfs.blobs.size(h) or 0, "restoring")
            return
        pieces = self._repository.blob_pieces(self._held, h)
        stored, _ = self._session.put_pieces(map(memoryview, self._counted(pieces)))
        if stored != h:
            raise damaged(self._repository.target.shown, f"blob {h.hex()} is not what it was")

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self._came(len(piece), "restoring")

    def _came(self, size: int, what: str) -> None:
        self.done += size
        self._report(what, self.done, self._total)
        if self._gone():
            raise Refused("the restore was called off", "run it again: it goes on from there")
        if self.done - self._flushed > _FLUSH:
            self._flushed = self.done
            self._pfs.blobs.flush()
            self._session.keep()
