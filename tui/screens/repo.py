"""The mode repo."""

from __future__ import annotations

from typing import ClassVar

from tui.places import REPO
from tui.screens.view import View


class Repos(View):
    """The first view of the mode repo."""

    mode: ClassVar[str] = REPO
