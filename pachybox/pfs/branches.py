"""Branches: create, move, delete; closures of provenance; triggers (reference §1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.meta.tables import BRANCHES, COMMITS, INGESTS, REPOS, UPLOADS
from pachybox.model.ids import Branch, Commit, CommitId, check_name, is_commit_id
from pachybox.model.pfs import BranchRecord, CommitRecord, Trigger
from pachybox.model.schedule import check_schedule, ticked
from pachybox.model.units import parse_decimal_size
from pachybox.pfs.change import Change, View, names
from pachybox.pfs.zone import local_zone


def newest_good(view: View, record: BranchRecord | None) -> CommitRecord | None:
    """The newest commit of a branch that is finished and holds what it should; None when there
    is none, or no branch."""
    id_ = record.head if record is not None else None
    while record is not None and id_ is not None:
        commit = view.get(COMMITS, Commit(record.branch.repo, id_))
        if commit is None or (commit.finished is not None and not commit.error):
            return commit
        id_ = commit.parent
    return None


def create_branch(
    ch: Change,
    branch: Branch,
    head: CommitId | None,
    provenance: tuple[Branch, ...],
    trigger: Trigger | None = None,
    *,
    quiet: tuple[Branch, ...] = (),
) -> None:
    """Create or move a branch: head, direct provenance, trigger and ``quiet`` are all replaced.

    ``head`` must be a commit of the same repo. Provenance branches that do not exist are
    made without a head; their repos must exist. Raises InvalidArgument for a loop, Refused for
    provenance of a branch that an ingest source writes to.
    """
    _check_branch_name(branch.name)
    ch.repo(branch.repo)
    if head is not None:
        ch.commit(branch.repo, head)
    if trigger is not None:
        _check_trigger(ch, branch, trigger)
    for source in provenance:
        if source == branch or branch in closure(ch.tx, [source]):
            raise InvalidArgument(
                f"branch {branch} cannot be in its own provenance",
                "name only branches that do not depend on it",
            )
        if ch.tx.get(BRANCHES, source) is None:
            ch.repo(source.repo)
            _check_branch_name(source.name)
            ch.tx.put(BRANCHES, BranchRecord(source, None, (), ch.now, ch.now))
            ch.tx.event("branch.created", **names(source.repo), branch=source.name)
    if provenance:
        _require_unwritten(ch, branch)
        _check_one_follower(ch, branch, provenance)
    old = ch.tx.get(BRANCHES, branch)
    if old is None:
        record = BranchRecord(branch, head, provenance, ch.now, ch.now, trigger, quiet=quiet)
        ch.tx.event("branch.created", **names(branch.repo), branch=branch.name)
    else:
        record = replace(
            old,
            head=head,
            direct_provenance=provenance,
            trigger=trigger,
            updated=ch.now,
            quiet=quiet,
        )
        ch.tx.event("branch.moved", **names(branch.repo), branch=branch.name, head=head)
    before = ((), None) if old is None else (old.direct_provenance, old.trigger)
    if before != (provenance, trigger):
        ch.graph.stale = True
    ch.tx.put(BRANCHES, record)
    ch.touch(branch)


def _require_unwritten(ch: Change, branch: Branch) -> None:
    """What follows other branches is written by jobs alone."""
    for source in ch.tx.all(INGESTS):
        if source.to == branch and not source.kind.of_pipeline:
            raise Refused(
                f"branch {branch} is written by ingest {source.ingest}: it cannot follow others",
                f"take another branch, or delete the source: delete ingest {source.ingest}",
            )


def _check_one_follower(ch: Change, branch: Branch, provenance: tuple[Branch, ...]) -> None:
    """A new commit in a source opens one of the same id on every branch that follows it, and a
    repo can hold an id only once."""
    above = set(closure(ch.tx, provenance))
    for other in ch.tx.all(BRANCHES):
        if other.branch.repo != branch.repo or other.branch == branch:
            continue
        if other.branch in above or not above.isdisjoint(closure(ch.tx, other.direct_provenance)):
            raise Refused(
                f"branch {branch} cannot follow {other.branch} or what that follows: each "
                f"commit there would be two of one id in repo {branch.repo}",
                "make the branch in another repo, or move it by a trigger",
            )


def ensure_branch(ch: Change, branch: Branch) -> BranchRecord:
    """The branch, made without a head when it is missing (its repo must exist)."""
    ch.repo(branch.repo)
    found = ch.tx.get(BRANCHES, branch)
    if found is None:
        _check_branch_name(branch.name)
        found = BranchRecord(branch, None, (), ch.now, ch.now)
        ch.tx.put(BRANCHES, found)
        ch.tx.event("branch.created", **names(branch.repo), branch=branch.name)
    return found


def _check_branch_name(name: str) -> None:
    check_name("branch", name)
    if is_commit_id(name):
        raise InvalidArgument(
            f"branch name {name} would be taken for a commit id", "choose another name"
        )


def delete_branch(ch: Change, branch: Branch, *, force: bool = False) -> None:
    """Remove the pointer; commits stay. Refused while others depend on it, unless ``force``
    (which takes it out of their provenance)."""
    ch.branch(branch)
    for other in ch.tx.all(BRANCHES):
        if branch in other.direct_provenance:
            if not force:
                raise Refused(
                    f"branch {branch} is in the provenance of {other.branch}",
                    "delete that first, or use --force",
                )
            left = tuple(b for b in other.direct_provenance if b != branch)
            ch.tx.put(BRANCHES, replace(other, direct_provenance=left))
        source = other.trigger.branch if other.trigger is not None else None
        if other.branch.repo == branch.repo and source == branch.name and not force:
            raise Refused(
                f"branch {branch} triggers {other.branch}", "delete that first, or use --force"
            )
    for upload in ch.tx.all(UPLOADS):
        if upload.branch == branch:
            ch.tx.remove(UPLOADS, upload.id)
    ch.tx.remove(BRANCHES, branch)
    ch.graph.stale = True
    ch.tx.event("branch.deleted", **names(branch.repo), branch=branch.name)


def closure(view: View, branches: Iterable[Branch]) -> list[Branch]:
    """The branches and everything they are provenant on, transitively."""
    found: dict[Branch, None] = {}
    stack = list(branches)
    while stack:
        branch = stack.pop()
        if branch in found:
            continue
        found[branch] = None
        record = view.get(BRANCHES, branch)
        if record is not None:
            stack.extend(record.direct_provenance)
    return sorted(found)


def subvenance(view: View, branch: Branch) -> list[Branch]:
    """Every branch that is, directly or not, provenant on ``branch``."""
    down: dict[Branch, list[Branch]] = {}
    for record in view.all(BRANCHES):
        for source in record.direct_provenance:
            down.setdefault(source, []).append(record.branch)
    found: set[Branch] = set()
    stack = list(down.get(branch, ()))
    while stack:
        one = stack.pop()
        if one not in found:
            found.add(one)
            stack.extend(down.get(one, ()))
    return sorted(found)


# ---- triggers


def _check_trigger(ch: Change, branch: Branch, trigger: Trigger) -> None:
    check_name("trigger branch", trigger.branch)
    seen = {branch.name}
    name = trigger.branch
    while True:
        if name in seen:
            raise InvalidArgument(
                f"trigger of {branch} loops through branch {name!r}",
                "trigger on a branch that does not follow this one",
            )
        seen.add(name)
        record = ch.tx.get(BRANCHES, Branch(branch.repo, name))
        if record is None or record.trigger is None:
            break
        name = record.trigger.branch
    if trigger.commits < 0:
        raise InvalidArgument("trigger commits is negative", "give a count of 1 or more")
    if trigger.size:
        parse_decimal_size(trigger.size)
    for spec in (trigger.rate_limit_spec, trigger.cron_spec):
        if spec:
            check_schedule(spec)


def fire_triggers(ch: Change, name: str, finished: CommitRecord) -> None:
    """Move every branch whose trigger on branch ``name``, now at ``finished``, is met."""
    repo = finished.commit.repo
    if finished.error:
        return
    # perf: asks the graph, not every branch of the box (10,000 branches: 5 ms a commit)
    for branch in ch.graph.triggered(ch.tx, Branch(repo, name)):
        record, source = ch.tx.get(BRANCHES, branch), ch.tx.get(BRANCHES, Branch(repo, name))
        if record is None or record.trigger is None:
            continue
        if source is None or source.head != finished.commit.id:
            continue
        if _met(ch, record.trigger, record, finished):
            _fire(ch, record, finished)


def follow_source(ch: Change, branch: Branch) -> None:
    """Move a branch to the head of the branch its trigger looks at, now that it is time: unless
    it is there, or that head is open or failed."""
    record = ch.tx.get(BRANCHES, branch)
    if record is None or record.trigger is None:
        return
    source = ch.tx.get(BRANCHES, Branch(branch.repo, record.trigger.branch))
    head = None if source is None else ch.head(source)
    if head is None or head.finished is None or head.error or head.commit.id == record.head:
        return
    _fire(ch, record, head)


def _fire(ch: Change, record: BranchRecord, head: CommitRecord) -> None:
    ch.move(record, head.commit.id)
    where = names(record.branch.repo)
    ch.tx.event("branch.triggered", **where, branch=record.branch.name, head=head.commit.id)
    ch.arrived(record.branch.name, head)


def _met(ch: Change, trigger: Trigger, record: BranchRecord, new: CommitRecord) -> bool:
    old = ch.head(record)
    conditions: list[bool] = []
    if trigger.size:
        conditions.append(new.size - (old.size if old else 0) >= parse_decimal_size(trigger.size))
    if trigger.commits:
        conditions.append(_commits_between(ch, new, old, trigger.commits) >= trigger.commits)
    if trigger.rate_limit_spec:
        since = old.finished if old else None
        conditions.append(
            since is None or ticked(trigger.rate_limit_spec, since, ch.now, local_zone())
        )
    if not conditions:
        return not trigger.cron_spec  # a cron trigger alone moves by its timer, not by commits
    return all(conditions) if trigger.all else any(conditions)


def _commits_between(ch: Change, new: CommitRecord, old: CommitRecord | None, enough: int) -> int:
    count = 0
    commit: CommitRecord | None = new
    while commit is not None and count < enough:
        if old is not None and commit.commit == old.commit:
            break
        count += 1
        parent = commit.parent
        commit = None if parent is None else ch.tx.get(COMMITS, Commit(new.commit.repo, parent))
    return count


def require_branch(view: View, branch: Branch) -> BranchRecord:
    """The branch's record; NotFound names the repo or the branch, whichever is missing."""
    if view.get(REPOS, branch.repo) is None:
        raise NotFound(f"repo {branch.repo.full} not found", "list repo shows what there is")
    found = view.get(BRANCHES, branch)
    if found is None:
        raise NotFound(
            f'branch "{branch.name}" not found in repo {branch.repo.full}',
            f"list branch {branch.repo} shows what there is",
        )
    return found
