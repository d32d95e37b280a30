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
    passing: Key | None = None  # the last key of its own that its widgets left to others

    def _forward_event(self, event: Event) -> None:
        if isinstance(event, Key):
            self.take(event)
        else:
            super()._forward_event(event)

    def take(self, key: Key) -> None:
        """A key that was typed for it."""
        if not self._begun:
            self._early = [*(self._early or []), key]
        elif self.focused:
            self.focused._forward_event(key)
        else:
            super()._forward_event(key)

    async def on_event(self, event: Event) -> None:
        """Note a key that goes on to the app from here."""
        if isinstance(event, Key):
            self.passing = event
        await super().on_event(event)

    def on_screen_resume(self) -> None:
        """It is drawn; its field has the focus after this."""
        self.call_next(self._begin)

    def _begin(self) -> None:
        early, self._early, self._begun = self._early or [], None, True
        for key in early:
            self.take(key)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave with an answer; nothing when it was left before, or is not in front."""
        if not self.in_front:
            return AwaitComplete()
        return super().dismiss(result)
