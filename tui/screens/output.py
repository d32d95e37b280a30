"""What a command line said."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.widgets.dialog import Dialog

_MOST = 200_000


class Output(Dialog[None]):
    """A text to read; Esc, q and Enter leave it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("pagedown,ctrl+f,space", "scroll(20)", show=False),
        Binding("pageup,ctrl+b", "scroll(-20)", show=False),
        Binding("g,home", "scroll(-1000000)", show=False),
        Binding("G,end", "scroll(1000000)", show=False),
    ]
    DEFAULT_CSS = """
    Output { align: center middle; background: $background 60%; }
    Output > Vertical { width: 96%; height: auto; max-height: 90%; border: round $primary;
        background: $surface; padding: 0 1; }
    Output VerticalScroll { height: auto; max-height: 100%; }
    Output Static { width: auto; min-width: 100%; }
    """

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text[-_MOST:]

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._title)
            box.border_subtitle = "Esc back"
            with VerticalScroll():
                yield Static(Content.from_text(self._text, markup=False))

    def action_scroll(self, by: int) -> None:
        """Lines up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_leave(self) -> None:
        """Back"""
        self.dismiss(None)
