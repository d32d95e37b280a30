"""The line in which a list is filtered as one types."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input


class FilterBar(Input):
    """Hidden until opened. Enter keeps the filter, Esc takes back what it was before."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "undo", "as before", show=False)]
    DEFAULT_CSS = """
    FilterBar { display: none; height: 1; border: none; padding: 0 1; background: $boost; }
    FilterBar.-open { display: block; }
    FilterBar:focus { border: none; }
    """

    def __init__(self) -> None:
        super().__init__(placeholder="filter: regex, !without, ~fuzzy, state:failed", compact=True)
        self._set: Callable[[str], None] | None = None
        self._before = ""
        self._from: Widget | None = None
        self.can_focus = False

    def open(self, text: str, change: Callable[[str], None]) -> None:
        """Show ``text``; every change of it is given to ``change``."""
        self._from = self.screen.focused
        self._before, self._set = text, None
        self.value = text
        self._set = change
        self.can_focus = True
        self.add_class("-open")
        self.focus()

    def _close(self) -> None:
        self.remove_class("-open")
        self.can_focus = False
        self._set = None
        if self._from is not None and self._from.is_mounted:
            self._from.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        if self._set is not None:
            self._set(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it, and go back to the list."""
        event.stop()
        self._close()

    def action_undo(self) -> None:
        """Filter as before."""
        change, before = self._set, self._before
        self._close()
        if change is not None:
            change(before)
