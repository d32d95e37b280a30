"""Defaults of specs for the box and for projects; templates; sums over projects."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pachybox.client.base import PFS, PPS, Base
from pachybox.client.names import project_message
from pachybox.client.values import Json


class Defaults(Base):
    """Methods on the defaults of pipeline specs, and on templates of specs."""

    def cluster_defaults(self) -> Json:
        """The defaults of every pipeline: ``{"createPipelineRequest": {...}}``."""
        return _object(self.call(PPS, "GetClusterDefaults").get("clusterDefaultsJson"))

    def set_cluster_defaults(
        self,
        defaults: Json | str,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of every pipeline, as a value or as JSON text; returns the names of the
        pipelines they change (``project/name``). With ``dry_run`` nothing is changed.

        ``regenerate`` makes those anew, ``reprocess`` with all their datums.
        """
        answer = self.call(
            PPS,
            "SetClusterDefaults",
            cluster_defaults_json=_text(defaults),
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )
        return _names(answer)

    def project_defaults(self, project: str | None = None) -> Json:
        """The defaults of a project's pipelines (of the client's project without a name)."""
        where = project_message(project or self.project)
        answer = self.call(PPS, "GetProjectDefaults", project=where)
        return _object(answer.get("projectDefaultsJson"))

    def set_project_defaults(
        self,
        defaults: Json | str,
        project: str | None = None,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of a project's pipelines; as ``set_cluster_defaults``."""
        answer = self.call(
            PPS,
            "SetProjectDefaults",
            project=project_message(project or self.project),
            project_defaults_json=_text(defaults),
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )
        return _names(answer)

    def render_template(self, template: str, args: Mapping[str, str] | None = None) -> list[Json]:
        """The specs a Jsonnet template makes of ``args``."""
        answer = self.call(PPS, "RenderTemplate", template=template, args=dict(args or {}))
        found = json.loads(answer.get("json") or "[]")
        return list(found) if isinstance(found, list) else [found]

    def repos_summary(self) -> list[Json]:
        """How many user repos each project has, and their size (pfs_v2.ReposSummary)."""
        return list(self.call(PFS, "ReposSummary").get("summaries") or ())

    def pipelines_summary(self) -> list[Json]:
        """How many pipelines of each project run, are paused, failed (pps_v2.PipelinesSummary)."""
        return list(self.call(PPS, "PipelinesSummary").get("summaries") or ())


def _object(text: str | None) -> Json:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _text(defaults: Json | str) -> str:
    return defaults if isinstance(defaults, str) else json.dumps(defaults)


def _names(answer: Json) -> list[str]:
    found = answer.get("affectedPipelines") or ()
    return [f"{p['project']['name']}/{p['name']}" for p in found]
