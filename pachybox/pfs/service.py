"""The face of pfs: verbs of the domain, one transaction each. Doors and pps call this.

Names come in as values of ``pachybox.model``; commits as reference text (branch, id,
short id, ancestry) resolved here. Reads see the durable state. Every method is safe to
call from any thread.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from pachybox.errors import NotFound, Refused
from pachybox.meta.apply import Filling, Staged
from pachybox.meta.groups import Outcome
from pachybox.meta.tables import BRANCHES, COMMITS, PROJECTS, REPOS
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    USER,
    Branch,
    Commit,
    CommitId,
    Hash,
    Repo,
    is_commit_id,
)
from pachybox.model.pfs import (
    BranchRecord,
    CommitRecord,
    Origin,
    ProjectRecord,
    RepoRecord,
    Trigger,
)
from pachybox.model.refs import parse_ref
from pachybox.pfs import branches, commits, repos
from pachybox.pfs.change import Change, Graph, Listener
from pachybox.pfs.write import FileOp, PutTree, RemoveFile, Writer
from pachybox.store.blobs import BlobStore, Session
from pachybox.store.content import Content
from pachybox.store.trees import EMPTY, Trees

T = TypeVar("T")

_INSIDE = 256  # edits this small are applied in the writer thread; larger ones outside first
_NODES = 24 << 20  # bytes of decoded tree nodes kept
_TRIES = 3  # guesses of the base tree before a large edit is applied in the writer after all


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A repo with what is computed: its branches, the size of master's head in bytes."""

    record: RepoRecord
    branches: tuple[BranchRecord, ...]
    size: int


class Pfs:
    """Versioned repos over one metadata database and one content store."""

    def __init__(self, meta: Meta, blobs: BlobStore, nodes_bytes: int = _NODES) -> None:
        """``nodes_bytes``: decoded tree nodes are kept within them."""
        self.meta = meta
        self.blobs = blobs
        self.trees = Trees(blobs.get, cache_bytes=nodes_bytes)
        self.content = Content(blobs)
        self.listener: Listener | None = None
        self._graph = Graph(self._last_seq())
        meta.on_discard = self._discarded
        self._reading: dict[int, Hash] = {}
        self._readings = itertools.count()
        self._reading_lock = threading.Lock()
        if meta.get(PROJECTS, DEFAULT_PROJECT) is None:
            self.change(lambda ch: repos.create_project(ch, DEFAULT_PROJECT, ""))

    # ---- changes

    def change(
        self,
        fn: Callable[[Change], T],
        *,
        solo: bool = False,
        quick: bool = False,
        noting: bool = False,
        commit_id: CommitId | None = None,
    ) -> T:
        """Run ``fn`` as one transaction, with all that follows from it (see Change); returns
        its result once durable. ``solo``, ``quick``, ``noting``: see Meta.write."""
        return self.meta.write(
            self._transaction(fn, commit_id), solo=solo, quick=quick, noting=noting
        )

    def begin(self, fn: Callable[[Change], T], *, quick: bool = False) -> Outcome[T]:
        """``change`` that is waited for later: its result once durable, or what it raised."""
        return self.meta.begin(self._transaction(fn, None), quick=quick)

    def change_later(self, fn: Callable[[Change], T]) -> Future[T]:
        """``change`` for what nobody waits for; see Meta.later."""
        return self.meta.later(self._transaction(fn, None))

    def change_of(self, tx: Tx) -> Change:
        """What is to be done in ``tx``, which is not a change's of its own."""
        return Change(tx, self._graph, self.listener)

    def within(self, tx: Tx, fn: Callable[[Change], T], commit_id: CommitId | None = None) -> T:
        """Run ``fn`` in ``tx`` as one change, with all that follows from it. Two of them in one
        transaction have ids of their own, so that both may make a commit of the same repo."""
        ch = Change(tx, self._graph, self.listener, commit_id)
        result = fn(ch)
        ch.settle(branches.fire_triggers)
        return result

    def _transaction(
        self, fn: Callable[[Change], T], commit_id: CommitId | None
    ) -> Callable[[Tx], T]:
        return lambda tx: self.within(tx, fn, commit_id)

    def fill(
        self,
        check: Callable[[], None],
        rows: Iterable[Filling],
        after: Callable[[], Staged],
    ) -> None:
        """Take over the records of another box; see Meta.fill."""

        def known() -> Staged:
            self._graph.seq = self._last_seq()
            self._graph.stale = True
            return after()

        self.meta.fill(check, rows, known)

    def _last_seq(self) -> int:
        return int(self.meta.db.read("SELECT coalesce(max(seq), 0) FROM commits")[0][0])

    def _discarded(self) -> None:
        """In the writer thread, before the next change runs: the graph may hold edges of records
        that now never come to be."""
        self._graph.stale = True

    # ---- projects and repos

    def create_project(self, name: str, description: str = "", *, update: bool = False) -> None:
        """See repos.create_project."""
        self.change(lambda ch: repos.create_project(ch, name, description, update=update))

    def inspect_project(self, name: str) -> ProjectRecord:
        """The project's record; NotFound otherwise."""
        repos.require_project(self.meta, name)
        found = self.meta.get(PROJECTS, name)
        assert found is not None
        return found

    def list_projects(self) -> list[ProjectRecord]:
        """All projects by name."""
        return sorted(self.meta.all(PROJECTS), key=lambda p: p.name)

    def delete_project(self, name: str, *, force: bool = False) -> None:
        """See repos.delete_project."""
        self.change(lambda ch: repos.delete_project(ch, name, force=force), solo=True)

    def create_repo(self, repo: Repo, description: str = "", *, update: bool = False) -> None:
        """See repos.create_repo."""
        self.change(lambda ch: repos.create_repo(ch, repo, description, update=update))

    def inspect_repo(self, repo: Repo) -> RepoInfo:
        """A repo with its branches and the size of master's head; NotFound otherwise."""
        record = self.meta.get(REPOS, repo)
        if record is None:
            raise NotFound(f"repo {repo.full} not found", "list repo shows what there is")
        return self._repo_info(record, repos.branches_of(self.meta, repo))

    def list_repos(
        self, projects: Sequence[str] = (), repo_type: str | None = USER
    ) -> list[RepoInfo]:
        """Repos of the named projects (none named: all) and type (None: all), newest first."""
        mine: dict[Repo, list[BranchRecord]] = {}
        for branch in self.meta.all(BRANCHES):
            mine.setdefault(branch.branch.repo, []).append(branch)
        found = [
            self._repo_info(r, sorted(mine.get(r.repo, []), key=lambda b: b.branch.name))
            for r in self.meta.all(REPOS)
            if (not projects or r.repo.project in projects) and repo_type in (None, r.repo.type)
        ]
        return sorted(found, key=lambda i: (i.record.created, i.record.repo), reverse=True)

    def _repo_info(self, record: RepoRecord, mine: Sequence[BranchRecord]) -> RepoInfo:
        size = 0
        for branch in mine:
            if branch.branch.name == "master" and branch.head is not None:
                head = self.meta.get(COMMITS, Commit(record.repo, branch.head))
                size = head.size if head else 0
        return RepoInfo(record, tuple(mine), size)

    def delete_repo(self, repo: Repo, *, force: bool = False) -> bool:
        """See repos.delete_repo."""
        return self.change(lambda ch: repos.delete_repo(ch, repo, force=force), solo=True)

    # ---- branches

    def create_branch(
        self,
        branch: Branch,
        head: str | None = None,
        provenance: Sequence[Branch] = (),
        trigger: Trigger | None = None,
    ) -> None:
        """Create or move a branch. ``head`` is reference text in the same repo, or None; an
        existing branch moved with neither head nor provenance keeps its head."""
        target = None if head is None else self.resolve(branch.repo, head).commit.id

        def run(ch: Change) -> None:
            wanted = target
            old = ch.tx.get(BRANCHES, branch)
            if head is None and old is not None:
                wanted = old.head
            branches.create_branch(ch, branch, wanted, tuple(provenance), trigger)

        self.change(run)

    def inspect_branch(self, branch: Branch) -> BranchRecord:
        """The branch's record; NotFound otherwise."""
        return branches.require_branch(self.meta, branch)

    def list_branches(self, repo: Repo | None) -> list[BranchRecord]:
        """Branches of a repo (None: of every user repo), newest first."""
        if repo is None:
            found = [b for b in self.meta.all(BRANCHES) if b.branch.repo.type == USER]
            return sorted(found, key=lambda b: (b.created, b.branch), reverse=True)
        self.inspect_repo(repo)
        return repos.branches_of(self.meta, repo)

    def delete_branch(self, branch: Branch, *, force: bool = False) -> None:
        """See branches.delete_branch."""
        self.change(lambda ch: branches.delete_branch(ch, branch, force=force))

    # ---- commits

    def resolve(self, repo: Repo, ref: str) -> CommitRecord:
        """The commit ``ref`` names in ``repo``."""
        return commits.resolve(self.meta, repo, ref)

    def start_commit(
        self, branch: Branch, parent: str | None = None, description: str = ""
    ) -> Commit:
        """Open a commit on ``branch``; ``parent`` is reference text in the same repo."""
        base = None if parent is None else self.resolve(branch.repo, parent).commit.id
        return self.change(lambda ch: commits.start_commit(ch, branch, base, description).commit)

    def finish_commit(
        self, repo: Repo, ref: str, *, description: str | None = None, error: str = ""
    ) -> None:
        """Close the commit ``ref`` names. Refused when it is finished, or is a job's."""
        found = self.resolve(repo, ref).commit
        self.change(
            lambda ch: commits.finish_by_hand(
                ch, ch.commit(found.repo, found.id), description=description, error=error
            )
        )

    def list_commits(
        self,
        repo: Repo | None = None,
        *,
        to: str | None = None,
        after: str | None = None,
        number: int = 0,
        reverse: bool = False,
        origins: Sequence[Origin] = (),
        everything: bool = False,
        started: datetime | None = None,
    ) -> Iterator[CommitRecord]:
        """Commits, newest first (``reverse``: oldest first), at most ``number`` (0: all).

        ``to`` walks back from that commit through its parents, down to but without
        ``after``. Without ``repo``: of every user repo. AUTO commits of spec repos are
        shown with ``everything``. ``started`` keeps those started before then (``reverse``:
        after).
        """
        found: Iterator[CommitRecord]
        if repo is not None and (to is not None or after is not None):
            found = self._walk_back(repo, to, after)
            if reverse:
                found = iter(list(found)[::-1])
        else:
            found = self._all_commits(repo, reverse, everything)
        if started is not None:
            found = (c for c in found if (c.started > started if reverse else c.started < started))
        shown = (c for c in found if not origins or c.origin in origins)
        for i, commit in enumerate(shown):
            if number and i >= number:
                return
            yield commit

    def _walk_back(self, repo: Repo, to: str | None, after: str | None) -> Iterator[CommitRecord]:
        stop = self.resolve(repo, after).commit if after is not None else None
        if to is None:
            to = "master"
        branch = self.meta.get(BRANCHES, Branch(repo, to)) if to is not None else None
        if branch is not None and branch.head is None:
            return
        commit: CommitRecord | None = self.resolve(repo, to)
        while commit is not None and commit.commit != stop:
            yield commit
            parent = commit.parent
            commit = None if parent is None else self.meta.get(COMMITS, Commit(repo, parent))

    def _all_commits(
        self, repo: Repo | None, reverse: bool, everything: bool
    ) -> Iterator[CommitRecord]:
        where = ["seq < ?"] if not reverse else ["seq > ?"]
        params: list[object] = []
        if repo is not None:
            self.inspect_repo(repo)
            where.append("project = ? AND repo = ? AND type = ?")
            params += [repo.project, repo.name, repo.type]
        elif not everything:
            where.append("type = 'user'")
        order = "ASC" if reverse else "DESC"
        edge = 0 if reverse else 1 << 62
        while True:
            page = self.meta.select(
                COMMITS,
                f"WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT 1000",
                [edge, *params],
            )
            yield from page
            if len(page) < 1000:
                return
            edge = page[-1].seq

    def commit_set(self, commit_id: str) -> list[CommitRecord]:
        """Every commit with this id, oldest first; NotFound when there is none."""
        found = self.meta.select(COMMITS, "WHERE id = ? ORDER BY seq", (commit_id,))
        if not found:
            raise NotFound(
                f"no commits found for commitset {commit_id}", "list commit shows what there is"
            )
        return found

    def commit_sets(self, project: str | None = None) -> Iterator[list[CommitRecord]]:
        """Commit sets, newest first."""
        edge = 1 << 62
        while True:
            rows = self.meta.db.read(
                "SELECT id, max(seq) AS newest FROM commits GROUP BY id HAVING newest < ? "
                "ORDER BY newest DESC LIMIT 200",
                (edge,),
            )
            for commit_id, newest in rows:
                edge = newest
                members = self.meta.select(COMMITS, "WHERE id = ? ORDER BY seq", (commit_id,))
                if project is None or any(c.commit.repo.project == project for c in members):
                    yield members
            if len(rows) < 200:
                return

    def children(self, commit: CommitRecord) -> list[CommitRecord]:
        """The commits whose parent this is."""
        return commits.children_of(self.meta, commit)

    def downstream(self, commit: CommitRecord) -> list[CommitRecord]:
        """Every commit that is provenant on this one, oldest first."""
        return commits.downstream_of(self.meta, commit)

    def squash(self, targets: Sequence[Commit]) -> None:
        """Squash the commits together; see commits.squash_commit."""
        self.change(
            lambda ch: commits.squash_commit(ch, [ch.commit(c.repo, c.id) for c in targets]),
            solo=True,
        )

    def drop(self, targets: Sequence[Commit]) -> None:
        """Drop the commits together; see commits.drop_commit."""
        self.change(
            lambda ch: commits.drop_commit(ch, [ch.commit(c.repo, c.id) for c in targets]),
            solo=True,
        )

    def delete_commit(self, repo: Repo, ref: str) -> list[Commit]:
        """1.x delete with cascade; returns what went. See commits.delete_commit."""
        target = self.resolve(repo, ref).commit
        return self.change(
            lambda ch: commits.delete_commit(ch, ch.commit(target.repo, target.id)), solo=True
        )

    def taken_out(self, repo: Repo) -> int:
        """How often, since the box started, a commit of ``repo`` was squashed or deleted."""
        return self._graph.taken_out.get(repo, 0)

    def forget_provenance(self, commit: Commit) -> None:
        """Have a finished commit forget what it was made from. Refused while it is open."""

        def run(ch: Change) -> None:
            record = ch.commit(commit.repo, commit.id)
            if record.finished is None:
                raise Refused(f"commit {commit} is not finished", "wait for it, or stop its job")
            ch.tx.put(COMMITS, replace(record, direct_provenance=()))

        self.change(run)

    def clear_commit(self, repo: Repo, ref: str) -> None:
        """Drop everything written so far into an open commit."""
        target = self.resolve(repo, ref).commit

        def run(ch: Change) -> None:
            commit = ch.commit(target.repo, target.id)
            commits.require_writable(commit)
            parent = None if commit.parent is None else ch.commit(target.repo, commit.parent)
            root = parent.root if parent else EMPTY
            commits.set_tree(
                ch,
                replace(commit, attributes=parent.attributes if parent else None),
                root,
                parent.size if parent else 0,
                parent.files if parent else 0,
            )

        self.change(run)

    # ---- writing files

    def check_target(self, repo: Repo, ref: str) -> None:
        """Refuse early, before any content is received, what ``write`` would refuse."""
        ref = commits.whole_ref(self.meta, repo, ref)
        ancestry = parse_ref(ref)
        if self.meta.get(REPOS, repo) is None:
            raise NotFound(f"repo {repo.full} not found", f"make it with: create repo {repo}")
        branch = self.meta.get(BRANCHES, Branch(repo, ancestry.base))
        if branch is not None and not ancestry.steps:
            commits.require_input(self.meta, branch)
        elif branch is not None or not _may_be_branch(ref):
            commits.require_writable(self.resolve(repo, ref))

    def write(
        self,
        session: Session,
        repo: Repo,
        ref: str,
        ops: Sequence[FileOp],
        description: str = "",
    ) -> CommitRecord:
        """Apply ``ops`` atomically and return the commit that holds them, durable.

        A branch whose head is open, or an open commit by id: they go into it. A branch
        whose head is finished, or that has none, or is missing: a commit of their own.
        ``session`` holds the content named by the ops until the commit names it.
        """
        ref = commits.whole_ref(self.meta, repo, ref)
        if all(isinstance(op, RemoveFile) for op in ops):
            session.pass_reserve()
        writer = self.writer(session)
        guess: tuple[Hash, Hash] | None = None
        small = len(ops) <= _INSIDE and not any(isinstance(op, PutTree) for op in ops)
        if not small:
            base = self.base_root(repo, ref)
            guess = (base, writer.apply(base, ops))
        for attempt in range(_TRIES):
            last = small or attempt == _TRIES - 1
            outcome = self.change(
                lambda ch, g=guess, last=last: self.write_in(  # type: ignore[misc]
                    ch, writer, repo, ref, ops, description, g, last
                )
            )
            if isinstance(outcome, CommitRecord):
                session.keep()
                return outcome
            guess = (outcome, writer.apply(outcome, ops))
        raise AssertionError("the last attempt always writes")

    def writer(self, session: Session) -> Writer:
        """What applies file operations; ``session`` takes what it makes."""
        return Writer(self.trees, self.content, session.put)

    def base_root(self, repo: Repo, ref: str) -> Hash:
        """The tree that a write to ``ref`` would change, as far as is known outside the writer."""
        branch = self.meta.get(BRANCHES, Branch(repo, ref))
        if branch is not None and branch.head is None:
            return EMPTY
        if branch is None and _may_be_branch(ref):
            return EMPTY
        return self.resolve(repo, ref).root

    def write_in(
        self,
        ch: Change,
        writer: Writer,
        repo: Repo,
        ref: str,
        ops: Sequence[FileOp],
        description: str,
        guess: tuple[Hash, Hash] | None = None,
        last: bool = True,
    ) -> CommitRecord | Hash:
        """In the writer thread: the commit, or (unless ``last``) the true base when the guess (the
        base, and the tree that ``ops`` make of it) was wrong or is missing."""
        branch = ch.tx.get(BRANCHES, Branch(repo, ref))
        one_shot = True
        if branch is None and ops and all(isinstance(op, RemoveFile) for op in ops):
            commits.resolve(ch.tx, repo, ref)  # a branch to remove from is not made: say so
        if branch is not None or _may_be_branch(ref):
            ch.repo(repo)
            head = ch.head(branch) if branch is not None else None
            if branch is not None:
                commits.require_input(ch.tx, branch)
            one_shot = head is None or head.finished is not None
            base = head.root if head is not None else EMPTY
        else:
            head = commits.resolve(ch.tx, repo, ref)
            commits.require_writable(head)
            one_shot, base = False, head.root
        if guess is not None and guess[0] == base:
            root = guess[1]
        elif last:
            root = writer.apply(base, ops)
        else:
            return base
        if one_shot:
            commit = commits.start_commit(ch, Branch(repo, ref), None, description)
        else:
            assert head is not None
            commit = head
        whole = self.trees.entry(root)
        if commit.attributes is not None:
            commit = replace(commit, attributes=writer.forget(commit.attributes, ops, base))
        commit = commits.set_tree(ch, commit, root, whole.size, whole.count)
        if one_shot:
            commit = commits.finish_commit(ch, commit)
        return commit

    # ---- leases on what is being read

    @contextmanager
    def reading(self, root: Hash) -> Iterator[Hash]:
        """Hold a tree against the garbage collector while it is read, even when its commit
        is deleted meanwhile."""
        with self._reading_lock:
            key = next(self._readings)  # perf: thousands may be held at once
            self._reading[key] = root
        try:
            yield root
        finally:
            with self._reading_lock:
                del self._reading[key]

    def being_read(self) -> set[Hash]:
        """Every tree that somebody reads now."""
        with self._reading_lock:
            return set(self._reading.values())


def _may_be_branch(ref: str) -> bool:
    """Whether ``ref``, which names no branch yet, would be made as one by a write."""
    ancestry = parse_ref(ref)
    return not ancestry.steps and not ancestry.from_root and not is_commit_id(ancestry.base)
