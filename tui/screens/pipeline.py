"""All pipelines of the box, live; Enter opens one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from tui import glyphs, shown
from tui.places import PIPELINE, Place
from tui.screens.bulk import Bulk
from tui.screens.pipeline_verbs import PipelineVerbs
from tui.widgets.rows import Column, LocalRows, Row
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from pachybox.client.view_values import PipelineSummary
    from tui.store import Store

COLUMNS = (
    Column("name", "PIPELINE", 14, grow=2, sort="name", keep=9),
    Column("state", "STATE", 13, sort="state", keep=8),
    Column("job", "LAST JOB", 12, sort="job", keep=6),
    Column("datums", "DATUMS", 10, right=True, keep=5),
    Column("age", "AGE", 5, right=True, sort="age", keep=4),
    Column("inputs", "INPUTS", 14, grow=3, keep=7),
    Column("output", "SIZE", 9, right=True, sort="size", keep=3),
    Column("version", "V", 4, right=True, sort="version", keep=2),
    Column("kind", "KIND", 9, sort="kind", keep=1),
)
_ORDER = {"failure": 0, "crashing": 0, "restarting": 1, "running": 2, "starting": 2}


def row_of(one: PipelineSummary, store: Store, ascii: bool) -> Row:
    """A pipeline as a row of the table."""
    mark = glyphs.pipeline(one.state, stopped=one.stopped)
    job = one.job
    last = glyphs.job(job.state) if job else None
    style = {"bad": "failed", "warn": "warning"}.get(mark.style, "")
    if not style and last is not None and last.style == "bad":
        style = "failed"
    counts = ""
    if job is not None:
        counts = shown.datums(
            job.total, job.processed, job.skipped, job.failed, job.recovered, ascii=ascii
        )
    since = (job.finished or job.started or job.created) if job else None
    inputs = ", ".join([*(f"cron {c}" for c in one.crons), *one.inputs])
    return Row(
        one.name,
        (
            one.name, mark.text(ascii), last.text(ascii) if last else "-", counts or "-",
            shown.age(since, store.now), inputs or "-", shown.size(one.repo_bytes),
            str(one.version), one.kind,
        ),
        style,
        keys=(
            one.name, mark.word, last.word if last else "", 0.0,
            -(since.timestamp() if since else 0.0), inputs, float(one.repo_bytes),
            float(one.version), one.kind,
        ),
    )  # fmt: skip


def troubled_first(one: PipelineSummary) -> tuple[int, str]:
    """Failed pipelines, then what runs, then all others by name."""
    word = "paused" if one.stopped else glyphs.pipeline(one.state).word
    bad = one.job is not None and glyphs.job(one.job.state).style == "bad"
    return (0 if bad else _ORDER.get(word, 3), one.name)


class Pipelines(PipelineVerbs, Bulk):
    """The list."""

    bulk_ids: ClassVar[tuple[str, ...]] = ("pause", "delete")
    footer_ids: ClassVar[tuple[str, ...]] = ("list.open", "view.new", "view.edit", "view.logs")
    DEFAULT_CSS = "Pipelines .body { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows = LocalRows(known=False)

    def body(self) -> ComposeResult:
        """One table."""
        with Vertical(classes="body pane", id="list-pane") as pane:
            pane.border_title = "Pipelines"
            empty = "no pipelines yet: n makes one"
            yield VirtualTable(COLUMNS, self._rows, empty=empty, id="pipelines")

    def on_mount(self) -> None:
        """What is known already."""
        self.table.focus()
        self._fill()

    def crumbs(self) -> Sequence[str]:
        """The list is the first of its mode."""
        return ["Pipelines"]

    @property
    def table(self) -> VirtualTable:
        """The list."""
        return self.query_one("#pipelines", VirtualTable)

    def selected(self) -> str:
        """The one under the cursor."""
        return self.table.cursor_id or ""

    def targets(self) -> list[str]:
        """The marked ones, or that under the cursor."""
        return self.table.targets()

    def changed(self, topics: frozenset[str]) -> None:
        """Other states, other jobs."""
        if topics & {"summary", "reset"}:
            self._fill()

    def reload(self) -> None:
        """Draw again what is known; the frame asks the box."""
        self._fill()

    def _fill(self) -> None:
        store = self.frame.store
        if store.summary is None or not self.query("#pipelines"):
            return
        found: Iterable[PipelineSummary] = sorted(store.summary.pipelines, key=troubled_first)
        rows = [row_of(one, store, self.frame.ascii_only) for one in found]
        self._rows.set(rows)
        self.query_one("#list-pane").border_title = f"Pipelines {len(rows)}"
        self.table.refresh_rows()

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Enter: the pipeline."""
        event.stop()
        self.frame.visit(Place(PIPELINE, event.row_id))

    def show(self, place: Place) -> None:
        """A pipeline, or the wizard."""
        from tui.screens.pipeline_detail import PipelineDetail

        if place.pane == "new":
            self.load(self.do_new(), group="verb new")
        elif place.name:
            self.table.show_row(place.name)
            self.app.push_screen(PipelineDetail(place.name, place.pane, place.ref))
