"""How many rows each pane of Home has. Pure. None is all that is left over."""

from __future__ import annotations

_SHORT = {"pipelines": 3, "jobs": 4, "attention": 3, "ingest": 3, "repos": 3, "disk": 3}


def columns(
    body: int, *, graph: int, attention: int, ingest: int, first: bool
) -> dict[str, int | None]:
    """Two columns of ``body`` rows. ``graph`` is how many rows the pipelines could use,
    ``attention`` and ``ingest`` how many entries there are; ``first``: on the first run."""
    right = {
        "attention": min(max(attention, 1), 8) + 2,
        "ingest": min(max(ingest, 1), 8) + 2,
        "disk": 6,
    }
    while sum(right.values()) > body - 3 and max(right.values()) > 3:
        right[max(right, key=lambda id: right[id])] -= 1
    top = 7 if first else max(5, min(graph + 2, body - min(8, body // 2)))
    return {"pipelines": top, "jobs": None, **right, "repos": None}


def accordion(body: int, pane: str) -> dict[str, int | None]:
    """All panes below each other: what does not fit goes to ``pane``, which has the focus."""
    heights: dict[str, int | None] = {**_SHORT}
    name = pane if pane in heights else "pipelines"
    heights[name] = _SHORT[name] + max(0, body - sum(_SHORT.values()))
    return heights
