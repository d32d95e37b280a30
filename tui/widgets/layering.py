"""Nodes of a graph in columns, with few crossings, each in a row of its column. Pure.

The column of a node is its longest way from a source; a node that reads nothing stands right
before the nearest that reads it. What goes past a column keeps a lane of its own in it, one for
each source however many read it further on. Parts that no line joins are apart from each other.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_ROUNDS = 4  # of ordering, back and forth; more gain next to nothing


class Lane(NamedTuple):
    """A node in its own column, or the lane of its line in a column further right."""

    id: str
    layer: int


@dataclass(slots=True)
class Part:
    """A connected part: its columns from the left, each from the top."""

    layers: list[list[Lane]]
    reads: dict[str, tuple[str, ...]]
    nodes: set[Lane]
    targets: dict[Lane, list[Lane]]  # in the next column
    sources: dict[Lane, list[Lane]]  # in the column before
    row: dict[Lane, int] = field(default_factory=dict)
    height: int = 0

    def precedence(self, number: int) -> dict[Lane, list[Lane]]:
        """Which lines of a gap must turn before which: one that comes in a row before those that
        lead into the node of that row."""
        at = {self.row[lane]: lane for lane in self.layers[number] if self.targets.get(lane)}
        out: dict[Lane, list[Lane]] = {}
        for target in self.layers[number + 1]:
            first = at.get(self.row[target])
            if first is not None:
                for source in self.sources[target]:
                    if source != first:
                        out.setdefault(source, []).append(first)
        return out


def parts(names: Sequence[str], reads: Mapping[str, Sequence[str]]) -> list[Part]:
    """The parts of a graph, ordered and with their rows; the one with the first name first."""
    known = set(names)
    order, kept = _sorted(
        names,
        {n: tuple(dict.fromkeys(s for s in reads.get(n, ()) if s in known)) for n in names},
    )
    layer = _layers(order, kept)
    out = []
    for members in _components(names, kept):
        part = _part(members, kept, layer)
        _untangle(part)
        for number in range(len(part.layers)):
            _rows(part, number)
        part.height = 1 + max(part.row.values())
        out.append(part)
    return out


def _sorted(
    names: Sequence[str], reads: Mapping[str, tuple[str, ...]]
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Names with sources first, and what each reads without what closes a circle."""
    readers: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        for source in reads[name]:
            readers[source].append(name)
    missing = {name: len(reads[name]) for name in names}
    ready = [name for name in names if not missing[name]]
    order: list[str] = []
    placed: set[str] = set()
    at = 0
    while len(order) < len(names):
        if at == len(ready):  # a circle: its first node goes without the rest of its sources
            ready.append(next(name for name in names if name not in placed))
        name = ready[at]
        at += 1
        placed.add(name)
        order.append(name)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader] and reader not in placed:
                ready.append(reader)
    place = {name: i for i, name in enumerate(order)}
    kept = {n: tuple(s for s in reads[n] if place[s] < place[n]) for n in names}
    return order, kept


def _layers(order: Sequence[str], reads: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    layer: dict[str, int] = {}
    nearest: dict[str, int] = {}
    for name in order:
        layer[name] = 1 + max((layer[source] for source in reads[name]), default=-1)
        for source in reads[name]:
            nearest[source] = min(nearest.get(source, layer[name]), layer[name])
    for name, reader in nearest.items():
        if not reads[name]:
            layer[name] = reader - 1
    return layer


def _components(names: Sequence[str], reads: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    leader = {name: name for name in names}

    def lead(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for name in names:
        for source in reads[name]:
            leader[lead(source)] = lead(name)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(lead(name), []).append(name)
    return list(groups.values())


def _part(
    members: Sequence[str], reads: Mapping[str, tuple[str, ...]], layer: Mapping[str, int]
) -> Part:
    last = {name: layer[name] for name in members}
    for name in members:
        for source in reads[name]:
            last[source] = max(last[source], layer[name] - 1)
    lanes: list[list[Lane]] = [[] for _ in range(1 + max(layer[name] for name in members))]
    targets: dict[Lane, list[Lane]] = {}
    sources: dict[Lane, list[Lane]] = {}
    for name in members:
        first = Lane(name, layer[name])
        lanes[first.layer].append(first)
        sources[first] = [Lane(source, first.layer - 1) for source in reads[name]]
        before = first
        for number in range(first.layer + 1, last[name] + 1):
            lane = Lane(name, number)
            lanes[number].append(lane)
            sources[lane] = [before]
            before = lane
    for lane, near in sources.items():
        for source_lane in near:
            targets.setdefault(source_lane, []).append(lane)
    nodes = {Lane(name, layer[name]) for name in members}
    return Part(lanes, {name: reads[name] for name in members}, nodes, targets, sources)


def _untangle(part: Part) -> None:
    """Order the columns so that few lines cross: each lane near the middle of its neighbours,
    from the left and from the right in turn; the best order seen stays."""
    best, least = [list(layer) for layer in part.layers], _crossings(part)
    for _ in range(_ROUNDS):
        if not least:
            break
        for number in range(1, len(part.layers)):
            _order(part.layers[number], part.layers[number - 1], part.sources)
        for number in range(len(part.layers) - 2, -1, -1):
            _order(part.layers[number], part.layers[number + 1], part.targets)
        crossings = _crossings(part)
        if crossings >= least:
            break
        best, least = [list(layer) for layer in part.layers], crossings
    part.layers = best


def _order(layer: list[Lane], beside: list[Lane], joined: Mapping[Lane, list[Lane]]) -> None:
    at = {lane: i for i, lane in enumerate(beside)}
    wish: dict[Lane, float] = {}
    for i, lane in enumerate(layer):
        near = joined.get(lane)
        wish[lane] = sum([at[other] for other in near]) / len(near) if near else i
    layer.sort(key=wish.__getitem__)


def _crossings(part: Part) -> int:
    """How many pairs of lines cross."""
    total = 0
    for number in range(1, len(part.layers)):
        at = {lane: i for i, lane in enumerate(part.layers[number - 1])}
        seen: list[int] = []
        for lane in part.layers[number]:
            ends = sorted([at[source] for source in part.sources[lane]])
            for end in ends:
                total += len(seen) - bisect_right(seen, end)
            for end in ends:
                insort(seen, end)
    return total


def _rows(part: Part, number: int) -> None:
    """Give the lanes of a column their rows: near what they read, in order. Where two lines would
    have to turn one before the other and the other before the one, nodes of the column make way.
    """
    layer = part.layers[number]
    wishes = [_wish(part, lane) for lane in layer]
    evading: set[Lane] = set()
    taken: set[int] = set()
    while True:
        row = -1
        for lane, wish in zip(layer, _spread(wishes), strict=True):
            row = max(row + 1, wish)
            if lane in evading:
                sources = part.sources[lane]
                own = part.row[sources[0]] if len(sources) == 1 else -1
                while row in taken and row != own:
                    row += 1
            part.row[lane] = row
        stuck = _circle(part.precedence(number - 1)) if number else set()
        if not stuck:
            return
        rows = {part.row[source] for source in stuck}
        evading |= {t for t in layer if part.row[t] in rows and stuck & set(part.sources[t])}
        taken |= rows


def _wish(part: Part, lane: Lane) -> int:
    rows = sorted(part.row[source] for source in part.sources[lane])
    return rows[(len(rows) - 1) // 2] if rows else 0


def _spread(wishes: Sequence[int]) -> list[int]:
    """Rows in rising order that are as near to the wishes as order allows (pooled means)."""
    pools: list[tuple[float, int]] = []  # the sum of what is wished for, by how many
    for i, wish in enumerate(wishes):
        total, size = float(wish - i), 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            before, count = pools.pop()
            total, size = total + before, size + count
        pools.append((total, size))
    rows: list[int] = []
    for total, size in pools:
        first = max(0, int(total // size))
        rows += [first + len(rows) + i for i in range(size)]
    return rows


def _circle(before: Mapping[Lane, Sequence[Lane]]) -> set[Lane]:
    """Those that wait for one another."""
    left = {lane: set(others) & set(before) for lane, others in before.items()}
    while left:
        free = [lane for lane, others in left.items() if not others]
        if not free:
            return set(left)
        for lane in free:
            del left[lane]
        for others in left.values():
            others.difference_update(free)
    return set()
