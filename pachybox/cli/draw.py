"""The graph of pipelines in characters: boxes in layers, sources above, lines between. Pure.

A layer that is wider than the terminal is broken into several. What reads a source further
below than the next layer is reached by a lane that passes beside the boxes. Every line between
two layers has a row of its own where it would touch another; lines that cross do not join:
the upright one goes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pachybox.cli.output import Painted, columns, state
from pachybox.cli.spec import input_repos
from pachybox.client.pipeline_values import PipelineInfo

Graph = Mapping[str, Sequence[str]]
"""A node -> the nodes it reads, for every node."""

_GAP = 2  # columns between boxes
_BAD = ("failure", "crashing", "restarting", "paused")
_PLAIN = str.maketrans("┌┐└┘├┤┬┴┼─│", "+++++++++-|")
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_SIGNS = {
    _UP: "│", _DOWN: "│", _UP | _DOWN: "│", _LEFT: "─", _RIGHT: "─", _LEFT | _RIGHT: "─",
    _UP | _RIGHT: "└", _UP | _LEFT: "┘", _DOWN | _RIGHT: "┌", _DOWN | _LEFT: "┐",
    _UP | _LEFT | _RIGHT: "┴", _DOWN | _LEFT | _RIGHT: "┬", _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤", _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip


def graph(pipelines: Iterable[PipelineInfo]) -> dict[str, list[str]]:
    """Pipelines and the repos they read."""
    nodes: dict[str, list[str]] = {}
    for info in pipelines:
        reads = []
        for project, repo in input_repos(info.input):
            same = not project or project == info.project
            reads.append(repo if same else f"{project}/{repo}")
        nodes[info.name] = list(dict.fromkeys(reads))
    for reads in list(nodes.values()):
        for name in reads:
            nodes.setdefault(name, [])
    return nodes


def labels(pipelines: Iterable[PipelineInfo]) -> dict[str, str]:
    """What stands in the boxes of pipelines: the name, in the colour of how the last job went;
    and what is wrong."""
    found: dict[str, str] = {}
    for info in pipelines:
        now = state(info.state)
        last = "" if "UNKNOWN" in info.last_job_state else state(info.last_job_state)
        wrong = now if now in _BAD else last if last in ("failure", "killed", "unrunnable") else ""
        colour = getattr(wrong or last, "colour", "")
        found[info.name] = Painted.of(f"{info.name}: {wrong}" if wrong else info.name, colour)
    return found


@dataclass(slots=True)
class _Cell:
    """A box, or the lane of a line that goes on below (``label`` None)."""

    name: str
    label: str | None
    left: int = 0
    ports: dict[str, int] = field(default_factory=dict)  # a source -> the column it comes in by

    @property
    def width(self) -> int:
        return 1 if self.label is None else columns(self.label) + 4

    @property
    def middle(self) -> int:
        return self.left + self.width // 2


def layers(nodes: Graph) -> list[list[str]]:
    """Nodes by their longest way from a source; within a layer near to what they read."""
    depth: dict[str, int] = {}

    def measure(name: str, above: frozenset[str]) -> int:
        if name not in depth:
            reads = [r for r in nodes.get(name, ()) if r not in above]
            depth[name] = 1 + max((measure(r, above | {name}) for r in reads), default=-1)
        return depth[name]

    for name in sorted(nodes):
        measure(name, frozenset({name}))
    out: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    place: dict[str, float] = {}
    for level, row in enumerate(out):
        found = [name for name in depth if depth[name] == level]
        row.extend(sorted(found, key=lambda n: (_middle(nodes.get(n, ()), place), n)))
        place.update({name: i for i, name in enumerate(row)})
    return out


def _middle(reads: Sequence[str], place: Mapping[str, float]) -> float:
    known = [place[r] for r in reads if r in place]
    return sum(known) / len(known) if known else 0.0


def draw(
    nodes: Graph,
    *,
    width: int = 0,
    gap: int = 0,
    room: int = 0,
    labels: Mapping[str, str] | None = None,
    plain: bool = False,
    paint: bool = False,
) -> str:
    """The picture; "" of nothing. ``width`` cuts names, ``gap`` is the least number of rows
    between layers, ``room`` the columns there are (0: any number). ``plain`` uses ASCII only,
    ``paint`` the colours of the labels."""
    shown = {name: _cut((labels or {}).get(name, name), width, room) for name in nodes}
    rows = _cells(nodes, _broken(nodes, shown, room), shown)
    lines: list[str] = []
    above: list[_Cell] = []
    for row in rows:
        _place(row, above, nodes, room)
        if above:
            lines += _lines(above, row, nodes, gap)
        lines += _boxes(row, nodes, rows[-1] is row, paint=paint)
        above = row
    text = "".join(line.rstrip() + "\n" for line in lines)
    return text.translate(_PLAIN) if plain else text


def _cut(label: str, width: int, room: int) -> str:
    most = min([n for n in (width, room - 4) if n > 0], default=0)
    if not most or columns(label) <= most:
        return label
    text = label
    while text and columns(text) > most - (most > 1):
        text = text[:-1]
    return Painted.of(text + "~" * (most > 1), getattr(label, "colour", ""))


def _broken(nodes: Graph, shown: Mapping[str, str], room: int) -> list[list[str]]:
    """The layers, broken where they are wider than ``room``."""
    if not room:
        return layers(nodes)
    readers: dict[str, set[str]] = {name: set() for name in nodes}
    for name, reads in nodes.items():
        for source in reads:
            readers[source].add(name)
    out: list[list[str]] = []
    placed: set[str] = set()
    for row in layers(nodes):
        left = list(row)
        while left:
            lanes = sum(1 for name in placed if readers[name] - placed)
            limit = max(room - (1 + _GAP) * lanes, room // 3)
            used, count = -_GAP, 0
            for name in left:
                used += columns(shown[name]) + 4 + _GAP
                if count and used > limit:
                    break
                count += 1
            out.append(left[:count])
            placed.update(left[:count])
            del left[:count]
    return out


def _cells(nodes: Graph, rows: list[list[str]], shown: Mapping[str, str]) -> list[list[_Cell]]:
    """Boxes by layer, with a lane for each line that goes past a layer."""
    level = {name: i for i, row in enumerate(rows) for name in row}
    last = dict(level)
    for name, reads in nodes.items():
        for source in reads:
            last[source] = max(last[source], level[name])
    out = []
    for i, row in enumerate(rows):
        lanes = [_Cell(n, None) for n in nodes if level[n] < i < last[n]]
        out.append([_Cell(name, shown[name]) for name in row] + lanes)
    return out


def _place(row: list[_Cell], above: list[_Cell], nodes: Graph, room: int) -> None:
    """Order a layer by what its cells come from, and put each below that where there is room."""
    at = {cell.name: cell.middle for cell in above}

    def wish(cell: _Cell) -> float:
        reads = [cell.name] if cell.label is None else nodes.get(cell.name, ())
        known = [at[r] for r in reads if r in at]
        return sum(known) / len(known) if known else -1.0

    order = {cell.name: i for i, cell in enumerate(row)}
    row.sort(key=lambda c: (wish(c), order[c.name]))
    rest = sum(c.width + _GAP for c in row) - _GAP
    free = 0
    for cell in row:
        wanted = int(wish(cell)) - cell.width // 2
        most = max(room - rest, free) if room else wanted
        cell.left = max(free, min(wanted, most))
        free = cell.left + cell.width + _GAP
        rest -= cell.width + _GAP


def _reads(cell: _Cell, nodes: Graph) -> Sequence[str]:
    return [cell.name] if cell.label is None else nodes.get(cell.name, ())


def _ports(above: list[_Cell], row: list[_Cell], nodes: Graph) -> dict[str, list[int]]:
    """Source -> the columns by which its line comes in below; each line has its own."""
    exits = {cell.name: cell.middle for cell in above}
    ends: dict[str, list[int]] = {}
    for cell in row:
        sources = sorted((s for s in _reads(cell, nodes) if s in exits), key=lambda s: exits[s])
        inner = range(cell.left + 1, cell.left + cell.width - 1) or range(cell.left, cell.left + 1)
        for i, source in enumerate(sources):
            taken = {c for s, c in exits.items() if s != source} | set(cell.ports.values())
            near = exits[source]
            if near not in inner or near in taken:
                near = inner[len(inner) * (2 * i + 1) // (2 * len(sources))]
            free = [c for c in inner if c not in taken] or list(inner)
            cell.ports[source] = min(free, key=lambda c: (abs(c - near), c))
            ends.setdefault(source, []).append(cell.ports[source])
    return ends


def _lines(above: list[_Cell], row: list[_Cell], nodes: Graph, gap: int) -> list[str]:
    """The rows between two layers."""
    ends = _ports(above, row, nodes)
    exits = {cell.name: cell.middle for cell in above if cell.name in ends}
    tracks: list[list[tuple[int, int]]] = []
    turn: dict[str, int] = {}
    for source in sorted(exits, key=lambda s: exits[s]):
        low, high = min(exits[source], *ends[source]), max(exits[source], *ends[source])
        if low == high:
            continue
        turn[source] = _track(tracks, low, high)
    height = max(len(tracks), gap, 1)
    wide = 1 + max([*exits.values(), *(e for found in ends.values() for e in found)], default=0)
    flat = [[0] * wide for _ in range(height)]
    upright = [[0] * wide for _ in range(height)]
    for source, start in exits.items():
        _route(flat, upright, start, ends[source], turn.get(source, height))
    return ["".join(map(_sign, a, b)) for a, b in zip(flat, upright, strict=True)]


def _track(tracks: list[list[tuple[int, int]]], low: int, high: int) -> int:
    """The first row in which the columns are free, taken."""
    for number, track in enumerate(tracks):
        if all(high < a or b < low for a, b in track):
            track.append((low, high))
            return number
    tracks.append([(low, high)])
    return len(tracks) - 1


def _route(
    flat: list[list[int]], upright: list[list[int]], start: int, ends: list[int], turn: int
) -> None:
    """One line: down from its source, along its row, down to where it goes."""
    for y in range(min(turn, len(upright))):
        upright[y][start] |= _UP | _DOWN
    if turn == len(upright):
        return
    low, high = min(start, *ends), max(start, *ends)
    for x in range(low, high + 1):
        flat[turn][x] |= (x > low) * _LEFT | (x < high) * _RIGHT
    flat[turn][start] |= _UP
    for end in ends:
        flat[turn][end] |= _DOWN
        for y in range(turn + 1, len(upright)):
            upright[y][end] |= _UP | _DOWN


def _sign(flat: int, upright: int) -> str:
    """What stands where a row and an upright line meet: the upright one, when they only cross."""
    if upright:
        return _SIGNS[upright]
    return _SIGNS[flat] if flat else " "


def _boxes(row: list[_Cell], nodes: Graph, last: bool, *, paint: bool) -> list[str]:
    """Three rows: the boxes of a layer, and its lanes."""
    top, text, bottom = "", "", ""
    read = {source for reads in nodes.values() for source in reads}
    at = 0
    for cell in row:
        space = " " * (cell.left - at)
        at = cell.left + cell.width
        if cell.label is None:
            edges = ("│", "│", "│")
        else:
            head = ["─"] * (cell.width - 2)
            for port in cell.ports.values():
                head[port - cell.left - 1] = "┴"
            foot = ["─"] * (cell.width - 2)
            if cell.name in read and not last:
                foot[cell.middle - cell.left - 1] = "┬"
            edges = (
                f"┌{''.join(head)}┐",
                f"│ {_painted(cell.label, paint)} │",
                f"└{''.join(foot)}┘",
            )
        top, text, bottom = (a + space + b for a, b in zip((top, text, bottom), edges, strict=True))
    return [top, text, bottom]


def _painted(label: str, paint: bool) -> str:
    from pachybox.cli.output import colour

    return colour(label, label) if paint else label
