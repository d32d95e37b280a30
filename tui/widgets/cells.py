"""Text of users cut to cells of the terminal: wide letters, control codes, broken Unicode."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.content import Content

UNSAFE = re.compile(
    # control codes, line ends, direction overrides (they turn what follows), lone surrogates
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)

_SHORT = 8  # cells in which no two ends are told apart


def safe(text: str) -> str:
    """As long as before, with what a terminal would obey replaced by ``?``, tabs by a space."""
    if text.isascii() and text.isprintable():
        return text
    return UNSAFE.sub(lambda found: " " if found[0] in "\t\n" else "?", text)


def fit(text: str, width: int, right: bool = False) -> str:
    """``text`` in exactly ``width`` cells; what does not fit ends in an ellipsis."""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    space = " " * (width - length)
    return space + text if right else text + space


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, without its middle where it is longer: of a path the
    name is at the end."""
    if cell_len(text) <= width or width < _SHORT:
        return text
    first = set_cell_size(text, width // 3)
    room, at = width - width // 3 - 1, len(text)
    while (room := room - cell_len(text[at - 1])) >= 0:
        at -= 1
    return f"{first}…{text[at:]}"


def segments(
    cell: str | Text | Content,
    width: int,
    right: bool,
    style: Style,
    console: Console,
    *,
    path: bool = False,
) -> list[Segment]:
    """The cell in exactly ``width`` cells; its own styles lie over ``style``. Of a ``path`` the end
    is kept."""
    if width <= 0:
        return []
    if isinstance(cell, str):
        words = safe(cell)
        return [Segment(fit(shortened(words, width) if path else words, width, right), style)]
    plain = safe(cell.plain)
    length = cell_len(plain)
    pad = [Segment(" " * (width - length), style)] if length < width else []
    if isinstance(cell, Text):
        text = cell.copy()
        text.plain, text.end, text.no_wrap = plain, "", True
        if not pad:
            text.truncate(width, overflow="ellipsis")
        styled = text.render(console)
    else:
        content = Content(plain, list(cell.spans))
        styled = content.truncate(width, ellipsis=True).render_segments()
    body = [Segment(part, style + own if own else style) for part, own, _ in styled if part]
    return pad + body if right else body + pad
