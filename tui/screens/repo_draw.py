"""A preview's body as lines of a pane, drawn only as they come into sight. Pure but for styles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip

from tui.preview import Line, Node, Pixels, Table, Text, Tree
from tui.preview.values import Body
from tui.widgets.cells import fit, safe

Paint = Callable[[Line, Style], Strip]
"""Draws a line with its own styles over a base; the pane knows the theme."""

_WIDEST = 60  # cells of a column
_SAMPLE = 200  # rows that a column's width is measured by
_RAMP = " .:-=+*#%@"


class Lines(Protocol):
    """What a pane scrolls: ``height`` lines of at most ``width`` cells under ``head`` lines."""

    width: int
    height: int
    head: tuple[str, ...]

    def plain(self, y: int) -> str:
        """Line ``y`` without styles, to find in and to copy."""
        ...

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """Line ``y``."""
        ...


class TextLines:
    """Lines of text, with numbers where those are worth it; wrapped at ``wrap`` cells if given."""

    head: tuple[str, ...] = ()

    def __init__(self, body: Text, wrap: int = 0) -> None:
        self._gutter = len(str(len(body.lines))) + 1 if body.numbered else 0
        self._rows: list[tuple[int, Line]] = []
        for number, line in enumerate(body.lines, 1):
            for part, piece in enumerate(_wrapped(line, wrap - self._gutter) if wrap else [line]):
                self._rows.append((0 if part else number, piece))
        self.height = len(self._rows)
        longest = max((cell_len(str(line)) for _, line in self._rows), default=0)
        self.width = longest + self._gutter

    def plain(self, y: int) -> str:
        """See ``Lines``."""
        return str(self._rows[y][1])

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """See ``Lines``."""
        number, line = self._rows[y]
        strip = paint(line, base)
        if not self._gutter:
            return strip
        shown = f"{number or '':>{self._gutter - 1}} "
        return Strip([Segment(shown, base + Style(dim=True)), *strip])


def _wrapped(line: Line, width: int) -> Sequence[Line]:
    if width <= 1 or cell_len(str(line)) <= width:
        return [line]
    if isinstance(line, str):
        return [line[at : at + width] for at in range(0, len(line), width)]
    return line.fold(width)


class TableLines:
    """Rows in columns wide enough for those measured, under a header that stays."""

    def __init__(self, body: Table) -> None:
        self._columns, self._rows = body.columns, body.rows
        self._widths = [
            min(
                max(
                    cell_len(column.name),
                    min(cell_len(column.type), 12),
                    max((cell_len(row[n] or "") for row in body.rows[:_SAMPLE]), default=0),
                ),
                _WIDEST,
            )
            for n, column in enumerate(body.columns)
        ]
        self.height = len(body.rows)
        self.width = sum(self._widths) + 2 * len(self._widths)
        names = [column.name for column in body.columns]
        kinds = [column.type.lower() for column in body.columns]
        self.head: tuple[str, ...] = (self._line(names),)
        if any(kinds):
            self.head += (self._line(kinds),)

    def _line(self, cells: Sequence[str | None]) -> str:
        return "  ".join(
            fit(safe(cell or ""), width, column.right)
            for cell, width, column in zip(cells, self._widths, self._columns, strict=True)
        )

    def plain(self, y: int) -> str:
        """See ``Lines``."""
        return self._line(self._rows[y])

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """See ``Lines``: nulls are written, dim, so that they differ from an empty text."""
        segments = []
        for cell, width, column in zip(self._rows[y], self._widths, self._columns, strict=True):
            style = base if cell is not None else base + Style(dim=True)
            shown = safe(cell) if cell is not None else "null"
            segments += [Segment(fit(shown, width, column.right), style), Segment("  ", base)]
        return Strip(segments)


class TreeLines:
    """A tree whose nodes open and close; ``toggle`` them by line."""

    head: tuple[str, ...] = ()

    def __init__(self, body: Tree) -> None:
        self._rows: list[tuple[int, Node, bool]] = [(0, node, False) for node in body.nodes]
        if len(body.nodes) == 1:
            self.toggle(0)
        self._measure()

    def _measure(self) -> None:
        self.height = len(self._rows)
        self.width = max(
            (cell_len(self.plain(y)) for y in range(min(self.height, 2000))), default=0
        )

    def toggle(self, y: int, want: bool | None = None) -> bool:
        """Open or close the node of a line; False when there is nothing to do."""
        depth, node, opened = self._rows[y]
        if node.open is None or opened == want:
            return False
        if node.label.startswith("\u2026"):  # the way to the next page: it takes its place
            self._rows[y : y + 1] = [(depth, child, False) for child in node.open()]
        elif opened:
            end = y + 1
            while end < len(self._rows) and self._rows[end][0] > depth:
                end += 1
            self._rows[y:end] = [(depth, node, False)]
        else:
            children = [(depth + 1, child, False) for child in node.open()]
            self._rows[y : y + 1] = [(depth, node, True), *children]
        self._measure()
        return True

    def above(self, y: int) -> int:
        """The line of the node that holds the one of line ``y``."""
        depth = self._rows[y][0]
        return next((at for at in range(y - 1, -1, -1) if self._rows[at][0] < depth), y)

    def plain(self, y: int) -> str:
        """See ``Lines``."""
        depth, node, opened = self._rows[y]
        sign = "  " if node.open is None else "v " if opened else "> "
        between = ": " if node.label and node.value else ""
        return f"{'  ' * depth}{sign}{node.label}{between}{node.value}"

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """See ``Lines``."""
        depth, node, opened = self._rows[y]
        sign = "  " if node.open is None else "v " if opened else "> "
        label = f"{'  ' * depth}{sign}{node.label}{':' if node.label and node.value else ''} "
        return paint(Content.assemble((label, "$text-primary"), node.value), base)


class PixelLines:
    """Half-blocks: the upper pixel is the letter's colour, the lower one its ground."""

    head: tuple[str, ...] = ()

    def __init__(self, body: Pixels, ascii_only: bool = False) -> None:
        self._lines, self._ascii = body.lines, ascii_only
        self.height = len(body.lines)
        self.width = len(body.lines[0]) if body.lines else 0

    def plain(self, y: int) -> str:
        """See ``Lines``: its brightness in letters."""
        return "".join(_RAMP[sum(a) * 9 // 765] for a, _ in self._lines[y])

    def draw(self, y: int, base: Style, paint: Paint) -> Strip:
        """See ``Lines``."""
        if self._ascii:
            return Strip([Segment(self.plain(y), base)])
        return Strip(
            [
                Segment("\u2580", Style(color=Color.from_rgb(*a), bgcolor=Color.from_rgb(*b)))
                for a, b in self._lines[y]
            ]
        )


def lines_of(body: Body, wrap: int = 0, ascii_only: bool = False) -> Lines:
    """What draws a body."""
    if isinstance(body, Table):
        return TableLines(body)
    if isinstance(body, Tree):
        return TreeLines(body)
    if isinstance(body, Pixels):
        return PixelLines(body, ascii_only)
    return TextLines(body, wrap)
