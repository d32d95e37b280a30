"""A box over a view, which is left once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

from tui.guard import Guarded

T = TypeVar("T")


class Dialog(Guarded, ModalScreen[T]):
    """Keys come faster than a box goes away: the second Esc must not take the view below."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave with an answer; nothing when it was left before, or is not in front."""
        if not self.is_current:
            return AwaitComplete()
        return super().dismiss(result)
