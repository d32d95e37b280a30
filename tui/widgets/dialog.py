"""A box over a view, which is left once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.events import Event, Key
from textual.screen import ModalScreen

from tui.guard import GuardedScreen

T = TypeVar("T")


class Dialog(GuardedScreen, ModalScreen[T]):
    """Keys come faster than a box opens and goes away: those that are typed before it is there
    go into its field, and a second Esc does not take the view below."""

    _early: list[Key] | None = None
    _begun = False

    def _forward_event(self, event: Event) -> None:
        if self._begun or not isinstance(event, Key):
            super()._forward_event(event)
        else:
            self._early = [*(self._early or []), event]

    def on_screen_resume(self) -> None:
        """It is drawn; its field has the focus after this."""
        self.call_next(self._begin)

    def _begin(self) -> None:
        early, self._early, self._begun = self._early or [], None, True
        for event in early:
            (self.focused or self)._forward_event(event)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave with an answer; nothing when it was left before, or is not in front."""
        if not self.in_front:
            return AwaitComplete()
        return super().dismiss(result)
