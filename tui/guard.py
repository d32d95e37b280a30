"""A handler that fails costs a notice, not the terminal."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual.css.query import NoMatches
from textual.dom import NoScreen
from textual.events import Event
from textual.geometry import Offset
from textual.message_pump import MessagePump
from textual.widget import Widget

if TYPE_CHECKING:
    from textual.message import Message


class Guarded(MessagePump):
    """The app and its views: what a handler raises goes to ``app.defect``. Without this the loop
    that handles messages ends with the first error, and with it all that is on the screen."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as e:
            app: Any = self.app
            if not is_late(self, e):
                app.defect(e)


class GuardedScreen(Guarded):
    """Beside ``Screen`` or ``ModalScreen``, whose styles it must not hide: a screen that is
    clicked on while parts of it go. What has gone, and is still to be seen, has no place."""

    def _forward_event(self, event: Event) -> None:
        with suppress(NoScreen):
            super()._forward_event(event)  # type: ignore[misc]

    @property
    def in_front(self) -> bool:
        """Whether keys come here: ``is_current`` is so also below a box that one sees through."""
        screen: Any = self.app.screen
        return screen is self

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """As the screen's own; nothing where what is drawn has gone."""
        widget, offset = super().get_widget_and_offset_at(x, y)  # type: ignore[misc]
        if widget is not None and widget is not self and widget.parent is None:
            return None, None
        return widget, offset


def is_late(node: MessagePump, error: Exception) -> bool:
    """Whether what failed missed the widgets of a view that one has left meanwhile."""
    stacks: Any = node.app._screen_stacks
    return isinstance(error, NoMatches) and not any(
        node is screen for stack in stacks.values() for screen in [*stack, node.app]
    )
