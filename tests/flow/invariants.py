"""The invariants of docs/design.md, each a function of that name over what a quiet box says.

``Facts`` is what a client can read of a box in which nothing can go on; every ``check`` raises
AssertionError naming what is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pachybox.client import Client
from pachybox.client.pipeline_values import DatumInfo, JobInfo, PipelineInfo
from pachybox.client.values import BranchInfo, CommitInfo, branch_name, commit_name

Made = tuple[str, str]  # branch ("repo@name") and commit id


def provenance(commit: CommitInfo) -> set[Made]:
    """What a commit was made from."""
    found = set()
    for one in commit.raw.get("directProvenance") or ():
        found.add((branch_name(one["branch"]), str(one.get("id", ""))))
    return found


@dataclass
class Facts:
    """Everything but files: repos of every type, branches, commits, pipelines, jobs."""

    repos: list[str]
    branches: dict[str, BranchInfo]
    commits: dict[str, CommitInfo]  # by "repo@id"
    pipelines: dict[str, PipelineInfo]
    jobs: dict[str, JobInfo]  # by "pipeline@id"
    by_hand: set[str] = field(default_factory=set)  # commits whose inputs somebody chose

    @classmethod
    def of(cls, client: Client) -> Facts:
        """Read them all, jobs first: what goes on meanwhile shows as an open job that waits."""
        jobs = {str(j): j for j in client.list_job(history=-1)}
        repos = [str(r) for r in client.list_repo(type="all")]
        branches = [b for repo in repos for b in client.list_branch(repo)]
        commits = [c for repo in repos for c in client.list_commit(repo, all=True)]
        return cls(
            repos,
            {str(b): b for b in branches},
            {str(c): c for c in commits},
            {str(p): p for p in client.list_pipeline()},
            jobs,
        )

    def waiting(self) -> Iterator[JobInfo]:
        """Open jobs that could go on: neither an input nor a commit before theirs is open."""
        for name, job in self.jobs.items():
            if job.done:
                continue
            commit = self.commits.get(name)
            if commit is None:
                yield job
                continue
            needs = [f"{branch.partition('@')[0]}@{id_}" for branch, id_ in provenance(commit)]
            before: CommitInfo | None = commit
            while before is not None and before.parent:
                needs.append(f"{commit.repo}@{before.parent}")
                before = self.commits.get(needs[-1])
            found = [self.commits.get(name) for name in needs]
            if all(one is None or one.finished is not None for one in found):
                yield job

    def output(self, pipeline: str) -> BranchInfo | None:
        """The output branch of a pipeline."""
        branch = self.pipelines[pipeline].raw["details"].get("outputBranch") or "master"
        return self.branches.get(f"{pipeline}@{branch}")


def heads_follow(facts: Facts) -> None:
    for branch in facts.branches.values():
        if not branch.direct_provenance:
            continue
        wanted = {
            (source, facts.branches[source].head)
            for source in branch.direct_provenance
            if source in facts.branches and facts.branches[source].head
        }
        if all(".spec@" in source for source, _ in wanted):
            continue
        assert branch.head, f"{branch} has no head, its sources have"
        head = facts.commits[f"{branch.repo}@{branch.head}"]
        if str(head) not in facts.by_hand:
            have = provenance(head)
            assert have == wanted, f"{branch}: {head} was made from {have}, sources are {wanted}"


def provenance_exists(facts: Facts) -> None:
    for branch in facts.branches.values():
        for source in branch.direct_provenance:
            assert source in facts.branches, f"{branch} follows {source}, which does not exist"
        if branch.head:
            assert f"{branch.repo}@{branch.head}" in facts.commits, f"{branch}: its head is gone"
    for commit in facts.commits.values():
        if commit.parent:
            assert f"{commit.repo}@{commit.parent}" in facts.commits, f"{commit}: no parent"


def open_commits_are_jobs(facts: Facts) -> None:
    for name, commit in facts.commits.items():
        if commit.finished is None and commit.repo in facts.pipelines:
            assert name in facts.jobs, f"{commit} is open and no job is to finish it"
            assert not facts.jobs[name].done, f"{commit} is open, its job is over"
    for name, job in facts.jobs.items():
        if job.done:
            continue
        assert name in facts.commits, f"job {job} is open and has no commit"
        assert facts.commits[name].finished is None, f"job {job} is open, its commit finished"


def over_is_finished(facts: Facts) -> None:
    for name, job in facts.jobs.items():
        commit = facts.commits.get(name)
        if not job.done or commit is None:
            continue
        assert commit.finished is not None, f"job {job} is over and its commit open"
        if job.state == "JOB_SUCCESS":
            assert not commit.error, f"{commit} has an error, its job succeeded"
        else:
            assert commit.error, f"{commit} has no error, its job {job.state}"
            assert commit.size_bytes == 0, f"{commit} is the output of a failed job, not empty"
            assert job.reason, f"job {job} is {job.state} for no reason"


def nothing_waits(facts: Facts) -> None:
    waiting = list(facts.waiting())
    assert not waiting, f"stuck: {[(str(j), j.state) for j in waiting]}"
    for job in facts.jobs.values():
        assert job.done or job.state in ("JOB_CREATED", "JOB_STARTING"), f"{job} {job.state}"


def failed_inputs_run_nothing(facts: Facts) -> None:
    for name, job in facts.jobs.items():
        commit = facts.commits.get(name)
        if commit is None or not job.done:
            continue
        ups = [f"{branch.partition('@')[0]}@{id_}" for branch, id_ in provenance(commit)]
        bad = [up for up in ups if up in facts.commits and facts.commits[up].error]
        if bad:
            assert job.state in ("JOB_UNRUNNABLE", "JOB_KILLED"), f"{job} ran on failed {bad}"
            assert job.processed == 0, f"{job} ran on failed {bad}"
        elif job.state == "JOB_UNRUNNABLE":
            named = job.reason.removeprefix("inputs failed: ").removesuffix(" was deleted")
            for one in named.split(", "):
                assert one not in facts.commits, f"{job} is unrunnable, {one} is well"


def stopped_is_quiet(facts: Facts) -> None:
    for name, pipeline in facts.pipelines.items():
        output = facts.output(name)
        if pipeline.stopped:
            mine = [str(j) for j in facts.jobs.values() if j.pipeline == name and not j.done]
            assert not mine, f"{name} is stopped and has open jobs {mine}"
            assert output is None or not output.direct_provenance, f"{name} is stopped, follows"
            assert pipeline.state == "PIPELINE_PAUSED", f"{name} is stopped and {pipeline.state}"
        else:
            assert output is not None, f"{name} has no output branch"
            assert output.direct_provenance, f"{name} runs and follows nothing"
            assert pipeline.state != "PIPELINE_PAUSED", f"{name} is not stopped and paused"


def ids_are_global(facts: Facts) -> None:
    by_id: dict[str, dict[str, CommitInfo]] = {}
    for commit in facts.commits.values():
        mine = by_id.setdefault(commit.id, {})
        assert commit.repo not in mine, f"{commit} is there twice"
        mine[commit.repo] = commit
    for commit in facts.commits.values():
        for branch, id_ in provenance(commit):
            repo, _, name = branch.partition("@")
            up = by_id[commit.id].get(repo)
            if up is not None and up.branch == name:
                assert id_ == commit.id, f"{commit} was made from an older commit of {repo}"


def gone_is_gone(facts: Facts) -> None:
    for job in facts.jobs.values():
        assert job.pipeline in facts.pipelines, f"job {job} outlived its pipeline"
    for name in facts.repos:
        if name.endswith(".spec"):
            assert name.removesuffix(".spec") in facts.pipelines, f"{name} outlived its pipeline"
    for name in facts.pipelines:
        assert name in facts.repos, f"{name} has no output repo"
        assert f"{name}.spec" in facts.repos, f"{name} has no spec repo"


def counts_add_up(job: JobInfo, datums: list[DatumInfo]) -> None:
    """Of one job that is over; those that were killed may have datums that nobody looked at."""
    ids = Counter(d.id for d in datums)
    twice = [id_ for id_, count in ids.items() if count > 1]
    assert not twice, f"{job} has datums twice: {twice}"
    states = Counter(d.state for d in datums)
    counted = {
        "SUCCESS": job.processed,
        "SKIPPED": job.skipped,
        "FAILED": job.failed,
        "RECOVERED": job.recovered,
    }
    if job.state in ("JOB_SUCCESS", "JOB_FAILURE"):
        assert sum(counted.values()) == job.total, f"{job}: {counted} of {job.total}"
        assert {s: n for s, n in counted.items() if n} == dict(states), f"{job}: {counted} {states}"
    else:
        assert sum(counted.values()) <= job.total, f"{job}: {counted} of {job.total}"


def fsck_is_clean(client: Client) -> None:
    """Every commit is readable, every hash true, every name leads somewhere."""
    found = [f for f in client.fsck() if f.get("level") != "info"]
    assert found == [], found


CHECKS: tuple[Callable[[Facts], None], ...] = (
    heads_follow,
    provenance_exists,
    open_commits_are_jobs,
    over_is_finished,
    nothing_waits,
    failed_inputs_run_nothing,
    stopped_is_quiet,
    ids_are_global,
    gone_is_gone,
)


def input_of(commit: CommitInfo, repo: str, branch: str) -> str:
    """The commit of an input that an output commit was made from, as ``repo@id``; or empty."""
    for one in commit.raw.get("directProvenance") or ():
        if branch_name(one["branch"]) == f"{repo}@{branch}":
            return commit_name(one)
    return ""
