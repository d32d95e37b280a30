"""The mode lineage."""

from __future__ import annotations

from typing import ClassVar

from tui.places import LINEAGE
from tui.screens.view import View


class Lineage(View):
    """The first view of the mode lineage."""

    mode: ClassVar[str] = LINEAGE
