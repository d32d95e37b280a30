"""Where a table's rows come from: windows on a list that may be at the box, or all in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from rich.text import Text
from textual.content import Content

from tui.widgets.filters import matcher

Cell = str | Text | Content
PAGE = 256
"""Rows fetched at a time."""


class Column(NamedTuple):
    """A column: ``width`` is its least, ``grow`` its share of what is left over.

    Where the table is narrow, the column of the lowest ``keep`` is dropped first. ``sort`` is the
    word that the source sorts by, empty where it cannot. ``path``: its texts are paths, of which
    the end is shown also where there is no room for the whole.
    """

    key: str
    title: str
    width: int = 10
    grow: int = 0
    right: bool = False
    sort: str = ""
    keep: int = 0
    path: bool = False


class Row(NamedTuple):
    """A row: one cell a column, never parsed as markup. ``style`` is one of ``glyphs.STYLES``.

    ``keys`` are what ``LocalRows`` sorts by, one a column; without them it sorts by the text.
    """

    id: str
    cells: tuple[Cell, ...]
    style: str = ""
    keys: tuple[float | str, ...] = ()


class Page(NamedTuple):
    """Rows [offset, offset + len(rows)) of ``total``, or of more where it is ``at_least`` that."""

    total: int
    rows: Sequence[Row]
    at_least: bool = False


class Query(NamedTuple):
    """What is asked of the rows: a filter as typed, the column's word to sort by, its direction."""

    filter: str = ""
    sort: str = ""
    reverse: bool = False


class Rows(Protocol):
    """A list that is read by pages. What it raises is shown in the table."""

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """Rows from ``offset``, at most ``limit``."""
        ...


class LocalRows:
    """Rows in memory, filtered and sorted here. ``VirtualTable`` tells it the columns. ``known``
    is False while it is not known yet whether there are any."""

    def __init__(
        self, rows: Iterable[Row] = (), columns: Sequence[Column] = (), *, known: bool = True
    ) -> None:
        self.known = self._given = known
        self._rows = list(rows)
        self.columns = tuple(columns)
        self._asked: Query | None = None
        self._shown: list[Row] = []

    def set(self, rows: Iterable[Row]) -> None:
        """Other rows from now on; the table shows them at its next ``refresh_rows``."""
        self._rows = list(rows)
        self._asked, self._given = None, True

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        if query != self._asked:
            self._shown, self._asked = self._select(query), query
        self.known = self._given
        return Page(len(self._shown), self._shown[offset : offset + limit])

    def _select(self, query: Query) -> list[Row]:
        rows = self._rows
        if query.filter.strip():
            match = matcher(query.filter, [column.key for column in self.columns])
            rows = [row for row in rows if match([plain(cell) for cell in row.cells])]
        words = [column.sort for column in self.columns]
        if query.sort and query.sort in words:
            at = words.index(query.sort)
            rows = sorted(rows, key=lambda row: _sort_key(row, at), reverse=query.reverse)
        return rows


def plain(cell: Cell) -> str:
    """The cell without its styles."""
    return cell if isinstance(cell, str) else cell.plain


def _sort_key(row: Row, at: int) -> tuple[tuple[int, float, str], ...]:
    """Numbers by size, texts by their letters, numbers in texts by size too."""
    value = row.keys[at] if at < len(row.keys) else plain(row.cells[at])
    if not isinstance(value, str):
        return ((0, float(value), ""),)
    parts = re.split(r"(\d+)", value.casefold())
    return tuple(
        (0, float(part[:300]), "") if number % 2 else (1, 0.0, part)
        for number, part in enumerate(parts)
    )
