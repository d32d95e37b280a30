"""Trying datums again, of a job that is at work and of one that has ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pachybox.errors import NotFound
from tui.keymap import Key
from tui.screens.bulk import Bulk
from tui.screens.job_rows import DatumRows
from tui.screens.job_rows import datums as counted
from tui.screens.job_verbs import JobVerbs
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from pachybox.client.page_values import DatumRow
    from pachybox.client.view_values import JobSummary

_BACK = ("SUCCESS", "RECOVERED", "SKIPPED")


class DatumVerbs(JobVerbs, Bulk):
    """Verbs on the datums that are marked, else on the one under the cursor."""

    bulk_ids: ClassVar[tuple[str, ...]] = ("retry",)
    job: str
    summary: JobSummary | None

    @property
    @abstractmethod
    def table(self) -> VirtualTable:
        """The datums."""

    @property
    @abstractmethod
    def rows(self) -> DatumRows:
        """What is in it."""

    def chosen(self) -> list[DatumRow]:
        """The datums that a verb is about, as they were seen last."""
        known = self.rows.datums
        return [known[id] for id in self.table.targets() if id in known]

    def why_not_datum(self, key: Key) -> str:
        """In a job at work only a datum that runs can be tried again."""
        if not self.is_mounted or key.id != "retry":
            return ""
        if self.is_done() is None:
            return "the job is not known yet"
        if self.is_done():
            return ""
        if any(datum.state == "RUNNING" for datum in self.chosen()):
            return ""
        return "the job is at work: only a datum that runs can be tried again before it has ended"

    async def do_retry(self) -> None:
        """r: at work, the chosen datums are tried again now; ended, the job is run again."""
        job = self.summary
        if job is None:
            return
        if job.done:
            counts = self.rows.counts
            await self.run_again(self.job, job.failed, sum(counts.get(s, 0) for s in _BACK))
            return
        await self._restart([datum for datum in self.chosen() if datum.state == "RUNNING"])

    async def _restart(self, datums: Sequence[DatumRow]) -> None:
        missed, said = 0, []
        for datum in datums:
            try:
                await self.frame.feed.box.restart_datum(self.job, [datum.id])
            except NotFound:  # it ended meanwhile
                missed += 1
                continue
            said.append(f"restart datum {self.job} {datum.id}")
        self.frame.told(*said)
        ended = f"; {missed} ended meanwhile" if missed else ""
        self.frame.notice(f"tried again: {counted(len(datums) - missed)}{ended}")
        self.table.unmark()
        self.reload()

    def named(self) -> list[tuple[str, str]]:
        """The datum's names before the job's."""
        found = []
        for datum in self.chosen()[:1]:
            found = [
                ("datum", datum.id),
                ("its inputs", " ".join(datum.inputs)),
                ("its log", f"pachybox logs --job {self.job} --datum {datum.id}"),
            ]
            if datum.reason:
                found.append(("why it failed", datum.reason))
        return found + super().named()
