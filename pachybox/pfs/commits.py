"""Commits: naming them (ancestry, short ids), opening, finishing, squashing, deleting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pachybox.errors import InvalidArgument, NotFound, NotReady, Refused
from pachybox.meta.tables import BRANCHES, COMMITS, PIPELINES, REPOS
from pachybox.model.ids import (
    SPEC,
    USER,
    Branch,
    Commit,
    CommitId,
    Hash,
    Pipeline,
    Repo,
    is_commit_id,
)
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin
from pachybox.model.refs import Ancestry, parse_ref
from pachybox.pfs.branches import closure, ensure_branch
from pachybox.pfs.change import Change, View
from pachybox.pfs.repos import branches_of
from pachybox.store.trees import EMPTY

# ---- naming


def resolve(view: View, repo: Repo, ref: str) -> CommitRecord:
    """The commit that ``ref`` (branch, id, short id, with ancestry) names in ``repo``.

    Raises NotFound in Pachyderm's words when repo, branch or commit is missing.
    """
    if view.get(REPOS, repo) is None:
        raise NotFound(f"repo {repo.full} not found", "list repo shows what there is")
    ancestry = parse_ref(ref)
    start = _base(view, repo, ancestry.base)
    return _ancestor(view, start, ancestry)


def _base(view: View, repo: Repo, base: str) -> CommitRecord:
    branch = view.get(BRANCHES, Branch(repo, base))
    if branch is not None:
        if branch.head is None:
            raise NotFound(
                f"the branch \"{base}\" has no head (create one with 'start commit')",
                f"or put a file: put file {repo}@{base}:/NAME -f FILE",
            )
        return _get(view, repo, branch.head)
    if is_commit_id(base):
        found = view.get(COMMITS, Commit(repo, CommitId(base)))
        return found if found is not None else _through_set(view, repo, CommitId(base))
    if _looks_short(base):
        return _short(view, repo, base)
    raise NotFound(
        f'branch "{base}" not found in repo {repo.full}',
        f"list branch {repo} shows what there is",
    )


def _get(view: View, repo: Repo, commit_id: CommitId) -> CommitRecord:
    found = view.get(COMMITS, Commit(repo, commit_id))
    if found is None:
        raise NotFound(f"commit {commit_id} not found in repo {repo.full}")
    return found


def whole_ref(view: View, repo: Repo, ref: str) -> str:
    """``ref``, or the id it is short for: a short id of a commit is no name for a new branch."""
    if not _looks_short(ref) or view.get(BRANCHES, Branch(repo, ref)) is not None:
        return ref
    try:
        return _short(view, repo, ref).commit.id
    except NotFound:
        return ref


def _looks_short(base: str) -> bool:
    return 8 <= len(base) < 32 and all(c in "0123456789abcdef" for c in base)


def _short(view: View, repo: Repo, prefix: str) -> CommitRecord:
    found = view.select(
        COMMITS,
        "WHERE project = ? AND repo = ? AND type = ? AND starts_with(id, ?) LIMIT 2",
        (repo.project, repo.name, repo.type, prefix),
    )
    if not found:
        raise NotFound(f"commit {prefix} not found in repo {repo.full}")
    if len(found) > 1:
        raise InvalidArgument(
            f"commit {prefix} is ambiguous in repo {repo.full}", "give more digits of the id"
        )
    return found[0]


def _through_set(view: View, repo: Repo, commit_id: CommitId) -> CommitRecord:
    """The commit of ``repo`` that the commit set used: found through its provenance."""
    stack = view.select(COMMITS, "WHERE id = ?", (commit_id,))
    seen: set[Commit] = set()
    while stack:
        commit = stack.pop()
        if commit.commit in seen:
            continue
        seen.add(commit.commit)
        for branch, up in commit.direct_provenance:
            record = view.get(COMMITS, Commit(branch.repo, up))
            if record is None:
                continue
            if branch.repo == repo:
                return record
            stack.append(record)
    raise NotFound(f"commit {commit_id} not found in repo {repo.full}")


def _ancestor(view: View, start: CommitRecord, ancestry: Ancestry) -> CommitRecord:
    if ancestry.from_root:
        chain = [start]
        while (parent := chain[-1].parent) is not None:
            chain.append(_get(view, start.commit.repo, parent))
        if not 1 <= ancestry.steps <= len(chain):
            raise NotFound(
                f"commit {ancestry} not found in repo {start.commit.repo.full}",
                f"the chain has {len(chain)} commits",
            )
        return chain[-ancestry.steps]
    commit = start
    for _ in range(ancestry.steps):
        if commit.parent is None:
            raise NotFound(
                f"parent commit not found: {ancestry} reaches past the first commit of "
                f"repo {start.commit.repo.full}"
            )
        commit = _get(view, start.commit.repo, commit.parent)
    return commit


# ---- opening and finishing


def start_commit(
    ch: Change, branch: Branch, parent: CommitId | None = None, description: str = ""
) -> CommitRecord:
    """Open a commit on ``branch`` (made when missing); its head moves at once.

    ``parent`` overrides the branch's head. Refused on output branches, and while the
    parent is not finished.
    """
    record = ensure_branch(ch, branch)
    require_input(ch.tx, record)
    if record.head == ch.id:
        raise Refused(f"branch {branch} already has a commit in this transaction")
    # perf: the id is this change's own, so only this change can have used it (1 ms -> 0)
    if ch.tx.has_staged(COMMITS, Commit(branch.repo, ch.id)):
        raise Refused(f"repo {branch.repo} already has a commit in this transaction")
    base = parent if parent is not None else record.head
    if base is None:
        return ch.open_commit(record, None, EMPTY, 0, 0, description=description)
    old = ch.commit(branch.repo, base)
    if old.finished is None:
        raise Refused(
            f"parent commit {old.commit} has not been finished",
            f"finish it first: finish commit {old.commit}",
        )
    return ch.open_commit(
        record,
        base,
        old.root,
        old.size,
        old.files,
        description=description,
        attributes=old.attributes,
    )


def give_heads(ch: Change, names: Iterable[Branch]) -> None:
    """Give each of the branches that has no head, and each that it follows, an empty commit, as
    Pachyderm 2.x does with every branch. What has provenance gets its own when the change
    settles."""
    for name in closure(ch.tx, names):
        record = ch.tx.get(BRANCHES, name)
        if record is None or record.head is not None or name.repo.type != USER:
            continue
        if record.direct_provenance:
            ch.touch(name)
        elif not ch.tx.has_staged(COMMITS, Commit(name.repo, ch.id)):
            finish_commit(ch, ch.open_commit(record, None, EMPTY, 0, 0, origin=Origin.AUTO))


def require_input(view: View, branch: BranchRecord) -> None:
    """Refuse branches that only jobs may write, also while their pipeline is stopped. A spout has
    no jobs: its program writes by the API as any user does."""
    repo = branch.branch.repo
    pipeline = view.get(PIPELINES, Pipeline(repo.project, repo.name))
    mine = (
        pipeline is not None
        and repo.type == USER
        and pipeline.spec["output_branch"] == branch.branch.name
        and "spout" not in pipeline.spec
    )
    if branch.direct_provenance or mine or repo.type == SPEC:
        raise Refused(
            f"cannot start a commit on an output branch ({branch.branch})",
            "write to one of its input branches instead",
        )


def require_writable(commit: CommitRecord) -> None:
    """Refuse a commit that is finished, or that only a job may fill."""
    require_open(commit)
    if commit.direct_provenance or commit.commit.repo.type == SPEC:
        raise Refused(
            f"cannot write to an output commit ({commit.commit})",
            "write to one of its input branches instead",
        )


def require_open(commit: CommitRecord) -> None:
    """Refuse a finished commit."""
    if commit.finished is not None:
        raise Refused(
            f"commit {commit.commit.id} in repo {commit.commit.repo.full} has already finished",
            f"write to its branch to make a new commit: {commit.commit.repo}@{commit.branch}",
        )


def finish_commit(
    ch: Change, commit: CommitRecord, *, description: str | None = None, error: str = ""
) -> CommitRecord:
    """Close a commit: from now on it never changes. Refused when it is closed already.

    With ``error`` the commit is closed empty, as a failed job's is.
    """
    require_open(commit)
    if commit.parent is not None and not error:
        parent = ch.tx.get(COMMITS, Commit(commit.commit.repo, commit.parent))
        if parent is not None and parent.finished is None:
            raise Refused(f"parent commit {parent.commit} has not been finished")
    done = replace(
        commit,
        finished=ch.now,
        error=error,
        description=commit.description if description is None else description,
    )
    if error:
        done = replace(done, root=EMPTY, size=0, files=0, attributes=None)
    ch.tx.put(COMMITS, done)
    ch.closed(done)
    return done


def finish_by_hand(
    ch: Change, commit: CommitRecord, *, description: str | None = None, error: str = ""
) -> CommitRecord:
    """finish_commit for users: refused for what a pipeline's job has still to finish."""
    require_open(commit)
    repo = commit.commit.repo
    pipeline = ch.tx.get(PIPELINES, Pipeline(repo.project, repo.name))
    if commit.direct_provenance and pipeline is not None:
        raise Refused(
            f"cannot finish a pipeline output or meta commit ({commit.commit}), "
            "use 'stop job' instead",
            f"stop job {commit.commit}",
        )
    return finish_commit(ch, commit, description=description, error=error)


def set_tree(ch: Change, commit: CommitRecord, root: Hash, size: int, files: int) -> CommitRecord:
    """Give an open commit its new contents."""
    require_open(commit)
    updated = replace(commit, root=root, size=size, files=files)
    ch.tx.put(COMMITS, updated)
    return updated


def readable(commit: CommitRecord) -> CommitRecord:
    """``commit`` if its contents may be read now; open output commits are hidden (NotReady)."""
    if commit.finished is None and commit.direct_provenance:
        raise NotReady(
            f"output commit {commit.commit} not finished",
            f"wait for it: wait commit {commit.commit}",
        )
    return commit


# ---- deleting history


def children_of(view: View, commit: CommitRecord) -> list[CommitRecord]:
    """The commits whose parent this is."""
    repo = commit.commit.repo
    return view.select(
        COMMITS,
        "WHERE parent = ? AND project = ? AND repo = ? AND type = ? ORDER BY seq",
        (commit.commit.id, repo.project, repo.name, repo.type),
        also=lambda c: c.parent == commit.commit.id and c.commit.repo == repo,
    )


def downstream_of(view: View, commit: CommitRecord) -> list[CommitRecord]:
    """Every commit that is provenant on ``commit``, directly or not, oldest first."""
    found: dict[Commit, CommitRecord] = {}
    wave = [commit]
    while wave:
        following: list[CommitRecord] = []
        for one in wave:
            for next_ in view.select(
                COMMITS,
                "WHERE seq > ? AND contains(provenance_json, ?) ORDER BY seq",
                (one.seq, f'"{one.commit.id}"'),
            ):
                named = any(
                    b.repo == one.commit.repo and i == one.commit.id
                    for b, i in next_.direct_provenance
                )
                if named and next_.commit not in found:
                    found[next_.commit] = next_
                    following.append(next_)
        wave = following
    return sorted(found.values(), key=lambda c: c.seq)


def squash_commit(ch: Change, commits: list[CommitRecord]) -> None:
    """Remove commits whose data their children hold. A branch that ends in one (a fork that
    was never written to) moves to its parent.

    Refused when one has no child, made a pipeline version, or when a commit outside the
    list is provenant on one of them.
    """
    going = {c.commit for c in commits}
    for commit in commits:
        if commit.commit.repo.type == SPEC:
            raise Refused(f"cannot squash {commit.commit}: it made a pipeline version")
        if not children_of(ch.tx, commit):
            raise Refused(
                f"cannot squash a commit that has no children ({commit.commit})",
                "delete it instead, or squash it when a newer commit exists",
            )
        for later in downstream_of(ch.tx, commit):
            if later.commit not in going:
                raise Refused(
                    f"cannot squash {commit.commit}: {later.commit} depends on it",
                    "squash that commit set first",
                )
    for commit in commits:
        _remove(ch, commit)


def drop_commit(ch: Change, commits: list[CommitRecord]) -> None:
    """Remove commits that have no children, data and all; branch heads move to the parents."""
    going = {c.commit for c in commits}
    for commit in commits:
        if commit.commit.repo.type == SPEC:
            raise Refused(
                f"cannot drop {commit.commit}: it made a pipeline version", "delete the pipeline"
            )
        left = [c for c in children_of(ch.tx, commit) if c.commit not in going]
        if left:
            raise Refused(
                f"cannot drop a commit that has children ({commit.commit})",
                "squash it: its children keep the data",
            )
        for later in downstream_of(ch.tx, commit):
            if later.commit not in going:
                raise Refused(
                    f"cannot drop {commit.commit}: {later.commit} depends on it",
                    "drop that one too (--recursive)",
                )
    for commit in sorted(commits, key=lambda c: -c.seq):
        _remove(ch, commit)


def delete_commit(ch: Change, commit: CommitRecord) -> list[Commit]:
    """1.x ``delete commit``: the commit and everything downstream of it go; children keep
    their trees and are given to the nearest surviving ancestor; heads move back.

    Only for input commits: one with provenance of its own is refused.
    """
    if any(b.repo.type != SPEC for b, _ in commit.direct_provenance):
        raise Refused(
            f"commit {commit.commit} is the output of a pipeline",
            "delete the input commit it came from",
        )
    if commit.commit.repo.type == SPEC:
        raise Refused(f"commit {commit.commit} is a pipeline version", "update the pipeline")
    doomed = [commit, *downstream_of(ch.tx, commit)]
    for one in sorted(doomed, key=lambda c: -c.seq):
        _remove(ch, one)
    return [c.commit for c in doomed]


def _remove(ch: Change, commit: CommitRecord) -> None:
    """Take one commit out: children re-parented, heads moved to its parent."""
    current = ch.tx.get(COMMITS, commit.commit) or commit
    for child in children_of(ch.tx, commit):
        ch.tx.put(COMMITS, replace(child, parent=current.parent))
    for branch in branches_of(ch.tx, commit.commit.repo):
        if branch.head == commit.commit.id:
            ch.move(branch, current.parent)
    take_out(ch, current)


def take_out(ch: Change, commit: CommitRecord) -> None:
    """Delete the record of a commit that no branch and no other commit names any more."""
    if ch.listener:
        ch.listener.removed(ch, commit)
    ch.tx.remove(COMMITS, commit.commit)
    ch.graph.took_out(commit.commit.repo)
    ch.tx.event(
        "commit.deleted",
        project=commit.commit.repo.project,
        repo=commit.commit.repo.name,
        type=commit.commit.repo.type,
        id=commit.commit.id,
    )
