"""Mode 5: the sources that bring data in by themselves, what they do and what they said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from pachybox.client.ingest_values import IngestInfo
from pachybox.client.view_values import PipelineSummary
from tui import glyphs
from tui.drafts import Draft, Drafts
from tui.keymap import Key
from tui.places import INGEST, JOB, PIPELINE, REPO, Place
from tui.screens.bulk import Bulk
from tui.screens.ingest_facts import ended, facts, late_s, source_of, spec_text, took_s, trend
from tui.screens.ingest_spec import TEMPLATES, SourceScreen, draft_name
from tui.screens.pipeline_verbs import box_name
from tui.shown import age, ago, rate, size, span
from tui.store import LIVE, SUMMARY
from tui.widgets.box_log import BoxLog
from tui.widgets.confirm import Ask
from tui.widgets.log import LogView
from tui.widgets.rows import Column, LocalRows, Row
from tui.widgets.table import VirtualTable

COLUMNS = (
    Column("state", "", 1, keep=9),
    Column("name", "NAME", 14, 2, sort="name", keep=9),
    Column("kind", "KIND", 7, sort="kind", keep=4),
    Column("source", "SOURCE", 16, 3, keep=2),
    Column("next", "NEXT", 9, right=True, sort="next", keep=6),
    Column("last", "LAST", 5, right=True, sort="last", keep=6),
    Column("took", "TOOK", 6, right=True, sort="took", keep=6),
    Column("exit", "EXIT", 6, sort="exit", keep=6),
    Column("rate", "RATE", 7, right=True, sort="rate", keep=6),
    Column("trend", "TREND", 12, keep=1),
    Column("lag", "LAG", 6, right=True, sort="lag", keep=5),
)
_PIPELINES = ("cron", "spout")
_FRESH_S = 2.0


class Ingests(Bulk):
    """All sources, with the facts and the log of the one under the cursor."""

    mode: ClassVar[str] = INGEST
    bulk_ids: ClassVar[tuple[str, ...]] = ("tick", "pause")
    footer_ids: ClassVar[tuple[str, ...]] = ("view.tick", "view.pause", "view.logs", "view.new")
    DEFAULT_CSS = """
    Ingests #sources { height: 2fr; min-height: 6; }
    Ingests #beside { height: 3fr; }
    Ingests #facts { width: 1fr; height: 1fr; padding: 0 1; overflow-y: auto; }
    Ingests #log { width: 1fr; }
    Ingests.-three #facts { width: 76; }
    Ingests.-one #facts { display: none; }
    Ingests.-one.-facts #facts { display: block; width: 1fr; }
    Ingests.-one.-facts #log { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows = LocalRows(known=False)
        self._wanted = ""
        self._log_of = ""

    def body(self) -> ComposeResult:
        with Vertical(classes="body"):
            yield VirtualTable(
                COLUMNS,
                self._rows,
                empty="nothing brings data in by itself yet: n makes a source, "
                "or try  pachybox watch DIR repo@branch",
                id="sources",
                classes="pane",
            )
            with Horizontal(id="beside"):
                yield Static(id="facts", classes="pane", markup=False)
                yield LogView(id="log", classes="pane")

    def on_mount(self) -> None:
        """Ages and times to the next tick go on without events."""
        self._table.border_title = "Ingest"
        self.query_one("#facts").border_title = "Source"
        self._log.border_title = "Log"
        self.set_interval(1.0, self._draw)
        self.set_interval(_FRESH_S, self._ask_again)
        self._table.focus()

    # What the view is

    @property
    def _table(self) -> VirtualTable:
        return self.query_one("#sources", VirtualTable)

    @property
    def _log(self) -> LogView:
        return self.query_one("#log", LogView)

    @property
    def info(self) -> IngestInfo | None:
        """The source under the cursor."""
        return self._named(self._table.cursor_id or "")

    def _named(self, name: str) -> IngestInfo | None:
        summary = self.frame.store.summary
        found = summary.ingests if summary else ()
        return next((one for one in found if one.name == name), None)

    def _pipeline(self, info: IngestInfo) -> PipelineSummary | None:
        summary = self.frame.store.summary
        found = summary.pipelines if summary else ()
        return next((one for one in found if one.name == info.pipeline), None)

    def crumbs(self) -> Sequence[str]:
        """The source's name, when the cursor is on one."""
        info = self.info if self.is_mounted else None
        return ["Ingest", info.name] if info else ["Ingest"]

    def place(self) -> Place:
        """The source under the cursor."""
        info = self.info if self.is_mounted else None
        return Place(INGEST, info.name if info else "")

    def show(self, place: Place) -> None:
        """Put the cursor on a source, as soon as it is known."""
        self._wanted = place.name
        if place.pane == "new":
            self.do_new_soon()
        self._draw()

    def changed(self, topics: frozenset[str]) -> None:
        """A summary brings all that the list shows."""
        if topics & {SUMMARY, "reset"}:
            self._draw()

    def reload(self) -> None:
        """Draw what is known, and ask for what is new."""
        self._draw()

    # Drawing

    def _ask_again(self) -> None:
        """What a source does (its rate, its lag, what waits) is no event of the box."""
        store = self.frame.store
        if self.app.screen is self and store.link.state == LIVE and self._table.total:
            self.frame.feed.hurry()

    def _draw(self) -> None:
        summary = self.frame.store.summary
        if summary is None or not self.is_mounted or self.app.screen is not self:
            return
        rows = [self._row(info) for info in summary.ingests]
        rows.sort(key=lambda row: row.style not in ("failed", "warning"))  # trouble first
        self._rows.set(rows)
        self._table.border_title = f"Ingest {len(summary.ingests)}"
        self._table.refresh_rows()
        if self._wanted and self._table.show_row(self._wanted):
            self._wanted = ""
        self._draw_facts()

    def _row(self, info: IngestInfo) -> Row:
        plain = self.frame.ascii_only
        now, pipeline = self.frame.store.now, self._pipeline(info)
        late, took = late_s(info, now), took_s(info, pipeline, now)
        overdue = late and info.state == "running"
        mark = glyphs.ingest("late" if overdue else info.state, info.kind)
        left = (info.next_time - now).total_seconds() if info.next_time else None
        due = f"late {span(late)}" if late else span(max(0.0, left)) if left is not None else "-"
        each = sum(info.rates) / len(info.rates) if info.rates else 0.0
        cells = (
            Text(mark.sign(plain)),
            info.name,
            info.kind,
            source_of(info),
            due,
            age(info.last_time, now) if info.last_time else "-",
            "-" if took is None else span(took),
            ended(info, pipeline, plain),
            rate(each),
            trend(info.rates, 12, plain),
            span(info.lag_s) if info.lag_s >= 0.1 else "-",
        )
        keys = (
            mark.word,
            info.name,
            info.kind,
            source_of(info),
            left if left is not None else 1e18,
            info.last_time.timestamp() if info.last_time else 0.0,
            took or 0.0,
            cells[7],
            each,
            each,
            info.lag_s,
        )
        style = {"bad": "failed", "warn": "warning", "ok": "", "quiet": "dim"}.get(mark.style, "")
        return Row(info.name, cells, style, keys)

    def _draw_facts(self) -> None:
        info = self.info
        view = self.query_one("#facts", Static)
        if info is None:
            view.update("")
            return
        view.border_title = info.name
        now, plain = self.frame.store.now, self.frame.ascii_only
        text = facts(info, self._pipeline(info), now, plain, view.content_size.width or 80)
        view.update(text)

    def on_virtual_table_highlighted(self, event: VirtualTable.Highlighted) -> None:
        """Another source: its facts at once, its log beside the interface."""
        self._draw_facts()
        self.renew()
        if event.row_id and event.row_id != self._log_of:
            self._log_of = event.row_id
            self._log.border_title = f"Log of {event.row_id}"
            self._log.set_source(BoxLog(self.frame.feed, **self._log_name(event.row_id)))

    def _log_name(self, name: str) -> dict[str, str]:
        """A cron has no process of its own: what its pipeline says is its log."""
        info = self._named(name)
        if info is not None and info.kind == "cron":
            return {"pipeline": info.pipeline}
        return {"ingest": name}

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Enter: the branch it writes, which is its history."""
        if info := self._named(event.row_id):
            repo, _, branch = info.to.partition("@")
            self.frame.visit(Place(REPO, repo, branch))

    # Verbs

    def why_not(self, key: Key) -> str:
        """What cannot be done with the source under the cursor, and how else."""
        info = self.info
        if key.id in ("new", "filter", "tab_left", "tab_right"):
            return ""
        if info is None:
            return "no source is selected"
        of_pipeline = info.kind in _PIPELINES
        if key.id in ("edit", "delete") and of_pipeline:
            return f"it belongs to pipeline {info.pipeline}: change that (3)"
        if key.id == "upstream":
            return "" if info.pipeline else "nothing in the box feeds it"
        return ""

    async def do_tick(self) -> None:
        """t: bring in now what is due later."""
        names = self._table.targets()
        for name in names:
            await self.frame.feed.box.run_ingest(name)
        self.frame.told(*(f"run ingest {name}" for name in names))
        self.frame.feed.hurry()

    async def do_retry(self) -> None:
        """r: the same, for a source that failed."""
        await self.do_tick()

    async def do_pause(self) -> None:
        """s: pause, or resume what is paused."""
        box, said = self.frame.feed.box, []
        for name in self._table.targets():
            info = self._named(name)
            paused = info is not None and info.paused
            await (box.resume_ingest(name) if paused else box.pause_ingest(name))
            said.append(f"{'resume' if paused else 'pause'} ingest {name}")
        self.frame.told(*said)
        self.frame.feed.hurry()

    async def do_delete(self) -> None:
        """D: asks; what came in stays."""
        info = self.info
        if info is None:
            return
        command = f"delete ingest {info.name}"
        came = f"{info.records:,} records, {info.files:,} files, {size(info.bytes)}"
        question = Ask(
            f"Delete source {info.name}?",
            f"It writes {info.to}; what came in so far ({came}) stays there.",
            command=command,
        )
        if await self.ask(question):
            await self.frame.feed.box.delete_ingest(info.name)
            self.frame.told(command)
            self.frame.feed.hurry()

    def do_tab_left(self) -> None:
        """[: the facts, or the log, where there is room for one of them."""
        self.toggle_class("-facts")
        if self.focused is self._log and self.has_class("-one"):
            self._table.focus()

    def do_tab_right(self) -> None:
        """]: the same."""
        self.do_tab_left()

    def do_logs(self) -> None:
        """l: to the log."""
        self.remove_class("-facts")
        self._log.focus()

    async def do_new(self) -> None:
        """n: a kind, and its template to be filled in."""
        choices = tuple((kind, words) for kind, words, _ in TEMPLATES)
        kind = await self.ask(Ask("What brings the data in?", choices=choices))
        if kind is None:
            return
        if kind == "cron":
            self.frame.visit(Place(PIPELINE, pane="new"))
            return
        text = next(template for one, _, template in TEMPLATES if one == kind)
        await self._write(Draft(box_name(self), draft_name(""), 0, text, text), "")

    async def _write(self, draft: Draft, name: str) -> None:
        """Write a spec, from a draft where one was kept."""
        drafts = Drafts()
        kept = await asyncio.to_thread(drafts.get, draft.box, draft.pipeline)
        if kept is not None:
            when = ago(kept.time, self.frame.store.now)
            choices = (("draft", f"go on with the draft of {when}"), ("new", "begin anew"))
            asked = await self.ask(Ask("A draft was kept?", kept.text[:400], choices=choices))
            if asked is None:
                return
            draft = kept if asked == "draft" else draft
        self.app.push_screen(SourceScreen(draft, drafts, name))

    def do_new_soon(self) -> None:
        """Ask what to make, beside the interface."""
        self.load(self.do_new(), group="verb new")

    async def do_edit(self) -> None:
        """e: its spec, with what is wrong in it."""
        if self.info is None:
            return
        info = await self.frame.feed.box.inspect_ingest(self.info.name)
        text = spec_text(info)
        draft = Draft(box_name(self), draft_name(info.name), info.version, text, text)
        await self._write(draft, info.name)

    def named(self) -> list[tuple[str, str]]:
        """The source's name, and the branch it writes."""
        info = self.info
        return [("name", info.name), ("branch", info.to)] if info else []

    def do_upstream(self) -> None:
        """<: the pipeline it belongs to."""
        if (info := self.info) and info.pipeline:
            self.frame.visit(Place(PIPELINE, info.pipeline))

    def do_downstream(self) -> None:
        """>: the job its last tick started, else the branch it writes."""
        info = self.info
        pipeline = self._pipeline(info) if info else None
        if pipeline is not None and pipeline.job is not None:
            self.frame.visit(Place(JOB, pipeline.name, pipeline.job.id))
        elif info is not None:
            repo, _, branch = info.to.partition("@")
            self.frame.visit(Place(REPO, repo, branch))
