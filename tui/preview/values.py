"""What a preview is made of. Values only; ``tui.screens`` draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from textual.content import Content

Line = str | Content
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``nulls`` counts those of the rows shown; None where nobody counted."""

    name: str
    type: str
    nulls: int | None = None
    right: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells as text, one cell a column; None is a null."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class Text:
    """Lines without control codes. ``numbered``: line numbers are worth showing."""

    lines: Sequence[Line]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a tree. ``open`` makes its children when they are wanted, None for a leaf."""

    label: str
    value: str = ""
    open: Callable[[], Sequence[Node]] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Tree:
    """The topmost nodes."""

    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Lines of cells, each the colours of its upper and its lower half."""

    lines: Sequence[Sequence[tuple[Colour, Colour]]]


Body = Table | Text | Tree | Pixels


@dataclass(frozen=True, slots=True)
class Preview:
    """One tab of a file's preview.

    ``facts`` are short and stand in the title (``41,022 rows``); ``notes`` say what went wrong or
    was left out. ``more``: the same call with ``Limits.grown()`` shows more.
    """

    kind: str
    body: Body
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    more: bool = False
    tabs: tuple[str, ...] = ("preview", "hex")
    tab: str = "preview"
