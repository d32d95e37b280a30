"""Filesets: trees without a commit, that live for a while (reference §8.1).

A client makes one from modifications or from a commit, composes several, adds one to an open
commit, and reads it as the commit ``__filesets__@ID``. A fileset that nobody renews is not
found any more when its time has come, and then freed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

from pachybox.errors import InvalidArgument, NotFound
from pachybox.meta.tables import CACHE, COMMITS, FILESETS, CacheRecord, FilesetRecord, micros
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta, utc_now
from pachybox.model.files import Put
from pachybox.model.ids import Commit, CommitId, Hash, Repo
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.pfs import commits
from pachybox.pfs.repos import FILESETS_REPO
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import AddTree, CopyFile, FileOp, PutFile, PutTree, RemoveFile, Writer
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

DEFAULT_TTL_S = 600
MAX_TTL_S = 1800
_SHARD_FILES = 1_000_000
_SHARD_BYTES = 1 << 30
_CACHED = 1000  # values kept; the oldest go first
_CACHED_BYTES = 1 << 20  # of one value


def find(meta: Meta, fileset_id: str) -> FilesetRecord:
    """The fileset of that id; NotFound when there is none, or its time is over."""
    found = meta.get(FILESETS, fileset_id)
    if found is None or (found.expires <= utc_now() and not _cached(meta, fileset_id)):
        raise NotFound(
            f"fileset {fileset_id} not found", "its time may be over: make it again, and renew it"
        )
    return found


def _cached(meta: Meta, fileset_id: str) -> bool:
    sql = "SELECT 1 FROM cache WHERE contains(filesets_json, ?) LIMIT 1"
    return bool(meta.db.read(sql, (f'"{fileset_id}"',)))


def as_commit(meta: Meta, repo: Repo, fileset_id: str) -> CommitRecord:
    """A fileset in the form of a commit, for reading."""
    found = find(meta, fileset_id)
    return CommitRecord(
        Commit(Repo(repo.project, FILESETS_REPO), CommitId(found.id)), "", None, Origin.USER, "",
        0, found.created, found.created, "", found.root, 0, 0, (),
    )  # fmt: skip


class Filesets:
    """Makes, combines and keeps the filesets of one Pfs."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs

    def create(self, session: Session, ops: Sequence[FileOp]) -> str:
        """A fileset of what ``ops`` do; returns its id. ``session`` holds their content."""
        root = self._writer(session).apply(EMPTY, ops)
        return self._keep(session, root, _deletes(ops))

    def of_commit(self, repo: Repo, ref: str, *, diff: bool = False) -> str:
        """A fileset of a commit's files, or (``diff``) of what it changed in its parent's."""
        commit = commits.readable(self._pfs.resolve(repo, ref))
        with self._pfs.reading(commit.root), self._pfs.blobs.session() as session:
            if not diff or commit.parent is None:
                return self._keep(session, commit.root, ())
            parent = self._pfs.meta.get(COMMITS, Commit(commit.commit.repo, commit.parent))
            before = EMPTY if parent is None else parent.root
            with self._pfs.reading(before):
                puts: list[FileOp] = []
                deletes: list[str] = []
                for change in self._pfs.trees.diff(before, commit.root):
                    if change.old is not None and not change.old.is_dir:
                        deletes.append(change.path)
                    if change.new is not None and not change.new.is_dir:
                        puts.append(Put(change.path, change.new))
                root = self._writer(session).apply(EMPTY, puts)
                return self._keep(session, root, deletes)

    def compose(self, ids: Sequence[str], ttl_s: int = 0) -> str:
        """One fileset that does what ``ids`` do one after the other."""
        if not ids:
            raise InvalidArgument("no fileset to compose", "name at least one fileset id")
        ttl = _ttl(ttl_s or DEFAULT_TTL_S)
        root, deletes = EMPTY, dict[str, None]()
        with self._pfs.blobs.session() as session, ExitStack() as held:
            writer = self._writer(session)
            for one in ids:
                found = find(self._pfs.meta, one)
                held.enter_context(self._pfs.reading(found.root))  # until the new one names all
                root = writer.apply(root, [AddTree(found.root, found.deletes)])
                deletes |= dict.fromkeys(found.deletes)
            return self._keep(session, root, tuple(deletes), ttl)

    def add(self, repo: Repo, ref: str, fileset_id: str) -> None:
        """Lay a fileset on what an open commit holds."""
        commit = self._pfs.resolve(repo, ref)
        commits.require_writable(commit)
        found = find(self._pfs.meta, fileset_id)
        with self._pfs.reading(found.root), self._pfs.blobs.session() as session:
            op = AddTree(found.root, found.deletes)
            self._pfs.write(session, commit.commit.repo, commit.commit.id, [op])

    def renew(self, fileset_id: str, ttl_s: int) -> None:
        """Keep a fileset for ``ttl_s`` seconds from now."""
        ttl = _ttl(ttl_s)
        find(self._pfs.meta, fileset_id)

        def run(tx: Tx) -> None:
            found = tx.get(FILESETS, fileset_id)
            if found is None:
                raise NotFound(f"fileset {fileset_id} not found", "make it again")
            tx.put(FILESETS, replace(found, expires=tx.now + ttl))

        self._pfs.meta.write(run)

    def shards(self, fileset_id: str, files: int = 0, size: int = 0) -> list[tuple[str, str]]:
        """(lower, upper) path ranges that each hold about ``files`` files or ``size`` bytes;
        the first begins and the last ends with ""."""
        if files < 0 or size < 0:
            raise InvalidArgument("a shard has a negative size", "give positive numbers, or none")
        found = find(self._pfs.meta, fileset_id)
        most, full = files or _SHARD_FILES, size or _SHARD_BYTES
        edges = [""]
        count = held = 0
        with self._pfs.reading(found.root):
            for path, length, _ in self._pfs.trees.rows(found.root):
                if count >= most or held >= full:
                    edges.append(path)
                    count = held = 0
                count += 1
                held += length
        return list(zip(edges, [*edges[1:], ""], strict=True))

    def expire(self) -> int:
        """Forget the filesets whose time is over; returns how many."""
        rows = self._pfs.meta.db.read("SELECT filesets_json FROM cache")  # not the values
        kept = {one for row in rows for one in json.loads(row[0])}
        now = micros(utc_now())
        due = [
            f.id
            for f in self._pfs.meta.select(FILESETS, "WHERE expires_us <= ?", (now,))
            if f.id not in kept
        ]

        def run(tx: Tx) -> int:
            gone = 0
            for one in due:
                found = tx.get(FILESETS, one)
                if found is not None and found.expires <= tx.now:
                    tx.remove(FILESETS, one)
                    gone += 1
            return gone

        return self._pfs.meta.write(run) if due else 0

    def clear(self) -> None:
        """Forget every fileset, and what clients keep."""
        self.clear_cache()
        found = [row[0] for row in self._pfs.meta.db.read("SELECT id FROM filesets")]

        def run(tx: Tx) -> None:
            for one in found:
                tx.remove(FILESETS, one)

        self._pfs.meta.write(run)

    # ---- what clients keep

    def put_cache(self, record: CacheRecord) -> None:
        """Keep a value under its key, with the filesets it needs. Of many, the oldest go."""
        if not record.key:
            raise InvalidArgument("the value has no key", "set key")
        if len(record.value) > _CACHED_BYTES:
            raise InvalidArgument(
                f"the value of {record.key} has {len(record.value)} bytes",
                f"at most {_CACHED_BYTES} are kept; put it into a fileset",
            )
        for one in record.filesets:
            find(self._pfs.meta, one)

        surplus = self._pfs.meta.db.read(
            "SELECT key FROM cache WHERE key <> ? ORDER BY created_us DESC OFFSET ?",
            (record.key, _CACHED - 1),
        )

        def run(tx: Tx) -> None:
            for (key,) in surplus:
                tx.remove(CACHE, key)
            tx.put(CACHE, record)

        self._pfs.meta.write(run)

    def get_cache(self, key: str) -> CacheRecord:
        """The value kept under ``key``; NotFound otherwise."""
        found = self._pfs.meta.get(CACHE, key)
        if found is None:
            raise NotFound(f"key {key} not found in the cache", "put it first")
        return found

    def clear_cache(self, tag_prefix: str = "") -> None:
        """Forget every value whose tag begins with ``tag_prefix``."""
        keys = self._pfs.meta.db.read(
            "SELECT key FROM cache WHERE starts_with(tag, ?)", (tag_prefix,)
        )

        def run(tx: Tx) -> None:
            for (key,) in keys:
                tx.remove(CACHE, key)

        self._pfs.meta.write(run)

    # ----

    def _writer(self, session: Session) -> Writer:
        return Writer(self._pfs.trees, self._pfs.content, session.put)

    def _keep(
        self,
        session: Session,
        root: Hash,
        deletes: Sequence[str],
        ttl: timedelta = timedelta(seconds=DEFAULT_TTL_S),
    ) -> str:
        def run(tx: Tx) -> str:
            made = FilesetRecord(uuid.uuid4().hex, root, tuple(deletes), tx.now, tx.now + ttl)
            tx.add(FILESETS, made)
            return made.id

        made = self._pfs.meta.write(run, quick=True)
        session.keep()
        return made


def _ttl(seconds: int) -> timedelta:
    if seconds < 1:
        raise InvalidArgument(f"ttl ({seconds}) must be at least one second", "give seconds")
    if seconds > MAX_TTL_S:
        raise InvalidArgument(
            f"ttl ({seconds}) exceeds max ttl ({MAX_TTL_S})", "renew it again before it is over"
        )
    return timedelta(seconds=seconds)


def _deletes(ops: Sequence[FileOp]) -> tuple[str, ...]:
    """What ``ops`` take away from whatever they are laid on."""
    return tuple(dict.fromkeys(path for op in ops for path in _deleted(op)))


def _deleted(op: FileOp) -> Iterator[str]:
    if isinstance(op, RemoveFile):
        yield op.path
    elif isinstance(op, Put) or (isinstance(op, PutFile | CopyFile) and not op.append):
        yield op.path
        if isinstance(op, CopyFile):
            yield f"{op.path}/"
    elif isinstance(op, AddTree):
        yield from op.deletes
    elif isinstance(op, PutTree):
        raise AssertionError("a fileset is made of single modifications")
