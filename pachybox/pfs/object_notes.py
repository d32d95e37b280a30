"""Notes: objects put into an open commit that are durable in the journal and not in its trees yet.

An edit of two trees for each dozen of objects is most of what such a PUT costs. So what goes into
a commit that is open already, and asks nothing of it, is noted: content and all, in one line of
the journal and one sync for all that came together. The trees are edited for hundreds at once:
before anybody looks at the commit or changes anything else (see Meta.write), when there are
``MOST`` notes, and after a second.

A note is made only when nothing can refuse it any more, so what it says can be done later.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pachybox.errors import Exhausted, PachyboxError
from pachybox.meta.tables import NOTES
from pachybox.meta.tx import Tx
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Commit, Hash
from pachybox.model.pfs import CommitRecord, NoteRecord
from pachybox.pfs.change import Change
from pachybox.pfs.object_attributes import INLINE, encoded
from pachybox.pfs.object_read import NO_CONTENT
from pachybox.pfs.object_types import Attributes, Bucket, ObjectInfo
from pachybox.pfs.object_write import Op, apply, find_target
from pachybox.pfs.read import File
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import Session
from pachybox.store.format import digest
from pachybox.store.trees import Trees

log = logging.getLogger("pachybox.s3")

MOST = 4096  # edited in some 100 ms, a third cheaper each than a quarter of them
MOST_BYTES = 8 << 20
_NOTHING = Attributes()


class Notes:
    """The notes of all commits. ``put`` from any thread, the rest in the writer's."""

    def __init__(self, pfs: Pfs) -> None:
        """Write up what an earlier process left."""
        self._pfs = pfs
        self._names: dict[Commit, _Names] = {}
        self._count = self._bytes = 0
        self._session: Session | None = None
        self._last = 0
        pfs.meta.notes = self
        self.take_up()

    def take_up(self) -> None:
        """Write up what is in the database: what an earlier process, or a backup, left."""
        left = self._pfs.meta.select(NOTES, "ORDER BY number")
        if left:
            self._last = left[-1].number
            self._pfs.meta.write(lambda tx: self.write_up(tx, left))
            self.written_up()

    def put(self, bucket: Bucket, ops: Sequence[Op]) -> CommitRecord | None:
        """Note all ``ops``, durable on return, and tell the commit they are of; None when they
        are to be made in the trees. Raises what forbids any write there."""
        if not all(map(_can_be_noted, ops)):
            return None
        if (reserve := self._pfs.blobs.reserve) is not None:
            reserve()
        return self._pfs.change(lambda ch: self._note(ch, bucket, ops), quick=True, noting=True)

    def _note(self, ch: Change, bucket: Bucket, ops: Sequence[Op]) -> CommitRecord | None:
        target = find_target(ch, bucket)
        commit = target.head
        if commit is None or target.fresh:
            return None
        size = sum([len(op.blob or b"") for op in ops])
        if self._count + len(ops) > MOST or self._bytes + size > MOST_BYTES:
            return None  # what comes after a change is few again
        names = self._names.get(commit.commit)
        if names is None or names.root != commit.root:
            names = self._names[commit.commit] = _Names(self._pfs.trees, commit.root)
        if not all([names.add(op.path) for op in ops]):
            return None
        made = [self._made(ch, commit, op) for op in ops]
        if None in made:
            return None
        for note in made:
            assert note is not None
            ch.tx.add(NOTES, note)
        self._count += len(ops)
        self._bytes += size
        return commit

    def _made(self, ch: Change, commit: CommitRecord, op: Op) -> NoteRecord | None:
        content = op.blob
        assert content is not None
        hash_ = digest(content)
        op.version = version = commit.commit.id
        said = encoded(hash_, op.attributes, ch.now, version)
        if len(said) > INLINE:
            return None
        file = File(commit, op.path, Entry("", Kind.FILE, hash_, len(content)))
        etag = op.attributes.etag or hash_.hex()
        op.info = ObjectInfo(op.key, len(content), ch.now, version, op.attributes, etag, file)
        self._last += 1
        return NoteRecord(self._last, commit.commit, op.key, content, said)

    def write_up(self, tx: Tx, notes: list[NoteRecord]) -> None:
        """Make the objects of ``notes`` in the trees, in the order they were put. Those of a
        commit whose trees are damaged stay. Raises Exhausted when the disk is full."""
        self._session = self._pfs.blobs.session(past_reserve=True)
        self._names.clear()
        self._count = self._bytes = 0
        by_commit: dict[Commit, list[NoteRecord]] = {}
        for note in notes:
            by_commit.setdefault(note.commit, []).append(note)
        for commit, mine in by_commit.items():
            try:
                self._write_up(tx, self._session, commit, mine)
            except PachyboxError as e:
                if isinstance(e, Exhausted):
                    raise
                log.error("%d objects of %s wait in the database: %s", len(mine), commit, e)

    def _write_up(self, tx: Tx, session: Session, commit: Commit, notes: list[NoteRecord]) -> None:
        ops = []
        for note in notes:
            op = Op(note.key, NO_CONTENT, _NOTHING, path=f"/{note.key}")
            op.blob, op.said = note.content, note.said
            ops.append(op)
        with session.gathering() as put:
            apply(
                self._pfs.change_of(tx),
                self._pfs.trees,
                put,
                Bucket(commit.repo, "", commit.id),
                ops,
            )
        for note, op in zip(notes, ops, strict=True):
            if op.error is not None:
                log.error("object %s of %s waits in the database: %s", note.key, commit, op.error)
            else:
                tx.remove(NOTES, note.number)

    def written_up(self) -> None:
        """What was written up is named durably, or it is not to be kept."""
        if self._session is not None:
            self._session.end()
            self._session = None


def _can_be_noted(op: Op) -> bool:
    """Whether it is a plain object with its content."""
    return op.blob is not None and op.condition is None and op.also is None and not op.marker


class _Names:
    """What is where in a commit, with what is noted: a file may not be where a directory is, nor
    below a file. Paths of notes that came to nothing refuse too much, never too little."""

    def __init__(self, trees: Trees, root: Hash) -> None:
        self.root = root
        self._trees = trees
        self._files: set[str] = set()
        self._directories = {""}

    def add(self, path: str) -> bool:
        """Whether a file can be put at ``path``; from now on it counts as there."""
        parent = path[: path.rfind("/")]
        if parent not in self._directories and not self._open(parent):
            return False
        if path in self._directories:
            return False
        there = self._trees.get(self.root, path)
        if there is not None and there.is_dir:
            return False
        self._files.add(path)
        return True

    def _open(self, path: str) -> bool:
        """Whether ``path`` is a directory or can be made one."""
        at = 0
        while at >= 0:
            at = path.find("/", at + 1)
            one = path if at < 0 else path[:at]
            if one in self._directories:
                continue
            if one in self._files:
                return False
            there = self._trees.get(self.root, one)
            if there is not None and not there.is_dir:
                return False
            self._directories.add(one)
        return True
