"""Specs as they are written: checked, described, and what their inputs would be."""

from __future__ import annotations

import json

from pachybox.client.base import BOX, Base
from pachybox.client.spec_values import InputPreview, SpecCheck, SpecField
from pachybox.client.values import Json


class Specs(Base):
    """Methods on texts of specs. Nothing is made."""

    def check_spec(
        self,
        text: str,
        *,
        source: str = "",
        project: str = "",
        runner: str = "",
        kind: str = "pipeline",
    ) -> SpecCheck:
        """Everything wrong with a text (JSON or YAML, one spec or several) and where, however bad
        it is. ``source`` is its name: one that ends in ``.jsonnet`` is evaluated first. ``kind``
        is ``pipeline`` or ``ingest``."""
        answer = self.call(
            BOX,
            "CheckSpec",
            text=text,
            source=source,
            project=project or self.project,
            runner=runner,
            kind=kind,
        )
        return SpecCheck.from_json(answer)

    def describe_spec(self, kind: str = "pipeline") -> tuple[SpecField, ...]:
        """Every field that a spec may have, parents before their children; ``kind`` as in
        ``check_spec``."""
        answer = self.call(BOX, "DescribeSpec", kind=kind)
        return tuple(map(SpecField.from_json, answer.get("fields") or ()))

    def preview_input(
        self, spec: str | Json, *, project: str = "", limit: int = 50
    ) -> InputPreview:
        """What the input of a draft (the text of a spec, or an input alone) would be now: how many
        datums, how large, and the first ``limit``. The work is bounded, also over millions."""
        answer = self.call(
            BOX,
            "PreviewInput",
            text=spec if isinstance(spec, str) else json.dumps(spec),
            project=project or self.project,
            limit=str(limit),
        )
        return InputPreview.from_json(answer)
