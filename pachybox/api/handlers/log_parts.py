"""pachybox.v1.API: logs in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.ingests import to_ingest
from pachybox.api.handlers.jobs import to_job
from pachybox.api.handlers.pps import to_pipeline
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.ingest.log import Reader


def _all(box: Box, name: Any) -> list[Any]:
    if name.HasField("ingest"):
        found = [
            ours.LogEntry(time=m.timestamp(one.time), text=one.message, user=one.user)
            for one in Reader(box.config.home / "logs", to_ingest(name)).new()
        ]
    else:
        wanted: Any = (
            [to_job(box, name.job)] if name.HasField("job") else [to_pipeline(name.pipeline)]
        )
        found = [
            ours.LogEntry(
                time=m.timestamp(one.time),
                text=one.message,
                user=one.user,
                datum=one.datum,
                worker=one.worker,
                job=one.job.id,
            )
            for one in box.pps.log_reader.read(
                wanted, datum=name.datum, everything=True, cancelled=lambda: False
            )
            if one is not None
        ]
    for number, one in enumerate(found):
        one.at = number
    return found


@handles("pachybox.v1.API/ReadLog")
def read_log(box: Box, request: Any, call: Call) -> Any:
    found = _all(box, request.log)
    size, lines = len(found), request.lines or 500
    start = max(0, size - lines)
    if request.edge == "after":
        start = min(request.at, size)
    elif request.edge == "before":
        start = max(0, request.at - lines)
    end = min(start + lines, size)
    return ours.LogPart(lines=found[start:end], start=start, end=end, size=size)


@handles("pachybox.v1.API/FindLog")
def find_log(box: Box, request: Any, call: Call) -> Any:
    if not request.pattern:
        raise InvalidArgument("there is no pattern to look for", "give one")
    wanted = re.escape(request.pattern)
    hits = [one for one in _all(box, request.log) if re.search(wanted, one.text)]
    kept = [one for one in hits if (one.at < request.after) is request.back]
    found = kept[-1:] if request.back else kept[:1]
    return ours.FindLogResponse(found=found[0] if found else None)


@handles("pachybox.v1.API/FollowLog")
def follow_log(box: Box, request: Any, call: Call) -> Iterator[Any]:
    yield from _all(box, request.log)[request.after :]
