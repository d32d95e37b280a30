"""Commits: opening, finishing, listing, following, waiting, deleting."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import BOX, PFS, Base, Stream
from pachybox.client.names import (
    absolute,
    branch_message,
    commit_message,
    commit_of,
    full_name,
    project_message,
    repo_message,
    split_file,
    split_ref,
)
from pachybox.client.values import CommitInfo, CommitSetInfo, Json


class Commits(Base):
    """Methods on commits. A commit is written ``repo@ref``, a ref as ``master^2`` or an id."""

    def start_commit(self, branch: str, *, parent: str | None = None, description: str = "") -> str:
        """Open a commit on ``repo@branch``; return its id.

        ``parent`` is a branch or commit of the same repo (default: the branch's head).
        """
        message = branch_message(branch, self.project)
        ref = split_ref(parent)[1] if parent and "@" in parent else parent
        answer = self.call(
            PFS,
            "StartCommit",
            branch=message,
            parent=commit_of(message["repo"], ref) if ref else None,
            description=description,
        )
        return str(answer.get("id", ""))

    def finish_commit(
        self, commit: str, *, description: str = "", error: str = "", force: bool = False
    ) -> None:
        """Close an open commit; ``description`` replaces the one given at its start."""
        self.call(
            PFS,
            "FinishCommit",
            commit=commit_message(commit, self.project),
            description=description,
            error=error or None,
            force=force,
        )

    def clear_commit(self, commit: str) -> None:
        """Take out all that was put into an open commit."""
        self.call(PFS, "ClearCommit", commit=commit_message(commit, self.project))

    def inspect_commit(self, commit: str) -> CommitInfo:
        """One commit."""
        return CommitInfo.from_json(
            self.call(PFS, "InspectCommit", commit=commit_message(commit, self.project))
        )

    def wait_commit(self, commit: str) -> CommitInfo:
        """Wait until a commit is finished; look at ``error`` for how it went."""
        return CommitInfo.from_json(
            self.call(
                PFS,
                "InspectCommit",
                commit=commit_message(commit, self.project),
                wait="FINISHED",
            )
        )

    def list_commit(
        self,
        repo: str,
        *,
        start: str | None = None,
        number: int | None = None,
        all: bool = False,
        origin: str | None = None,
    ) -> Stream[CommitInfo]:
        """The commits of ``repo`` or of ``repo@ref`` backwards, newest first.

        ``start`` is the ref to stop at, ``number`` bounds the count, ``all`` includes those made
        by the box itself, ``origin`` is USER, AUTO or FSCK.
        """
        name, _, ref = repo.partition("@")
        message = repo_message(name, self.project)
        return self.stream(
            PFS,
            "ListCommit",
            repo=message,
            to=commit_of(message, ref) if ref else None,
            from_=commit_of(message, start.rpartition("@")[2]) if start else None,
            number=number,
            all=all or None,
            origin_kind=origin,
        ).map(CommitInfo.from_json)

    def list_commit_set(self) -> Stream[CommitSetInfo]:
        """All runs of the client's project, newest first."""
        return self.stream(PFS, "ListCommitSet", project=project_message(self.project)).map(
            CommitSetInfo.from_json
        )

    def inspect_commit_set(self, id: str, *, wait: bool = False) -> Stream[CommitInfo]:
        """The commits that share an id; with ``wait`` each as it finishes."""
        return self.stream(PFS, "InspectCommitSet", commit_set={"id": id}, wait=wait or None).map(
            CommitInfo.from_json
        )

    def subscribe_commit(
        self,
        branch: str,
        *,
        start: str | None = None,
        state: str = "FINISHED",
        all: bool = False,
        origin: str | None = None,
    ) -> Stream[CommitInfo]:
        """The commits of ``repo[@branch]`` that have reached ``state``, then new ones for ever.

        ``start`` is the commit after which to begin.
        """
        name, _, ref = branch.partition("@")
        message = repo_message(name, self.project)
        return self.stream(
            PFS,
            "SubscribeCommit",
            repo=message,
            branch=ref or None,
            from_=commit_of(message, start.rpartition("@")[2]) if start else None,
            state=state,
            all=all or None,
            origin_kind=origin,
        ).map(CommitInfo.from_json)

    def flush_commit(self, commits: Iterable[str], repos: Iterable[str] = ()) -> Stream[CommitInfo]:
        """Wait for everything downstream of all of ``commits``: each commit as it finishes.

        ``repos`` keeps only the commits of those repos.
        """
        return self.stream(
            BOX,
            "FlushCommit",
            commits=[full_name(c, self.project) for c in commits],
            to_repos=[full_name(r, self.project) for r in repos],
        ).map(CommitInfo.from_json)

    def delete_commit(self, commit: str) -> list[str]:
        """Remove an input commit and all made from it (1.x); returns what went, as refs.

        Data a child inherited stays in the child.
        """
        answer = self.call(BOX, "DeleteCommit", commit=full_name(commit, self.project))
        return list(answer.get("deleted") or ())

    def drop_commit(self, commit: str, *, recursive: bool = False) -> None:
        """Remove one head commit with its data; ``recursive`` takes what was made from it."""
        self.call(
            PFS,
            "DropCommit",
            commit=commit_message(commit, self.project),
            recursive=recursive,
        )

    def drop_commit_set(self, id: str) -> None:
        """Remove all commits of a run; each must be a head."""
        self.call(PFS, "DropCommitSet", commit_set={"id": id})

    def squash_commit(self, commit: str, *, recursive: bool = False) -> None:
        """Remove one commit, leaving its data to its child."""
        self.call(
            PFS,
            "SquashCommit",
            commit=commit_message(commit, self.project),
            recursive=recursive,
        )

    def squash_commit_set(self, id: str) -> None:
        """Remove all commits of a run, leaving their data to their children."""
        self.call(PFS, "SquashCommitSet", commit_set={"id": id})

    def find_commit(self, file: str, *, limit: int | None = None) -> Stream[Json]:
        """Walk back from ``repo@ref:path``: the commits in which the path changed.

        Records are pfs_v2.FindCommitsResponse: ``foundCommit``, at the end
        ``lastSearchedCommit`` and ``commitsSearched``.
        """
        repo, ref, path = split_file(file)
        return self.stream(
            PFS,
            "FindCommits",
            start=commit_of(repo_message(repo, self.project), ref),
            file_path=absolute(path),
            limit=limit,
        )
