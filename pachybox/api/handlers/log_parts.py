"""pachybox.v1.API: logs in parts: windows, searches, and what is added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.ingests import to_ingest
from pachybox.api.handlers.jobs import to_job
from pachybox.api.handlers.pps import to_pipeline
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound
from pachybox.ingest.log import files_of, places_of
from pachybox.meta.tables import JOBS
from pachybox.pps.log_lines import Line
from pachybox.pps.log_search import Pattern
from pachybox.pps.log_view import MOST_LINES, Log

_POLL_S = 0.1  # a file that grows tells nobody
_LINES = 500


def _log(box: Box, name: Any) -> tuple[Log, Callable[[], bool]]:
    """The log that is named, and what tells whether it has ended."""
    if name.HasField("ingest"):
        ingest = to_ingest(name)
        box.ingests.inspect(ingest)
        logs = box.config.home / "logs"
        log = box.pps.log_store.rotated(places_of(ingest), lambda: files_of(logs, ingest))
        return log, lambda: _is_gone(lambda: box.ingests.inspect(ingest))
    if name.HasField("job"):
        job = to_job(box, name.job)

        def over() -> bool:
            record = box.meta.get(JOBS, job)
            return record is None or record.state.terminal

        return box.pps.log_store.job(job, name.datum), over
    if name.HasField("pipeline"):
        pipeline = to_pipeline(name.pipeline)
        box.pps.pipeline(pipeline)
        log = box.pps.log_store.pipeline(pipeline, name.datum)
        return log, lambda: _is_gone(lambda: box.pps.pipeline(pipeline))
    raise InvalidArgument("the request names no log", "set log.pipeline, log.job or log.ingest")


def _is_gone(inspect: Callable[[], object]) -> bool:
    try:
        inspect()
    except NotFound:
        return True
    return False


@handles("pachybox.v1.API/ReadLog")
def read_log(box: Box, request: Any, call: Call) -> Any:
    log, _ = _log(box, request.log)
    lines = request.lines or _LINES
    if not 0 < lines <= MOST_LINES:
        raise InvalidArgument(f"{lines} lines", f"ask for 1 to {MOST_LINES}")
    if request.edge in ("", "tail"):
        window = log.tail(lines)
    elif request.edge == "before":
        window = log.before(request.at, lines)
    elif request.edge == "after":
        window = log.after(request.at, lines)
    else:
        raise InvalidArgument(f"edge is {request.edge!r}", "set it to tail, before or after")
    return ours.LogPart(
        lines=map(_entry, window.lines), start=window.start, end=window.end, size=window.size
    )


@handles("pachybox.v1.API/FindLog")
def find_log(box: Box, request: Any, call: Call) -> Any:
    log, _ = _log(box, request.log)
    pattern = Pattern(request.pattern, regex=request.regex)
    found = log.find(pattern, request.after, back=request.back, cancelled=call.cancel.is_set)
    return ours.FindLogResponse(found=None if found is None else _entry(found))


@handles("pachybox.v1.API/FollowLog")
def follow_log(box: Box, request: Any, call: Call) -> Iterator[Any]:
    log, over = _log(box, request.log)
    for line in log.follow(request.after, over, lambda: call.cancel.wait(_POLL_S)):
        if line is None and call.cancel.is_set():
            return
        yield None if line is None else _entry(line)


def _entry(line: Line) -> Any:
    return ours.LogEntry(
        time=m.timestamp(line.time),
        text=line.text,
        level=line.level,
        datum=line.datum,
        worker=line.worker,
        at=line.at,
        attempt=line.attempt,
        user=line.user,
        job=line.job,
    )
