"""A terminal of plain views: for what is drawn around and over any view."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from tui.app import PachyApp
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.screens.view import View
from tui.widgets.rows import Column, LocalRows, Row
from tui.widgets.table import VirtualTable

ROWS = [
    Row(f"clean@{n:04x}", (f"clean@{n:04x}", state, f"{n}m"), style)
    for n, (state, style) in enumerate(
        [("✓ success", "success"), ("✗ failure", "failed"), ("● running", "running")] * 4
    )
]


class Text(Static, can_focus=True):
    """A pane of text."""

    pane_kind = "text"


class PlainView(View):
    """A list and a text beside each other."""

    DEFAULT_CSS = """
    PlainView .pane { width: 1fr; height: 1fr; }
    """
    footer_ids: ClassVar[tuple[str, ...]] = ("view.delete", "view.logs")
    changed_by: ClassVar[list[str]] = []

    def body(self) -> ComposeResult:
        """Two panes."""
        columns = (Column("job", "JOB", 12), Column("state", "STATE", 12), Column("age", "AGE", 5))
        with Horizontal(classes="body"):
            table = VirtualTable(columns, LocalRows(ROWS), classes="pane")
            table.border_title = Content("Jobs")
            yield table
            text = Text(Content("line one\nline two"), classes="pane")
            text.border_title = Content("Log")
            yield text

    def do_delete(self) -> None:
        """A verb that changes something."""
        self.changed_by.append("delete")
        self.frame.told("delete job clean@0000")

    def do_logs(self) -> None:
        """A verb that does not."""
        self.frame.notice("logs of clean@0000")

    def place(self) -> Place:
        """One of the jobs."""
        return Place(self.mode, "clean", "0000")


def _mode(name: str) -> type[PlainView]:
    return type(f"Plain{name.capitalize()}", (PlainView,), {"mode": name})


class PlainApp(PachyApp):
    """The terminal, with the same plain view in every mode."""

    MODES = {  # noqa: RUF012
        name: _mode(name) for name in (HOME, REPO, PIPELINE, JOB, INGEST, LINEAGE)
    }
