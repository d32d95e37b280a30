"""A widget alone on a screen, and what is painted of it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

TRIES = 400


class Bare(App[None]):
    """An app that holds one widget and what it posted."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def lines(widget: Widget) -> list[str]:
    """The widget as it is painted, without styles."""
    rows = widget.size.height
    return [widget.render_line(y).text.rstrip() for y in range(rows)]


def text(widget: Widget) -> str:
    """The same in one."""
    return "\n".join(lines(widget))


async def until(pilot: Pilot[None], what: Callable[[], bool]) -> None:
    """Let the app work until it is so."""
    for _ in range(TRIES):
        if what():
            return
        await pilot.pause(0.01)
    raise AssertionError(f"it did not come: {pilot.app.screen.focused}")
