"""What goes from the screen goes whole, whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from textual.app import App
from textual.await_complete import AwaitComplete
from textual.await_remove import AwaitRemove
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget


class Whole(App[int]):
    """A worker that is cancelled while it waits for a screen or a widget to go would cancel that
    one's own task with it: half of it would stay, and the app, which waits for that task too,
    would end its loop or never close. Here a waiter that is cancelled only stops to wait."""

    leaving = False

    def pop_screen(self) -> AwaitComplete:
        """As the app's own."""
        return AwaitComplete(asyncio.shield(super().pop_screen()._future))

    def _prune(self, *nodes: Widget, parent: DOMNode | None = None) -> AwaitRemove:
        gone = super()._prune(*nodes, parent=parent)
        return _Going(gone._tasks, gone._post_remove)

    async def _close_all(self) -> None:
        """Nothing opens any more while all is closed."""
        self.leaving = True
        self.workers.cancel_all()
        await asyncio.sleep(0)  # in which they end
        await super()._close_all()

    async def push_screen_wait(self, screen: Any, *, mode: str | None = None) -> Any:
        """The screen's answer. The app's own would do first, in the worker that asks, what the
        app has still to do: wait for screens that go, that of this worker among them."""
        assert isinstance(screen, Screen)
        return await asyncio.shield(self.push_screen(screen, wait_for_dismiss=True, mode=mode))


class _Going(AwaitRemove):
    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        here = asyncio.current_task()
        await asyncio.gather(*(asyncio.shield(task) for task in self._tasks if task is not here))
