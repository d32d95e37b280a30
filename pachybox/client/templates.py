"""What goes into specs: templates, and the defaults of the box and of projects."""

from __future__ import annotations

from collections.abc import Mapping

from pachybox.client.base import PPS, Base
from pachybox.client.names import project_message


class Templates(Base):
    """Methods on templates and defaults. Defaults are JSON text:
    ``{"create_pipeline_request": {...}}`` with any fields of a spec."""

    def render_template(self, template: str, args: Mapping[str, str] | None = None) -> str:
        """The specs, as JSON, that a jsonnet template makes of arguments."""
        answer = self.call(PPS, "RenderTemplate", template=template, args=dict(args or {}))
        return str(answer.get("json", ""))

    def get_cluster_defaults(self) -> str:
        """The defaults of the whole box, as they were set."""
        return str(self.call(PPS, "GetClusterDefaults").get("clusterDefaultsJson", ""))

    def get_project_defaults(self) -> str:
        """The defaults of the client's project, as they were set."""
        answer = self.call(PPS, "GetProjectDefaults", project=project_message(self.project))
        return str(answer.get("projectDefaultsJson", ""))

    def set_cluster_defaults(
        self,
        text: str,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of the whole box; ``regenerate`` updates the pipelines that they
        change, ``reprocess`` has those run all datums again. Returns their names
        (``project/name``); with ``dry_run`` nothing is changed."""
        answer = self.call(
            PPS,
            "SetClusterDefaults",
            cluster_defaults_json=text,
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )
        return _names(answer.get("affectedPipelines"))

    def set_project_defaults(
        self,
        text: str,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of the client's project; see ``set_cluster_defaults``."""
        answer = self.call(
            PPS,
            "SetProjectDefaults",
            project=project_message(self.project),
            project_defaults_json=text,
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )
        return _names(answer.get("affectedPipelines"))


def _names(pipelines: object) -> list[str]:
    found = pipelines if isinstance(pipelines, list) else []
    return [f"{p['project']['name']}/{p['name']}" for p in found]
