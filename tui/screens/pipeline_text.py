"""A text on a screen of its own: YAML, a difference, two versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.places import PIPELINE, Place
from tui.screens.view import View
from tui.widgets.text_pane import DIFF, TextPane


class TextScreen(View):
    """Shows ``text``; Esc leads back. ``command`` prints the same."""

    mode: ClassVar[str] = PIPELINE
    footer_ids: ClassVar[tuple[str, ...]] = ("app.back",)

    def __init__(self, title: str, text: str, kind: str = DIFF, command: str = "") -> None:
        super().__init__()
        self._title, self._text, self._kind, self._command = title, text, kind, command

    def body(self) -> ComposeResult:
        """The text."""
        with Vertical(classes="body pane") as pane:
            pane.border_title = self._title
            yield TextPane(self._text, self._kind, id="text")

    def on_mount(self) -> None:
        """The keys of texts at once."""
        self.query_one(TextPane).focus()
        if self._command:
            self.call_after_refresh(self.renew, self._command)

    def crumbs(self) -> Sequence[str]:
        """Pipelines > what it is."""
        return ["Pipelines", self._title]

    def place(self) -> Place:
        """A text is no place to come back to: its mode is."""
        return Place(PIPELINE)

    async def do_copy(self) -> None:
        """All of it."""
        await self.frame.copy(self._text, self._title)
