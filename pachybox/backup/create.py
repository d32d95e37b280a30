"""A working box to a backup: what is not there yet, then what names it, the snapshot last.

The records are one read snapshot of the database. From their roots the trees are walked as far as
they are new: a directory that is in the repository is there with all below it. What is new is held
by a session, so that it is not collected, and its places are noted; then the collector may work
again, and the content is sent in the order in which it lies on disk. Memory: some 16 bytes for
each blob of the repository and each new one.
"""

from __future__ import annotations

import socket
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from pachybox import __version__
from pachybox.backup import records
from pachybox.backup.extract import blobs_of
from pachybox.backup.known import Held
from pachybox.backup.locks import Lock, locked
from pachybox.backup.packs import Kind, decode_index
from pachybox.backup.records import Records
from pachybox.backup.repository import Repository, Snapshot, new_id
from pachybox.backup.sender import Sender, called_off
from pachybox.backup.target import Target
from pachybox.backup.walk import Seen, keys_of, walk
from pachybox.errors import Corrupt, Exhausted, NotFound, NotReady, PachyboxError
from pachybox.meta.connect import migrations
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.store.format import RECORD, digest
from pachybox.store.gc import contains
from pachybox.store.index import Prefixes
from pachybox.store.objects import SUFFIX
from pachybox.store.pack import Pack
from pachybox.store.session import Session

Report = Callable[[str, int, int], None]
"""Told how far it is: what is done now, how many bytes of how many (0: not known)."""

_WAIT_S = 600.0  # for a prune to end
_HELD = 4096  # hashes
_CHUNK_LEAST, _CHUNK_MOST = 64 << 10, 4 << 20  # bytes of a piece of records
_CHUNK_MASK = 0x3FF  # a piece ends at one line in so many


@dataclass(slots=True)
class Job:
    """What a backup is made of, and who waits for it."""

    pfs: Pfs
    target: Target
    scratch: Path
    box_id: str
    report: Report = lambda stage, done, total: None
    gone: Callable[[], bool] = lambda: False
    key: dict[str, Any] = field(default_factory=dict)
    expected: str = ""
    """The id of the repository where there was one before."""


def create(job: Job) -> tuple[Snapshot, str]:
    """Make a backup; it, and the id of the repository.

    Raises Refused when the target holds something else, NotReady when it cannot be reached or
    somebody prunes it, Exhausted when it does not fit, Corrupt when content is missing in the box.
    """
    if job.expected:
        _require_same(job)
    else:
        Repository.require_free(job.target)
    with locked(job.target, alone=False, wait_s=_WAIT_S, gone=job.gone) as lock:
        repository = Repository.open_or_create(job.target)
        job.report("reading what is there", 0, 0)
        indexes = repository.index_names()
        there = repository.packs_there()
        held = Held(repository.indexes(), there)
        held.lost.update(repository.lost_indexes())
        sender = Sender(repository, job.gone, there)
        try:
            snapshot = _send(job, repository, held, sender, lock)
        except Exhausted:
            with suppress(PachyboxError):
                if lock.single() and {*indexes, *sender.indexes} >= {*repository.index_names()}:
                    sender.give_back()
            raise
    # race: two boxes may have made it one at once, and the later one's id stays
    return snapshot, Repository.open(job.target).id


def _send(job: Job, repository: Repository, held: Held, sender: Sender, lock: Lock) -> Snapshot:
    with (
        job.pfs.blobs.session() as session,
        tempfile.TemporaryFile(dir=job.scratch) as spool,
        tempfile.TemporaryFile(dir=job.scratch) as places,
        sender,
    ):
        now = time.time()
        job.report("looking for what is new", 0, 0)
        with job.pfs.blobs.collecting:
            found = records.spool(job.pfs, spool)
            plan = _plan(job, found.roots, held, session, places)
        blobs = _send_data(job, plan, sender)
        tables = _send_records(found, held, sender)
        sender.index()
        blobs += _send_trees(job.pfs, plan.trees, sender)
        sender.index()
        newest = max(repository.snapshot_ids(), default="")
        snapshot = Snapshot(
            id=new_id(now, newest), time=now, box=job.box_id, host=socket.gethostname(),
            pachybox=__version__, schema=migrations()[-1][0], tables=tables,
            records=found.counts, hashes=found.hashes, blobs=blobs,
            bytes=job.pfs.blobs.usage().bytes, sent=sender.sent,
            indexes=[*held.indexes, *sender.indexes], key=job.key,
        )  # fmt: skip
        _require_unpruned(repository, held, sender)
        lock.check()
        repository.write_snapshot(snapshot)
    return snapshot


def _require_same(job: Job) -> None:
    """Refused (as not there) when the place is not the one of before: a disk that is not mounted
    looks like an empty directory."""
    shown = job.target.shown
    try:
        found = Repository.open(job.target).id
    except NotFound:
        found = ""
    if found != job.expected:
        raise NotReady(
            f"{shown} is not where this box was backed up before: it holds "
            + ("other backups" if found else "no backups"),
            "mount the right disk; to begin anew there, add --new",
        )


def _require_unpruned(repository: Repository, held: Held, sender: Sender) -> None:
    """NotReady when an index that this backup relies on does not count any more, or a pack that it
    found or wrote is gone."""
    now = set(repository.index_names())
    mine = {*held.indexes, *sender.indexes}
    superseded: set[str] = set()
    for name in now - mine:
        shown = f"{repository.target.shown}/index/{name}"
        index = decode_index(name, repository.target.get(f"index/{name}"), shown)
        superseded.update(index.supersedes)
    gone = sender.packs - repository.packs_there().keys()
    if gone or not mine <= now or mine & superseded:
        raise NotReady(
            f"{repository.target.shown} was pruned while the backup was made",
            "run it again; what it sent is still there",
        )


# ---- what is new


@dataclass(slots=True)
class _Plan:
    """New content: trees by hash, and the places of the rest in ``file``, a pack's one after
    another; objects have no pack."""

    file: IO[bytes]
    parts: list[tuple[Pack | None, int]] = field(default_factory=list)  # and how many rows
    bytes: int = 0
    trees: bytearray = field(default_factory=bytearray)

    def rows(self) -> Iterator[tuple[Pack | None, Any]]:
        """The places, by pack."""
        self.file.seek(0)
        for pack, count in self.parts:
            yield pack, np.frombuffer(self.file.read(count * RECORD.itemsize), RECORD)

    def add(self, pack: Pack | None, rows: Any) -> None:
        """Some places."""
        if len(rows):
            self.file.write(rows.tobytes())
            self.parts.append((pack, len(rows)))
            self.bytes += int(rows["length"].astype(np.int64).sum())


def _plan(job: Job, roots: set[Hash], held: Held, session: Session, file: IO[bytes]) -> _Plan:
    pfs = job.pfs
    plan, trees, data = _Plan(file), Seen(), Seen()
    # what lacks a pack may lack any part of a tree: then every tree is looked through
    skip = None if held.lost else lambda nodes: held.has(nodes, Kind.TREE)
    for found in walk(pfs.blobs.get, roots, skip):
        if job.gone():
            raise called_off()
        new = trees.new(found.trees)
        fresh = np.frombuffer(new, "V32")[~held.has(new, Kind.TREE)].tobytes()
        plan.trees += fresh
        wanted = np.frombuffer(found.data, "V32")[~held.has(found.data)].tobytes()
        _hold(session, fresh)
        _hold(session, data.new(wanted))
    _place(pfs, data.keys, plan)
    file.flush()
    return plan


def _hold(session: Session, hashes: bytes) -> None:
    for start in range(0, len(hashes), 32 * _HELD):  # the store waits meanwhile
        some = hashes[start : start + 32 * _HELD]
        if missing := session.hold(Hash(some[i : i + 32]) for i in range(0, len(some), 32)):
            raise Corrupt(
                f"blob {missing[0].hex()}, which a record names, is not in the store",
                "run pachybox fsck, which names the files it belongs to",
            )


def _place(pfs: Pfs, wanted: Prefixes, plan: _Plan) -> None:
    """Find out where every wanted blob lies. Raises Corrupt when one lies nowhere."""
    seen = np.zeros(len(wanted), bool)
    for number in sorted(pfs.blobs.packs.packs):
        pack = pfs.blobs.packs.packs.get(number)
        if pack is None or not len(wanted):
            continue
        rows = np.concatenate([np.zeros(0, RECORD), *pack.records()])
        keys = keys_of(rows["hash"].tobytes())
        mine = contains(wanted, keys)
        rows, at = rows[mine], np.searchsorted(wanted, keys[mine])
        new = ~seen[at]  # a crash in a collection leaves a blob in two packs
        seen[at] = True
        rows = rows[new]
        plan.add(pack, rows[np.argsort(rows["offset"])])
    for _, names in pfs.blobs.objects.names():
        whole = [n for n in names if not n.endswith(SUFFIX) and len(n) == 64]
        hashes = bytes.fromhex("".join(whole))
        keys = keys_of(hashes)
        mine = contains(wanted, keys)
        rows = np.zeros(int(mine.sum()), RECORD)
        rows["hash"] = np.frombuffer(hashes, "V32")[mine]
        seen[np.searchsorted(wanted, keys[mine])] = True
        plan.add(None, rows)
        for row in rows:
            plan.bytes += pfs.blobs.size(Hash(row["hash"].tobytes())) or 0
    if not seen.all():
        raise Corrupt(
            f"{int((~seen).sum())} blobs that records name are not in the store",
            "run pachybox fsck, which names their files",
        )


# ---- sending


def _send_data(job: Job, plan: _Plan, sender: Sender) -> int:
    """Send the content; how many blobs it was."""
    done = count = 0
    for pack, rows in plan.rows():
        if pack is not None:
            for h, data in blobs_of(job.pfs, pack, rows):
                sender.add(Kind.DATA, h, data)
                done += len(data)
                count += 1
                job.report("sending", done, plan.bytes)
                sender.settle()
            continue
        for row in rows:
            h = Hash(row["hash"].tobytes())
            size = job.pfs.blobs.size(h)
            if size is None:
                raise Corrupt(f"object {h.hex()} went missing", "run pachybox fsck")

            def read(at: int, length: int, h: Hash = h, begun: int = done) -> bytes:
                job.report("sending", begun + at, plan.bytes)
                return job.pfs.blobs.read(h, at, length)

            sender.add_long(Kind.DATA, h, size, read)
            done += size
            count += 1
            sender.settle()
    return count


def _send_trees(pfs: Pfs, trees: bytearray, sender: Sender) -> int:
    """Send nodes and lists of segments. No index names one before all are there."""
    for at in range(0, len(trees), 32):
        h = Hash(bytes(trees[at : at + 32]))
        sender.add(Kind.TREE, h, pfs.blobs.get(h))
    return len(trees) // 32


def _send_records(found: Records, held: Held, sender: Sender) -> dict[str, list[str]]:
    """Send the records in pieces that are cut by their content, so that those which did not change
    are there already; the pieces' hashes by table."""
    tables: dict[str, list[str]] = {}
    sent: set[Hash] = set()
    for name in found.parts:
        tables[name] = []
        for piece in _pieces(found.lines(name)):
            h = digest(piece)
            tables[name].append(h.hex())
            if h not in sent and not held.has(h, Kind.RECORDS)[0]:
                sender.add(Kind.RECORDS, h, piece)
            sent.add(h)
    return tables


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        end = size >= _CHUNK_LEAST and zlib.crc32(line) & _CHUNK_MASK == 0
        if end or size >= _CHUNK_MOST:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)
