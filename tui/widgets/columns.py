"""How wide each column is drawn, and which are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tui.widgets.rows import Column

MOST_WIDE = 200


class Placed(NamedTuple):
    """A column that is drawn: its place in the row's cells, and its cells of the terminal."""

    at: int
    column: Column
    width: int


def gap(width: int) -> int:
    """Cells between columns in a table of that width."""
    return 2 if width >= 100 else 1


def fitted(columns: Sequence[Column], width: int) -> list[Placed]:
    """The columns that fit, the rest of the width shared by ``grow``.

    The first column stays whatever the width.
    """
    between = gap(width)
    kept = list(range(len(columns)))

    def spare() -> int:
        needed = sum(columns[index].width for index in kept) + between * (len(kept) - 1)
        return width - needed

    while len(kept) > 1 and spare() < 0:
        kept.remove(min(kept[1:], key=lambda index: (columns[index].keep, -index)))
    left, shares = spare(), sum(columns[index].grow for index in kept)
    placed = []
    for index in kept:
        column = columns[index]
        own = column.width
        if left < 0:
            own = max(1, own + left)
        elif shares and column.grow:
            more = left * column.grow // shares
            own, left, shares = own + more, left - more, shares - column.grow
        placed.append(Placed(index, column, own))
    return placed


def spread(columns: Sequence[Column], longest: Sequence[int]) -> list[Placed]:
    """All columns as wide as what they hold, for scrolling sideways."""
    return [
        Placed(index, column, min(MOST_WIDE, max(column.width, length)))
        for index, (column, length) in enumerate(zip(columns, longest, strict=True))
    ]
