"""All jobs of the box, live; Enter opens one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key as KeyPress

from tui.keymap import Key
from tui.places import JOB, Place
from tui.screens.bulk import Bulk
from tui.screens.job_rows import JOBS, JobRows
from tui.screens.job_verbs import JobVerbs
from tui.store import LIVE
from tui.widgets.table import VirtualTable

WHOLE = 32
"""Letters of an id."""
_AGES_S = 20  # ticks after which ages are drawn anew where nothing runs


class Jobs(JobVerbs, Bulk):
    """The list. A place with a pipeline only shows the jobs of that one."""

    bulk_ids: ClassVar[tuple[str, ...]] = ("stop", "delete")
    footer_ids: ClassVar[tuple[str, ...]] = (
        "list.open",
        "view.logs",
        "view.retry",
        "view.stop",
        "view.filter",
    )

    def body(self) -> ComposeResult:
        """One list."""
        with Vertical(classes="body"):
            table = VirtualTable(
                JOBS,
                self._rows(""),
                empty="no job has run yet; a pipeline makes one when data comes (3 pipelines)",
                id="jobs",
                classes="pane",
            )
            table.border_title = "Jobs"
            yield table

    def _rows(self, pipeline: str) -> JobRows:
        frame = self.frame
        return JobRows(
            frame.feed, lambda: frame.store.now, pipeline=pipeline, ascii=frame.ascii_only
        )

    @property
    def table(self) -> VirtualTable:
        """The list."""
        return self.query_one("#jobs", VirtualTable)

    @property
    def rows(self) -> JobRows:
        """What is in it."""
        rows = self.table.rows
        assert isinstance(rows, JobRows)
        return rows

    def on_mount(self) -> None:
        """Look once a second at jobs that are at work: progress is no event."""
        self._ticks = 0
        self.table.focus()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        self._ticks += 1
        if not self.is_current or self.frame.frozen or self.frame.store.link.state != LIVE:
            return
        if self.rows.live or self._ticks % _AGES_S == 0:
            self.table.refresh_rows()

    def crumbs(self) -> Sequence[str]:
        """Where one is."""
        pipeline = self.rows.pipeline if self.is_mounted else ""
        return ["Jobs", pipeline] if pipeline else ["Jobs"]

    def place(self) -> Place:
        """The list, of all or of one pipeline."""
        return Place(JOB, self.rows.pipeline if self.is_mounted else "")

    def show(self, place: Place) -> None:
        """A job's view over the list, or the jobs of a pipeline."""
        if place.pane == "logs" and not place.ref:
            place = replace(place, ref=self._newest(place.name))
        if place.ref:
            self.load(self._find(place), "find")
        elif place.name != self.rows.pipeline:
            self.table.set_rows(self._rows(place.name))
            self.table.border_title = f"Jobs of {place.name}" if place.name else "Jobs"
            self.renew()

    def _newest(self, pipeline: str) -> str:
        summary = self.frame.store.summary
        jobs = [job for job in (summary.jobs if summary else ()) if job.pipeline == pipeline]
        return max(jobs, key=lambda job: str(job.created)).id if jobs else ""

    async def _find(self, place: Place) -> None:
        """Open the job that the place names, by its whole id or the begin of it."""
        job = f"{place.name}@{place.ref}"
        if len(place.ref) < WHOLE:
            found = await self.frame.feed.box.page_job(pipeline=place.name, search=f"@{place.ref}")
            if len(found.rows) != 1:
                many = f"{found.total} jobs begin so" if found.total else "there is no such job"
                self.frame.notice(f"{job}: {many}", error=True)
                return
            job = str(found.rows[0])
        self._open(job, place.pane, place.option("since"))

    def _open(self, job: str, pane: str = "", since: str = "") -> None:
        from tui.screens.job_detail import JobDetail

        self.frame.told(f"inspect job {job}")
        self.app.push_screen(JobDetail(job, pane, since))

    def changed(self, topics: frozenset[str]) -> None:
        """A job's state is another, or the box is back."""
        back = "link" in topics and self.is_back()
        if back or topics & {"job", "reset"}:
            self.table.refresh_rows()

    def reload(self) -> None:
        """Fetch again what is in sight."""
        self.table.refresh_rows()

    def filter_of(self) -> tuple[str, Callable[[str], None]]:
        """The filter of the list."""
        return self.table.request.filter, self.table.sift

    def on_key(self, event: KeyPress) -> None:
        """Esc takes the filter off, then shows the jobs of all pipelines again."""
        if event.key != "escape" or self.focused is not self.table:
            return
        if self.table.request.filter:
            self.filter_of()[1]("")
        elif self.rows.pipeline:
            self.show(Place(JOB))
        else:
            return
        event.stop()

    # ---- verbs

    def targets(self) -> list[str]:
        """The marked jobs, else the one under the cursor."""
        return self.table.targets()

    def selected_job(self) -> str:
        """The one under the cursor."""
        return (self.table.cursor_id or "") if self.is_mounted else ""

    def is_done(self) -> bool | None:
        """As far as it was seen."""
        job = self.rows.jobs.get(self.selected_job())
        return job.done if job else None

    def why_not(self, key: Key) -> str:
        """A job that runs is retried by its datums."""
        if key.id == "retry" and self.is_done() is False:
            return "it is still at work: open it (Enter) to try a datum again"
        return super().why_not(key)

    def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
        """Enter"""
        self._open(message.row_id)

    def on_virtual_table_highlighted(self) -> None:
        """Other verbs may be possible."""
        self.renew()

    def do_logs(self) -> None:
        """l: the job with its log in front."""
        self._open(self.selected_job(), "logs")

    async def do_retry(self) -> None:
        """r: run it again."""
        job = self.rows.jobs.get(self.selected_job())
        if job is not None:
            done = job.processed + job.skipped + job.recovered
            await self.run_again(str(job), job.failed, done)
