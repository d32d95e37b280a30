"""What ingest sources say, now and as they say it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from pachybox.api.definitions import pps
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.ingests import to_ingest
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound
from pachybox.ingest.log import Line, Reader
from pachybox.model.ingest import Ingest

_POLL_S = 0.2
_MOST_MS = 100 * 365 * 86_400_000  # a hundred years
_MOST_LINES = 1 << 31


@handles("pachybox.v1.API/GetIngestLog")
def get_ingest_log(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.tail < 0 or request.since_ms < 0:
        raise InvalidArgument("tail and since_ms are not below zero", "leave them out for all")
    ingest = to_ingest(request)
    box.ingests.inspect(ingest)
    edge = datetime.min.replace(tzinfo=UTC)
    if request.since_ms:
        edge = datetime.now(UTC) - timedelta(milliseconds=min(request.since_ms, _MOST_MS))
    return _lines(box, ingest, edge, request.tail, request.follow, call)


def _lines(
    box: Box, ingest: Ingest, edge: datetime, tail: int, follow: bool, call: Call
) -> Iterator[Any]:
    with closing(Reader(box.config.home / "logs", ingest)) as reader:
        found: Iterable[Line] = (line for line in reader.new() if line.time >= edge)
        yield from map(_message, deque(found, min(tail, _MOST_LINES)) if tail else found)
        while follow and not call.cancel.is_set() and _is_there(box, ingest):
            yield None
            time.sleep(_POLL_S)  # a file that grows tells nobody
            yield from map(_message, reader.new())


def _is_there(box: Box, ingest: Ingest) -> bool:
    try:
        box.ingests.inspect(ingest)
    except NotFound:
        return False
    return True


def _message(line: Line) -> Any:
    return pps.LogMessage(
        master=not line.user, user=line.user, ts=m.timestamp(line.time), message=line.message
    )
