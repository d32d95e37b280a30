"""Pages of the jobs of a box."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import JOBS, micros
from pachybox.meta.writer import Meta, utc_now
from pachybox.model.ids import Pipeline
from pachybox.model.pps import JobRecord, JobState

_LAST = "created_us DESC, pipeline, project, id"
_ORDERS = {
    "created": "created_us DESC",
    "pipeline": "project, pipeline",
    "state": "state",
    "total": "total DESC",
    "time": "coalesce(finished_us, {now}) - coalesce(started_us, created_us) DESC",
}


def page_of_jobs(
    meta: Meta,
    pipeline: Pipeline | None,
    offset: int,
    limit: int,
    *,
    search: str = "",
    states: Iterable[str] = (),
    sort: str = "created",
    reverse: bool = False,
) -> tuple[int, list[JobRecord]]:
    """How many jobs there are (of a pipeline, with these states, whose ``pipeline@id`` has
    ``search`` in it), and those of the page."""
    order = _ORDERS.get(sort or "created")
    if order is None:
        raise InvalidArgument(f"jobs are not sorted by {sort!r}", f"use {', '.join(_ORDERS)}")
    order = order.format(now=micros(utc_now()))
    where, params = ["TRUE"], list[Any]()
    if pipeline is not None:
        where.append("project = ? AND pipeline = ?")
        params += [pipeline.project, pipeline.name]
    if wanted := _states(states):
        where.append(f"state IN ({', '.join('?' * len(wanted))})")
        params += wanted
    if search:
        where.append("contains(lower(project || '/' || pipeline || '@' || id), ?)")
        params.append(search.lower())
    kept = f"WHERE {' AND '.join(where)}"
    total = int(meta.db.read(f"SELECT count(*) FROM jobs {kept}", params)[0][0])
    if reverse and total:  # the same list from its end
        first = max(0, total - offset - limit)
        limit = max(0, total - offset) - first
        offset = first
    rows = meta.select(
        JOBS, f"{kept} ORDER BY {order}, {_LAST} LIMIT ? OFFSET ?", [*params, limit, offset]
    )
    return total, rows[::-1] if reverse else rows


def _states(states: Iterable[str]) -> list[str]:
    wanted = list(states)
    known = {state.value for state in JobState}
    for state in wanted:
        if state not in known:
            raise InvalidArgument(f"no job is {state!r}", f"states are {', '.join(sorted(known))}")
    return wanted
