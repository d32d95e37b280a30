"""Waiting: for a commit's state, for a whole set, for what is downstream; following a branch.

All of it is one loop: look at the durable state, and when it does not answer yet, sleep
until an event arrives. ``cancelled`` is asked about twice a second, so a client that
has gone away holds its thread no longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pachybox.errors import InvalidArgument, NotFound, NotReady
from pachybox.meta.tables import COMMITS
from pachybox.model.ids import Commit, Repo
from pachybox.model.pfs import CommitRecord, CommitState, Origin
from pachybox.pfs.commits import downstream_of
from pachybox.pfs.service import Pfs

_POLL_S = 0.5

Cancelled = Callable[[], bool]


def reached(pfs: Pfs, commit: CommitRecord, state: CommitState) -> bool:
    """Whether ``commit`` is at least in ``state``."""
    if state is CommitState.STARTED or commit.finished is not None:
        return True
    if state is CommitState.READY:
        ups = [pfs.meta.get(COMMITS, Commit(b.repo, i)) for b, i in commit.direct_provenance]
        return all(u is None or u.finished is not None for u in ups)
    return False


def wait_commit(
    pfs: Pfs, repo: Repo, ref: str, state: CommitState, cancelled: Cancelled
) -> CommitRecord:
    """Block until the commit ``ref`` names (now, not later) is in ``state``.

    Raises NotFound when it is deleted meanwhile, NotReady when cancelled.
    """
    target = pfs.resolve(repo, ref).commit
    while True:
        seen = pfs.meta.last_event
        found = pfs.meta.get(COMMITS, target)
        if found is None:
            raise NotFound(f"commit {target.id} was deleted")
        if reached(pfs, found, state):
            return found
        pause(pfs, seen, cancelled)


def pause(pfs: Pfs, seen: int, cancelled: Cancelled) -> None:
    """Sleep until an event newer than ``seen``; raises NotReady when cancelled."""
    while pfs.meta.wait_change(seen, _POLL_S) == seen:
        if cancelled():
            raise NotReady("the wait was cancelled")
    if cancelled():
        raise NotReady("the wait was cancelled")


def wait_set(pfs: Pfs, commit_id: str, cancelled: Cancelled) -> Iterator[CommitRecord]:
    """Every commit of a set as it finishes; ends when all are finished. Output commits that
    the set is still to open are waited for too, since they open with their inputs."""
    shown: set[Commit] = set()
    while True:
        seen = pfs.meta.last_event
        members = pfs.commit_set(commit_id)
        for commit in members:
            if commit.finished is not None and commit.commit not in shown:
                shown.add(commit.commit)
                yield commit
        if all(c.finished is not None for c in members):
            return
        pause(pfs, seen, cancelled)


def flush(
    pfs: Pfs, roots: Sequence[tuple[Repo, str]], to_repos: Sequence[Repo], cancelled: Cancelled
) -> Iterator[CommitRecord]:
    """1.x flush: the commits provenant on ALL of ``roots``, each as it finishes.

    ``to_repos`` limits the answer to those repos. The roots themselves are waited for
    first and not returned.
    """
    targets = [wait_commit(pfs, r, ref, CommitState.FINISHED, cancelled) for r, ref in roots]
    if not targets:
        raise InvalidArgument("flush needs at least one commit", "name one as repo@commit")
    shown: set[Commit] = set()
    while True:
        seen = pfs.meta.last_event
        common: dict[Commit, CommitRecord] | None = None
        for target in targets:
            below = {c.commit: c for c in downstream_of(pfs.meta, target)}
            common = below if common is None else {k: v for k, v in common.items() if k in below}
        wanted = [c for c in (common or {}).values() if not to_repos or c.commit.repo in to_repos]
        for commit in sorted(wanted, key=lambda c: c.seq):
            if commit.finished is not None and commit.commit not in shown:
                shown.add(commit.commit)
                yield commit
        if all(c.finished is not None for c in wanted):
            return
        pause(pfs, seen, cancelled)


def subscribe(
    pfs: Pfs,
    repo: Repo,
    branch: str = "",
    *,
    after: str | None = None,
    new: bool = False,
    state: CommitState = CommitState.FINISHED,
    origins: Sequence[Origin] = (),
    cancelled: Cancelled,
) -> Iterator[CommitRecord | None]:
    """Existing commits of a branch, which may be still to come (or of the repo, without one),
    oldest first (not with ``new``), then each further one when it reaches ``state``. Never ends
    by itself; None means "nothing yet". ``after`` leaves out that commit and older."""
    pfs.inspect_repo(repo)
    edge = 0
    if after is not None:
        edge = pfs.resolve(repo, after).seq
    elif new:
        rows = pfs.meta.db.read("SELECT coalesce(max(seq), 0) FROM commits")
        edge = rows[0][0]
    where, params = "project = ? AND repo = ? AND type = ?", [repo.project, repo.name, repo.type]
    if branch:
        where, params = f"{where} AND branch = ?", [*params, branch]
    while True:
        seen = pfs.meta.last_event
        page = pfs.meta.select(
            COMMITS,
            f"WHERE {where} AND seq > ? ORDER BY seq LIMIT 1000",
            (*params, edge),
        )
        for commit in page:
            if not reached(pfs, commit, state):
                break  # in order: a later commit is not shown before this one
            edge = commit.seq
            if not origins or commit.origin in origins:
                yield commit
        else:
            if page:
                continue
        yield None
        pause(pfs, seen, cancelled)
