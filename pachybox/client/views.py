"""What screens show: the box at a glance, and pages of long lists."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import BOX, Base
from pachybox.client.names import (
    file_message,
    job_message,
    pipeline_message,
    repo_message,
)
from pachybox.client.page_values import (
    CommitPage,
    DatumPage,
    DiffPage,
    FilePage,
    JobPage,
    JobTiming,
)
from pachybox.client.view_values import Summary


class Views(Base):
    """Methods for screens. A page is the rows from ``offset`` on, at most ``limit`` of them, of
    all that ``search`` (a part of the name, in either case) keeps."""

    def summary(self) -> Summary:
        """The whole box in one call."""
        return Summary.from_json(self.call(BOX, "GetSummary"))

    def page_job(
        self,
        *,
        pipeline: str | None = None,
        offset: int = 0,
        limit: int = 256,
        search: str = "",
        states: Iterable[str] = (),
        sort: str = "created",
        reverse: bool = False,
    ) -> JobPage:
        """Jobs of a pipeline, or of all in all projects, newest first. ``sort`` is created,
        pipeline, state, total or time; ``states`` keeps those (``JOB_FAILURE``)."""
        answer = self.call(
            BOX,
            "PageJob",
            pipeline=pipeline_message(pipeline, self.project) if pipeline else None,
            **_page(offset, limit, search, sort, reverse),
            states=list(states),
        )
        return JobPage.from_json(answer)

    def page_datum(
        self,
        job: str,
        *,
        offset: int = 0,
        limit: int = 256,
        search: str = "",
        states: Iterable[str] = (),
        sort: str = "trouble",
        reverse: bool = False,
    ) -> DatumPage:
        """Datums of a job. ``sort`` is trouble (failed, running, recovered, waiting, slowest,
        skipped), input, time (slowest first) or state; ``states`` keeps those (``FAILED``)."""
        answer = self.call(
            BOX,
            "PageDatum",
            job=job_message(job, self.project),
            **_page(offset, limit, search, sort, reverse),
            states=list(states),
        )
        return DatumPage.from_json(answer)

    def timing(self, job: str) -> JobTiming:
        """Where the time of a job went: by worker, by phase, by datum."""
        return JobTiming.from_json(self.call(BOX, "GetTiming", job=job_message(job, self.project)))

    def page_file(
        self,
        directory: str,
        *,
        offset: int = 0,
        limit: int = 500,
        search: str = "",
        sort: str = "name",
        reverse: bool = False,
    ) -> FilePage:
        """What is in a directory (``repo@ref:path``). ``sort`` is name, or size: largest first."""
        answer = self.call(
            BOX,
            "PageFile",
            file=file_message(directory, self.project),
            **_page(offset, limit, search, sort, reverse),
        )
        return FilePage.from_json(answer)

    def page_commit(
        self, repo_or_branch: str, *, offset: int = 0, limit: int = 256, search: str = ""
    ) -> CommitPage:
        """Commits of a repo, or of the branch ``repo@branch``, newest first. ``search`` is a part
        of the id or of the description."""
        repo, _, branch = repo_or_branch.partition("@")
        answer = self.call(
            BOX,
            "PageCommit",
            repo=repo_message(repo, self.project),
            branch=branch or None,
            **_page(offset, limit, search),
        )
        return CommitPage.from_json(answer)

    def page_diff(
        self, new: str, old: str | None = None, *, offset: int = 0, limit: int = 256
    ) -> DiffPage:
        """The files in which two paths (``repo@ref:path``) differ; ``old`` defaults to the same
        path one commit before."""
        answer = self.call(
            BOX,
            "PageDiff",
            new_file=file_message(new, self.project),
            old_file=file_message(old, self.project) if old else None,
            **_page(offset, limit),
        )
        return DiffPage.from_json(answer)

    def repo_users(self, repo: str) -> tuple[str, ...]:
        """The pipelines that read a repo, by name."""
        answer = self.call(BOX, "ListRepoUsers", repo=repo_message(repo, self.project))
        return tuple(answer.get("pipelines") or ())


def _page(
    offset: int, limit: int, search: str = "", sort: str = "", reverse: bool = False
) -> dict[str, object]:
    return {
        "offset": str(offset),
        "limit": str(limit),
        "search": search or None,
        "sort": sort or None,
        "reverse": reverse or None,
    }
