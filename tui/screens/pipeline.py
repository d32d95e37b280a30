"""The mode pipeline."""

from __future__ import annotations

from typing import ClassVar

from tui.places import PIPELINE
from tui.screens.view import View


class Pipelines(View):
    """The first view of the mode pipeline."""

    mode: ClassVar[str] = PIPELINE
