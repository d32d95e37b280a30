"""logs.API: what user code, the box's own words of pipelines, and the box itself said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pachybox.api.definitions import logs, pps
from pachybox.api.handlers import box_log
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.jobs import log_messages
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Unimplemented
from pachybox.model.ids import DEFAULT_PROJECT, CommitId, Job, Pipeline
from pachybox.pps.scripts import Matcher

_LEVELS = ("debug", "info", "error")
_LEVEL = re.compile(r"level=(\w+)")
_BOX = ("pachd", "pachybox")


@dataclass(slots=True)
class _Query:
    """Whose lines: of jobs, of all jobs of pipelines, or (neither) of the box."""

    wanted: Sequence[Job] | Sequence[Pipeline] | None = None
    datum: str = ""
    about: str = ""  # of the box's lines: those about this pipeline
    user: bool = field(default=False)


@handles("logs.API/GetLogs")
def get_logs(box: Box, request: Any, call: Call) -> Iterator[Any]:
    query = _query(box, request.query)
    keep = _filter(request.filter)
    edges = request.filter.time_range
    if request.tail and edges.HasField("until"):
        raise InvalidArgument("tail never ends, and until is an end", "give one of them")
    if query.wanted is None:
        lines = box_log.messages(
            box, query.about, "", None, pps.GetLogsRequest(follow=request.tail), call
        )
    else:
        found = box.pps.log_reader.read(
            query.wanted,
            datum=query.datum,
            everything=not request.filter.user_logs_only,
            follow=request.tail,
            cancelled=call.cancel.is_set,
        )
        lines = log_messages(found)
    wanted = (line for line in lines if line is None or keep(line))
    return _answers(request, _matching(wanted, request.filter.regex, call))


def _answers(request: Any, lines: Iterator[Any]) -> Iterator[Any]:
    """The lines, at most ``limit``; then where to go on, if that was asked."""
    limit, skip = request.filter.limit, request.filter.time_range.offset
    start = request.filter.time_range
    shown = 0
    first = last = None
    at_last = 0  # lines shown of the last instant
    for line in lines:
        if line is None:
            yield None
            continue
        if skip and start.HasField("from") and line.ts == getattr(start, "from"):
            skip -= 1
            continue
        first = first or line.ts
        at_last = at_last + 1 if last == line.ts else 1
        last = line.ts
        yield logs.GetLogsResponse(log=_message(line))
        shown += 1
        if limit and shown >= limit:
            break
    if request.want_paging_hint:
        yield logs.GetLogsResponse(paging_hint=_hint(request, first, last, at_last))


def _message(line: Any) -> Any:
    text = line.message.encode()
    made = logs.LogMessage(
        verbatim=logs.VerbatimLogMessage(line=text, timestamp=line.ts),
        native_timestamp=line.ts,
        pps_log_message=line,
    )
    made.object.update({"message": line.message})
    return made


def _hint(request: Any, first: Any, last: Any, at_last: int) -> Any:
    """The same question of what was before, and of what comes behind."""
    made = logs.PagingHint(older=request, newer=request)
    older, newer = made.older.filter.time_range, made.newer.filter.time_range
    older.ClearField("offset")
    older.ClearField("from")
    if first is not None:
        older.until.CopyFrom(first)
        newer.ClearField("until")
        getattr(newer, "from").CopyFrom(last)
        newer.offset = at_last
    return made


# ---- whose lines


def _query(box: Box, query: Any) -> _Query:
    kind = query.WhichOneof("query_type")
    if kind is None:
        return _Query()
    if kind == "user":
        return _user(box, query.user)
    admin = query.admin
    asked = admin.WhichOneof("admin_type")
    if asked == "user":
        return _user(box, admin.user)
    if asked == "master":
        found = box.pps.pipeline(to_pipeline_of(admin.master))
        return _Query(about=str(found.pipeline))
    if asked == "app" and admin.app in _BOX:
        return _Query()
    if asked == "pod" and admin.pod in _BOX:
        return _Query()
    if asked == "pod_container" and admin.pod_container.pod in _BOX:
        return _Query()
    if asked in ("app", "pod", "pod_container"):
        raise NotFound(f"the box has no {asked.replace('_', ' ')} of that name", "ask for pachd")
    raise Unimplemented(
        f"logs by {asked or 'nothing'} are not built in this version of pachybox",
        "ask by pipeline, job or datum, or for the app pachd",
    )


def to_pipeline_of(query: Any) -> Pipeline:
    """The pipeline a log query names."""
    if not query.pipeline:
        raise InvalidArgument("the query names no pipeline", "set pipeline")
    return Pipeline(query.project or DEFAULT_PROJECT, query.pipeline)


def _user(box: Box, user: Any) -> _Query:
    kind = user.WhichOneof("user_type")
    if kind == "project":
        box.pfs.inspect_project(user.project)
        return _Query([p.pipeline for p in box.pps.list_pipelines([user.project])])
    if kind == "pipeline":
        return _Query([box.pps.pipeline(to_pipeline_of(user.pipeline)).pipeline])
    if kind == "datum":
        return _Query([p.pipeline for p in box.pps.list_pipelines()], user.datum)
    if kind == "job":
        return _Query([r.job for r in box.pps.job_set(user.job)])
    if kind == "pipeline_job":
        job = Job(to_pipeline_of(user.pipeline_job.pipeline), CommitId(user.pipeline_job.job))
        return _Query([box.pps.job(job).job])
    if kind == "job_datum":
        return _Query([r.job for r in box.pps.job_set(user.job_datum.job)], user.job_datum.datum)
    if kind == "pipeline_datum":
        pipeline = to_pipeline_of(user.pipeline_datum.pipeline)
        return _Query([box.pps.pipeline(pipeline).pipeline], user.pipeline_datum.datum)
    raise InvalidArgument("the query asks for nothing", "set project, pipeline, job or datum")


# ---- which of them


def _filter(message: Any) -> Callable[[Any], bool]:
    edges = message.time_range
    lower = _moment(edges, "from")
    upper = _moment(edges, "until")
    level = m.enum_name(logs.LogLevel, message.level).rpartition("_")[2].lower()
    least = _LEVELS.index(level) if level in _LEVELS else 0

    def keep(line: Any) -> bool:
        when = line.ts.ToDatetime(tzinfo=UTC)
        if (lower is not None and when < lower) or (upper is not None and when >= upper):
            return False
        return not least or _severity(line) >= least

    return keep


def _matching(lines: Iterator[Any], regex: Any, call: Call) -> Iterator[Any]:
    """The lines that a regular expression fits, or those that it does not."""
    if not regex.pattern:
        yield from lines
        return
    with Matcher([regex.pattern], call.cancel.is_set) as matcher:
        for line in lines:
            if line is None or matcher.matches(line.message) is not regex.negate:
                yield line


def _moment(edges: Any, name: str) -> datetime | None:
    if not edges.HasField(name):
        return None
    return m.moment(getattr(edges, name), f"time_range.{name}")


def _severity(line: Any) -> int:
    """What a line of the box says of itself; user code says nothing, which is "info"."""
    found = _LEVEL.match(line.message) if line.master else None
    if found is None or found[1] not in ("debug", "info", "warning", "error", "critical"):
        return 1
    return {"debug": 0, "error": 2, "critical": 2}.get(found[1], 1)
