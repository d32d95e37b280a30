"""The graph of pipelines in the terminal: laying it out, and from a key to the painted screen.

In this process, without a box; times are of the processor. Beside the layout stands ``sorted`` on
as many names a thousand times, so that figures of two machines can be compared.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from statistics import median
from time import process_time

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from benchmarks.harness import below, note, short
from tui import glyphs
from tui.widgets.dag import Dag
from tui.widgets.layering import parts
from tui.widgets.picture import Item, Look, Picture

ROUNDS = 7
SIZES = ((12, 4), (200, 12), (500, 20))  # nodes, columns
SCREEN = (120, 40)


def graph(nodes: int, columns: int) -> list[Item]:
    """Pipelines that read one or two others of the three columns before theirs."""
    dice = random.Random(nodes)
    layers = [range(at, nodes, columns) for at in range(columns)]
    items = []
    for at, layer in enumerate(layers):
        before = [n for other in layers[max(0, at - 3) : at] for n in other]
        for n in layer:
            reads = dice.sample(before, min(len(before), dice.choice((1, 1, 2))))
            items.append(Item(f"n{n}", f"pipeline-{n}", tuple(f"n{r}" for r in reads), 8))
    return items


def layouts() -> None:
    """The rows of laying out."""
    for nodes, columns in SIZES:
        items = graph(nodes, columns)
        took = least(lambda items=items: Picture(items))  # type: ignore[misc]
        names = [item.id for item in items]
        beside = least(lambda names=names: [sorted(names) for _ in range(1000)])  # type: ignore[misc]
        most = 30 if nodes == 500 else 10
        text = f"sorted, 1,000 times: {short(beside * 1000)} ms"
        below(f"graph of {nodes} nodes, laid out", took * 1000, "ms", most, text)
    found = parts(names, {item.id: item.reads for item in items})
    note(f"graph of {nodes}: {max(part.height for part in found)} rows high")


def least(work: object) -> float:
    """The least seconds of some runs."""
    assert callable(work)
    times = []
    for _ in range(ROUNDS):
        begin = process_time()
        work()
        times.append(process_time() - begin)
    return min(times)


class Shown(App[None]):
    """A screen with the graph alone."""

    def __init__(self, items: Iterable[Item]) -> None:
        super().__init__()
        self.items = list(items)
        self.dag = Dag()

    def compose(self) -> ComposeResult:
        yield self.dag

    def on_mount(self) -> None:
        """Keys go to the graph."""
        self.dag.focus()


async def keys(pilot: Pilot[None], names: Iterable[str]) -> float:
    """The median seconds of a key, until the screen is painted."""
    times = []
    for name in names:
        begin = process_time()
        await pilot.press(name)
        times.append(process_time() - begin)
    return median(times)


async def painted() -> None:
    """The rows of the pane: opening, moving, and a state that changes."""
    items = graph(500, 20)
    app = Shown(items)
    async with app.run_test(size=SCREEN) as pilot:
        for name in ("as a list", "as a graph"):
            if name == "as a graph":
                app.dag.set_graph([])
                app.dag.toggle_list()
            begin = process_time()
            app.dag.set_graph(items)
            await pilot.pause()
            below(f"graph of 500 nodes, shown {name}", (process_time() - begin) * 1000, "ms", 300)
            idle = await keys(pilot, ("f12",) * 5)  # of no pane
            took = await keys(
                pilot, ("j", "j", "right", "j", "left", "j", "j", "k", "right", "k", "j")
            )
            text = f"a key that nobody knows {short(idle * 1000)} ms"
            below(f"graph of 500 nodes, a key {name}", took * 1000, "ms", 50, text)
        begin = process_time()
        for n in range(50):
            app.dag.set_looks({"n0": Look(glyphs.job("running"), f"{n}/50")})
            await pilot.pause()
        below("graph of 500 nodes, a state, painted", (process_time() - begin) * 20, "ms", 20)


def main() -> None:
    """Print all rows."""
    layouts()
    asyncio.run(painted())


if __name__ == "__main__":
    main()
