"""pachybox.v1.API: backups. What takes long tells how far it is; hanging up calls it off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pachybox.api.definitions import box as ours
from pachybox.api.failures import as_error
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import Corrupt, InvalidArgument, PachyboxError

if TYPE_CHECKING:
    from pachybox.backup.create import Report
    from pachybox.backup.repository import Snapshot

_TELL_S = 0.2


def backup_info(snapshot: Snapshot, to: str) -> Any:
    """pachybox.v1.BackupInfo."""
    count = snapshot.records.get
    return ours.BackupInfo(
        id=snapshot.id,
        to=to,
        time=m.timestamp(datetime.fromtimestamp(snapshot.time, UTC)),
        box=snapshot.box,
        host=snapshot.host,
        pachybox=snapshot.pachybox,
        repos=count("repos", 0),
        commits=count("commits", 0),
        pipelines=count("pipelines", 0),
        jobs=count("jobs", 0),
        secrets=count("secrets", 0),
        box_bytes=snapshot.bytes,
        blobs=snapshot.blobs,
        sent_bytes=snapshot.sent,
        with_key=bool(snapshot.key),
    )


@handles("pachybox.v1.API/CreateBackup")
def create_backup(box: Box, request: Any, call: Call) -> Iterator[Any]:
    def work(report: Report) -> Any:
        made = box.backups.create(
            request.to,
            report,
            call.cancel.is_set,
            password=request.passphrase,
            new=request.new,
        )
        shown = box.backups.place(request.to).target.shown
        return ours.BackupProgress(end=True, backup=backup_info(made, shown))

    return _told(work, "CreateBackup")


@handles("pachybox.v1.API/ListBackup")
def list_backup(box: Box, request: Any, call: Call) -> Iterator[Any]:
    place = box.backups.place(request.to)
    for one in place.list():
        if isinstance(one, Corrupt):
            yield ours.BackupInfo(to=place.target.shown, problem=one.message)
        else:
            yield backup_info(one, place.target.shown)


@handles("pachybox.v1.API/VerifyBackup")
def verify_backup(box: Box, request: Any, call: Call) -> Iterator[Any]:
    place = box.backups.place(request.to)

    def work(report: Report) -> Any:
        done = place.verify(list(request.ids), request.share, report, call.cancel.is_set)
        return ours.BackupProgress(
            end=True,
            done=done.backups,
            packs=done.packs_read,
            total=done.packs,
            bytes=done.bytes_read,
            problems=done.problems,
        )

    return _told(work, "VerifyBackup")


@handles("pachybox.v1.API/RestoreBackup")
def restore_backup(box: Box, request: Any, call: Call) -> Iterator[Any]:
    shown = box.backups.place(request.to).target.shown

    def work(report: Report) -> Any:
        done = box.backups.restore(
            request.to, request.id, request.passphrase, report, call.cancel.is_set
        )
        info = backup_info(done.snapshot, shown)
        return ours.BackupProgress(end=True, backup=info, has_key=done.key)

    return _told(work, "RestoreBackup")


@handles("pachybox.v1.API/PruneBackup")
def prune_backup(box: Box, request: Any, call: Call) -> Iterator[Any]:
    place = box.backups.place(request.to)
    keep = request.keep or box.config.backup_keep
    if not keep:
        raise InvalidArgument("what to keep is not said", "say it: --keep 'last 7, daily 30'")

    def work(report: Report) -> Any:
        done = place.prune(keep, report, call.cancel.is_set, dry_run=request.dry_run)
        shown = place.target.shown
        return ours.BackupProgress(
            end=True,
            kept=[backup_info(one, shown) for one in done.kept],
            removed=[backup_info(one, shown) for one in done.removed],
            packs=done.packs_removed,
            bytes=done.freed_bytes,
            problems=done.problems,
        )

    return _told(work, "PruneBackup")


class _Work:
    """Something that runs in a thread of its own, and how far it is."""

    def __init__(self, work: Callable[[Report], Any], name: str) -> None:
        self._work = work
        self._name = name
        self.at = ("", 0, 0)
        self.result: Any = None
        self.error: PachyboxError | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            self.result = self._work(self._report)
        except Exception as e:
            self.error = as_error(e, self._name)

    def _report(self, stage: str, done: int, total: int) -> None:
        self.at = (stage, done, total)


def _told(work: Callable[[Report], Any], name: str) -> Iterator[Any]:
    """Run ``work`` and tell how far it is; its result is the last message."""
    doing, told = _Work(work, name), ("", 0, 0)
    doing.thread.start()
    while doing.thread.is_alive():
        doing.thread.join(_TELL_S)
        at = doing.at
        if at == told:
            yield None  # the door looks whether the client is there
            continue
        told = at
        yield ours.BackupProgress(stage=at[0], done=at[1], total=at[2])
    if doing.error is not None:
        raise doing.error
    yield doing.result
