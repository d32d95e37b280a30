"""What there is in a box, for those who are to see a part of it."""

from __future__ import annotations

from collections.abc import Iterator

from pachybox.api.access.principal import RepoName
from pachybox.box import Box
from pachybox.meta.tables import PIPELINES, REPOS
from pachybox.model.ids import Pipeline
from pachybox.pps.planner import inputs_of


class BoxWorld:
    """See sight.World."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def reads(self, project: str, pipeline: str) -> set[RepoName] | None:
        """The repos that a pipeline reads in any of its versions, but its own ticks; None when
        there is none of that name."""
        name = Pipeline(project, pipeline)
        record = self._box.meta.get(PIPELINES, name)
        if record is None:
            return None
        specs = [record.spec, *(version.spec for version in self._box.pps.versions(name))]
        leaves = (leaf for spec in specs for leaf in inputs_of(spec) if not leaf.cron)
        return {(leaf.branch.repo.project, leaf.branch.repo.name) for leaf in leaves}

    def names(self) -> Iterator[RepoName]:
        """All repos and pipelines."""
        for repo in self._box.meta.all(REPOS):
            yield repo.repo.project, repo.repo.name
        for pipeline in self._box.meta.all(PIPELINES):
            yield pipeline.pipeline.project, pipeline.pipeline.name
