"""One change to the metadata: what it touched, and what follows from it.

Every operation that can move a branch runs inside a Change. At its end ``settle``
fires triggers and opens, in topological order, the downstream commits that the moved
heads call for (reference §1.6), all under the change's one global id, all in the same
transaction as the operation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from pachybox.errors import NotFound
from pachybox.meta.tables import BRANCHES, COMMITS, REPOS, Table
from pachybox.meta.tx import Tx
from pachybox.model.ids import SPEC, Branch, Commit, CommitId, Hash, Repo, new_commit_id
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin, RepoRecord
from pachybox.store.trees import EMPTY

K = TypeVar("K")
V = TypeVar("V")


class View(Protocol):
    """What reading needs: a transaction (Tx) or the durable state (Meta) both have it."""

    def get(self, table: Table[K, V], key: K) -> V | None: ...
    def all(self, table: Table[K, V]) -> list[V]: ...
    def select(
        self,
        table: Table[K, V],
        where: str,
        params: Iterable[object] = (),
        also: Callable[[V], bool] | None = None,
    ) -> list[V]: ...


class Listener(Protocol):
    """The layer above, told inside the transaction so that its records change with ours."""

    def opened(self, change: Change, commit: CommitRecord) -> None:
        """An AUTO commit was opened on a branch: work is due."""

    def finished(self, change: Change, commit: CommitRecord) -> None:
        """A commit was finished."""

    def removed(self, change: Change, commit: CommitRecord) -> None:
        """A commit is being deleted or squashed."""


class Graph:
    """What the writer thread keeps between changes: which branches follow which (the inverse
    of direct provenance and of triggers; ``stale`` is set by whatever alters them), the last
    commit number, and how often commits of a repo were taken out.
    """

    def __init__(self, last_seq: int) -> None:
        self.stale = True
        self.seq = last_seq
        self.taken_out: dict[Repo, int] = {}
        self._down: dict[Branch, list[Branch]] = {}
        self._triggered: dict[Branch, list[Branch]] = {}

    def next_seq(self) -> int:
        """The next number in the box-wide order of commits; gaps are harmless."""
        self.seq += 1
        return self.seq

    def took_out(self, repo: Repo) -> None:
        """Count it."""
        self.taken_out[repo] = self.taken_out.get(repo, 0) + 1

    def downstream(self, view: View) -> dict[Branch, list[Branch]]:
        """Branch -> branches whose direct provenance names it."""
        self._refresh(view)
        return self._down

    def triggered(self, view: View, source: Branch) -> list[Branch]:
        """Branches whose trigger looks at ``source``."""
        self._refresh(view)
        return self._triggered.get(source, [])

    def _refresh(self, view: View) -> None:
        if not self.stale:
            return
        self._down, self._triggered = {}, {}
        for record in view.all(BRANCHES):
            for source in record.direct_provenance:
                self._down.setdefault(source, []).append(record.branch)
            if record.trigger is not None:
                watched = Branch(record.branch.repo, record.trigger.branch)
                self._triggered.setdefault(watched, []).append(record.branch)
        self.stale = False


class Change:
    """A transaction over pfs metadata with one global commit id."""

    def __init__(
        self, tx: Tx, graph: Graph, listener: Listener | None, commit_id: CommitId | None = None
    ) -> None:
        self.tx = tx
        self.graph = graph
        self.listener = listener
        self.id: CommitId = commit_id or new_commit_id()
        self.now: datetime = tx.now
        self._moved: set[Branch] = set()
        self._pinned: set[Branch] = set()
        self._arrived: list[tuple[str, CommitRecord]] = []

    # ---- records

    def repo(self, repo: Repo) -> RepoRecord:
        """The repo's record; NotFound otherwise."""
        found = self.tx.get(REPOS, repo)
        if found is None:
            raise NotFound(f"repo {repo.full} not found", "list repo shows what there is")
        return found

    def branch(self, branch: Branch) -> BranchRecord:
        """The branch's record; NotFound otherwise."""
        self.repo(branch.repo)
        found = self.tx.get(BRANCHES, branch)
        if found is None:
            raise NotFound(
                f'branch "{branch.name}" not found in repo {branch.repo.full}',
                f"list branch {branch.repo} shows what there is",
            )
        return found

    def commit(self, repo: Repo, commit_id: CommitId) -> CommitRecord:
        """The commit's record; NotFound otherwise."""
        found = self.tx.get(COMMITS, Commit(repo, commit_id))
        if found is None:
            raise NotFound(f"commit {commit_id} not found in repo {repo.full}")
        return found

    def head(self, branch: BranchRecord) -> CommitRecord | None:
        """The head's record, None for a branch without one."""
        return None if branch.head is None else self.commit(branch.branch.repo, branch.head)

    # ---- effects

    def move(self, branch: BranchRecord, head: CommitId | None) -> None:
        """Set a branch's head; what is downstream follows when the change settles."""
        # perf: by replace() it takes three times as long
        moved = BranchRecord(
            branch.branch, head, branch.direct_provenance, branch.created, self.now,
            branch.trigger, branch.metadata, branch.quiet,
        )  # fmt: skip
        self.tx.put(BRANCHES, moved)
        self._moved.add(branch.branch)

    def pin(self, branch: Branch) -> None:
        """Leave the provenance of ``branch``'s new head as it was chosen, not as the heads are."""
        self._pinned.add(branch)

    def touch(self, branch: Branch) -> None:
        """Have ``branch`` and what follows it looked at when the change settles."""
        self._moved.add(branch)

    def arrived(self, branch: str, commit: CommitRecord) -> None:
        """A finished commit is now the head of ``branch``: its triggers are due."""
        self._arrived.append((branch, commit))

    def closed(self, commit: CommitRecord) -> None:
        """Note that a commit was finished: triggers are evaluated when the change settles."""
        self.arrived(commit.branch, commit)
        self.tx.event(
            "commit.finished",
            **names(commit.commit.repo),
            branch=commit.branch,
            id=commit.commit.id,
            origin=commit.origin.value,
            error=commit.error,
        )
        if self.listener:
            self.listener.finished(self, commit)

    def open_commit(
        self,
        branch: BranchRecord,
        parent: CommitId | None,
        root: Hash,
        size: int,
        files: int,
        *,
        origin: Origin = Origin.USER,
        description: str = "",
        provenance: tuple[tuple[Branch, CommitId], ...] = (),
        attributes: Hash | None = None,
        metadata: dict[str, str] | None = None,
        move: bool = True,
        whole: bool = False,
    ) -> CommitRecord:
        """Stage a new open commit with this change's id; the branch moves to it at once.

        ``whole``: it is finished by that; the parent is to be finished.
        """
        record = CommitRecord(
            Commit(branch.branch.repo, self.id),
            branch.branch.name,
            parent,
            origin,
            description,
            self.graph.next_seq(),
            self.now,
            self.now if whole else None,
            "",
            root,
            size,
            files,
            provenance,
            metadata or {},
            attributes,
        )
        self.tx.add(COMMITS, record)
        if move:
            self.move(branch, self.id)
        self.tx.event(
            "commit.started",
            **names(branch.branch.repo),
            branch=branch.branch.name,
            id=self.id,
            origin=origin.value,
        )
        if whole:
            self.closed(record)
        return record

    # ---- what follows

    def settle(self, fire: Callable[[Change, str, CommitRecord], None]) -> None:
        """Fire triggers for finished commits, then bring every branch downstream of a moved
        one up to date. Idempotent; called once at the end of the change."""
        while self._arrived:
            fire(self, *self._arrived.pop(0))
        if self._moved:
            for branch in self._follow(self._moved):
                self._update(branch)  # also what follows quietly: it is in the order, and stays
            self._moved.clear()

    def _follow(self, moved: set[Branch]) -> list[Branch]:
        """Everything downstream of ``moved`` (and the moved themselves), upstream first."""
        down = self.graph.downstream(self.tx)
        if down.keys().isdisjoint(moved):
            return sorted(moved, reverse=True)
        order: list[Branch] = []
        seen: set[Branch] = set()
        for start in sorted(moved):
            stack: list[tuple[Branch, int]] = [(start, 0)]
            while stack:
                branch, i = stack.pop()
                if i == 0:
                    if branch in seen:
                        continue
                    seen.add(branch)
                nexts = down.get(branch, [])
                if i < len(nexts):
                    stack.append((branch, i + 1))
                    stack.append((nexts[i], 0))
                else:
                    order.append(branch)
        order.reverse()
        return order

    def _update(self, branch: Branch) -> None:
        record = self.tx.get(BRANCHES, branch)
        if record is None or not record.direct_provenance or branch in self._pinned:
            return
        wanted: list[tuple[Branch, CommitId]] = []
        for source in record.direct_provenance:
            upstream = self.tx.get(BRANCHES, source)
            if upstream is not None and upstream.head is not None:
                wanted.append((source, upstream.head))
        if all(source.repo.type == SPEC for source, _ in wanted):
            return
        head = self.head(record)
        if head is None:
            loud = {source for source, _ in _loud(record, wanted) if source.repo.type != SPEC}
            if not loud and branch not in self._moved:
                return  # nothing that it follows has data yet
        elif _loud(record, head.direct_provenance) == _loud(record, wanted):
            return
        if head is not None and head.commit.id == self.id:
            if head.finished is None:
                updated = replace(head, direct_provenance=tuple(wanted))
                self.tx.put(COMMITS, updated)
            return
        opened = self.open_commit(
            record,
            record.head,
            EMPTY,
            0,
            0,
            origin=Origin.AUTO,
            provenance=tuple(wanted),
        )
        if self.listener:
            self.listener.opened(self, opened)


def _loud(
    branch: BranchRecord, provenance: Iterable[tuple[Branch, CommitId]]
) -> set[tuple[Branch, CommitId]]:
    """The part of a commit's provenance whose changes make ``branch`` follow."""
    return {(source, head) for source, head in provenance if source not in branch.quiet}


def names(repo: Repo) -> dict[str, str]:
    """How events name a repo."""
    return {"project": repo.project, "repo": repo.name, "type": repo.type}
