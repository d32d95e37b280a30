"""One job: its datums, trouble first, the log of the one under the cursor, where the time went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key as KeyPress
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker

from pachybox.errors import Denied
from tui import glyphs, shown
from tui.keymap import Key
from tui.places import JOB, Place
from tui.screens.job_retry import DatumVerbs
from tui.screens.job_rows import DATUMS, DatumRows, by_glyph, short, short_ids, took
from tui.store import LIVE
from tui.widgets.box_log import BoxLog
from tui.widgets.log import WINDOWS, LogView
from tui.widgets.table import VirtualTable
from tui.widgets.waterfall import Waterfall

if TYPE_CHECKING:
    from pachybox.client.log_values import LogEntry
    from pachybox.client.view_values import JobSummary

PANES = ("datums", "logs", "timing")
STATES = ("", "FAILED", "RUNNING", "RECOVERED", "WAITING", "SUCCESS", "SKIPPED")
_REST_S = 0.15  # the cursor rests on a datum before its log is fetched
_TIMING_S = 3  # ticks between two looks at the timing of a job at work


class TriesLog(BoxLog):
    """The log of a datum that was tried more than once: each line says in which try."""

    def source(self, entry: LogEntry) -> str:
        """The try."""
        return f"try {entry.attempt}"


class JobDetail(DatumVerbs):
    """See the module. Where it is narrow one pane is in sight; Tab shows the next."""

    DEFAULT_CSS = """
    JobDetail #headline { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    JobDetail #tabs { height: 1; padding: 0 1; display: none; color: $text-muted; }
    JobDetail #left { width: 1fr; height: 1fr; }
    JobDetail #logs { width: 1fr; height: 1fr; }
    JobDetail #datums { height: 2fr; }
    JobDetail #timing { height: 1fr; min-height: 7; }
    JobDetail.-three #left { width: 4fr; }
    JobDetail.-three #logs { width: 5fr; }
    JobDetail.-flip #panes { layout: vertical; }
    JobDetail.-one #tabs { display: block; }
    JobDetail.-one.-see-datums #logs, JobDetail.-one.-see-datums #timing { display: none; }
    JobDetail.-one.-see-timing #logs, JobDetail.-one.-see-timing #datums { display: none; }
    JobDetail.-one.-see-timing #timing { height: 1fr; }
    JobDetail.-one.-see-logs #left { display: none; }
    """
    AUTO_FOCUS = ""  # ``see`` sets it
    footer_ids: ClassVar[tuple[str, ...]] = (
        "view.logs",
        "view.retry",
        "view.stop",
        "view.upstream",
        "view.downstream",
    )

    def __init__(self, job: str, pane: str = "", since: str = "") -> None:
        super().__init__()
        self._since = since if since in WINDOWS else ""
        self.job = job
        self.scope = "all" if pane == "logs" else "datum"
        self.summary: JobSummary | None = None
        self._why = "loading ..."
        """Why nothing is known of the job."""
        self._pane = pane if pane in PANES else PANES[0]
        self._inputs: tuple[str, ...] = ()
        self._rest: Timer | None = None
        self._ticks = 0
        self._moved = False
        self._logged: tuple[str, str, bool] | None = None  # job, datum, whether it was tried again
        self._due = 0  # what is to be fetched: nothing, the job, the job and its timing
        self._fetcher: Worker[object] | None = None

    # ---- the panes

    def body(self) -> ComposeResult:
        """Datums and timing beside the log."""
        frame = self.frame
        with Vertical(classes="body"):
            yield Static(id="headline")
            yield Static(id="tabs")
            with Horizontal(id="panes"):
                with Vertical(id="left"):
                    rows = DatumRows(frame.feed, self.job, ascii=frame.ascii_only)
                    yield VirtualTable(
                        DATUMS,
                        rows,
                        empty="no datum of this job was run",
                        id="datums",
                        classes="pane",
                    )
                    yield Waterfall(ascii=frame.ascii_only, id="timing", classes="pane")
                yield LogView(id="logs", classes="pane", empty="nothing was written to this log")

    @property
    def table(self) -> VirtualTable:
        """The datums."""
        return self.query_one("#datums", VirtualTable)

    @property
    def rows(self) -> DatumRows:
        """What is in it."""
        rows = self.table.rows
        assert isinstance(rows, DatumRows)
        return rows

    @property
    def log_view(self) -> LogView:
        """The log."""
        return self.query_one("#logs", LogView)

    @property
    def timing(self) -> Waterfall:
        """Where the time went."""
        return self.query_one("#timing", Waterfall)

    def on_mount(self) -> None:
        """Fetch; progress is looked at once a second while the job is at work."""
        self.see(self._pane)
        self._titles()
        self._headline()
        self._refresh(timing=True)
        if self.scope == "all":
            self._show_log()
        self.set_interval(1.0, self._tick)

    def see(self, pane: str) -> None:
        """Put the focus on a pane; where only one has room, that one."""
        for name in PANES:
            self.set_class(name == pane, f"-see-{name}")
        self._pane = pane
        parts = [
            (f" {name.capitalize()} ", "bold reverse" if name == pane else "") for name in PANES
        ]
        self.query_one("#tabs", Static).update(Content.assemble(*parts))
        self.query_one(f"#{pane}").focus()

    def focus_next(self, selector: str | type[Widget] = "*") -> Widget | None:
        """Tab: where one pane has room, the next comes in its place."""
        return self._turn(1) if self.has_class("-one") else super().focus_next(selector)

    def focus_previous(self, selector: str | type[Widget] = "*") -> Widget | None:
        """The same the other way round."""
        return self._turn(-1) if self.has_class("-one") else super().focus_previous(selector)

    def _turn(self, step: int) -> Widget | None:
        self.see(PANES[(PANES.index(self._pane) + step) % len(PANES)])
        return self.focused

    def on_descendant_focus(self) -> None:
        """The pane with the focus is the one that is seen when it gets narrow."""
        focused = self.focused
        if focused is not None and focused.id in PANES and focused.id != self._pane:
            self.see(focused.id)

    def on_key(self, event: KeyPress) -> None:
        """Esc leads from the other panes back to the datums, then to all of them, then out."""
        self._moved = True
        if event.key != "escape" or self.focused is None:
            return
        if self.focused is not self.table:
            event.stop()
            self.see("datums")
        elif (found := self.filter_of()) and found[0]:
            event.stop()
            found[1]("")

    def on_click(self) -> None:
        """The mouse moves, too."""
        self._moved = True

    # ---- what is known

    def crumbs(self) -> Sequence[str]:
        """Where one is."""
        return ["Jobs", short(self.job)]

    def place(self) -> Place:
        """This job."""
        name, _, ref = self.job.rpartition("@")
        return Place(JOB, name, ref)

    def selected_job(self) -> str:
        """This one."""
        return self.job

    def is_done(self) -> bool | None:
        """Whether it has ended."""
        return self.summary.done if self.summary else None

    def changed(self, topics: frozenset[str]) -> None:
        """The job is in another state, or the box is back."""
        back = "link" in topics and self.is_back()
        if back or topics & {f"job:{self.job}", "reset"}:
            self.reload()

    def reload(self) -> None:
        """Fetch again what is in sight."""
        if self.is_mounted:
            self._refresh(timing=True)

    def _refresh(self, timing: bool) -> None:
        """Fetch soon; what is asked while a fetch is on is done after it."""
        self._due = max(self._due, 2 if timing else 1)
        if self._fetcher is None or self._fetcher.is_finished:
            self._fetcher = self.load(self._fetch(), "job")

    def _tick(self) -> None:
        frame = self.frame
        if not self.is_current or frame.frozen or frame.store.link.state != LIVE:
            return
        if self.summary is not None and not self.summary.done:
            self._ticks += 1
            self._refresh(timing=self._ticks % _TIMING_S == 0)

    async def _fetch(self) -> None:
        box = self.frame.feed.box
        while self._due:
            timing, self._due = self._due == 2, 0
            pipeline, _, id = self.job.rpartition("@")
            try:
                found = await box.page_job(pipeline=pipeline, search=id, limit=1)
            except Denied as e:
                self._why = str(e)
                self.timing.say(self._why)
                self._headline()
                return
            if not found.rows:
                self._why = "there is no such job"
            self.summary = found.rows[0] if found.rows else self.summary
            if not self._inputs and found.rows:
                self._inputs = await self.inputs_of(self.job)
            self.table.refresh_rows()
            self._headline()
            self.renew()
            if timing:
                self.timing.set_timing(await box.timing(self.job))

    def on_virtual_table_loaded(self) -> None:
        """The counts may be others; until one moves, the cursor is on the worst datum."""
        self._headline()
        if not self._moved and self.table.cursor:
            self.table.action_top()
        if self._logged and self._logged[1] == self.log_scope().get("datum", ""):
            self._show_log()  # a second try of it may have begun
            self._titles()

    def _headline(self) -> None:
        frame, job = self.frame, self.summary
        if job is None:
            self.query_one("#headline", Static).update(Content(f"{short(self.job)}  {self._why}"))
            return
        mark, ascii = glyphs.job(job.state), frame.ascii_only
        parts: list[tuple[str, str]] = [(mark.text(ascii), f"bold {glyphs.STYLES[mark.style]}")]
        for text, style in by_glyph(self.rows.counts, ascii):
            parts += [("  ", ""), (text, glyphs.STYLES[style])]
        words = [f"of {shown.count(job.total)}", shown.span(took(job, frame.store.now))]
        if not job.done:
            words += [shown.bar(job.done_share, 10, ascii=ascii), f"{shown.left(job.left_s)} left"]
        if job.restarts:
            words.append(f"{job.restarts} restarts")
        if self._inputs:
            more = f" +{len(self._inputs) - 1}" if len(self._inputs) > 1 else ""
            words.append(f"in {short(self._inputs[0])}{more}")
        words.append(f"out {short(job.output_commit or self.job)}")
        if job.reason:
            words.append(short_ids(job.reason))
        parts.append(("  " + "  ".join(words), ""))
        self.query_one("#headline", Static).update(
            Content.assemble(*((text, style.strip()) for text, style in parts))
        )

    def _titles(self) -> None:
        rows, table = self.rows, self.table
        sort = table.request.sort or "trouble"
        state = glyphs.datum(rows.state).word if rows.state else "all"
        table.border_title = Content(f"Datums  state:{state}  sort:{sort}")
        self.timing.border_title = "Timing"
        datum = self._logged[1] if self._logged else ""
        tries = self.rows.datums[datum].tries if datum in self.rows.datums else 0
        more = f"  {tries} tries" if tries > 1 else ""
        named = f"datum {datum[:8]}{more}" if datum else "all"
        self.log_view.border_title = Content(f"Logs  {named}")

    # ---- the log follows the cursor

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """Another datum: its log, once the cursor rests."""
        if self._rest is not None:
            self._rest.stop()
        if self._logged is None:
            self._show_log()
        else:
            self._rest = self.set_timer(_REST_S, self._show_log)

    def log_scope(self) -> dict[str, str]:
        """The log in sight."""
        datum = self.table.cursor_id if self.scope == "datum" else None
        return {"job": self.job, "datum": datum} if datum else {"job": self.job}

    def _show_log(self) -> None:
        scope = self.log_scope()
        datum = self.rows.datums.get(scope.get("datum", ""))
        again = datum is not None and datum.tries > 1
        wanted = (self.job, scope.get("datum", ""), again)
        if wanted == self._logged:
            return
        self._logged = wanted
        kind = TriesLog if again else BoxLog
        self.log_view.sources = again or not wanted[1]
        self.log_view.set_source(kind(self.frame.feed, **scope))
        if self._since:  # what was asked for, of the first log that is shown
            self.log_view.show_window(self._since)
            self._since = ""
        self._titles()

    # ---- tabs, filter, opening

    def do_tab_left(self) -> None:
        """[ : of the pane with the focus."""
        self._tab(-1)

    def do_tab_right(self) -> None:
        """]"""
        self._tab(1)

    def _tab(self, step: int) -> None:
        if self._pane == "timing":
            self.timing.turn(step)
        elif self._pane == "logs":
            self.scope = "all" if self.scope == "datum" else "datum"
            self._show_log()
        else:
            rows = self.rows
            there = [state for state in STATES if not state or rows.counts.get(state)]
            here = there.index(rows.state) if rows.state in there else 0
            rows.state = there[(here + step) % len(there)]
            self.table.set_rows(rows)
            self._titles()

    def filter_of(self) -> tuple[str, Callable[[str], None]] | None:
        """The filter of the datums."""
        return self.table.request.filter, self.table.sift

    def on_virtual_table_opened(self) -> None:
        """Enter: into the datum's log."""
        self.do_logs()

    def on_waterfall_opened(self, message: Waterfall.Opened) -> None:
        """Enter on a bar: that datum's log, where its row is in memory."""
        if self.table.show_row(message.datum):
            self.scope = "datum"
            self._show_log()

    def do_logs(self) -> None:
        """l: into the log."""
        if self._rest is not None:
            self._rest.stop()
        self._show_log()
        scope = self.log_scope()
        datum = f" --datum {scope['datum']}" if "datum" in scope else ""
        self.frame.told(f"logs --job {self.job}{datum}")
        self.see("logs")

    def why_not(self, key: Key) -> str:
        """What the datums say."""
        return self.why_not_datum(key) or super().why_not(key)
