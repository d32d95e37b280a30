"""How the lines of a table are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui import glyphs
from tui.widgets import cells
from tui.widgets.columns import Placed, gap
from tui.widgets.paint import state, styled
from tui.widgets.rows import Cell, plain

if TYPE_CHECKING:
    from tui.widgets.row_pane import RowPane

GUTTER = 2
"""Cells before the first column: the cursor or a mark."""
ALIASES = {"failed": "bad", "warning": "warn", "running": "busy", "success": "ok", "dim": "quiet"}
"""States that can stand for their style."""
_HEADER = "$text-muted bold"
_MARKED = "$text-accent bold"


def header(table: RowPane) -> Strip:
    """Titles, with an arrow at the column that is sorted by."""
    return _line(table, "", lambda placed: _title(table, placed), styled(table, _HEADER))


def _title(table: RowPane, placed: Placed) -> str:
    title, sort = placed.column.title, table.request.sort
    if not sort or placed.column.sort != sort:
        return title
    arrow = "▼" if table.request.reverse else "▲"
    return cells.fit(title, min(len(title), placed.width - 1)) + arrow


def row(table: RowPane, index: int) -> Strip:
    """The row at that place, or dots until it comes."""
    shown = table.row(index)
    style, mark = table.rich_style, " "
    if shown is not None:
        name = ALIASES.get(shown.style, shown.style)
        if name in glyphs.STYLES:
            style += state(table, name)
        if shown.id in table.marked:
            style, mark = style + styled(table, _MARKED), "*"
    if index == table.cursor:
        style += _cursor(table)
        mark = mark if mark == "*" else ">"
        if shown is not None and table.has_focus:  # no colours of cells on the cursor's colour
            shown = shown._replace(cells=tuple(map(plain, shown.cells)))
    if shown is None:
        return _line(table, mark, lambda placed: "" if placed.at else "...", style)
    values = shown.cells
    return _line(table, mark, lambda placed: values[placed.at], style)


def message(table: RowPane, line: int) -> Strip:
    """A line of what there is to say where there are no rows."""
    text = _told(table).split("\n")
    shown = f"  {text[line]}" if 0 <= line < len(text) else ""
    style = table.rich_style + state(table, "bad" if table.problem else "quiet")
    width = table.body_width
    return Strip([Segment(cells.fit(cells.safe(shown), width), style)], width)


def _told(table: RowPane) -> str:
    if table.problem:
        what, _, remedy = table.problem.partition("; ")
        return f"{what}\n{remedy}" if remedy else what
    if table.loading_rows:
        return "loading ..."
    if table.request.filter:
        where = "\nin the first rows; a plain word is looked for in all" if table.at_least else ""
        return f"nothing matches {table.request.filter}{where}"
    return table.empty or "nothing here yet"


def _cursor(table: RowPane) -> Style:
    return table.get_component_rich_style("virtual-table--cursor", partial=True)


def _line(table: RowPane, mark: str, cell: Callable[[Placed], Cell], style: Style) -> Strip:
    width, console = table.body_width, table.app.console
    style = table.rich_style + style
    between = Segment(" " * gap(width - GUTTER), style)
    parts: list[Segment] = []
    for placed in table.placed():
        column = placed.column
        parts += cells.segments(
            cell(placed), placed.width, column.right, style, console, path=column.path
        )
        parts.append(between)
    body = Strip(parts).crop_extend(table.shift, table.shift + width - GUTTER, style)
    line = Strip.join([Strip([Segment(mark.ljust(GUTTER), style)], GUTTER), body])
    return line.crop_extend(0, width, style)
