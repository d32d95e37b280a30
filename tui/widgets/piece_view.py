"""What panes of pieces (text with the name of its style) share: their styles and their strips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.paint import state, styled
from tui.widgets.picture import Piece

PIECE_KEYS = (
    *("cursor_down", "cursor_up", "top", "bottom", "half_down", "half_up", "page_down"),
    *("page_up", "open"),
)
"""The keys of lists that act in a pane whose rows are one below the other."""
_STYLES = {
    "line": "$text-disabled",
    "bright": "$text-primary bold",
    "lit": "$text-accent bold underline",
    "name": "",
    "text": "",
    "head": "$text-muted bold",
    "tab": "$text-accent bold",
    "dim": "$text-muted",
}


class PieceView(ScrollView, can_focus=True):
    """A pane that paints its own rows. A style is one of a state (``tui.glyphs.STYLES``) or of
    the parts that are declared here."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    PieceView {
        background: $surface; color: $foreground; height: 1fr; scrollbar-size: 1 1;
        & > .piece--cursor { background: $block-cursor-blurred-background; }
        &:focus > .piece--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"piece--cursor"}

    def strip(self, pieces: Iterable[Piece], *, here: bool = False) -> Strip:
        """The pieces in exactly the pane's columns; ``here``: the cursor lies over them."""
        base = self.rich_style
        over = self._style("cursor") if here else Style.null()
        segments = [Segment(text, base + self._style(name) + over) for text, name in pieces]
        return Strip(segments).adjust_cell_length(self.scrollable_size.width, base + over)

    def _style(self, name: str) -> Style:
        if name == "cursor":  # the one that is another with the focus
            return self.get_component_rich_style("piece--cursor", partial=True)
        return styled(self, _STYLES[name]) if name in _STYLES else state(self, name)
