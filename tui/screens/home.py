"""The mode home."""

from __future__ import annotations

from typing import ClassVar

from tui.places import HOME
from tui.screens.view import View


class Home(View):
    """The first view of the mode home."""

    mode: ClassVar[str] = HOME
