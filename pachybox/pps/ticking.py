"""Ticks as commits (reference §4.2): each an empty file named by its time, in a commit.

What is durable of a cron input beside its ticks is in its row of INGESTS, if it has one: whether it
is paused, and as ``offset`` what model/ticks.py calls ``behind``. Functions over a Change.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, tzinfo

from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.meta.tables import BRANCHES, COMMITS, INGESTS, REPOS
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Pipeline
from pachybox.model.ingest import IngestKind, IngestRecord
from pachybox.model.pps import PipelineRecord
from pachybox.model.schedule import parse_schedule
from pachybox.model.ticks import Ticks
from pachybox.model.units import format_time, parse_time
from pachybox.pfs import commits
from pachybox.pfs.change import Change, View
from pachybox.pfs.service import Pfs
from pachybox.pfs.zone import local_zone
from pachybox.pps import pipelines
from pachybox.pps.sources import CronInput, crons
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY


def ticks_of(
    view: View, record: PipelineRecord, cron: CronInput, newest: datetime | None, zone: tzinfo
) -> Ticks:
    """What is known of a cron input whose newest tick file is ``newest``, in a box that is in
    ``zone``. Raises NotFound when its repo was taken away by force, and InvalidArgument for a
    schedule that cannot be read any more, such as in a time zone that the machine lost."""
    repo = view.get(REPOS, cron.branch.repo)
    if repo is None:
        raise NotFound(f"repo {cron.branch.repo.full} not found", "update the pipeline")
    return Ticks(
        parse_schedule(cron.spec, cron.timezone, zone),
        max(record.created, repo.created),
        parse_time(cron.start) if cron.start else None,
        newest,
        behind(view.get(INGESTS, cron.ingest)),
    )


def behind(row: IngestRecord | None) -> datetime | None:
    """What the row of a cron input says of its position."""
    if row is None or row.kind is not IngestKind.CRON or not row.offset:
        return None
    return parse_time(json.loads(row.offset)["behind"])


def newest_tick(pfs: Pfs, root: Hash) -> datetime | None:
    """The newest tick file of a tree, if any; other files are not looked at."""
    with pfs.reading(root):
        for entry in pfs.trees.list(root, after=":", reverse=True):
            try:
                return parse_time(entry.name)
            except InvalidArgument:
                continue
    return None


def row_of(record: PipelineRecord, cron: CronInput) -> IngestRecord:
    """What the row of a cron input would be, had it one."""
    spec = {
        "pipeline": str(record.pipeline),
        "input": cron.name,
        "spec": cron.spec,
        "timezone": cron.timezone,
        "start": cron.start,
        "overwrite": cron.overwrite,
        "coalesce": cron.coalesce,
    }
    return IngestRecord(
        cron.ingest,
        IngestKind.CRON,
        {name: value for name, value in spec.items() if value not in ("", False)},
        cron.branch,
        record.version,
        record.created,
        record.updated,
    )


def _note(ch: Change, record: PipelineRecord, cron: CronInput, late: datetime | None) -> None:
    """Have the row say ``behind``; none is made to say nothing."""
    row = ch.tx.get(INGESTS, cron.ingest)
    if behind(row) == late:
        return
    offset = "" if late is None else json.dumps({"behind": format_time(late)})
    ch.tx.put(INGESTS, replace(row or row_of(record, cron), offset=offset))


def tick(
    ch: Change, pfs: Pfs, session: Session, record: PipelineRecord, cron: CronInput,
    ticks: Ticks, at: datetime,
) -> CommitId:  # fmt: skip
    """The tick of the schedule at ``at``. Refused while the head is open."""
    made = _commit(ch, pfs, session, cron, at)
    _note(ch, record, cron, ticks.behind_by_schedule(at))
    return made


def _commit(ch: Change, pfs: Pfs, session: Session, cron: CronInput, at: datetime) -> CommitId:
    name = format_time(at)
    commit = commits.start_commit(ch, cron.branch, None, f"Tick of {cron.spec}: {name}")
    base = EMPTY if cron.overwrite else commit.root
    file = Entry(name, Kind.FILE, session.put(b""), 0)
    root = pfs.trees.edit(base, [Put(f"/{name}", file)], session.put)
    whole = pfs.trees.entry(root)
    commit = commits.set_tree(ch, commit, root, whole.size, whole.count)
    return commits.finish_commit(ch, commit).commit.id


def tick_now(pfs: Pfs, pipeline: Pipeline, only: Branch | None = None) -> None:
    """Tick the cron inputs of a pipeline by hand, all or the one of a branch, in one change: files
    named by this second. What the schedules have still to do stays as it is.

    Raises InvalidArgument when it has none, Refused while a head is open, and where the newest
    tick, which would be overwritten, is of a time to come.
    """

    def change(ch: Change) -> None:
        record = pipelines.require(ch, pipeline)
        found = {c.branch: c for c in crons(record.spec) if only in (None, c.branch)}
        if not found:
            raise InvalidArgument(
                f"pipeline {pipeline} doesn't have a cron input",
                'give it one, or "run pipeline"',
            )
        for cron in found.values():
            _by_hand(ch, pfs, session, record, cron)

    with pfs.blobs.session() as session:
        pfs.change(change)
        session.keep()


def _by_hand(
    ch: Change, pfs: Pfs, session: Session, record: PipelineRecord, cron: CronInput
) -> None:
    branch = ch.tx.get(BRANCHES, cron.branch)
    head = None if branch is None else branch.head
    commit = None if head is None else ch.tx.get(COMMITS, Commit(cron.branch.repo, head))
    newest = None if commit is None else newest_tick(pfs, commit.root)
    ticks = ticks_of(ch.tx, record, cron, newest, local_zone())
    at = ticks.by_hand(ch.now, overwrite=cron.overwrite)
    if at is None:
        assert newest is not None
        raise Refused(f"the newest tick of {cron.branch} is {ahead(newest)}", remedy(cron))
    _commit(ch, pfs, session, cron, at)
    _note(ch, record, cron, ticks.behind_by_hand(at))


def ahead(newest: datetime) -> str:
    """Words for a tick of a time to come."""
    return f"{format_time(newest)}, ahead of the clock, which was set back"


def remedy(cron: CronInput) -> str:
    """What to do about ticks of a time to come."""
    return (
        f'if it was wrong before, delete such files: pachybox delete file "{cron.branch}:/YYYY*" '
        "(the schedule goes on from the newest left, else from its start)"
    )
