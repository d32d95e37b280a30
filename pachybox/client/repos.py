"""Projects, repos and branches."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import BOX, PFS, Base, Stream, messages
from pachybox.client.names import (
    branch_message,
    commit_of,
    project_message,
    repo_message,
    split_ref,
)
from pachybox.client.values import BranchInfo, Json, ProjectInfo, RepoInfo


class Projects(Base):
    """Methods on projects."""

    def create_project(self, name: str, description: str = "", *, update: bool = False) -> None:
        """Make a project, or with ``update`` change its description."""
        self.call(
            PFS,
            "CreateProject",
            project=project_message(name),
            description=description,
            update=update,
        )

    def inspect_project(self, name: str) -> ProjectInfo:
        """One project."""
        return ProjectInfo.from_json(
            self.call(PFS, "InspectProject", project=project_message(name))
        )

    def list_project(self) -> Stream[ProjectInfo]:
        """All projects."""
        return self.stream(PFS, "ListProject").map(ProjectInfo.from_json)

    def delete_project(self, name: str, *, force: bool = False) -> None:
        """Remove a project. Refused when it holds anything, unless ``force``."""
        self.call(PFS, "DeleteProject", project=project_message(name), force=force)


class Repos(Base):
    """Methods on repos. A repo is written ``[project/]name``."""

    def create_repo(self, repo: str, description: str = "", *, update: bool = False) -> None:
        """Make a repo, or with ``update`` change its description."""
        self.call(
            PFS,
            "CreateRepo",
            repo=repo_message(repo, self.project),
            description=description,
            update=update,
        )

    def inspect_repo(self, repo: str) -> RepoInfo:
        """One repo."""
        return RepoInfo.from_json(
            self.call(PFS, "InspectRepo", repo=repo_message(repo, self.project))
        )

    def list_repo(self, *, type: str = "user", all_projects: bool = False) -> Stream[RepoInfo]:
        """The repos of the client's project, or of all; ``type`` "all" gives system repos too."""
        projects = None if all_projects else [project_message(self.project)]
        return self.stream(PFS, "ListRepo", type=type, projects=projects).map(RepoInfo.from_json)

    def delete_repo(self, repo: str, *, force: bool = False) -> bool:
        """Remove a repo with its history; False when there was none.

        Refused when a pipeline reads it or writes it, unless ``force``.
        """
        answer = self.call(PFS, "DeleteRepo", repo=repo_message(repo, self.project), force=force)
        return bool(answer.get("deleted"))

    def delete_repos(self, *, all_projects: bool = False, force: bool = False) -> list[Json]:
        """Remove every repo of the client's project, or of all; returns their names' messages."""
        projects = None if all_projects else [project_message(self.project)]
        answer = self.call(
            PFS, "DeleteRepos", projects=projects, all=all_projects or None, force=force
        )
        return list(answer.get("repos") or ())


class Branches(Base):
    """Methods on branches. A branch is written ``repo@branch``."""

    def create_branch(
        self,
        branch: str,
        *,
        head: str | None = None,
        provenance: Iterable[str] | None = None,
        trigger: Json | None = None,
    ) -> None:
        """Make or move a branch. Its provenance becomes exactly what is given.

        ``head`` is a branch or commit of the same repo, or ``repo@ref``; without it the branch
        stays where it is.
        """
        message = branch_message(branch, self.project)
        where = None
        if head:
            repo, ref = split_ref(head) if "@" in head else ("", head)
            where = commit_of(repo_message(repo, self.project) if repo else message["repo"], ref)
        self.call(
            BOX,
            "CreateBranch",
            branch=message,
            head=where,
            provenance=messages(provenance, lambda b: branch_message(b, self.project)),
            trigger=trigger,
        )

    def inspect_branch(self, branch: str) -> BranchInfo:
        """One branch."""
        return BranchInfo.from_json(
            self.call(PFS, "InspectBranch", branch=branch_message(branch, self.project))
        )

    def list_branch(self, repo: str) -> Stream[BranchInfo]:
        """The branches of a repo, newest first."""
        return self.stream(PFS, "ListBranch", repo=repo_message(repo, self.project)).map(
            BranchInfo.from_json
        )

    def delete_branch(self, branch: str, *, force: bool = False) -> None:
        """Remove a branch; its commits stay. Refused when others depend on it, unless forced."""
        self.call(PFS, "DeleteBranch", branch=branch_message(branch, self.project), force=force)
