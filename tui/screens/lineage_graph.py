"""A run in the graph of pipelines: which nodes have a commit of it, and how those went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tui import glyphs
from tui.glyphs import Mark
from tui.screens import home_values
from tui.screens.home_values import Thing
from tui.widgets.picture import Item, Look

if TYPE_CHECKING:
    from pachybox.client.values import CommitInfo
    from pachybox.client.view_values import Summary


def nodes_of(items: Iterable[Item], run: Sequence[CommitInfo]) -> dict[str, CommitInfo]:
    """The nodes that have a commit of the run, with that. What is no longer in the graph (a
    pipeline deleted since) has none."""
    nodes = {Thing.of(item.id).name: item.id for item in items}
    return {nodes[info.repo]: info for info in run if info.repo in nodes}


def looks(summary: Summary, items: Sequence[Item], found: dict[str, CommitInfo]) -> dict[str, Look]:
    """How the nodes were in that run; those without a part in it as they are now, without words."""
    now = home_values.looks(summary, items)
    looks = {item.id: Look(now[item.id].mark if item.id in now else glyphs.REPO) for item in items}
    return looks | {node: Look(mark_of(info)) for node, info in found.items()}


def mark_of(info: CommitInfo) -> Mark:
    """How a commit is: failed, being made, or whole."""
    if info.error:
        return glyphs.job("failure")
    if info.finished is None:
        return glyphs.job("running") if info.direct_provenance else glyphs.commit("started")
    return glyphs.job("success")
