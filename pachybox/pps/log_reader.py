"""Reading logs for users: which jobs, which lines, now and as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from pachybox.errors import NotFound
from pachybox.meta.tables import JOBS
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Job, Pipeline
from pachybox.pfs.service import Pfs
from pachybox.pps.bench import Running
from pachybox.pps.datums import Datums, matches
from pachybox.pps.logs import JobLog, LogLine, directory, jobs_with_logs

_POLL_S = 0.2


class LogReader:
    """Reads the logs below one directory."""

    def __init__(
        self, pfs: Pfs, datums: Datums, logs: Path, running: Callable[[Job], Sequence[Running]]
    ) -> None:
        self._pfs = pfs
        self._datums = datums
        self._logs = logs
        self._running = running

    def read(
        self,
        wanted: Sequence[Job] | Sequence[Pipeline] | Pipeline,
        *,
        datum: str = "",
        filters: Sequence[str] = (),
        everything: bool = False,
        follow: bool = False,
        tail: int = 0,
        since: timedelta | None = None,
        cancelled: Callable[[], bool],
    ) -> Iterator[LogLine | None]:
        """Lines of jobs (or of all jobs of pipelines), by time; user lines only, unless
        ``everything``. With ``follow`` it goes on until cancelled, or for named jobs until
        they are over; None means "nothing yet"."""
        open_logs: dict[Job, JobLog] = {}
        edge = utc_now() - since if since else None
        matching: dict[str, bool] = {}

        def keep(line: LogLine) -> bool:
            if not everything and not line.user:
                return False
            if edge is not None and line.time < edge:
                return False
            if datum and not line.datum.startswith(datum):
                return False
            if filters:
                if line.datum not in matching:
                    matching[line.datum] = self._datum_matches(line, filters)
                return matching[line.datum]
            return True

        first = True
        while True:
            seen = self._pfs.meta.last_event
            targets = self._log_jobs(wanted)
            over = isinstance(wanted, Sequence) and all(self._over(j) for j in wanted)
            found: list[LogLine] = []
            for job in targets:
                if job not in open_logs:
                    open_logs[job] = JobLog(directory(self._logs, job), job)
                found += [line for line in open_logs[job].new_lines() if keep(line)]
            found.sort(key=lambda line: line.time)
            yield from found[-tail:] if tail and first else found
            first = False
            if not follow or over:
                return
            yield None
            self._pfs.meta.wait_change(seen, _POLL_S)  # lines come without an event: look again
            if cancelled():
                return

    def _log_jobs(self, wanted: Sequence[Job] | Sequence[Pipeline] | Pipeline) -> list[Job]:
        found: list[Job] = []
        for one in [wanted] if isinstance(wanted, Pipeline) else wanted:
            found += jobs_with_logs(self._logs, one) if isinstance(one, Pipeline) else [one]
        return found

    def _over(self, job: Job | Pipeline) -> bool:
        if isinstance(job, Pipeline):
            return False
        record = self._pfs.meta.get(JOBS, job)
        return record is None or record.state.terminal

    def _datum_matches(self, line: LogLine, filters: Sequence[str]) -> bool:
        for one in self._running(line.job):
            if one.datum.id == line.datum:
                return matches(one.datum.inputs, line.datum, filters)
        record = self._pfs.meta.get(JOBS, line.job)
        if record is None:
            return False
        try:
            found = self._datums.inspect(record, line.datum)
        except NotFound:
            return False
        return matches(found.inputs, line.datum, filters)
