"""A handler that fails costs a notice, not the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.message_pump import MessagePump

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
            app.defect(e)
