"""Where every source hands in what it has: batches, dead letters, reports."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TextIO

from pachybox.client.files import Writing
from pachybox.client.filesets import Filesets
from pachybox.client.frames import unreadable
from pachybox.client.ingests import Ingests
from pachybox.client.upload import Put
from pachybox.errors import Exhausted, NotFound, NotReady, PachyboxError, Refused, Unreachable
from spouts.reporter import Reporter
from spouts.task import OWN, Json, Task

_PAUSE_S = (0.2, 10.0)  # before what did not work is tried again: at first, at most
_PASSES_S = 1.0  # so long a box that is not ready is not worth a word


class Stopping(Exception):
    """The source is to end; what is not committed stays for its next life."""


Content = bytes | Path | Callable[[], int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be taken: where it would have gone, why, and its content (bytes, a file to
    read it from, or what opens that)."""

    path: str
    reason: str
    content: Content


class _Box(Writing, Filesets, Ingests):
    """The part of the client that sources need."""


class Desk:
    """One source's side of the box. ``stop`` and ``wake`` are set by others; methods are for one
    thread."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.stop = threading.Event()
        """Set when the source is to end."""
        self.wake = threading.Event()
        """Set when the source is to stop waiting: it is to end, or to do now what is due later
        (then ``run_now`` is true)."""
        self.run_now = False
        self.batch = task.batch
        self.offset = task.offset
        self.box = _Box(task.address, project=task.project)
        self._reporter = Reporter(_tell)
        self._logged = ""

    # ---- orders

    def order_stop(self) -> None:
        """From any thread, though not from a signal handler: the source is to end."""
        self.stop.set()
        self.wake.set()

    def order_run(self) -> None:
        """From any thread: the source is to do now what it would do later."""
        self.run_now = True
        self.wake.set()

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until ordered otherwise; whether it was ``run`` that was ordered.
        Raises Stopping."""
        self.wake.wait(max(0.0, seconds))
        self.wake.clear()  # before looking, so that an order that comes now is seen next time
        if self.stop.is_set():
            raise Stopping
        run, self.run_now = self.run_now, False
        return run

    # ---- batches

    def commit(
        self,
        fill: Callable[[Put], None] | None,
        offset: Json,
        *,
        ready: str = "",
        append: bool = False,
        confirm: Callable[[], Mapping[str, int]] | None = None,
        deletes: Iterable[str] = (),
        marker: Mapping[str, bytes | Path] | None = None,
        dead: Iterable[DeadLetter] = (),
        records: int = 0,
        bytes: int = 0,
        files: int = 0,
        description: str = "",
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Commit one batch; durable when it returns.

        ``fill`` puts the files (it is called again when an attempt fails; None: no files); they
        replace those of their names, or with ``append`` are added to them, after ``deletes`` went.
        The first attempt is with ``ready``, a fileset of the same files, if there is one.
        ``confirm`` is called when all of an attempt is uploaded, before the box is told: what it
        raises ends the batch uncommitted, what it returns are figures that are known only then.
        ``marker`` goes to the branch of markers. ``offset`` is what the source's next life is
        told. What the box cannot do now (it is restarting, its disk is full, a commit is open) is
        tried until it can, and ``waiting`` called each time. Raises Stopping when the source is to
        end meanwhile, or is not what it was (updated, deleted, gone further without us); and what
        the box refuses for good (InvalidArgument for a path that is taken by a directory, say):
        then nothing was committed.
        """
        letters, gone = list(dead), list(deletes)

        def attempt() -> None:
            nonlocal ready
            figures = {"records": records, "bytes": bytes, "files": files}
            fileset, ready = ready, ""
            if not fileset and fill is not None:
                fileset = self.upload(fill)
            if confirm is not None:
                figures |= confirm()
            self.box.advance_ingest(
                self.task.full_name,
                version=self.task.version,
                batch=self.batch + 1,
                offset=json.dumps(offset),
                fileset=fileset,
                append=append,
                deletes=gone,
                marker=self.upload(lambda put: _put_all(put, marker)) if marker else "",
                dead=self.upload(lambda put: self._bury(put, letters)) if letters else "",
                dead_letters=len(letters),
                description=description,
                made=self.task.made,
                **figures,
            )

        self._patiently(attempt, waiting)
        self.batch += 1
        self.offset = offset

    def upload(self, fill: Callable[[Put], None]) -> str:
        """A fileset of what ``fill`` puts; the box keeps it for ten minutes."""
        with self.box.upload_fileset() as put:
            fill(put)
        return put.fileset

    def _bury(self, put: Put, letters: list[DeadLetter]) -> None:
        for number, letter in enumerate(letters):
            where = f"/{self.task.name}/{self.batch + 1:09}-{number}{_absolute(letter.path)}"
            reason = {"reason": letter.reason, "path": letter.path, "time": time.time()}
            _put_all(put, {where: letter.content})
            put.data(f"{where}.reason.json", json.dumps(reason).encode() + b"\n")

    def _patiently(self, attempt: Callable[[], None], waiting: Callable[[], None]) -> None:
        pause, began = _PAUSE_S[0], time.monotonic()
        while True:
            try:
                attempt()
            except (Unreachable, NotReady, Exhausted) as e:
                if not isinstance(e, NotReady) or time.monotonic() - began >= _PASSES_S:
                    self.failed(str(e), reason=str(e))
                waiting()
                if self.stop.wait(pause):
                    raise Stopping from e
                pause = min(2 * pause, _PAUSE_S[1])
                continue
            except (Refused, NotFound) as e:
                if self._is_outdated():
                    self.log(str(e))
                    raise Stopping from e
                raise
            self._logged = ""
            if self._reporter.reason:
                self.report(reason="")
            return

    def _is_outdated(self) -> bool:
        """Whether the box knows this source as another than this one knows itself."""
        try:
            found = self.box.inspect_ingest(self.task.full_name)
        except NotFound:
            return True
        except PachyboxError:
            return False
        made = found.created.astimezone(UTC).isoformat() if found.created else ""
        if self.task.made not in ("", made):
            return True
        return (found.version, found.batch) != (self.task.version, self.batch)

    # ---- reports

    def failed(self, error: str, *, reason: str = "") -> None:
        """Something did not work and the source goes on (``reason``: waits for it). What happens
        again and again is counted each time and logged once."""
        if error != self._logged:
            self.log(error)
            self._logged = error
        self._reporter.update(error=error, errors=1, reason=reason)

    def report(
        self, *, lag_s: float | None = None, pending: int | None = None, reason: str | None = None
    ) -> None:
        """Tell the box how it goes; what is left out is as before. Cheap: what says the same is
        not sent again, and figures alone at most twice a second."""
        self._reporter.update(lag_s=lag_s, pending=pending, reason=reason)

    def flush(self) -> None:
        """Send the last report, if it was held back."""
        self._reporter.flush()

    def log(self, message: str) -> None:
        """A line of the source's log, as the box's own word."""
        _tell(f"{OWN}{' '.join(message.splitlines())}\n", sys.stderr)


def _tell(line: str, to: TextIO | None = None) -> None:
    """Tell the box, if it is there to hear it."""
    stream = to or sys.stdout
    try:
        stream.write(line)
        stream.flush()
    except OSError:  # it is gone; what is left in the buffer is not to be an error at the end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _put_all(put: Put, files: Mapping[str, Content] | None) -> None:
    for path, content in (files or {}).items():
        if isinstance(content, bytes):
            put.data(path, content)
        elif callable(content):
            put.open_file(path, _opened(path, content), path)
        else:
            put.file(path, str(content))


def _opened(path: str, content: Callable[[], int]) -> int:
    try:
        return content()
    except OSError as e:
        raise unreadable(path, e) from e


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


__all__ = ["DeadLetter", "Desk", "PachyboxError", "Stopping"]
