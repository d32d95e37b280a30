"""The graph of pipelines in characters: boxes in layers, sources above. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pachybox.cli.spec import input_repos
from pachybox.client.pipeline_values import PipelineInfo

Graph = Mapping[str, Sequence[str]]
"""A node -> the nodes it reads, for every node."""

_GAP = 3  # columns between boxes


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


def draw(nodes: Graph, *, width: int = 0, gap: int = 0) -> str:
    """The picture; "" of nothing. ``width`` cuts names, ``gap`` adds rows between layers."""
    rows = layers(nodes)
    lines: list[str] = []
    centre: dict[str, int] = {}
    open_edges: list[tuple[str, str]] = []
    for level, row in enumerate(rows):
        shown = {name: name[:width] if width else name for name in row}
        starts, column = {}, 0
        for name in row:
            starts[name] = column
            column += len(shown[name]) + 4 + _GAP
        below = {name: starts[name] + (len(shown[name]) + 4) // 2 for name in row}
        if level:
            arriving = [(a, b) for b in row for a in nodes.get(b, ()) if a in centre]
            lines += _edges(arriving, centre, below, gap)
        centre.update(below)
        lines += _boxes(row, shown)
        open_edges = [e for e in open_edges if e[1] not in row]
    return "".join(line.rstrip() + "\n" for line in lines)


def _boxes(row: Sequence[str], shown: Mapping[str, str]) -> list[str]:
    space = " " * _GAP
    edge = space.join("+" + "-" * (len(shown[name]) + 2) + "+" for name in row)
    return [edge, space.join(f"| {shown[name]} |" for name in row), edge]


def _edges(
    edges: Sequence[tuple[str, str]],
    above: Mapping[str, int],
    below: Mapping[str, int],
    gap: int,
) -> list[str]:
    """Lines from boxes above to boxes below, a row for each box above that turns."""
    sources = sorted({a for a, _b in edges}, key=lambda a: above[a])
    wide = max([*above.values(), *below.values(), 0]) + 1
    turning = [a for a in sources if any(b_ != above[a] for b_ in _ends(a, edges, below))]
    height = len(turning) + 2 + max(gap - 2, 0)
    grid = [[" "] * wide for _ in range(height)]
    for source in sources:
        ends, at = _ends(source, edges, below), above[source]
        turn = 1 + turning.index(source) if source in turning else height
        for y in range(min(turn, height)):
            _vertical(grid, y, at)
        if source not in turning:
            continue
        for x in range(min([at, *ends]), max([at, *ends]) + 1):
            grid[turn][x] = "+" if x in (at, *ends) or grid[turn][x] == "|" else "-"
        for end in ends:
            for y in range(turn + 1, height):
                _vertical(grid, y, end)
    return ["".join(line) for line in grid]


def _ends(source: str, edges: Sequence[tuple[str, str]], below: Mapping[str, int]) -> list[int]:
    return [below[b] for a, b in edges if a == source]


def _vertical(grid: list[list[str]], y: int, x: int) -> None:
    grid[y][x] = "+" if grid[y][x] in "-+" else "|"
