"""ctrl+g: a letter on every pane; pressing it goes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Label

from tui.widgets.dialog import Dialog

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


def panes(screen: Screen[object]) -> list[Widget]:
    """What can have the focus and is seen, from top left to bottom right."""
    found = [w for w in screen.focus_chain if w.region.area and w.is_attached]
    return sorted(found, key=lambda w: (w.region.y, w.region.x))[: len(LETTERS)]


class Jump(Dialog[Widget | None]):
    """Comes back with the pane, None when another key was pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]
    DEFAULT_CSS = """
    Jump { background: $background 30%; layers: letters; }
    Jump Label { layer: letters; position: absolute; width: 3; height: 1; text-style: bold;
        background: $warning; color: $background; }
    """

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self._targets = targets

    def compose(self) -> ComposeResult:
        for letter, target in zip(LETTERS, self._targets, strict=False):
            label = Label(Content(f" {letter} "))
            label.styles.offset = (target.region.x + 1, target.region.y)
            yield label

    def on_key(self, event: Key) -> None:
        """The letter, or back."""
        event.stop()
        number = LETTERS.find(event.character or "?")
        self.dismiss(self._targets[number] if 0 <= number < len(self._targets) else None)

    def action_leave(self) -> None:
        """Esc"""
        self.dismiss(None)
