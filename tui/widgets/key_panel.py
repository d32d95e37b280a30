"""The keys beside the view, from F1 on until F1 again."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.keymap import APP, FORM, LIST, TEXT, VIEW, Key
from tui.shown import cut

HEADINGS = {
    LIST: "In this list",
    TEXT: "In this text",
    FORM: "In this form",
    VIEW: "Here",
    APP: "Everywhere",
}


def width(keys: Sequence[Key]) -> int:
    """The columns that the widest of the keys takes."""
    return max((len(key.all_shown) for key in keys), default=0)


class KeyPanel(VerticalScroll, can_focus=False):
    """A column at the right."""

    DEFAULT_CSS = """
    KeyPanel { dock: right; width: 44; max-width: 50%; background: $panel; padding: 0 1; }
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__(id="keys")
        self._keys = keys

    def compose(self) -> ComposeResult:
        """One text."""
        wide = width(self._keys)
        parts: list[Content | str] = []
        at = ""
        for key in self._keys:
            if key.at != at:
                parts += ["\n" if at else "", Content.styled(f"{HEADINGS[key.at]}\n", "bold")]
                at = key.at
            parts += [
                Content.styled(f"{key.all_shown:<{wide}}", "$text-primary"),
                f"  {cut(key.help, 38 - wide)}\n",
            ]
        yield Static(Content.assemble(*parts))
