"""What exists, and what came from what."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import PFS, PPS, Base, Stream, messages
from pachybox.client.names import (
    branch_message,
    branch_picker,
    commit_message,
    commit_picker,
    file_message,
    pipeline_message,
    project_message,
    repo_message,
)
from pachybox.client.values import BranchInfo, CommitInfo, Json
from pachybox.errors import NotFound


class Lineage(Base):
    """Methods on provenance (what a thing was made from) and subvenance (what from it)."""

    def walk_commit_provenance(
        self, commits: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> Stream[CommitInfo]:
        """``commits`` and what they were made from, through the whole DAG."""
        return self._commits("WalkCommitProvenance", commits, depth, number)

    def walk_commit_subvenance(
        self, commits: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> Stream[CommitInfo]:
        """``commits`` and what was made from them, through the whole DAG."""
        return self._commits("WalkCommitSubvenance", commits, depth, number)

    def walk_branch_provenance(
        self, branches: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> Stream[BranchInfo]:
        """``branches`` and those they follow."""
        return self._branches("WalkBranchProvenance", branches, depth, number)

    def walk_branch_subvenance(
        self, branches: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> Stream[BranchInfo]:
        """``branches`` and those that follow them."""
        return self._branches("WalkBranchSubvenance", branches, depth, number)

    def _commits(
        self, method: str, commits: str | Iterable[str], depth: int | None, number: int | None
    ) -> Stream[CommitInfo]:
        start = messages(commits, lambda c: commit_picker(c, self.project))
        most = {"max_depth": _text(depth), "max_commits": _text(number)}
        return self.stream(PFS, method, start=start, **most).map(CommitInfo.from_json)

    def _branches(
        self, method: str, branches: str | Iterable[str], depth: int | None, number: int | None
    ) -> Stream[BranchInfo]:
        start = messages(branches, lambda b: branch_picker(b, self.project))
        most = {"max_depth": _text(depth), "max_branches": _text(number)}
        return self.stream(PFS, method, start=start, **most).map(BranchInfo.from_json)


class Existence(Base):
    """Methods that ask whether a thing is there."""

    def project_exists(self, name: str) -> bool:
        """Whether there is such a project."""
        return self._exists(PFS, "InspectProject", "project", project_message(name))

    def repo_exists(self, repo: str) -> bool:
        """Whether there is such a repo."""
        return self._exists(PFS, "InspectRepo", "repo", repo_message(repo, self.project))

    def branch_exists(self, branch: str) -> bool:
        """Whether there is such a branch."""
        return self._exists(PFS, "InspectBranch", "branch", branch_message(branch, self.project))

    def commit_exists(self, commit: str) -> bool:
        """Whether there is such a commit."""
        return self._exists(PFS, "InspectCommit", "commit", commit_message(commit, self.project))

    def file_exists(self, file: str) -> bool:
        """Whether there is such a file or directory."""
        return self._exists(PFS, "InspectFile", "file", file_message(file, self.project))

    def pipeline_exists(self, pipeline: str) -> bool:
        """Whether there is such a pipeline."""
        message = pipeline_message(pipeline, self.project)
        return self._exists(PPS, "InspectPipeline", "pipeline", message)

    def _exists(self, service: str, method: str, field: str, message: Json) -> bool:
        try:
            self.call(service, method, **{field: message})
        except NotFound:
            return False
        return True


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
