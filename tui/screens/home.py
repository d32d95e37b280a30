"""Home: what there is, what runs, what needs attention; all of it live."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantFocus, Resize
from textual.widget import Widget

from tui import shown
from tui.places import HOME
from tui.screens import home_sizes
from tui.screens import home_values as values
from tui.screens.home_values import Thing
from tui.screens.home_verbs import HomeVerbs
from tui.store import LIVE
from tui.widgets import table_messages
from tui.widgets.dag import Dag
from tui.widgets.filters import matcher
from tui.widgets.lines import Entry, Lines
from tui.widgets.panes import pane_of
from tui.widgets.picture import Piece
from tui.widgets.rows import LocalRows, Row
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from pachybox.client.view_values import Summary

_FIRST = (
    ("repo", "create a repo", "versions of a folder of files: put data in, read any version"),
    ("demo", "load the demo", "a clock, four pipelines, a report; alive in seconds"),
    ("keys", "read the keys", "? shows them in any view"),
)
_LONG_ID = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}\b")
_LOADING = "loading ..."
_REST_S = 0.1  # the cursor rests on a job before its commit set is asked for


class Home(HomeVerbs):
    """The first view."""

    mode: ClassVar[str] = HOME
    AUTO_FOCUS = None
    footer_ids = ("list.open", "view.logs", "view.new")
    DEFAULT_CSS = """
    Home #left { width: 1fr; }
    Home #right { width: 42; }
    Home.-three #right { width: 50; }
    Home #pipelines > * { height: 1fr; }
    Home VirtualTable { scrollbar-gutter: stable; }
    Home.-one .body { layout: vertical; }
    Home.-one #left, Home.-one #right { width: 1fr; height: auto; }
    Home.-flip #left, Home.-flip #right { width: 1fr; height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._as_graph = True
        self._jobs = LocalRows()
        self._list = LocalRows()
        self._job_rows: list[Row] = []
        self._list_rows: list[Row] = []
        self._seen: Summary | None = None
        self._graph_filter = ""
        self._set = ("", frozenset[str]())  # the selected job's commit set: its id, its repos
        self._was_first = False
        self._heights: dict[str, int | None] = {}

    # panes

    def body(self) -> ComposeResult:
        """Pipelines and jobs, beside them what is short."""
        ascii = self.frame.ascii_only
        with Horizontal(classes="body"):
            with Vertical(id="left"):
                with Vertical(id="pipelines", classes="pane"):
                    yield Dag(id="dag", empty=_LOADING, ascii=ascii)
                    yield VirtualTable(
                        values.PIPELINE_COLUMNS, self._list, empty="no pipelines; n makes one"
                    )
                    yield Lines(id="first")
                with Vertical(id="jobs", classes="pane"):
                    yield VirtualTable(
                        values.JOB_COLUMNS,
                        self._jobs,
                        empty="no jobs yet: a commit in a repo that a pipeline reads makes one",
                    )
            with Vertical(id="right"):
                yield Lines(id="attention", classes="pane", empty=_LOADING)
                yield Lines(id="ingest", classes="pane", empty=_LOADING)
                yield Lines(id="repos", classes="pane", empty=_LOADING)
                yield Lines(id="disk", classes="pane", empty=_LOADING)

    def on_mount(self) -> None:
        """Titles, and what the store has already."""
        self._as_graph = self.frame.remembered("home.pipelines", "dag") != "list"
        first = self._lines("first")
        first.set_entries(
            Entry(f"first:{id}", (Piece(f" {what:16}", "lit"), Piece(f"{why}", "quiet")))
            for id, what, why in _FIRST
        )
        self._lines("first").display = False
        self._title("attention", "Needs attention")
        self._title("disk", "Disk")
        self._turn()
        self.watch(self, "maximized", self._zoomed, init=False)
        self._dag.focus()
        self.set_interval(1.0, self._tick)
        self._show()

    @property
    def _dag(self) -> Dag:
        return self.query_one("#dag", Dag)

    def _lines(self, id: str) -> Lines:
        return self.query_one(f"#{id}", Lines)

    def _table(self, id: str) -> VirtualTable:
        return self.query_one(f"#{id} VirtualTable", VirtualTable)

    @property
    def _pane(self) -> str:
        """The pane that has the focus."""
        pane = pane_of(self.focused)
        return pane.id or "" if pane is not None else ""

    # what the box tells

    def changed(self, topics: frozenset[str]) -> None:
        """Draw what a new summary has changed."""
        if self.frame.store.summary is not self._seen:
            self._show()

    def _tick(self) -> None:
        """Ages told in seconds go on, every second while there are any."""
        frame, summary = self.frame, self._seen
        if summary is None or not self.is_current or frame.frozen:
            return
        if frame.store.link.state == LIVE and values.is_young(summary, frame.store.now):
            self._show_rows(summary)

    def reload(self) -> None:
        """Draw again; a new summary is on its way."""
        self._show()

    def _show(self) -> None:
        summary = self.frame.store.summary
        if summary is None or not self.is_mounted:
            return
        begun = self._seen is None
        self._seen = summary
        dag = self._dag
        dag.empty = "no pipelines yet\nn makes one"
        items = values.graph(summary)
        dag.set_graph(items)
        dag.set_looks(values.looks(summary, items))
        self._show_rows(summary)
        self._titles(summary)
        self._first_run(not summary.pipelines and not summary.repos)
        self._fit()
        if begun:
            self._begin(summary)

    def _show_rows(self, summary: Summary) -> None:
        """All but the graph: what tells an age."""
        now, ascii = self.frame.store.now, self.frame.ascii_only
        self._job_rows = self._set_rows("jobs", self._job_rows, values.job_rows(
            summary, now, ascii=ascii))  # fmt: skip
        self._list_rows = self._set_rows("pipelines", self._list_rows, values.pipeline_rows(
            summary, now, ascii=ascii))  # fmt: skip
        self._show_lines(summary)

    def _set_rows(self, id: str, before: list[Row], rows: list[Row]) -> list[Row]:
        """Give a table its rows when they are others."""
        if rows != before:
            (self._jobs if id == "jobs" else self._list).set(rows)
            self._table(id).refresh_rows()
        return rows

    def _show_lines(self, summary: Summary) -> None:
        now, ascii = self.frame.store.now, self.frame.ascii_only
        makers: tuple[tuple[str, Callable[[int], list[Entry]], str], ...] = (
            ("attention", lambda w: values.attention(summary, now, w, ascii=ascii), "all is well"),
            ("ingest", lambda w: values.ingests(summary, now, w, ascii=ascii),
             "nothing comes in by itself"),
            ("repos", lambda w: values.repos(summary, now, w, ascii=ascii), "no repos yet"),
            ("disk", lambda w: values.disk(summary, w, ascii=ascii), ""),
        )  # fmt: skip
        for id, make, empty in makers:
            lines = self._lines(id)
            lines.set_empty(empty)
            lines.set_entries(make(lines.scrollable_size.width or 38))

    def _titles(self, summary: Summary) -> None:
        running = sum(not job.done for job in summary.jobs)
        self._title("jobs", "Running and recent jobs", running or None)
        self._title("attention", "Needs attention", len(summary.attention) or None)
        self._title("ingest", "Ingest", len(summary.ingests) or None)
        self._title("repos", "Repos", len(summary.repos) or None)
        dag, listed = ("[dag]", "list") if self._as_graph else ("dag", "[list]")
        dash = "--" if self.frame.ascii_only else "──"
        count = len(summary.pipelines) or None
        self._title("pipelines", "Pipelines", count, f" {dash} {dag} {listed}")

    def _title(self, id: str, text: str, count: int | None = None, more: str = "") -> None:
        widget = self.query_one(f"#{id}", Widget)
        title = f"{text} {count}" if count is not None else text
        if widget.border_title != (wanted := Content(f"{title}{more}").markup):
            widget.border_title = wanted

    def _begin(self, summary: Summary) -> None:
        """Trouble first: that is where the keys go to, unless the user was faster."""
        if self.focused is self._dag and summary.attention:
            self._lines("attention").focus()

    # the first run, and tabs

    def _first_run(self, first: bool) -> None:
        if first != self._was_first:
            self._was_first = first
            self._turn()
            if first:
                self._lines("first").focus()
            elif self._pane in ("", "pipelines"):
                self._front().focus()

    def _turn(self) -> None:
        """Have the tab in front shown that is to be."""
        focused = self._pane == "pipelines"
        self._lines("first").display = self._was_first
        self._dag.display = self._as_graph and not self._was_first
        self._table("pipelines").display = not self._as_graph and not self._was_first
        if focused and not self._was_first:
            self._front().focus()

    def _front(self) -> Widget:
        return self._dag if self._as_graph else self._table("pipelines")

    def do_tab_left(self) -> None:
        """["""
        self._other_tab()

    def do_tab_right(self) -> None:
        """]"""
        self._other_tab()

    def _other_tab(self) -> None:
        self._as_graph = not self._as_graph
        self.frame.remember("home.pipelines", "dag" if self._as_graph else "list")
        self._turn()
        self._fit()
        if self._seen is not None:
            self._titles(self._seen)

    def do_graph(self) -> None:
        """v"""
        self._dag.toggle_list()

    # sizes

    def on_resize(self, event: Resize) -> None:
        """Lines are made for the width of their pane."""
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        self._fit()
        if self._seen is not None:
            self._show_lines(self._seen)

    @on(DescendantFocus)
    def _focused_another(self) -> None:
        """In one column the focused pane is the large one; a job is selected, or not."""
        self._fit()
        self._choose_set()

    def flip(self) -> None:
        """All panes below each other, the focused one large; and back."""
        super().flip()
        self.call_after_refresh(self._resized)

    def _zoomed(self, pane: Widget | None) -> None:
        """A zoomed pane has all there is."""
        self._heights.clear()
        if pane is not None:
            pane.styles.height = "1fr"
        self.call_after_refresh(self._resized)

    def _fit(self) -> None:
        """Give panes the rows that they need, and the rest to those that can use it."""
        body = self.query_one(".body").size.height
        if not body or self.maximized is not None:
            return
        if self.has_class("-one") or self.has_class("-flip"):
            heights = home_sizes.accordion(body, self._pane)
        else:
            heights = home_sizes.columns(
                body,
                graph=self._dag.virtual_size.height if self._as_graph else body // 2,
                attention=len(self._lines("attention").entries),
                ingest=len(self._lines("ingest").entries),
                first=self._was_first,
            )
        for id, height in heights.items():
            if self._heights.get(id, 0) != height:
                self._heights[id] = height
                self.query_one(f"#{id}", Widget).styles.height = height or "1fr"

    # what is selected, filtered, opened

    @property
    def selected(self) -> Thing | None:
        """What the focused pane has under its cursor."""
        focused = self.focused
        if isinstance(focused, Dag):
            text = focused.cursor
        elif isinstance(focused, VirtualTable):
            text = focused.cursor_id or ""
        elif isinstance(focused, Lines):
            text = focused.chosen
        else:
            text = ""
        thing = Thing.of(text) if text else None
        return None if thing is not None and thing.kind == "first" else thing

    @property
    def marked(self) -> list[Thing]:
        """What is marked in the focused table."""
        return [Thing.of(id) for id in sorted(self.marks)]

    def filter_of(self) -> tuple[str, Callable[[str], None]] | None:
        """The filter of the focused pane."""
        focused = self.focused
        if isinstance(focused, Dag):
            return self._graph_filter, self._filter_graph
        if isinstance(focused, VirtualTable):
            return super().filter_of()
        if isinstance(focused, Lines):
            return focused.filter, focused.set_filter
        return None

    def _filter_graph(self, text: str) -> None:
        """What matches stands out in the graph, or is what its list shows."""
        self._graph_filter = text
        self._light()

    def _light(self) -> None:
        """What the filter asks for stands out, else the commit set of the selected job."""
        text, repos = self._graph_filter, self._set[1]
        if not text.strip():
            self._dag.highlight([n for n in self._dag.nodes if self._repo_of(n) in repos] or None)
            return
        match = matcher(text, ["name"])
        names = ((node, node.partition(":")[2]) for node in self._dag.nodes)
        self._dag.highlight([node for node, name in names if match([name])])

    def _repo_of(self, node: str) -> str:
        """The repo that a node of the graph stands for."""
        kind, name, _ = Thing.of(node)
        found = self._seen.pipelines if self._seen and kind == "pipeline" else ()
        made = next((p.output for p in found if p.name == name), "")
        return made.partition("@")[0] or name

    def _choose_set(self) -> None:
        """The job under the cursor is another, or none any more."""
        thing = self.selected
        id = thing.ref if thing is not None and thing.kind == "job" and self._pane == "jobs" else ""
        if id != self._set[0]:
            self._set = (id, frozenset())
            self.load(self._find_set(id), "set")

    async def _find_set(self, id: str) -> None:
        repos: set[str] = set()
        if id:
            await asyncio.sleep(_REST_S)
            async with self.frame.feed.box.inspect_commit_set(id) as commits:
                async for commit in commits:
                    repos.add(commit.repo)
        self._set = (id, frozenset(repos))
        self._light()

    def on_dag_opened(self, event: Dag.Opened) -> None:
        """Enter on a node."""
        self.open_thing(Thing.of(event.node))

    def on_virtual_table_opened(self, event: table_messages.Opened) -> None:
        """Enter on a job or a pipeline."""
        self.open_thing(Thing.of(event.row_id))

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """Enter on a line."""
        thing = Thing.of(event.id)
        if thing.kind == "first":
            self._first(thing.name)
        elif thing.place is not None:
            self.open_thing(thing)
        else:
            self._remedy(event.id)

    def _first(self, what: str) -> None:
        if what == "repo":
            self.load(self.make_repo(), "first")
        elif what == "demo":
            self.load(self.make_demo(), "first")
        else:
            self.load(self.action_press("app.help"), "first")

    def _remedy(self, id: str) -> None:
        """What has no view says what can be done."""
        one = values.trouble(self._seen, id) if self._seen else None
        if one is not None:
            self.frame.notice(f"{one.text}; {one.remedy}" if one.remedy else one.text)

    def on_lines_highlighted(self, event: Lines.Highlighted) -> None:
        """The footer's keys depend on what is selected; trouble says what can be done."""
        self.renew()
        if event.lines.id == "attention" and self._seen is not None:
            one = values.trouble(self._seen, event.id)
            self._under(event.lines, one.remedy if one else "")

    def _under(self, lines: Lines, text: str) -> None:
        """Write a line into the lower border."""
        room = lines.scrollable_size.width - 4
        text = _LONG_ID.sub(r"\1", shown.visible(text))
        said = shown.cut(text, max(0, room), ascii=self.frame.ascii_only)
        lines.border_subtitle = Content(said).markup

    @on(Dag.Highlighted)
    @on(table_messages.Highlighted)
    def _chose_another(self) -> None:
        """The footer's keys depend on what is selected, and so does what stands out."""
        self._choose_set()
        self.renew()
