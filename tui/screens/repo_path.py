"""Asking for a path of this machine, completed as one types."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static

from tui.widgets.dialog import Dialog

_LOOKED_AT = 20_000  # names of one folder


class PathSuggester(Suggester):
    """The first name, by the alphabet, that goes on from what is typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """See ``Suggester``."""
        return await asyncio.to_thread(complete, value)


def complete(text: str) -> str | None:
    """``text`` completed to a file or folder that is there; a folder ends in a slash."""
    folder, _, begun = text.rpartition("/")
    where = Path(f"{folder}/" if "/" in text else ".").expanduser()
    names: list[str] = []
    try:
        with os.scandir(where) as entries:
            for number, entry in enumerate(entries):
                hidden = entry.name.startswith(".") and not begun.startswith(".")
                if entry.name.startswith(begun) and not hidden and entry.name != begun:
                    names.append(entry.name + ("/" if entry.is_dir() else ""))
                if number > _LOOKED_AT:
                    break
    except OSError:
        return None
    return text[: len(text) - len(begun)] + min(names) if names else None


class PathPrompt(Dialog[str | None]):
    """One line for a path. Tab or the right arrow takes what is suggested, Esc leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False),
        Binding("tab", "take", "complete", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    PathPrompt { align: center middle; background: $background 60%; }
    PathPrompt > Vertical { width: 95%; max-width: 120; height: auto; padding: 0 1;
        border: round $accent; background: $surface; }
    PathPrompt .hint { color: $text-muted; }
    """

    def __init__(self, title: str, line: str = "") -> None:
        super().__init__()
        self._title, self._line = title, line

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield Input(self._line, placeholder="a path on this machine", suggester=PathSuggester())
            yield Static("Enter accepts, Tab completes, Esc leaves", classes="hint")

    def action_take(self) -> None:
        """Take what is suggested."""
        field = self.query_one(Input)
        field.cursor_position = len(field.value)
        field.action_cursor_right()

    def action_leave(self) -> None:
        """No path."""
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The path."""
        event.stop()
        self.dismiss(event.value.strip() or None)
