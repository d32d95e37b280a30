"""Which pane a widget is in."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen
from textual.widget import Widget


def pane_of(widget: Widget | None) -> Widget | None:
    """The pane that holds a widget, or is it."""
    return _holder(widget, lambda node: node.has_class("pane"))


def is_text(widget: Widget | None) -> bool:
    """Whether a widget is in a pane of text, which takes the keys of texts only."""
    return _holder(widget, lambda node: getattr(node, "pane_kind", "") == "text") is not None


def _holder(widget: Widget | None, fits: Callable[[Widget], bool]) -> Widget | None:
    node = widget
    while node is not None and not isinstance(node, Screen):
        if fits(node):
            return node
        node = node.parent if isinstance(node.parent, Widget) else None
    return None
