"""One life of a spout: its program, the pipe it writes to and the reader of that.

A life has a pipe and a reader of its own, so that nothing torn of one life comes into the next:

    what came whole is committed -> reader has the pipe -> last marker is laid out -> program
    program has ended -> reader has read to the end -> open commits of the program are dropped
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from pachybox.errors import NotReady
from pachybox.ingest.advance import made_at
from pachybox.ingest.process import Wanted
from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch, Commit
from pachybox.model.ingest import SPOUT_MARKER, Ingest, IngestKind, IngestState, IngestStatus
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import PipelineRecord
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pps.logs import directory, heading, of_spout
from pachybox.pps.program import GRACE_S, Program
from pachybox.pps.runners.base import DatumTask, WorkerWaits
from pachybox.pps.workshop import Workshop
from pachybox.store.disk import write_all
from pachybox.worker.layout import Layout

_ATTACH_S = 30.0  # for the reader to commit what was left, and to take the pipe
_READ_S = 15.0  # for the reader to come to the end of the pipe
_LAST_S = 2.0  # the same, of a life that was stopped
_LOOK_S = 0.01


class Readers(Protocol):
    """What runs readers: see Supervisor."""

    def keep(self, wanted: Wanted) -> None: ...
    def drop(self, ingest: Ingest) -> None: ...
    def run(self, ingest: Ingest) -> None: ...
    def quiet(self, ingest: Ingest, timeout_s: float) -> bool: ...
    def state(self, ingest: Ingest) -> Path: ...
    def status(self, ingest: Ingest) -> IngestStatus: ...


def output(record: PipelineRecord) -> Branch:
    """The branch that a spout writes to."""
    return Branch(record.pipeline.repo, record.spec["output_branch"])


class Life:
    """``run`` for one thread, once; ``stop`` and ``look`` for any."""

    def __init__(
        self,
        shop: Workshop,
        readers: Readers,
        record: PipelineRecord,
        waits: Callable[[WorkerWaits | None], None],
    ) -> None:
        """``waits``: see Program."""
        self._shop = shop
        self._pfs: Pfs = shop.pfs
        self._readers = readers
        self._record = record
        self._ingest = Ingest(record.pipeline.project, record.pipeline.name)
        self._state = readers.state(self._ingest)
        self._over = threading.Event()
        self._reader = 0  # its process number, once it has the pipe
        self.errors, self.error = 0, ""  # of the reader, known when the life is over
        self._errors_before = 0
        self._lost = ""  # why the reader has ended, if it has
        self._program = Program(shop.pool, record, self._task, waits)

    def address(self) -> str:
        """See Program.address."""
        return self._program.address()

    def stop(self) -> None:
        """End it; ``run`` then returns nothing."""
        self._over.set()
        self._program.stop()

    def look(self) -> None:
        """End the program when its reader has ended: nobody takes what it writes."""
        if not self._reader or self._over.is_set() or self._lost:
            return
        status = self._readers.status(self._ingest)
        if status.pid != self._reader:
            self._count(status)
            self._lost = f"what it writes is not read: {status.error or 'the reader ended'}"
            self._readers.drop(self._ingest)  # another one would not find the pipe
            self._program.stop()

    def _count(self, status: IngestStatus) -> None:
        self.errors = max(0, status.errors - self._errors_before)
        self.error = status.error

    def run(self, running: Callable[[], None]) -> str:
        """Live; why it ended, nothing when it was stopped. ``running`` is told when the program
        begins. Raises Refused and the like when it cannot begin."""
        drop_open(self._pfs, self._record)
        try:
            self._open_pipe()
            self._await_reader()
            if self._over.is_set():
                return ""
            running()
            why = self._program.run()
            return self._lost or why
        finally:
            self._reader = 0
            if not self._lost:
                self._count(self._readers.status(self._ingest))
            self._readers.drop(self._ingest)
            # Who stops it has waited for the program: what takes longer goes on, and the next life
            # waits for that.
            self._readers.quiet(self._ingest, _LAST_S if self._over.is_set() else _READ_S)
            drop_open(self._pfs, self._record)

    # ---- the pipe

    @property
    def _pipe(self) -> Path:
        return self._state / "pipe"

    @property
    def _pipe_end(self) -> Path:
        """The name by which the reader opens the pipe, and which it removes."""
        return self._state / "pipe.reader"

    def _open_pipe(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._begin_anew()
        self._readers.drop(self._ingest)
        if not self._readers.quiet(self._ingest, _READ_S):
            raise NotReady("the reader of its last life has not ended", "it is tried again")
        for path in (self._pipe, self._pipe_end):
            path.unlink(missing_ok=True)
        os.mkfifo(self._pipe, 0o600)
        self._pipe_end.hardlink_to(self._pipe)
        spout = self._record.spec["spout"]
        spec = {
            "overwrite": bool(spout.get("overwrite")),
            "marker": spout.get("marker") or "",
            "keep_free": self._shop.disk.kept(self._state),
        }
        self._errors_before = self._readers.status(self._ingest).errors
        self._readers.keep(
            Wanted(
                self._ingest,
                IngestKind.SPOUT,
                self._record.version,
                spec,
                output(self._record),
                made_at(self._record.created),
                str(self._pipe_end),
            )
        )
        self._readers.run(self._ingest)  # however the last one ended

    def _begin_anew(self) -> None:
        """What is left of a pipeline that was deleted, or is reprocessed, is not this one's."""
        known = self._state / "pipeline"
        mine = f"{self._record.created.isoformat()} {self._record.salt}"
        if known.exists() and known.read_text() == mine:
            return
        for path in self._state.glob("archive*"):
            path.unlink()
        fresh = known.with_suffix(".new")
        fresh.write_text(mine)
        fresh.replace(known)

    def _await_reader(self) -> None:
        """Until the reader has the pipe: then what an earlier life left is committed. Raises
        NotReady when it cannot."""
        until = time.monotonic() + _ATTACH_S
        while not self._over.is_set():
            try:
                os.close(os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
            else:
                self._reader = self._readers.status(self._ingest).pid
                return
            status = self._readers.status(self._ingest)
            crashed = status.state is IngestState.CRASHING and status.errors > self._errors_before
            if crashed or time.monotonic() > until:
                why = status.error or status.reason or "it does not begin"
                raise NotReady(f"its output cannot be read: {why}")
            self._over.wait(_LOOK_S)

    # ---- the program

    def _task(self, held: ExitStack) -> DatumTask:
        record, name = self._record, self._record.pipeline.name
        logs = directory(self._shop.logs, of_spout(record.pipeline))
        logs.mkdir(parents=True, exist_ok=True)
        return DatumTask(
            id="spout",
            head=heading("", "spout started", utc_now()),
            layout=self._layout(),
            out=self._pipe,
            env={"PPS_POD_NAME": f"{name}-0"},
            log=logs / "0.jsonl",
            grace_s=GRACE_S,
            endless=True,
        )

    def _layout(self) -> Layout:
        """The last marker, at /pfs/NAME; nothing when there is none."""
        marker = self._record.spec["spout"].get("marker")
        head = (
            _head(self._pfs, Branch(self._record.pipeline.repo, SPOUT_MARKER)) if marker else None
        )
        if head is None or head.finished is None:
            return Layout()
        tree = self._state / "marker"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(mode=0o755)
        with self._pfs.reading(head.root):
            for path, entry in self._pfs.trees.walk(head.root):
                if not path.removeprefix("/").startswith(marker):
                    continue  # of a marker by another name, before an update
                target = tree / path.removeprefix("/")
                if entry.is_dir:
                    target.mkdir()
                    target.chmod(0o755)  # whoever the program is, and whatever our umask
                    continue
                fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
                try:
                    os.fchmod(fd, 0o444)
                    for piece in self._pfs.content.read(entry):
                        write_all(fd, piece)
                finally:
                    os.close(fd)
        return Layout(tree=tree)


def _head(pfs: Pfs, branch: Branch) -> CommitRecord | None:
    found = pfs.meta.get(BRANCHES, branch)
    if found is None or found.head is None:
        return None
    return pfs.meta.get(COMMITS, Commit(branch.repo, found.head))


def drop_open(pfs: Pfs, record: PipelineRecord) -> None:
    """Remove the commits that a program left open on its branch, as it has ended."""
    branch = output(record)

    def change(ch: Change) -> None:
        while True:
            found = ch.tx.get(BRANCHES, branch)
            head = ch.head(found) if found is not None else None
            if head is None or head.finished is not None or head.direct_provenance:
                return
            commits.delete_commit(ch, head)

    head = _head(pfs, branch)
    if head is not None and head.finished is None:
        pfs.change(change)
