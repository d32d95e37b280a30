"""``:``: one line, completed while it is typed, with what was typed before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static

from tui.choices import Choices
from tui.commands import USAGE, Names, complete
from tui.feed import Feed
from tui.held import work_beside
from tui.lookup import from_box
from tui.shown import cut
from tui.widgets.dialog import Dialog

_KEPT = 100
_SHOWN = 6


class _Ghost(Suggester):
    """The likeliest end of the line, in grey: from what is known, else from the box."""

    def __init__(self, candidates: Callable[[str], list[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._candidates = candidates

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line."""
        found = self._candidates(value) if value.strip() else []
        return next((line for line in found if line.startswith(value)), None)


class Prompt(Dialog[str | None]):
    """Comes back with the line, None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("tab", "complete", show=False),
        Binding("up", "before", show=False),
        Binding("down", "after", show=False),
    ]
    DEFAULT_CSS = """
    Prompt { align: left bottom; background: $background 0%; }
    Prompt > Vertical { height: auto; border: round $primary; background: $surface;
        padding: 0 1; }
    Prompt Input { border: none; height: 1; padding: 0; background: $surface; }
    Prompt Input:focus { border: none; }
    Prompt Static { height: auto; max-height: 8; color: $text-muted; }
    """

    def __init__(self, names: Callable[[], Names], feed: Feed, choices: Choices) -> None:
        super().__init__()
        self._names, self._feed, self._choices = names, feed, choices
        self._more: list[str] = []
        self._history = _history(choices)
        self._at = len(self._history)
        self._typed = ""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = ":"
            yield Static(id="found")
            yield Input(
                suggester=_Ghost(self._candidates),
                placeholder="a name, repo@branch:/path, pipeline@job, logs NAME, box NAME",
                compact=True,
            )

    def _candidates(self, line: str) -> list[str]:
        known = complete(line, self._names())
        return list(dict.fromkeys([*known, *(m for m in self._more if m.startswith(line))]))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show how it may go on, and ask the box for more names that begin so."""
        event.stop()
        self._show(event.value)
        work_beside(self, self._ask(event.value), group="more", exclusive=True)

    async def _ask(self, line: str) -> None:
        more = await from_box(self._feed.box, line)
        field = self.query_one(Input)
        if more and field.value == line:
            self._more = more
            self._show(line)
            if ghost := next((m for m in self._candidates(line) if m.startswith(line)), ""):
                field._suggestion = ghost

    def _show(self, line: str) -> None:
        found = self._candidates(line)[:_SHOWN] if line.strip() else []
        usage = USAGE.get(line.split()[0], "") if line.split() else ""
        wide = max(10, self.size.width - 4)
        parts = [cut(text, wide) for text in found]
        text = Content.assemble(*(f"{part}\n" for part in parts), (usage, "$text-primary"))
        self.query_one("#found", Static).update(text.rstrip("\n") if not usage else text)
        self.query_one("#found").display = bool(found or usage)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it for the next time, and do it."""
        event.stop()
        line = event.value.strip()
        if line:
            kept = [old for old in self._history if old != line][-_KEPT + 1 :]
            self._choices.put("history", json.dumps([*kept, line]))
        self.dismiss(line or None)

    def action_complete(self) -> None:
        """Tab: take what stands in grey."""
        field = self.query_one(Input)
        if found := self._candidates(field.value):
            field.value = found[0]
            field.cursor_position = len(found[0])

    def action_before(self) -> None:
        """Up: the line before in what was typed once, of those that begin so."""
        self._recall(-1)

    def action_after(self) -> None:
        """Down"""
        self._recall(1)

    def _recall(self, step: int) -> None:
        field = self.query_one(Input)
        if self._at >= len(self._history):
            self._typed = field.value
        at = self._at + step
        while 0 <= at < len(self._history) and not self._history[at].startswith(self._typed):
            at += step
        if at < 0:
            return
        self._at = min(at, len(self._history))
        field.value = self._history[at] if at < len(self._history) else self._typed
        field.cursor_position = len(field.value)

    def action_leave(self) -> None:
        """Esc"""
        self.dismiss(None)


def _history(choices: Choices) -> list[str]:
    try:
        read = json.loads(choices.get("history", "[]"))
    except ValueError:
        return []
    return [line for line in read if isinstance(line, str)] if isinstance(read, list) else []
