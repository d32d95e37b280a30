"""A graph as rows of characters with the names of their styles. Pure.

A node is written as its sign, its name and a few words on how far it is. The words have a room
of their own, so that nothing moves when they change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from tui import shown
from tui.glyphs import Mark
from tui.widgets.layout import Layout, Place, lay_out

NAME_MOST = 28
"""Columns of a name; a longer one is cut."""
BRIEF = 4
"""Columns of words where the whole does not fit."""
_UNKNOWN = Mark(" ", " ", "", "quiet")
_HOPS, _AROUND = 2, 40  # how far a neighbourhood goes, and how many nodes it has at most


class Item(NamedTuple):
    """A node: what it is called, what it reads, how many columns its words may take."""

    id: str
    name: str
    reads: tuple[str, ...] = ()
    room: int = 0


class Look(NamedTuple):
    """How a node is now."""

    mark: Mark = _UNKNOWN
    words: str = ""
    brief: str = ""  # instead of words where there is little room


class Piece(NamedTuple):
    """Text with the name of its style."""

    text: str
    style: str


@dataclass(slots=True)
class View:
    """What lies over a graph: looks, the cursor, and a set that stands out (None: all do)."""

    looks: dict[str, Look] = field(default_factory=dict)
    cursor: str = ""
    lit: frozenset[str] | None = None
    ascii: bool = False


class Picture:
    """A laid out graph, to be drawn row by row."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = {item.id: item for item in items}
        self.layout: Layout = lay_out(
            {item.id: width(item) + 1 for item in self.items.values()},
            {item.id: item.reads for item in self.items.values()},
        )
        self._bright: tuple[object, dict[int, dict[int, str]]] = (None, {})

    def at(self, x: int, y: int) -> str:
        """The node that is drawn there; "" where there is none."""
        if not 0 <= y < self.layout.height:
            return ""
        for place in self.layout.rows[y]:
            if place.x <= x < place.x + min(place.width, width(self.items[place.id])):
                return place.id
        return ""

    def row(self, y: int, start: int, stop: int, view: View) -> list[Piece]:
        """The columns from ``start`` to ``stop`` of row ``y``."""
        size = max(0, stop - start)
        if not 0 <= y < self.layout.height:
            return [Piece(" " * size, "line")]
        text = list(self.layout.line(y, ascii=view.ascii)[start:stop].ljust(size))
        styles = ["line"] * size
        for x, style in self._ways(view).get(y, {}).items():
            if start <= x < stop:
                styles[x - start] = style
        for place in self.layout.rows[y]:
            if place.x < stop and place.x + place.width > start:
                self._put(place, text, styles, start, view)
        cells = zip(styles, text, strict=True)
        return [
            Piece("".join(c for _, c in group), style)
            for style, group in groupby(cells, key=lambda cell: cell[0])
        ]

    def _put(
        self, place: Place, text: list[str], styles: list[str], start: int, view: View
    ) -> None:
        """Write a node and what its line starts with over a row that is cut at ``start``."""
        x = place.x - start
        for piece in self._node(place, view):
            for c in piece.text:
                wide = shown.columns(c)
                if wide == 2 and x == -1 and text:
                    text[0], styles[0] = " ", piece.style
                elif 0 <= x < len(text) and wide:
                    fits = wide == 1 or x + 1 < len(text)
                    text[x], styles[x] = c if fits else " ", piece.style
                    if wide == 2 and fits:
                        text[x + 1], styles[x + 1] = "", piece.style
                x += wide

    def _node(self, place: Place, view: View) -> Iterator[Piece]:
        item = self.items[place.id]
        left = place.width
        for piece in node(item, view):
            left -= shown.columns(piece.text)
            yield piece
        if place.forks and left > 1:
            outward = self._ways(view).get(place.y, {}).get(place.x + place.width, "line")
            yield Piece(" " + ("-" if view.ascii else "─") * (left - 1), outward)

    def _ways(self, view: View) -> Mapping[int, Mapping[int, str]]:
        """The lines that stand out: row -> column -> style. Those of the cursor lie above."""
        key = (view.cursor, view.lit)
        if self._bright[0] != key:
            found: dict[int, dict[int, str]] = {}
            layout = self.layout
            for reader in sorted(view.lit or ()):
                for source in layout.reads.get(reader, ()):
                    if source in (view.lit or ()):
                        _mark(found, layout.way(source, reader), "lit")
            for source in layout.reads.get(view.cursor, ()):
                _mark(found, layout.way(source, view.cursor), "bright")
            for reader in layout.readers.get(view.cursor, ()):
                _mark(found, layout.way(view.cursor, reader), "bright")
            self._bright = (key, found)
        return self._bright[1]


def _mark(found: dict[int, dict[int, str]], way: Iterable[tuple[int, int]], style: str) -> None:
    for x, y in way:
        found.setdefault(y, {})[x] = style


def narrow(item: Item) -> Item:
    """The node with little room for its words."""
    return item._replace(room=min(item.room, BRIEF))


def width(item: Item) -> int:
    """How many columns a node takes: it does not depend on its state."""
    return (
        2
        + min(NAME_MOST, shown.columns(shown.visible(item.name)))
        + (item.room + 1 if item.room else 0)
    )


def node(item: Item, view: View, *, name_width: int = NAME_MOST) -> list[Piece]:
    """A node: sign, name, words; under the cursor and outside of the lit set in one style."""
    look = view.looks.get(item.id, Look())
    name = shown.cut(shown.visible(item.name), name_width, ascii=view.ascii)
    words = look.words if shown.columns(look.words) <= item.room or not look.brief else look.brief
    words = shown.cut(shown.visible(words.strip()), item.room, ascii=view.ascii)
    pieces = [
        Piece(look.mark.sign(view.ascii) + " ", look.mark.style),
        Piece(name, "name"),
        Piece(f" {words}" if words else "", look.mark.style),
    ]
    if item.id == view.cursor:
        return [Piece(piece.text, "cursor") for piece in pieces]
    if view.lit is not None:
        if item.id not in view.lit:
            return [Piece(piece.text, "dim") for piece in pieces]
        pieces[1] = Piece(name, "lit")
    return pieces


def around(items: Mapping[str, Item], name: str, hops: int = _HOPS) -> list[Item]:
    """The node, what it comes from and what comes of it, as far as ``hops`` and not too many.
    What the rest reads beyond that is left out."""
    readers: dict[str, list[str]] = {}
    for item in items.values():
        for source in item.reads:
            readers.setdefault(source, []).append(item.id)
    if name not in items:
        return []
    found = {name}
    for onward in (lambda n: items[n].reads, lambda n: readers.get(n, ())):
        edge: Sequence[str] = [name]
        for _ in range(hops):
            edge = [n for e in edge for n in onward(e) if n in items and n not in found]
            edge = list(dict.fromkeys(edge))[: max(0, _AROUND - len(found))]
            found.update(edge)
    return [_within(items[n], found) for n in sorted(found)]


def _within(item: Item, found: Collection[str]) -> Item:
    return item._replace(reads=tuple(source for source in item.reads if source in found))


def beside(layout: Layout, name: str, way: str) -> str:
    """Where an arrow leads: ``left`` and ``right`` along lines, else to the nearest node that
    way; ``name`` itself where there is none."""
    here = layout.places.get(name)
    if here is None:
        return next((place.id for row in layout.rows for place in row), "")
    places = layout.places
    if way in ("left", "right"):
        near = layout.reads.get(name, ()) if way == "left" else layout.readers.get(name, ())
        choice = [places[n] for n in near if n in places]
        return min(choice, key=lambda p: (abs(p.y - here.y), p.y), default=here).id
    down = way == "down"
    choice = [p for p in places.values() if p.y != here.y and (p.y > here.y) is down]
    return min(
        choice,
        key=lambda p: (p.layer != here.layer, abs(p.y - here.y), abs(p.layer - here.layer), p.x),
        default=here,
    ).id
