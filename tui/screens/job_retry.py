"""Trying datums again, of a job that is at work and of one that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pachybox.errors import NotFound
from tui.keymap import Key
from tui.screens.job_rows import DatumRows
from tui.screens.job_rows import datums as counted
from tui.screens.job_verbs import JobVerbs
from tui.widgets.confirm import Ask
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from pachybox.client.view_values import DatumRow, JobSummary

_BACK = ("SUCCESS", "RECOVERED", "SKIPPED")


class DatumVerbs(JobVerbs):
    """Verbs on the datums that are marked, else on the one under the cursor."""

    job: str
    summary: JobSummary | None

    @property
    def table(self) -> VirtualTable:
        """The datums."""
        raise NotImplementedError

    @property
    def rows(self) -> DatumRows:
        """What is in it."""
        raise NotImplementedError

    def chosen(self) -> list[DatumRow]:
        """The datums that a verb is about, as they were seen last."""
        known = self.rows.datums
        return [known[id] for id in self.table.targets() if id in known]

    def why_not_datum(self, key: Key) -> str:
        """In a job at work only a datum that runs can be tried again."""
        if not self.is_mounted or key.id not in ("retry", "bulk"):
            return ""
        if key.id == "bulk":
            return "" if self.table.marked else "no datum is marked (Space marks, a marks all)"
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
        missed = 0
        for datum in datums:
            try:
                await self.frame.feed.box.restart_datum(self.job, [datum.id])
            except NotFound:  # it ended meanwhile
                missed += 1
                continue
            self.frame.told(f"restart datum {self.job} {datum.id}")
        ended = f"; {missed} ended meanwhile" if missed else ""
        self.frame.notice(f"tried again: {counted(len(datums) - missed)}{ended}")
        self.table.unmark()
        self.reload()

    async def do_bulk(self) -> None:
        """b: what to do with the marked."""
        marked = sorted(self.table.marked)
        again = () if self.frame.read_only else (("retry", "try them again"),)
        choices = (*again, ("copy", "copy their ids"), ("unmark", "unmark them"))
        chosen = await self.ask(Ask(f"What to do with {counted(len(marked))}?", choices=choices))
        if chosen == "retry":
            await self.do_retry()
        elif chosen == "copy":
            await self.frame.copy("\n".join(marked), f"{len(marked)} ids")
        elif chosen == "unmark":
            self.table.unmark()

    def copies(self) -> list[tuple[str, str]]:
        """What ``y`` offers: the datum's names first."""
        found = []
        for datum in self.chosen()[:1]:
            found = [
                ("datum", datum.id),
                ("its inputs", " ".join(datum.inputs)),
                ("its log", f"pachybox logs --job {self.job} --datum {datum.id}"),
            ]
            if datum.reason:
                found.append(("why it failed", datum.reason))
        return found + super().copies()
