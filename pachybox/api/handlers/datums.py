"""pps_v2.API: datums, of jobs and of inputs alone."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

from google.protobuf.empty_pb2 import Empty

from pachybox.api.definitions import pfs, pps
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.jobs import stats, to_job
from pachybox.api.handlers.pps import job_name
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound
from pachybox.model.ids import DEFAULT_PROJECT, Commit, CommitId, Job, Pipeline, Repo
from pachybox.model.pps import DatumInput, DatumState, Stats
from pachybox.pps.datums import DatumInfo

_BATCH = 100  # datums that CreateDatum sends when asked for no number

_DATUM_STATES = {state: state.value for state in DatumState}


def datum_info(info: DatumInfo) -> Any:
    """pps_v2.DatumInfo."""
    return pps.DatumInfo(
        datum=pps.Datum(job=job_name(info.job), id=info.id),
        state=pps.DatumState.Value(_DATUM_STATES[info.state]),
        stats=stats(info.stats),
        data=[_input_file(one) for one in info.inputs],
    )


def _input_file(one: DatumInput) -> Any:
    repo = Repo(one.project, one.repo)
    path = f"{one.path}/" if one.is_dir and one.path != "/" else one.path
    return pfs.FileInfo(
        file=pfs.File(commit=m.commit(Commit(repo, one.commit), one.branch), path=path),
        file_type=2 if one.is_dir else 1,
        size_bytes=one.size,
        hash=one.hash,
    )


@handles("pps_v2.API/ListDatum")
def list_datum(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.HasField("input"):
        found: Iterator[DatumInfo] = _of_input(box, request.input)
    else:
        found = box.pps.list_datums(to_job(box, request.job))
    wanted = {m.enum_name(pps.DatumState, s) for s in request.filter.state}
    shown: Iterator[DatumInfo] = (i for i in found if not wanted or i.state.value in wanted)
    if request.reverse:
        shown = iter(list(shown)[::-1])
    if request.pagination_marker:
        shown = _behind(shown, request.pagination_marker)
    return map(datum_info, m.at_most(shown, request.number))


def _behind(found: Iterator[DatumInfo], marker: str) -> Iterator[DatumInfo]:
    """What comes after the datum with the id ``marker``. NotFound when there is none."""
    for info in found:
        if info.id == marker:
            return found
    raise NotFound(f"datum {marker} not found", "give the id of the last datum of a page")


@handles("pps_v2.API/InspectDatum")
def inspect_datum(box: Box, request: Any, call: Call) -> Any:
    job = to_job(box, request.datum.job)
    return datum_info(box.pps.inspect_datum(job, request.datum.id))


@handles("pps_v2.API/RestartDatum")
def restart_datum(box: Box, request: Any, call: Call) -> Any:
    box.pps.restart_datum(to_job(box, request.job), list(request.data_filters))
    return Empty()


def _of_input(box: Box, message: Any) -> Generator[DatumInfo]:
    """The datums that a pipeline with this input would have now. As in Pachyderm, an input without
    a glob is one datum."""
    _with_globs(message)
    spec = {"input": m.as_dict(message, proto_names=True)}
    job = Job(Pipeline(DEFAULT_PROJECT, ""), CommitId(""))
    return (
        DatumInfo(job, d.id, DatumState.UNKNOWN, "", Stats(), d.inputs, None)
        for d in box.pps.preview(box.pps.complete_input(spec))
    )


def _with_globs(message: Any) -> None:
    if message.HasField("pfs") and not message.pfs.glob:
        message.pfs.glob = "/"
    for kind in ("cross", "union", "join", "group"):
        for below in getattr(message, kind):
            _with_globs(below)


@handles("pps_v2.API/CreateDatum")
def create_datum(box: Box, requests: Iterator[Any], call: Call) -> Iterator[Any]:
    """The datums of an input, planned as they are asked for; ends when there are no more, or the
    client asks no more."""
    found: Generator[DatumInfo] | None = None
    try:
        for request in requests:
            if request is None:
                continue
            body = request.WhichOneof("body")
            if (body == "start") == (found is not None) or body is None:
                raise InvalidArgument(
                    "the first request must be start, the others continue",
                    "send start with an input once, then continue for more",
                )
            if body == "start":
                found = _of_input(box, request.start.input)
            assert found is not None
            asked = getattr(request, body).number
            if asked < 0:
                raise InvalidArgument(f"number is {asked}", f"give a count, or 0 for {_BATCH}")
            wanted, sent = asked or _BATCH, 0
            for info in islice(found, wanted):
                sent += 1
                yield datum_info(info)
            if sent < wanted:
                return
            yield None
    finally:
        if found is not None:
            found.close()  # what it reads may be collected again
