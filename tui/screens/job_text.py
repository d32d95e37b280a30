"""A job as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tui.places import JOB, Place, split
from tui.screens.pipeline_text import TextScreen
from tui.widgets.text_pane import YAML


class JobText(TextScreen):
    """The record of a job as YAML; Esc leads back."""

    mode: ClassVar[str] = JOB

    def __init__(self, job: str, text: str) -> None:
        super().__init__(job, text, YAML, f"inspect job {job} -o yaml")
        self._job = job

    def crumbs(self) -> Sequence[str]:
        """Where one is."""
        return ["Jobs", self._job, "YAML"]

    def place(self) -> Place:
        """The job."""
        name, ref, _ = split(self._job)
        return Place(JOB, name, ref)
