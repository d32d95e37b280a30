"""What panes of pieces (text with the name of its style) share: their styles and their strips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import glyphs
from tui.widgets.picture import Piece

PIECE_KEYS = (
    *("cursor_down", "cursor_up", "top", "bottom", "half_down", "half_up", "page_down"),
    *("page_up", "open"),
)
"""The keys of lists that act in a pane whose rows are one below the other."""
_STYLES = ("line", "bright", "lit", "name", "text", "head", "tab", "dim", "cursor")


class PieceView(ScrollView, can_focus=True):
    """A pane that paints its own rows. A style is one of a state (``tui.glyphs.STYLES``) or of
    the parts that are declared here."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    PieceView {
        background: $surface; color: $foreground; height: 1fr; scrollbar-size: 1 1;
        & > .piece--line { color: $text-disabled; }
        & > .piece--bright { color: $text-primary; text-style: bold; }
        & > .piece--lit { color: $text-accent; text-style: bold underline; }
        & > .piece--head { color: $text-muted; text-style: bold; }
        & > .piece--tab { color: $text-accent; text-style: bold; }
        & > .piece--dim { color: $text-muted; }
        & > .piece--cursor { background: $block-cursor-blurred-background; }
        &:focus > .piece--cursor {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
        STATES
    }
    """.replace("STATES", "\n".join(f"& > {rule}" for rule in glyphs.RULES.splitlines()))
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"piece--{s}" for s in _STYLES} | glyphs.CLASSES

    def strip(self, pieces: Iterable[Piece], *, here: bool = False) -> Strip:
        """The pieces in exactly the pane's columns; ``here``: the cursor lies over them."""
        base = self.rich_style
        over = self._style("cursor") if here else Style.null()
        segments = [Segment(text, base + self._style(name) + over) for text, name in pieces]
        return Strip(segments).adjust_cell_length(self.scrollable_size.width, base + over)

    def _style(self, name: str) -> Style:
        part = f"piece--{name}" if name in _STYLES else f"state--{name}"
        return self.get_component_rich_style(part, partial=True)
