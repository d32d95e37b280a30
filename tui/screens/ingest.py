"""The mode ingest."""

from __future__ import annotations

from typing import ClassVar

from tui.places import INGEST
from tui.screens.view import View


class Ingests(View):
    """The first view of the mode ingest."""

    mode: ClassVar[str] = INGEST
