"""What the box itself says: its log file, read for users, now and as it grows."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from pachybox.api.definitions import pps
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, PachyboxError
from pachybox.model.refs import parse_pipeline_ref
from pachybox.model.units import parse_time

_POLL_S = 0.2
_MOST_MS = 100 * 365 * 86_400_000  # a hundred years
_MOST_LINES = 1 << 31
_LINE = re.compile(r"time=(\S+) (.*)")


class Line(NamedTuple):
    """One line of the log."""

    time: datetime
    text: str


@handles("pachybox.v1.API/GetBoxLog")
def get_box_log(box: Box, request: Any, call: Call) -> Iterator[Any]:
    edge = None
    if request.tail < 0 or request.since_ms < 0:
        raise InvalidArgument("tail and since_ms are not below zero", "leave them out for all")
    if request.since_ms:
        edge = datetime.now(UTC) - timedelta(milliseconds=min(request.since_ms, _MOST_MS))
    if request.pipeline:
        box.pps.pipeline(parse_pipeline_ref(request.pipeline)[0])
    return messages(box, request.pipeline, request.job, edge, request, call)


def messages(
    box: Box, pipeline: str, job: str, edge: datetime | None, request: Any, call: Call
) -> Iterator[Any]:
    """Lines as pps_v2.LogMessage: all, or those about a pipeline or a job."""
    about = None
    if job or pipeline:
        alone = "@" in job or not pipeline
        name = job if alone else f"{parse_pipeline_ref(pipeline)[0]}@{job}"
        about = re.compile(rf"\bjob=(\S*@)?{re.escape(name)}")

    def keep(line: Line) -> bool:
        if edge is not None and line.time < edge:
            return False
        return about is None or about.search(line.text) is not None

    tail = max(request.tail, 0)  # below zero: all, as to Pachyderm
    for line in read(box.config.log_file, keep, tail, request.follow, call.cancel.is_set):
        if line is None:
            yield None
        else:
            yield pps.LogMessage(master=True, ts=m.timestamp(line.time), message=line.text)


def read(
    path: Path,
    keep: Callable[[Line], bool],
    tail: int,
    follow: bool,
    cancelled: Callable[[], bool],
) -> Iterator[Line | None]:
    """The lines of a log and of the files it was rotated to, oldest first; with ``follow`` it
    goes on until cancelled, and None means "nothing yet"."""
    number = sum(1 for _ in path.parent.glob(f"{path.name}.[0-9]*"))
    found: deque[Line] | list[Line] = deque(maxlen=min(tail, _MOST_LINES)) if tail else []
    at = _Tail(path)
    for old in range(number, 0, -1):
        found.extend(filter(keep, _Tail(path.with_name(f"{path.name}.{old}")).new()))
    found.extend(filter(keep, at.new()))
    yield from found
    while follow and not cancelled():
        yield None
        time.sleep(_POLL_S)  # a file that grows tells nobody
        yield from filter(keep, at.new())


class _Tail:
    """How far a file was read; goes on with the next one when it was rotated away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _opened(path)

    def new(self) -> Iterator[Line]:
        """Whole lines that were not returned before."""
        while self._file is not None:
            while True:
                start = self._file.tell()
                raw = self._file.readline()
                if not raw.endswith(b"\n"):
                    self._file.seek(start)
                    break
                if match := _LINE.match(raw.decode(errors="replace")):
                    try:
                        yield Line(parse_time(match[1]), match[2])
                    except PachyboxError:
                        continue
            try:
                same = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
            except FileNotFoundError:
                return
            if same:
                return
            self._file.close()
            self._file = _opened(self._path)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


def _opened(path: Path) -> Any:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None
