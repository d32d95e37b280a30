"""One pipeline: jobs and versions to the left; spec, log and statistics to the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import ContentSwitcher, Static

from tui import glyphs, shown
from tui.places import JOB, PIPELINE, Place
from tui.screens.pipeline_stats import stats_text
from tui.screens.pipeline_verbs import PipelineVerbs, given, spec_text, versions_of
from tui.spec_edits import path_text
from tui.spec_merge import differences, unified
from tui.widgets.box_log import BoxLog
from tui.widgets.log import LogView
from tui.widgets.rows import Column, LocalRows, Page, Query, Row
from tui.widgets.table import VirtualTable
from tui.widgets.text_pane import DIFF, PLAIN, YAML, TextPane

if TYPE_CHECKING:
    from pachybox.client.view_values import JobSummary
    from tui.screens.view import View

LEFT, RIGHT = ("jobs", "versions"), ("spec", "logs", "stats")
JOBS = (
    Column("job", "JOB", 9, keep=9),
    Column("state", "STATE", 12, keep=8),
    Column("datums", "DATUMS", 10, right=True, grow=1, keep=7),
    Column("age", "AGE", 5, right=True, sort="created", keep=6),
    Column("took", "TOOK", 7, right=True, keep=5),
    Column("size", "OUT", 9, right=True, keep=4),
)
VERSIONS = (
    Column("version", "V", 5, keep=9),
    Column("changed", "CHANGED", 12, grow=1, keep=8),
)


class JobRows:
    """The jobs of a pipeline, by pages of the box."""

    def __init__(self, view: View, pipeline: str) -> None:
        self._view, self._pipeline = view, pipeline
        self.latest: tuple[JobSummary, ...] = ()

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        found = await self._view.frame.feed.box.page_job(
            pipeline=self._pipeline,
            offset=offset,
            limit=limit,
            search=query.filter,
            sort=query.sort or "created",
            reverse=query.reverse,
        )
        if not offset:
            self.latest = found.rows
        return Page(found.total, [self._row(job) for job in found.rows])

    def _row(self, job: JobSummary) -> Row:
        ascii, now = self._view.frame.ascii_only, self._view.frame.store.now
        mark = glyphs.job(job.state)
        took = None
        if job.started:
            took = ((job.finished or now) - job.started).total_seconds()
        counts = shown.datums(
            job.total, job.processed, job.skipped, job.failed, job.recovered, ascii=ascii
        )
        cells = (
            job.id[:8], mark.text(ascii), counts, shown.age(job.created, now),
            shown.span(took), shown.size(job.upload_bytes),
        )  # fmt: skip
        style = {"bad": "failed", "warn": "warning", "busy": "running"}.get(mark.style, "")
        return Row(job.id, cells, style)


class PipelineDetail(PipelineVerbs):
    """``pane`` is what to begin with: jobs, versions, spec, logs or stats."""

    mode: ClassVar[str] = PIPELINE
    footer_ids: ClassVar[tuple[str, ...]] = ("list.open", "view.edit", "view.diff", "view.retry")
    DEFAULT_CSS = """
    PipelineDetail #about { height: auto; max-height: 4; padding: 0 1; }
    PipelineDetail #left { width: 2fr; }
    PipelineDetail #right { width: 3fr; }
    PipelineDetail.-one #left { width: 1fr; }
    PipelineDetail.-one #right { width: 1fr; display: none; }
    PipelineDetail.-one.-right #right { display: block; }
    PipelineDetail.-one.-right #left { display: none; }
    PipelineDetail ContentSwitcher { height: 1fr; }
    PipelineDetail ContentSwitcher > * { height: 1fr; }
    """

    def __init__(self, name: str, pane: str = "", ref: str = "") -> None:
        super().__init__()
        self.name_of = name
        self._pane, self._ref = pane, ref
        self._jobs = JobRows(self, name)
        self._versions = LocalRows()
        self._version = 0
        self._shown_version = 0

    def body(self) -> ComposeResult:
        """About, left, right."""
        yield Static(id="about", markup=False)
        with Horizontal(classes="body"):
            with Vertical(classes="pane", id="left"), ContentSwitcher(initial="jobs"):
                empty = "no jobs yet: a commit to its input starts one"
                yield VirtualTable(JOBS, self._jobs, empty=empty, marks=False, id="jobs")
                yield VirtualTable(VERSIONS, self._versions, empty="none", id="versions")
            with Vertical(classes="pane", id="right"), ContentSwitcher(initial="spec"):
                yield TextPane(kind=YAML, numbers=True, id="spec")
                yield LogView(id="logs", empty="nothing was written to this log")
                yield TextPane(kind=PLAIN, id="stats")

    def on_mount(self) -> None:
        """Fill the panes, each by itself."""
        self._titles()
        self._about()
        self.query_one("#jobs").focus()
        self.load(self._load_versions(), group="versions")
        if self._pane in (*LEFT, *RIGHT):
            self.open_tab(self._pane)
        elif self._pane == "edit":
            self.load(self.do_edit(), group="verb edit")

    def crumbs(self) -> Sequence[str]:
        """Pipelines > name."""
        return ["Pipelines", self.name_of]

    def place(self) -> Place:
        """This pipeline."""
        return Place(PIPELINE, self.name_of, pane=self._pane)

    def selected(self) -> str:
        """It is the one."""
        return self.name_of

    def has_tab(self, side: str) -> str:
        """The tab that is shown on a side."""
        return self.query_one(f"#{side} ContentSwitcher", ContentSwitcher).current or ""

    # ---- tabs

    def open_tab(self, name: str) -> None:
        """Show a tab, and go there."""
        side = "left" if name in LEFT else "right"
        self.set_class(side == "right", "-right")
        self.query_one(f"#{side} ContentSwitcher", ContentSwitcher).current = name
        self.query_one(f"#{name}").focus()
        self._titles()
        if name == "logs":
            self._log()
        elif name == "stats":
            self.load(self._stats(), group="stats")

    def _titles(self) -> None:
        for side, names in (("left", LEFT), ("right", RIGHT)):
            here = self.has_tab(side)
            title = Text()
            for name in names:
                title.append(f"[{name}] " if name == here else f"{name} ")
            version = f" v{self._shown_version}" if here == "spec" and self._shown_version else ""
            pane = self.query_one(f"#{side}")
            pane.border_title = title.plain.replace("[", r"\[").rstrip() + version

    def do_tab_right(self) -> None:
        """]"""
        self._turn(1)

    def do_tab_left(self) -> None:
        """["""
        self._turn(-1)

    def _turn(self, step: int) -> None:
        right = self._in_right
        side: tuple[str, ...] = RIGHT if right else LEFT
        names = (*LEFT, *RIGHT) if self.has_class("-one") else side
        here = self.has_tab("right" if right else "left")
        self.open_tab(names[(names.index(here) + step) % len(names)])

    @property
    def _in_right(self) -> bool:
        focused = self.focused
        return focused is not None and focused.id in RIGHT

    # ---- what is shown

    def changed(self, topics: frozenset[str]) -> None:
        """New jobs, another state, another version."""
        if not self.query("#jobs"):
            return  # it is being made, or taken down
        if "summary" in topics:
            self._about()
            one = self.summary_of(self.name_of)
            if one is not None and one.version != self._version:
                self.load(self._load_versions(), group="versions")
        if topics & {"summary", "reset"}:
            self.query_one("#jobs", VirtualTable).refresh_rows()
            if self.has_tab("right") == "stats":
                self.load(self._stats(), group="stats")

    def reload(self) -> None:
        """All of it."""
        if not self.query("#jobs"):
            return
        self._about()
        self.query_one("#jobs", VirtualTable).refresh_rows()
        self.load(self._load_versions(), group="versions")

    def _about(self) -> None:
        one = self.summary_of(self.name_of)
        about = self.query_one("#about", Static)
        if one is None:
            about.update(Text("loading ..." if self.frame.store.summary is None else "not there"))
            return
        ascii = self.frame.ascii_only
        mark = glyphs.pipeline(one.state, stopped=one.stopped)
        style = {"bad": "bold red", "warn": "yellow", "busy": "bold"}.get(mark.style, "")
        line = Text(mark.text(ascii), style, no_wrap=True, overflow="ellipsis")
        inputs = ", ".join([*(f"cron {c}" for c in one.crons), *one.inputs]) or "nothing"
        line.append(f"  v{one.version}  {one.kind}", "")
        if one.runner:
            line.append(f" by {one.runner}")
        line.append(f"  reads {inputs}  writes {one.output}")
        line.append(f"  {shown.size(one.repo_bytes)}")
        if one.reason:
            line.append(f"\n{one.reason}", "yellow")
        about.update(line)

    async def _load_versions(self) -> None:
        found = await versions_of(self, self.name_of)
        if not found:
            return
        self._version = found[0].version
        rows = []
        for at, info in enumerate(found):
            before = given(found[at + 1]) if at + 1 < len(found) else {}
            fields = [path_text(path) for path, _, _ in differences(before, given(info))]
            changed = ", ".join(fields) if before else "the first"
            rows.append(Row(str(info.version), (f"v{info.version}", changed or "nothing")))
        self._versions.set(rows)
        self.query_one("#versions", VirtualTable).refresh_rows()
        await self._show_spec(self._version)

    async def _show_spec(self, version: int) -> None:
        text, version = await spec_text(self, self.name_of, version)
        self._shown_version = version
        self.query_one("#spec", TextPane).show(text, YAML)
        self._titles()

    @on(VirtualTable.Highlighted, "#versions")
    def _version_chosen(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        if event.row_id is not None and self.has_tab("left") == "versions":
            self.load(self._show_spec(int(event.row_id)), group="spec")

    @on(VirtualTable.Opened, "#versions")
    def _version_opened(self, event: VirtualTable.Opened) -> None:
        event.stop()
        self.open_tab("spec")

    @on(VirtualTable.Opened, "#jobs")
    def _job_opened(self, event: VirtualTable.Opened) -> None:
        event.stop()
        self.frame.visit(Place(JOB, self.name_of, event.row_id))

    async def do_diff(self) -> None:
        """d: the marked version with the one under the cursor, or that with the one before."""
        table = self.query_one("#versions", VirtualTable)
        marked = sorted(map(int, table.marked))
        here = int(table.cursor_id or self._version)
        if len(marked) >= 2:
            old, new = marked[0], marked[-1]
        elif marked and marked[0] != here:
            old, new = sorted((marked[0], here))
        else:
            old, new = here - 1, here
        if old < 1:
            self.frame.notice(f"v{new} is the first: mark two versions with space")
            return
        before, _ = await spec_text(self, self.name_of, old)
        after, _ = await spec_text(self, self.name_of, new)
        lines = unified(before, after, (f"{self.name_of}.{old}", f"{self.name_of}.{new}"))
        self.open_tab("spec")
        self.query_one("#spec", TextPane).show(lines or "no difference", DIFF)
        self.query_one("#right").border_title = f"v{old} -> v{new}"
        name = self.name_of
        other = f"<(pachybox extract pipeline {name}.{new})"
        self.frame.told(f"extract pipeline {name}.{old} | diff -u - {other}")

    def do_logs(self) -> None:
        """l: its log, here."""
        self.open_tab("logs")

    def _log(self) -> None:
        """The end of the log, and what is added; it stays where it is read once it is there."""
        view = self.query_one("#logs", LogView)
        if view.feed is None:
            view.set_source(BoxLog(self.frame.feed, pipeline=self.name_of))
        self.call_after_refresh(self.renew, f"logs --pipeline {self.name_of} -f")

    async def _stats(self) -> None:
        box = self.frame.feed.box
        found = await box.page_job(pipeline=self.name_of, limit=50)
        timing = None
        if found.rows:
            last = next((job for job in found.rows if job.finished), found.rows[0])
            timing = await box.timing(f"{self.name_of}@{last.id}")
        text = stats_text(found.rows, found.total, timing, ascii=self.frame.ascii_only)
        self.query_one("#stats", TextPane).show(text)

    async def deleted(self, name: str) -> None:
        """Back to the list."""
        self.leave()
