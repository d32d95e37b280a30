"""What a commit came from, or what came from it, as a tree: read in two calls, then drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from pachybox.client import AsyncClient
from pachybox.client.pipeline_values import JobInfo
from pachybox.client.values import CommitInfo
from pachybox.errors import NotFound
from tui import glyphs
from tui.shown import age, count, size, visible
from tui.store import Store

UP, DOWN = "up", "down"
MOST = 300
"""Commits that are walked: a tree of more says so."""


@dataclass(slots=True)
class Kin:
    """A commit, the job that made it (if one did), and its kin further up or down."""

    commit: CommitInfo
    job: JobInfo | None = None
    kin: list[Kin] = field(default_factory=list)
    cut: bool = False  # its kin stand further up in the tree already

    @property
    def name(self) -> str:
        """``repo@id``."""
        return f"{self.commit.repo}@{self.commit.id}"


async def kin_of(box: AsyncClient, commit: str, way: str) -> tuple[Kin, int]:
    """The tree from ``commit`` up or down, and how many commits were walked (MOST: perhaps not
    all). Raises NotFound for a commit that is not there."""
    first = await box.inspect_commit(commit)
    walk = box.walk_commit_provenance if way == UP else box.walk_commit_subvenance
    found = {_name(first): first}
    async for info in walk(f"{first.repo}@{first.id}", number=MOST):
        if not of_spec(info.repo):
            found[_name(info)] = info
    jobs = await _jobs(box, found.values())
    root = _tree(first, found, jobs, way, set())
    return root, len(found)


def _tree(
    info: CommitInfo,
    found: dict[str, CommitInfo],
    jobs: dict[str, JobInfo],
    way: str,
    above: set[str],
) -> Kin:
    made = Kin(info, jobs.get(_name(info)))
    if _name(info) in above:
        made.cut = True
        return made
    above.add(_name(info))
    for one in found.values():
        nearer, farther = (info, one) if way == UP else (one, info)
        if _name(farther) in nearer.direct_provenance:
            made.kin.append(_tree(one, found, jobs, way, above))
    return made


async def _jobs(box: AsyncClient, infos: Iterable[CommitInfo]) -> dict[str, JobInfo]:
    """The jobs of those that are a job's output, by the commit's name."""

    async def one(info: CommitInfo) -> JobInfo | None:
        try:
            return await box.inspect_job(_name(info))
        except NotFound:
            return None

    made = [info for info in infos if info.direct_provenance]
    jobs = await asyncio.gather(*map(one, made))
    return {_name(i): job for i, job in zip(made, jobs, strict=True) if job is not None}


def label(kin: Kin, store: Store, path: str, plain: bool) -> Text:
    """A line of the tree: the commit, how its job went, how much it holds, since when."""
    commit, job = kin.commit, kin.job
    mark = (
        glyphs.job(job.state)
        if job
        else glyphs.commit("finished" if commit.finished else "started", error=commit.error)
    )
    text = Text(f"{mark.sign(plain)} ", no_wrap=True)
    text.append(f"{commit.repo}@{commit.id[:12]}", "bold")
    if path:
        text.append(f":{visible(path)}", "bold")
    if job is not None:
        text.append(f"  job {mark.word}, {count(job.total)} datum{'s' * (job.total != 1)}")
        if job.failed:
            text.append(f", {count(job.failed)} failed", "bold")
    elif commit.description:
        text.append(f"  {visible(commit.description)}")
    text.append(
        f"  {size(commit.size_bytes)}  {age(commit.finished or commit.started, store.now)}", "dim"
    )
    if kin.cut:
        text.append("  (see above)", "dim")
    return text


def repos_in(kin: Kin) -> set[str]:
    """Every repo of the tree."""
    found = {kin.commit.repo}
    for one in kin.kin:
        found |= repos_in(one)
    return found


def _name(info: CommitInfo) -> str:
    return f"{info.repo}@{info.id}"


def of_spec(repo: str) -> bool:
    """Whether a repo is the box's own book-keeping, which nobody asks the lineage of."""
    return repo.endswith((".spec", ".meta"))


def shown_runs(infos: Sequence[CommitInfo]) -> str:
    """What a run began with: the repos of its commits that no job made."""
    first = [info.repo for info in infos if not info.direct_provenance and not of_spec(info.repo)]
    return ", ".join(first or sorted({info.repo for info in infos if not of_spec(info.repo)}))
