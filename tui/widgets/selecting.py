"""Text that a drag of the mouse selects, in panes that paint their own rows."""

from __future__ import annotations

from rich.cells import cell_len
from rich.style import Style
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip


class Selecting(ScrollView):
    """What is selected is the text as it is drawn: without borders, a line for each row."""

    ALLOW_SELECT = True
    margin = 0
    """Cells at the left of a row that are no text of it."""

    def row_text(self, row: int) -> str | None:
        """What row ``row`` (of all, not of those in sight) shows; None where there is none."""
        raise NotImplementedError

    def selectable(self, strip: Strip, row: int) -> Strip:
        """The drawn row, with what of it is selected standing out."""
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            strip = _lit(strip, *span, self.screen.get_component_rich_style("screen--selection"))
        return strip.apply_offsets(0, row)

    def selection_updated(self, selection: Selection | None) -> None:
        """The mouse marked a text, or no longer."""
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.virtual_size.height
        found = []
        for row in range(first, last + 1):
            text, span = self.row_text(row), selection.get_span(row)
            if text is not None and span is not None:
                start, end = max(span[0], self.margin), None if span[1] == -1 else span[1]
                found.append(text[start:end].rstrip())
        return ("\n".join(found), "\n") if found else None


def _lit(strip: Strip, start: int, end: int, style: Style) -> Strip:
    """Characters [start, end) of a strip in ``style``; -1: to its end."""
    text = strip.text
    begin = cell_len(text[:start])
    until = strip.cell_length if end == -1 else cell_len(text[:end])
    parts = [
        strip.crop(0, begin),
        strip.crop(begin, until).apply_style(style),
        strip.crop(until, strip.cell_length),
    ]
    return Strip.join([part for part in parts if part.cell_length])
