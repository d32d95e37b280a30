"""Where the nodes of a graph stand and how its lines run: columns of nodes, sources left. Pure.

Each source has one line, which forks to all that read it (``layering`` orders the nodes). A fork
is an upright piece in the gap between two columns. Two lines may share a row only from where the
upper one has ended, or into a node that both lead to; where lines cross, the upright one is drawn
whole and nothing joins. Widths are given and no state is known here, so that what changes while
one looks does not move anything. The same graph gives the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from tui.widgets.layering import Lane, Part, parts

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_SIGNS = " │││─╯╮┤─╰╭├─┴┬┼"  # arms -> the sign that has them
_DRAWN = dict(enumerate(_SIGNS))
_PLAIN = {
    arms: sign if sign == " " else {"│": "|", "─": "-"}.get(sign, "+")
    for arms, sign in _DRAWN.items()
}
_FLAT, _UPRIGHT = _LEFT | _RIGHT, _UP | _DOWN
_LEAD, _TAIL = 2, 3  # columns of a gap before its forks, and behind them (the last one blank)


class Place(NamedTuple):
    """Where a node stands: ``width`` columns from ``x`` in row ``y``. ``forks``: its line goes on
    to the right."""

    id: str
    x: int
    y: int
    width: int
    layer: int
    forks: bool


class _Hop(NamedTuple):
    """A line's way through one gap: from ``start`` in row ``y``, up or down at ``turn``, to ``end``
    in each row of ``ends``."""

    y: int
    start: int
    turn: int
    end: int
    ends: tuple[int, ...]


@dataclass(slots=True)
class Layout:
    """A laid out graph."""

    width: int = 0
    height: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    rows: list[list[Place]] = field(default_factory=list)
    _arms: list[bytearray] = field(default_factory=list)
    _hops: dict[Lane, _Hop] = field(default_factory=dict)

    def line(self, y: int, *, ascii: bool = False) -> str:
        """The lines in row ``y``, blank where nodes are."""
        return self._arms[y].decode("latin-1").translate(_PLAIN if ascii else _DRAWN)

    def way(self, source: str, reader: str) -> Iterator[tuple[int, int]]:
        """The columns and rows of the line from ``source`` to ``reader``."""
        start, end = self.places[source], self.places[reader]
        for layer in range(start.layer, end.layer):
            hop = self._hops[Lane(source, layer)]
            following = self._hops.get(Lane(source, layer + 1))
            last = layer + 1 == end.layer
            goal = end.y if last or following is None else following.y
            yield from ((x, hop.y) for x in range(hop.start, hop.turn))
            low, high = sorted((hop.y, goal))
            yield from ((hop.turn, y) for y in range(low, high + 1))
            stop = end.x - 1 if last or following is None else following.start
            yield from ((x, goal) for x in range(hop.turn + 1, stop))


def lay_out(widths: Mapping[str, int], reads: Mapping[str, Sequence[str]]) -> Layout:
    """Lay out nodes of these ``widths``; ``reads`` names the sources of each. A source that is no
    node is left out, and so is what would close a circle."""
    found = parts(sorted(widths), reads)
    layers = max((len(part.layers) for part in found), default=0)
    wide = [0] * layers
    for part in found:
        for number, layer in enumerate(part.layers):
            wide[number] = max(
                [wide[number], *(widths[lane.id] for lane in layer if lane in part.nodes)]
            )
    turns = [_turns(part) for part in found]
    gaps = [max((turn[i][1] for turn in turns if i < len(turn)), default=0) for i in range(layers)]
    lefts = [0]
    for width, gap in zip(wide, gaps, strict=True):
        lefts.append(lefts[-1] + width + (_LEAD + gap + _TAIL))
    out = Layout(width=lefts[layers - 1] + wide[-1] if layers else 0)
    for part, turn in zip(found, turns, strict=True):
        _stand(out, part, lefts, wide)
        _run(out, part, [forks for forks, _ in turn], lefts, wide)
        out.height += part.height
    _draw(out)
    return out


def _stand(out: Layout, part: Part, lefts: list[int], wide: list[int]) -> None:
    """Give the nodes of a part their places below what is laid out."""
    for number, layer in enumerate(part.layers):
        for lane in layer:
            if lane in part.nodes:
                y = out.height + part.row[lane]
                place = Place(
                    lane.id, lefts[number], y, wide[number], number, bool(part.targets.get(lane))
                )
                out.places[lane.id] = place
    for name, sources in part.reads.items():
        out.reads[name] = sources
        out.readers.setdefault(name, [])
        for source in sources:
            out.readers.setdefault(source, []).append(name)


def _turns(part: Part) -> list[tuple[dict[Lane, int], int]]:
    """For each gap of a part: at which upright column each line turns, and how many there are."""
    return [_gap(part, number) for number in range(len(part.layers) - 1)]


def _gap(part: Part, number: int) -> tuple[dict[Lane, int], int]:
    ends = {lane: _span(part, lane) for lane in part.layers[number] if part.targets.get(lane)}
    forks = {lane: span for lane, span in ends.items() if span[0] < span[1]}
    before = {
        lane: {other for other in others if other in forks}
        for lane, others in part.precedence(number).items()
        if lane in forks
    }
    after: dict[Lane, list[Lane]] = {}
    for lane, others in before.items():
        for other in others:
            after.setdefault(other, []).append(lane)
    left = {lane: len(others) for lane, others in before.items()}
    order = sorted(forks, key=lambda lane: (forks[lane], lane))
    rank = {lane: i for i, lane in enumerate(order)}
    ready = [i for i, lane in enumerate(order) if not left.get(lane)]
    turn: dict[Lane, int] = {}
    columns: list[list[tuple[int, int]]] = []
    while ready:
        lane = order[heappop(ready)]
        least = max((turn[other] + 1 for other in before.get(lane, ())), default=0)
        turn[lane] = _column(columns, least, forks[lane])
        for other in after.get(lane, ()):
            left[other] -= 1
            if not left[other]:
                heappush(ready, rank[other])
    return turn, len(columns)


def _span(part: Part, lane: Lane) -> tuple[int, int]:
    rows = [part.row[target] for target in part.targets[lane]]
    return min(part.row[lane], *rows), max(part.row[lane], *rows)


def _column(columns: list[list[tuple[int, int]]], least: int, span: tuple[int, int]) -> int:
    """The first column from ``least`` on in which the rows are free, taken."""
    low, high = span
    for number in range(least, len(columns)):
        for a, b in columns[number]:
            if a <= high and low <= b:
                break
        else:
            columns[number].append(span)
            return number
    while len(columns) < least:
        columns.append([])
    columns.append([span])
    return len(columns) - 1


def _run(
    out: Layout,
    part: Part,
    turns: list[dict[Lane, int]],
    lefts: list[int],
    wide: list[int],
) -> None:
    """Note how the lines of a part run."""
    for number, turn in enumerate(turns):
        edge = lefts[number] + wide[number]
        for lane in part.layers[number]:
            targets = part.targets.get(lane)
            if not targets:
                continue
            start = edge if lane in part.nodes else lefts[number] - 1
            rows = tuple(sorted(out.height + part.row[target] for target in targets))
            out._hops[lane] = _Hop(
                out.height + part.row[lane],
                start,
                edge + _LEAD + turn.get(lane, 0),
                lefts[number + 1] - 1,
                rows,
            )


def _draw(out: Layout) -> None:
    """Fill in the lines: flat pieces, then upright ones over them, then where they join."""
    arms = [bytearray(out.width) for _ in range(out.height)]
    joins: dict[tuple[int, int], int] = {}
    entered: dict[tuple[int, int], int] = {}  # the leftmost column a row is entered from, by gap
    for hop in out._hops.values():
        straight = hop.y in hop.ends
        _flat(arms[hop.y], hop.start, hop.end if straight else hop.turn)
        if straight:
            entered[hop.end, hop.y] = hop.start
        for y in hop.ends:
            if y != hop.y:
                _flat(arms[y], hop.turn, hop.end)
                key = (hop.end, y)
                entered[key] = min(entered.get(key, hop.turn), hop.turn)
    for hop in out._hops.values():
        low, high = min(hop.y, hop.ends[0]), max(hop.y, hop.ends[-1])
        for y in range(low + 1, high):
            arms[y][hop.turn] = _UPRIGHT
        if low == high:
            continue
        for y in {hop.y, *hop.ends}:
            bits = (_UP if y > low else 0) | (_DOWN if y < high else 0)
            if y in hop.ends:
                bits |= _RIGHT
            if y == hop.y or entered.get((hop.end, y), hop.turn) < hop.turn:
                bits |= _LEFT
            joins[hop.turn, y] = bits
    for (x, y), bits in joins.items():
        arms[y][x] = bits
    out._arms = arms
    out.rows = [[] for _ in range(out.height)]
    for place in out.places.values():
        out.rows[place.y].append(place)
    for row in out.rows:
        row.sort(key=lambda place: place.x)


def _flat(row: bytearray, start: int, stop: int) -> None:
    row[start:stop] = bytes((_FLAT,)) * (stop - start)
