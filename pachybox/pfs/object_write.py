"""Writing objects: what waits for one branch becomes one edit of its two trees.

An Op is one key's change. ``apply`` runs in the writer's transaction: it asks each condition,
edits content and attributes together, and opens, fills and finishes the commit. An Op that is
refused has its error and stages nothing; the others of the batch go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pachybox.errors import InvalidArgument, Refused
from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Commit, CommitId, Hash
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pfs.object_attributes import encode, marker_edit, object_edit, short
from pachybox.pfs.object_read import NO_CONTENT, look
from pachybox.pfs.object_types import (
    WINDOW,
    Attributes,
    Bucket,
    Condition,
    InvalidKey,
    NoSuchBucket,
    ObjectInfo,
    OutputBranch,
    ReadOnly,
    path_of,
    window_s,
)
from pachybox.pfs.read import File
from pachybox.store.node import PutBlob
from pachybox.store.trees import EMPTY, Trees


@dataclass(slots=True, eq=False)
class Op:
    """One key's change; ``entry`` None removes it. ``blob``: content that is not in the store
    yet, and of which ``entry`` says nothing. ``said``: its attributes as encode() would write
    them, "" when that is to be done. ``also`` runs in the transaction when all else allows the
    change, and may refuse it. Afterwards ``error``, or ``info`` (of a removal: what was removed;
    not where ``said`` was given) and the ``version`` it is in; a removal of what is not there has
    neither."""

    key: str
    entry: Entry | None
    attributes: Attributes
    condition: Condition | None = None
    also: Callable[[Change], None] | None = None
    blob: bytes | None = None
    said: str = ""
    path: str = ""
    info: ObjectInfo | None = None
    version: str = ""
    error: Exception | None = None

    def __post_init__(self) -> None:
        if not self.path:
            self.path = path_of(self.key)

    @property
    def marker(self) -> bool:
        """Whether it is of a directory marker."""
        return self.key.endswith("/")


@dataclass(slots=True)
class Target:
    """Where a batch goes: into ``head`` when that is open, else into a commit of its own."""

    branch: BranchRecord | None
    head: CommitRecord | None
    fresh: bool
    window: str


def find_target(ch: Change, bucket: Bucket) -> Target:
    """NoSuchBucket, OutputBranch, ReadOnly."""
    if bucket.commit:
        head = ch.tx.get(COMMITS, Commit(bucket.repo, CommitId(bucket.commit)))
        if head is None:
            raise NoSuchBucket(f"bucket {bucket.name} not found")
        if head.direct_provenance:
            raise OutputBranch(f"bucket {bucket.name} is the output of a pipeline")
        if head.finished is not None:
            raise ReadOnly(f"commit {head.commit} is finished", "write to its branch")
        return Target(None, head, False, "")
    branch = ch.tx.get(BRANCHES, bucket.at)
    if branch is None:
        raise NoSuchBucket(f"bucket {bucket.name} not found")
    try:
        commits.require_input(ch.tx, branch)
    except Refused as e:
        raise OutputBranch(e.message, e.hint) from None
    head = ch.head(branch)
    fresh = head is None or head.finished is not None
    return Target(branch, head, fresh, branch.metadata.get(WINDOW, ""))


class Batch:
    """The edits of one batch on one base; for one use, in the writer's thread."""

    def __init__(
        self, trees: Trees, put: PutBlob, commit: CommitRecord, version: str, now: datetime
    ) -> None:
        """``commit``: what the objects that are there belong to."""
        self._trees = trees
        self._put = put
        self._commit = commit
        self._version = version
        self._now = now
        self.root: Hash = commit.root
        self.attributes: Hash | None = commit.attributes
        put(b"")  # what NO_BLOB names
        self._pending: list[tuple[Op, list[Edit], list[Edit]]] = []
        self._paths: set[str] = set()
        self.done: list[tuple[Op, Entry]] = []
        """Ops that took effect, with their content."""

    def take(self, ch: Change, op: Op) -> None:
        """Add one op. What it raises is its error, and it has no effect."""
        if op.path in self._paths:
            self.settle()
        if op.also is not None:
            self.settle()
        if op.condition is not None or op.entry is None:
            self.settle_for(op)
            there = self._look(op)
            if op.condition is not None:
                op.condition(there)
            if op.entry is None:
                if there is not None:
                    op.info = there
                    self._remove(op)
                return
        entry = op.entry
        if op.blob is not None:
            entry = Entry("", Kind.FILE, self._put(op.blob), len(op.blob))
        said = short(op.said) if op.said else encode(
            NO_CONTENT.hash if op.marker else entry.hash,
            op.attributes, self._now, self._version, self._put,
        )  # fmt: skip
        if op.marker:
            self._add(op, [], [marker_edit(op.path, said)], NO_CONTENT)
        else:
            self._add(op, [Put(op.path, entry)], [object_edit(op.path, said)], entry)
        if op.also is not None:
            self._settle_with(op.also, ch, op)

    def _settle_with(self, also: Callable[[Change], None], ch: Change, op: Op) -> None:
        """Make the one edit that waits, and what belongs to it: both or none."""
        before = self.root, self.attributes
        self.settle()
        if op.error is None:
            try:
                also(ch)
            except Exception:
                self.root, self.attributes = before
                self.done.pop()
                raise

    def settle_for(self, op: Op) -> None:
        """Have the trees show what came before ``op`` where that can matter to it."""
        if op.path in self._paths:
            self.settle()

    def _look(self, op: Op) -> ObjectInfo | None:
        return look(self._trees, self._commit, self.root, self.attributes, op.key, op.path, None)

    def _remove(self, op: Op) -> None:
        if op.marker:
            self._add(op, [], [marker_edit(op.path, None)], NO_CONTENT)
        else:
            known = [object_edit(op.path, None)] if self.attributes is not None else []
            self._add(op, [Delete(op.path)], known, NO_CONTENT)

    def _add(self, op: Op, edits: list[Edit], said: list[Edit], entry: Entry) -> None:
        self._pending.append((op, edits, said))
        self._paths.add(op.path)
        self.done.append((op, entry))

    def settle(self) -> None:
        """Make the edits that wait. Together, or one by one when that is not possible: then
        those that collide have their error."""
        pending, self._pending, self._paths = self._pending, [], set()
        if not pending:
            return
        try:
            self._edit(pending)
        except InvalidArgument:
            for one in pending:
                try:
                    self._edit([one])
                except InvalidArgument as e:
                    one[0].error = InvalidKey(e.message, e.hint)
            self.done = [d for d in self.done if d[0].error is None]

    def _edit(self, pending: Sequence[tuple[Op, list[Edit], list[Edit]]]) -> None:
        edits = [edit for _, content, _ in pending for edit in content]
        said = [edit for _, _, what in pending for edit in what]
        root = self._trees.edit(self.root, edits, self._put) if edits else self.root
        if said:
            self.attributes = self._trees.edit(self.attributes or EMPTY, said, self._put)
        self.root = root


def apply(
    ch: Change, trees: Trees, put: PutBlob, bucket: Bucket, ops: Sequence[Op]
) -> CommitRecord | None:
    """Make ``ops`` one after another, in one commit. Returns that commit: finished, or open
    when it was, or when a window was opened; None when nothing changed."""
    target = find_target(ch, bucket)
    head = target.head
    base = head or _nothing(ch, bucket)
    version = ch.id if target.fresh else base.commit.id
    batch = Batch(trees, put, base, version, ch.now)
    for op in ops:
        try:
            batch.take(ch, op)
        except Exception as e:  # whatever refused it: its own caller gets it, the others go on
            op.error = e
    batch.settle()
    if not batch.done:
        return None
    whole = trees.entry(batch.root)
    attributes = batch.attributes if batch.attributes != EMPTY else None
    if target.fresh:
        assert target.branch is not None
        window = _is_window(target.window)
        commit = ch.open_commit(
            target.branch,
            None if head is None else head.commit.id,
            batch.root,
            whole.size,
            whole.count,
            attributes=attributes,
            metadata={WINDOW: target.window} if window else None,
            whole=not window,
        )
    else:
        commit = commits.set_tree(
            ch, replace(base, attributes=attributes), batch.root, whole.size, whole.count
        )
    for op, entry in batch.done:
        op.version = commit.commit.id
        if op.entry is not None and not op.said:
            etag = op.attributes.etag or entry.hash.hex()
            file = File(commit, op.path, entry)
            op.info = ObjectInfo(op.key, entry.size, ch.now, op.version, op.attributes, etag, file)
    return commit


def _nothing(ch: Change, bucket: Bucket) -> CommitRecord:
    """What stands for the head of a branch that has none."""
    return CommitRecord(
        Commit(bucket.repo, ch.id), bucket.branch, None, Origin.USER, "", 0, ch.now, None, "",
        EMPTY, 0, 0, (),
    )  # fmt: skip


def _is_window(text: str) -> bool:
    """Whether a branch's setting groups writes; what is no duration does not."""
    try:
        return bool(text) and window_s(text) > 0
    except InvalidArgument:
        return False
