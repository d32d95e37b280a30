"""A spec tried on one datum: its log as it comes, what it wrote, and no commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from tui.places import PIPELINE, Place
from tui.screens.view import View
from tui.shown import clock, size, span, visible
from tui.widgets.rows import Column, LocalRows, Row
from tui.widgets.table import VirtualTable
from tui.widgets.text_pane import PLAIN, TextPane

if TYPE_CHECKING:
    from pachybox.client.trial_values import TrialDatum, TrialEnd, TrialEvent, TrialPlan

_PREVIEW = 64_000
_LINES = 20_000
_TICK_S = 0.1
_COLUMNS = (
    Column("path", "OUTPUT", 16, grow=1, keep=2, path=True),
    Column("size", "SIZE", 10, right=True, keep=1),
)


class TryScreen(View):
    """Runs ``text`` on its first datum, in the real place; leaving ends it. ``r`` runs it again."""

    mode: ClassVar[str] = PIPELINE
    footer_ids: ClassVar[tuple[str, ...]] = ("view.retry", "app.back")
    DEFAULT_CSS = """
    TryScreen #state { height: auto; max-height: 4; padding: 0 1; }
    TryScreen.-one Horizontal.body { layout: vertical; }
    TryScreen #log-pane { width: 3fr; height: 1fr; }
    TryScreen .outputs { width: 2fr; height: 1fr; }
    TryScreen.-one #log-pane, TryScreen.-one .outputs { width: 100%; }
    """

    def __init__(self, text: str, source: str, file: str) -> None:
        super().__init__()
        self.spec, self.source, self.file = text, source, file
        self.ended: TrialEnd | None = None
        self._lines: list[str] = []
        self._drawn = 0
        self._fileset = ""
        self._files = LocalRows()

    def body(self) -> ComposeResult:
        """State, log, outputs."""
        yield Static("asking the box ...", id="state", markup=False)
        with Horizontal(classes="body"):
            with Vertical(classes="pane", id="log-pane") as log:
                log.border_title = "Log"
                yield TextPane(kind=PLAIN, id="log")
            with Vertical(classes="outputs"):
                with Vertical(classes="pane") as outputs:
                    outputs.border_title = "Output (not committed)"
                    yield VirtualTable(
                        _COLUMNS, self._files, empty="nothing yet", marks=False, id="files"
                    )
                with Vertical(classes="pane", id="content-pane"):
                    yield TextPane(kind=PLAIN, id="content")

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#log", TextPane).focus()
        self.set_interval(_TICK_S, self._draw)
        self.do_retry()

    def crumbs(self) -> Sequence[str]:
        """Pipelines > name > try."""
        return ["Pipelines", self.source, "try"]

    def place(self) -> Place:
        """Back to the list: a trial is over when it is left."""
        return Place(PIPELINE)

    def do_retry(self) -> None:
        """r: run it again."""
        self._lines, self._drawn, self.ended = [], -1, None
        self._files.set(())
        self.query_one("#files", VirtualTable).refresh_rows()
        self.query_one("#content", TextPane).show("")
        self.load(self._run(), group="try")

    async def _run(self) -> None:
        box = self.frame.feed.box
        self.call_after_refresh(self.renew, f"run datum -f {self.file} --sample 1")
        events = box.open_trial()
        trial = ""
        try:
            async for event in events:
                if not trial:
                    trial = event.trial
                    await box.run_trial(trial, self.spec, source=self.source, sample=1)
                    continue
                await self._take(event)
                if self.ended is not None:
                    await self._outputs(trial)  # the trial lives on: its outputs can be read
                    self.ended = None
        except Exception as e:
            self._state(str(e), "bold red")
            raise
        finally:
            await events.aclose()

    async def _take(self, event: TrialEvent) -> None:
        what: Any = event.what
        kind = type(what).__name__
        if kind == "TrialPlan":
            self._plan(what)
        elif kind == "TrialLine":
            if len(self._lines) < _LINES:
                self._lines.append(f"{clock(what.time)} {what.message}")
        elif kind == "TrialDatum":
            self._datum(what)
        elif kind == "TrialEnd":
            self.ended = what
            self._end(what)

    def _plan(self, plan: TrialPlan) -> None:
        first = plan.datums[0] if plan.datums else None
        paths = ", ".join(str(i) for i in first.inputs) if first else "none"
        empty = f"; without a commit: {', '.join(plan.empty)}" if plan.empty else ""
        self._state(f"running 1 of {plan.total} datums: {paths}{empty}", "bold")

    def _datum(self, datum: TrialDatum) -> None:
        took = span(datum.info.process_s)
        good = datum.info.state == "SUCCESS"
        what = (
            f"{datum.files} files, {size(datum.size_bytes)}" if good else f"failed: {datum.reason}"
        )
        said = ""
        if good and datum.present is not None:
            differ = len(datum.present.changes) + datum.present.more
            said = f"; {differ} files differ from what the pipeline has" if differ else "; as it is"
        self._state(f"{what}, {took}{said}", "bold green" if good else "bold red")

    def _end(self, end: TrialEnd) -> None:
        if end.message:
            hint = f"; {end.hint}" if end.hint else ""
            self._state(f"{end.message}{hint}", "bold red")
        self._draw()

    async def _outputs(self, trial: str) -> None:
        """List what was written, and show the first file."""
        if self.ended is None or self.ended.state != "SUCCESS":
            return
        box = self.frame.feed.box
        self._fileset = await box.save_trial(trial)
        found = [
            info
            async for info in box.walk_file(f"__filesets__@{self._fileset}:/")
            if not info.is_dir
        ]
        self._files.set(Row(f.path, (f.path, size(f.size_bytes))) for f in found[:2000])
        self.query_one("#files", VirtualTable).refresh_rows()

    def on_virtual_table_highlighted(self, event: VirtualTable.Highlighted) -> None:
        """The file under the cursor is shown."""
        event.stop()
        if event.row_id is not None:
            self.load(self._content(event.row_id), group="content")

    async def _content(self, path: str) -> None:
        data = await self.frame.feed.box.get_file(
            f"__filesets__@{self._fileset}:{path}", limit=_PREVIEW
        )
        self.query_one("#content-pane").border_title = Content(visible(path))
        self.query_one("#content", TextPane).show(_text(data))

    def _state(self, text: str, style: str) -> None:
        self.query_one("#state", Static).update(Text(text, style))

    def _draw(self) -> None:
        """Ten times a second at most: the lines that came."""
        if self._drawn != len(self._lines):
            self._drawn = len(self._lines)
            pane = self.query_one("#log", TextPane)
            pane.show("\n".join(self._lines))
            pane.scroll_end(animate=False)


def _text(data: bytes) -> str:
    """Some bytes as text; what is none is told by its size."""
    if b"\0" in data[:4096]:
        return f"binary: its first bytes are {data[:32].hex(' ')}"
    text = data.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
