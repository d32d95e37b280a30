"""The mode job."""

from __future__ import annotations

from typing import ClassVar

from tui.places import JOB
from tui.screens.view import View


class Jobs(View):
    """The first view of the mode job."""

    mode: ClassVar[str] = JOB
