"""pfs_v2.API: projects, repos, branches, commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pfs
from pachybox.api.handlers import batch
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.model.ids import DEFAULT_PROJECT, Branch, Commit, Repo
from pachybox.model.pfs import BranchRecord, CommitRecord, CommitState, Origin
from pachybox.model.refs import parse_repo
from pachybox.pfs import wait
from pachybox.pps import defaults

_STATES = {
    0: CommitState.STARTED,
    1: CommitState.STARTED,
    2: CommitState.READY,
    3: CommitState.FINISHED,  # finishing and finished are one step here
    4: CommitState.FINISHED,
}

_WALKED, _DEEP = 10_000, 1000  # how many a walk gives, and how far it goes, unless said otherwise

# ---- projects


@handles("pfs_v2.API/CreateProject")
def create_project(box: Box, request: Any, call: Call) -> Any:
    box.pfs.create_project(request.project.name, request.description, update=request.update)
    return Empty()


@handles("pfs_v2.API/InspectProject")
def inspect_project(box: Box, request: Any, call: Call) -> Any:
    return m.project_info(box.pfs.inspect_project(request.project.name or DEFAULT_PROJECT))


@handles("pfs_v2.API/InspectProjectV2")
def inspect_project_v2(box: Box, request: Any, call: Call) -> Any:
    info = inspect_project(box, request, call)
    found = defaults.get(box.meta, info.project.name)
    text = found.text if found else defaults.NOTHING
    return pfs.InspectProjectV2Response(info=info, defaults_json=text)


@handles("pfs_v2.API/ListProject")
def list_project(box: Box, request: Any, call: Call) -> Iterator[Any]:
    return (m.project_info(p) for p in box.pfs.list_projects())


@handles("pfs_v2.API/DeleteProject")
def delete_project(box: Box, request: Any, call: Call) -> Any:
    if request.force:
        for record in box.pps.list_pipelines([request.project.name]):
            box.pps.delete(record.pipeline, force=True)
    box.delete_project(request.project.name, force=request.force)
    return Empty()


# ---- repos


@handles("pfs_v2.API/CreateRepo")
def create_repo(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "create_repo", request)
    return Empty()


@handles("pfs_v2.API/InspectRepo")
def inspect_repo(box: Box, request: Any, call: Call) -> Any:
    return m.repo_info(box.pfs.inspect_repo(m.to_repo(request.repo)))


@handles("pfs_v2.API/ListRepo")
def list_repo(box: Box, request: Any, call: Call) -> Iterator[Any]:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    kind = {"": None, "all": None}.get(request.type, request.type)
    found = box.pfs.list_repos(projects, kind)
    size = request.page.page_size
    if size:
        found = found[request.page.page_index * size :][:size]
    return (m.repo_info(i) for i in found)


@handles("pfs_v2.API/DeleteRepo")
def delete_repo(box: Box, request: Any, call: Call) -> Any:
    return pfs.DeleteRepoResponse(deleted=bool(batch.submit(box, call, "delete_repo", request)))


@handles("pfs_v2.API/DeleteRepos")
def delete_repos(box: Box, request: Any, call: Call) -> Any:
    projects = [p.name or DEFAULT_PROJECT for p in request.projects]
    if not projects and not request.all:
        raise InvalidArgument("the request names no project", "name projects, or set all")
    gone = []
    for info in box.pfs.list_repos([] if request.all else projects):
        if box.pfs.delete_repo(info.record.repo, force=request.force):
            gone.append(m.repo(info.record.repo))
    return pfs.DeleteReposResponse(repos=gone)


@handles("pfs_v2.API/ReposSummary")
def repos_summary(box: Box, request: Any, call: Call) -> Any:
    wanted = [p.name for p in request.projects] or [p.name for p in box.pfs.list_projects()]
    made = []
    for name in wanted:
        found = box.pfs.list_repos([name or DEFAULT_PROJECT])
        made.append(
            pfs.ReposSummary(
                project=pfs.Project(name=name or DEFAULT_PROJECT),
                user_repo_count=len(found),
                size_bytes=sum(i.size for i in found),
            )
        )
    return pfs.ReposSummaryResponse(summaries=made)


# ---- branches


@handles("pfs_v2.API/CreateBranch")
def create_branch(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "create_branch", request)
    return Empty()


@handles("pachybox.v1.API/CreateBranch")
def create_bare_branch(box: Box, request: Any, call: Call) -> Any:
    """As Pachyderm 1.x does: a branch may be without a head, and its followers then are."""
    batch.submit(box, call, "create_bare_branch", request)
    return ours.CreateBranchResponse()


@handles("pfs_v2.API/InspectBranch")
def inspect_branch(box: Box, request: Any, call: Call) -> Any:
    return m.branch_info(box.pfs, box.pfs.inspect_branch(m.to_branch(request.branch)))


@handles("pfs_v2.API/ListBranch")
def list_branch(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo = m.to_repo(request.repo) if request.repo.name else None
    found = box.pfs.list_branches(repo)
    if request.reverse:
        found.reverse()
    return (m.branch_info(box.pfs, b) for b in found)


@handles("pfs_v2.API/DeleteBranch")
def delete_branch(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "delete_branch", request)
    return Empty()


# ---- commits


@handles("pfs_v2.API/StartCommit")
def start_commit(box: Box, request: Any, call: Call) -> Any:
    return batch.submit(box, call, "start_commit", request)


@handles("pfs_v2.API/FinishCommit")
def finish_commit(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "finish_commit", request)
    return Empty()


@handles("pfs_v2.API/ClearCommit")
def clear_commit(box: Box, request: Any, call: Call) -> Any:
    box.pfs.clear_commit(*m.to_ref(request.commit))
    return Empty()


@handles("pfs_v2.API/InspectCommit")
def inspect_commit(box: Box, request: Any, call: Call) -> Any:
    repo, ref = m.to_ref(request.commit)
    state = _state(request.wait)
    found = wait.wait_commit(box.pfs, repo, ref, state, call.cancel.is_set)
    return m.full_commit_info(box.pfs, found)


@handles("pachybox.v1.API/ResolveCommit")
def resolve_commit(box: Box, request: Any, call: Call) -> Any:
    repo = Repo(request.project or DEFAULT_PROJECT, request.repo)
    return m.commit_info(box.pfs.resolve(repo, request.ref))


@handles("pfs_v2.API/ListCommit")
def list_commit(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo = m.to_repo(request.repo) if request.repo.name else None
    to = request.to.id or request.to.branch.name or None
    after = getattr(request, "from")
    since = after.id or after.branch.name or None
    found = box.pfs.list_commits(
        repo,
        to=to,
        after=since,
        reverse=request.reverse,
        origins=_origins(request),
        everything=request.all,
        started=_started(request),
    )
    return (m.commit_info(c) for c in m.at_most(found, request.number))


def _started(request: Any) -> datetime | None:
    if not request.HasField("started_time"):
        return None
    return m.moment(request.started_time, "started_time")


def _state(number: int) -> CommitState:
    m.enum_name(pfs.CommitState, number)
    return _STATES[number]


def _origins(request: Any) -> tuple[Origin, ...]:
    if request.all:
        return ()
    name = m.enum_name(pfs.OriginKind, request.origin_kind)
    return () if name.endswith("UNKNOWN") else (Origin(name),)


@handles("pfs_v2.API/SubscribeCommit")
def subscribe_commit(box: Box, request: Any, call: Call) -> Iterator[Any]:
    after = getattr(request, "from")
    since = after.id or after.branch.name or None
    found = wait.subscribe(
        box.pfs,
        m.to_repo(request.repo),
        request.branch,
        after=since,
        state=_state(request.state),
        origins=_origins(request),
        cancelled=call.cancel.is_set,
    )
    return (m.commit_info(c) if c is not None else None for c in found)


@handles("pfs_v2.API/InspectCommitSet")
def inspect_commit_set(box: Box, request: Any, call: Call) -> Iterator[Any]:
    commit_id = request.commit_set.id
    box.pfs.commit_set(commit_id)
    if request.wait:
        found: Iterator[CommitRecord | None] = wait.wait_set(box.pfs, commit_id, call.cancel.is_set)
    else:
        found = iter(box.pfs.commit_set(commit_id))
    return (m.commit_info(c) if c is not None else None for c in found)


@handles("pfs_v2.API/ListCommitSet")
def list_commit_set(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for members in box.pfs.commit_sets(request.project.name or None):
        yield pfs.CommitSetInfo(
            commit_set=pfs.CommitSet(id=members[0].commit.id),
            commits=[m.commit_info(c) for c in members],
        )


@handles("pfs_v2.API/SquashCommitSet")
def squash_commit_set(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "squash_commit_set", request)
    return Empty()


@handles("pfs_v2.API/DropCommitSet")
def drop_commit_set(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "drop_commit_set", request)
    return Empty()


@handles("pfs_v2.API/SquashCommit")
def squash_commit(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "squash_commit", request)
    return pfs.SquashCommitResponse()


@handles("pfs_v2.API/DropCommit")
def drop_commit(box: Box, request: Any, call: Call) -> Any:
    batch.submit(box, call, "drop_commit", request)
    return pfs.DropCommitResponse()


@handles("pachybox.v1.API/FlushCommit")
def flush_commit(box: Box, request: Any, call: Call) -> Iterator[Any]:
    roots = [m.parse_commit(text) for text in request.commits]
    to = [parse_repo(text) for text in request.to_repos]
    found = wait.flush(box.pfs, roots, to, call.cancel.is_set)
    return (m.commit_info(c) if c is not None else None for c in found)


@handles("pachybox.v1.API/DeleteCommit")
def delete_commit(box: Box, request: Any, call: Call) -> Any:
    gone = batch.submit(box, call, "delete_commit", request)
    return ours.DeleteCommitResponse(deleted=[str(c) for c in gone])


# ---- walks


@handles("pfs_v2.API/WalkCommitProvenance")
def walk_commit_provenance(box: Box, request: Any, call: Call) -> Iterator[Any]:
    def above(commit: CommitRecord) -> list[CommitRecord]:
        ups = (box.meta.get(COMMITS, Commit(b.repo, i)) for b, i in commit.direct_provenance)
        return [u for u in ups if u is not None]

    return _walk_commits(box, request, above)


@handles("pfs_v2.API/WalkCommitSubvenance")
def walk_commit_subvenance(box: Box, request: Any, call: Call) -> Iterator[Any]:
    def below(commit: CommitRecord) -> list[CommitRecord]:
        key = (commit.commit.repo, commit.commit.id)
        return [
            c
            for c in box.pfs.downstream(commit)
            if key in {(b.repo, i) for b, i in c.direct_provenance}
        ]

    return _walk_commits(box, request, below)


def _walk_commits(box: Box, request: Any, step: Any) -> Iterator[Any]:
    most, deep = request.max_commits or _WALKED, request.max_depth or _DEEP
    level = [m.pick_commit(box.pfs, p) for p in request.start]
    seen: set[Commit] = set()
    for _ in range(deep):
        following: list[CommitRecord] = []
        for commit in level:
            if commit.commit in seen:
                continue
            if len(seen) >= most:
                return
            seen.add(commit.commit)
            yield m.commit_info(commit)
            following += step(commit)
        if not following:
            return
        level = following


@handles("pfs_v2.API/WalkBranchProvenance")
def walk_branch_provenance(box: Box, request: Any, call: Call) -> Iterator[Any]:
    def above(branch: BranchRecord) -> Sequence[Branch]:
        return branch.direct_provenance

    return _walk_branches(box, request, above)


@handles("pfs_v2.API/WalkBranchSubvenance")
def walk_branch_subvenance(box: Box, request: Any, call: Call) -> Iterator[Any]:
    below: dict[Branch, list[Branch]] = {}
    for record in box.meta.all(BRANCHES):
        for source in record.direct_provenance:
            below.setdefault(source, []).append(record.branch)
    return _walk_branches(box, request, lambda branch: below.get(branch.branch, ()))


def _walk_branches(
    box: Box, request: Any, step: Callable[[BranchRecord], Sequence[Branch]]
) -> Iterator[Any]:
    """The branches named, then what ``step`` leads to, level by level."""
    most, deep = request.max_branches or _WALKED, request.max_depth or _DEEP
    level = [m.pick_branch(picker) for picker in request.start]
    for one in level:
        box.pfs.inspect_branch(one)
    seen: set[Branch] = set()
    for _ in range(deep):
        following: list[Branch] = []
        for one in level:
            record = None if one in seen else box.meta.get(BRANCHES, one)
            if record is None:
                continue
            if len(seen) >= most:
                return
            seen.add(one)
            yield m.branch_info(box.pfs, record)
            following += step(record)
        if not following:
            return
        level = following


@handles("pfs_v2.API/ForgetCommit")
def forget_commit(box: Box, request: Any, call: Call) -> Any:
    """A finished commit forgets what it was made from, which no longer is held by it."""
    box.pfs.forget_provenance(m.pick_commit(box.pfs, request.commit).commit)
    return pfs.ForgetCommitResponse()


@handles("pfs_v2.API/ListTask")
def list_task(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """None: what Pachyderm's storage has tasks for, the box does before it answers."""
    return iter(())


@handles("pfs_v2.API/CheckStorage")
def check_storage(box: Box, request: Any, call: Call) -> Any:
    count = box.check_storage(request.chunk_begin, request.chunk_end, read=request.read_chunk_data)
    return pfs.CheckStorageResponse(chunk_object_count=count)


@handles("pfs_v2.API/DeleteAll")
def delete_all(box: Box, request: Any, call: Call) -> Any:
    box.delete_all()
    return Empty()
