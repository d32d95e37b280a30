"""Ticks of cron inputs (reference §4.2): each an empty file named by its time, in a commit.

There is no plan but the data: the next tick follows the newest tick file of the repo, so a
tick that was committed is never made again and one that was not is made after a restart,
however the box went down. Ticks that time has passed over are made one by one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pachybox.errors import InvalidArgument, PachyboxError
from pachybox.meta.tables import BRANCHES, COMMITS, PIPELINES, REPOS
from pachybox.meta.writer import utc_now
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Pipeline
from pachybox.model.pps import PipelineRecord
from pachybox.model.schedule import last_tick, next_tick
from pachybox.model.units import format_time, parse_time
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pfs.zone import local_zone
from pachybox.pps import pipelines
from pachybox.pps.sources import CronInput, crons
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

log = logging.getLogger("pachybox.cron")

_LOOK_S = 1.0  # the finest schedule is by the second
_MOST_OPEN = 100  # jobs of a pipeline not over, until missed ticks wait for them


def tick_now(pfs: Pfs, pipeline: Pipeline) -> None:
    """Tick every cron input of a pipeline, in one change: files named by this second.

    Raises InvalidArgument when it has none.
    """

    def change(ch: Change) -> None:
        record = pipelines.require(ch, pipeline)
        found = crons(record.spec)
        if not found:
            raise InvalidArgument(
                f"pipeline {pipeline} doesn't have a cron input",
                'give it one, or "run pipeline"',
            )
        for cron in {cron.branch: cron for cron in found}.values():
            _commit(ch, pfs, session, cron, ch.now)

    with pfs.blobs.session() as session:
        pfs.change(change)
        session.keep()


def _commit(ch: Change, pfs: Pfs, session: Session, cron: CronInput, at: datetime) -> None:
    """One tick in a commit of its own. Refused while the head is open."""
    commit = commits.start_commit(ch, cron.branch, None, f"Tick of {cron.spec}.")
    base = EMPTY if cron.overwrite else commit.root
    name = format_time(at.replace(microsecond=0))
    file = Entry(name, Kind.FILE, session.put(b""), 0)
    root = pfs.trees.edit(base, [Put(f"/{name}", file)], session.put)
    whole = pfs.trees.entry(root)
    commit = commits.set_tree(ch, commit, root, whole.size, whole.count)
    commits.finish_commit(ch, commit)


@dataclass(frozen=True, slots=True)
class _Due:
    """A tick to make on ``head``, which is the head it was worked out from."""

    pipeline: PipelineRecord
    cron: CronInput
    head: CommitId | None
    at: datetime


class Cron:
    """One thread that makes the ticks of all pipelines that are not stopped."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="cron", daemon=True)
        self._specs: dict[Pipeline, tuple[object, tuple[CronInput, ...]]] = {}
        self._last: dict[Branch, tuple[CommitId, datetime | None]] = {}
        self._next: dict[tuple[str, datetime], datetime | None] = {}
        self._told: dict[Branch, str] = {}

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent, and without effect when it was never started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = _LOOK_S
            try:
                pause = self.look(utc_now())
            except Exception:  # it must be there for the next tick
                log.exception("cron inputs could not be looked at")

    def look(self, now: datetime) -> float:
        """Make one tick of every cron input that is due; returns for how many seconds there is
        nothing to do."""
        pause = _LOOK_S
        for due in self._coming():
            ahead = (due.at - now).total_seconds()
            if ahead > 0:
                pause = min(pause, ahead)
            elif self._stop.is_set():
                return 0.0
            elif not self._crowded(due.pipeline.pipeline) and self._tick(due, now):
                pause = 0.0
        return pause

    def _coming(self) -> Iterator[_Due]:
        """The next tick of every cron input that has one."""
        records = self._pfs.meta.all(PIPELINES)
        if len(self._specs) > 2 * len(records) + 100:
            self._specs.clear()
        for record in records:
            for cron in self._crons(record):
                due = None if record.stopped else self._next_of(record, cron)
                if due is not None:
                    yield due

    def _crons(self, record: PipelineRecord) -> tuple[CronInput, ...]:
        """perf: specs of thousands of pipelines are not read anew every second."""
        known = self._specs.get(record.pipeline)
        if known is None or known[0] is not record.spec:
            known = self._specs[record.pipeline] = (record.spec, crons(record.spec))
        return known[1]

    def _next_of(self, record: PipelineRecord, cron: CronInput) -> _Due | None:
        branch = self._pfs.meta.get(BRANCHES, cron.branch)
        repo = self._pfs.meta.get(REPOS, cron.branch.repo)
        if branch is None or repo is None:
            return None  # taken away by force
        after = None if branch.head is None else self._last_tick(cron.branch, branch.head)
        if after is None and cron.start:
            after = parse_time(cron.start)
        elif after is None:
            after = max(record.created, repo.created)
        if len(self._next) > 10_000:
            self._next.clear()
        key = (cron.spec, after)
        if key not in self._next:
            self._next[key] = next_tick(cron.spec, after, local_zone())
        at = self._next[key]
        return None if at is None else _Due(record, cron, branch.head, at)

    def _last_tick(self, branch: Branch, head: CommitId) -> datetime | None:
        """The newest tick file of a commit, if any; other files are not looked at."""
        known = self._last.get(branch)
        if known is None or known[0] != head:
            commit = self._pfs.meta.get(COMMITS, Commit(branch.repo, head))
            found = None if commit is None else self._newest(commit.root)
            known = self._last[branch] = (head, found)
        return known[1]

    def _newest(self, root: Hash) -> datetime | None:
        with self._pfs.reading(root):
            for entry in self._pfs.trees.list(root, after=":", reverse=True):
                try:
                    return parse_time(entry.name)
                except InvalidArgument:
                    continue
        return None

    def _crowded(self, pipeline: Pipeline) -> bool:
        """Whether so many jobs wait that more would only fill the box; ticks are not lost."""
        waiting = self._pfs.meta.db.read(
            "SELECT count(*) FROM jobs WHERE project = ? AND pipeline = ? AND finished_us IS NULL",
            (pipeline.project, pipeline.name),
        )
        return bool(waiting[0][0] >= _MOST_OPEN)

    def _tick(self, due: _Due, now: datetime) -> bool:
        """Make a tick; False when it was not possible, or no longer due."""
        cron, at = due.cron, due.at
        if cron.coalesce:
            at = last_tick(cron.spec, at, now, local_zone())

        def change(ch: Change) -> bool:
            record = ch.tx.get(PIPELINES, due.pipeline.pipeline)
            branch = ch.tx.get(BRANCHES, cron.branch)
            if record is None or record.stopped or record.version != due.pipeline.version:
                return False
            if branch is None or branch.head != due.head:
                return False  # somebody else ticked: look again
            _commit(ch, self._pfs, session, cron, at)
            return True

        try:
            with self._pfs.blobs.session() as session:
                made = self._pfs.change(change)
                session.keep()
        except PachyboxError as e:
            if self._told.get(cron.branch) != str(e):
                log.warning("no tick repo=%s error=%s", cron.branch.repo, e)
            self._told[cron.branch] = str(e)
            return False
        self._told.pop(cron.branch, None)
        return made
