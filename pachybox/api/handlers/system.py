"""The box itself: version, cluster, transactions, metadata, status, events, care."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from google.protobuf.empty_pb2 import Empty

from pachybox import __version__
from pachybox.api.definitions import admin, message, pfs, version
from pachybox.api.definitions import box as ours
from pachybox.api.definitions import transaction as tx_messages
from pachybox.api.handlers import batch
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.care.scrub import Pass
from pachybox.errors import AlreadyExists, InvalidArgument, NotFound
from pachybox.meta.tables import TransactionRecord
from pachybox.meta.writer import utc_now
from pachybox.model.ids import DEFAULT_PROJECT, Branch, Commit, Pipeline, Repo
from pachybox.model.pfs import ProjectRecord
from pachybox.pfs import metadata, wait
from pachybox.pfs.change import Change
from pachybox.pps import labels

_SCRUB_TOLD_S = 0.2
_COMPATIBLE = (2, 12, 0)  # what clients are told: the version whose API this is


@handles("versionpb_v2.API/GetVersion")
def get_version(box: Box, request: Any, call: Call) -> Any:
    major, minor, micro = _COMPATIBLE
    return version.Version(
        major=major, minor=minor, micro=micro, additional=f"-pachybox.{__version__}"
    )


@handles("admin_v2.API/InspectCluster")
def inspect_cluster(box: Box, request: Any, call: Call) -> Any:
    if request.current_project.name:
        box.pfs.inspect_project(request.current_project.name)
    box_id = box.id()
    made = admin.ClusterInfo(
        id=box_id,
        deployment_id=box_id,
        warnings_ok=True,
        warnings=box.warnings(),
        web_resources=admin.WebResource(
            archive_download_base_url=f"{box.address}/archive/",
            create_pipeline_request_json_schema_url=(
                f"{box.address}/jsonschema/pps_v2/CreatePipelineRequest.schema.json"
            ),
        ),
        metadata=labels.of_box(box.meta),
        proxy_host=box.address.partition("://")[2],
        proxy_tls=box.address.startswith("https://"),
    )
    if box.restarting is not None:
        made.pending_restart = True
        made.restart_info = box.restarting
    return made


@handles("admin_v2.API/RestartPachyderm")
def restart_pachyderm(box: Box, request: Any, call: Call) -> Any:
    box.request_restart(request.reason or "no reason given")
    return admin.RestartPachydermResponse()


# ---- transactions


def _info(record: TransactionRecord, requests: list[Any], responses: list[Any]) -> Any:
    return tx_messages.TransactionInfo(
        transaction=tx_messages.Transaction(id=record.id),
        requests=requests,
        responses=responses,
        started=m.timestamp(record.started),
    )


def _responses(results: list[Any]) -> list[Any]:
    commit = pfs.Commit
    return [
        tx_messages.TransactionResponse(commit=r if isinstance(r, commit) else None)
        for r in results
    ]


@handles("transaction_v2.API/StartTransaction")
def start_transaction(box: Box, request: Any, call: Call) -> Any:
    return tx_messages.Transaction(id=batch.start(box).id)


@handles("transaction_v2.API/InspectTransaction")
def inspect_transaction(box: Box, request: Any, call: Call) -> Any:
    return _info(*batch.stored(box, request.transaction.id), [])


@handles("transaction_v2.API/ListTransaction")
def list_transaction(box: Box, request: Any, call: Call) -> Any:
    found = [batch.stored(box, r.id) for r in batch.all_stored(box)]
    return tx_messages.TransactionInfos(
        transaction_info=[_info(record, requests, []) for record, requests in found]
    )


@handles("transaction_v2.API/DeleteTransaction")
def delete_transaction(box: Box, request: Any, call: Call) -> Any:
    batch.drop(box, request.transaction.id)
    return Empty()


@handles("transaction_v2.API/DeleteAll")
def delete_all_transactions(box: Box, request: Any, call: Call) -> Any:
    for record in batch.all_stored(box):
        batch.drop(box, record.id)
    return Empty()


@handles("transaction_v2.API/FinishTransaction")
def finish_transaction(box: Box, request: Any, call: Call) -> Any:
    record, requests, results = batch.finish(box, request.transaction.id)
    return _info(record, requests, _responses(results))


@handles("transaction_v2.API/BatchTransaction")
def batch_transaction(box: Box, request: Any, call: Call) -> Any:
    results = batch.batch(box, list(request.requests))
    return tx_messages.TransactionInfo(
        requests=list(request.requests), responses=_responses(results)
    )


# ---- user metadata


@handles("metadata.API/EditMetadata")
def edit_metadata(box: Box, request: Any, call: Call) -> Any:
    edits = [(_target(box, edit), _editor(edit)) for edit in request.edits]

    def run(ch: Change) -> None:
        for target, change in edits:
            if target is None:
                labels.edit_box(ch, change)
            elif isinstance(target, Pipeline):
                labels.edit_pipeline(ch, target, change)
            else:
                metadata.edit(ch, target, change)

    box.pfs.change(run)
    return message("metadata.EditMetadataResponse")()


def _target(box: Box, edit: Any) -> ProjectRecord | Repo | Branch | Commit | Pipeline | None:
    """What an edit is about; None is the box."""
    kind = edit.WhichOneof("target")
    if kind == "repo":
        return m.pick_repo(edit.repo)
    if kind == "branch":
        return m.pick_branch(edit.branch)
    if kind == "commit":
        return m.pick_commit(box.pfs, edit.commit).commit
    if kind == "project":
        return box.pfs.inspect_project(edit.project.name or DEFAULT_PROJECT)
    if kind == "pipeline":
        name = edit.pipeline.name
        return Pipeline(name.project.name or DEFAULT_PROJECT, name.name)
    if kind == "cluster":
        return None
    raise InvalidArgument(
        "an edit has no target", "name a project, repo, branch, commit, pipeline, or the cluster"
    )


def _editor(edit: Any) -> Callable[[dict[str, str]], dict[str, str]]:
    def change(values: dict[str, str]) -> dict[str, str]:
        if edit.HasField("replace"):
            return dict(edit.replace.replacement)
        if edit.HasField("add_key"):
            if edit.add_key.key in values:
                raise AlreadyExists(f"metadata key {edit.add_key.key!r} already exists")
            return {**values, edit.add_key.key: edit.add_key.value}
        if edit.HasField("edit_key"):
            return {**values, edit.edit_key.key: edit.edit_key.value}
        if edit.HasField("delete_key"):
            if edit.delete_key.key not in values:
                raise NotFound(f"metadata key {edit.delete_key.key!r} not found")
            return {k: v for k, v in values.items() if k != edit.delete_key.key}
        raise InvalidArgument("the edit changes nothing", "set replace, add, edit or delete")

    return change


# ---- the box


@handles("pachybox.v1.API/Status")
def status(box: Box, request: Any, call: Call) -> Any:
    return ours.StatusResponse(started=m.timestamp(box.started), **box.status())


@handles("pachybox.v1.API/Shutdown")
def shutdown(box: Box, request: Any, call: Call) -> Any:
    box.request_stop()
    return ours.ShutdownResponse()


@handles("pachybox.v1.API/Doctor")
def doctor(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for finding in box.findings():
        yield ours.Finding(
            check=finding.check,
            level=finding.level,
            detail=finding.detail,
            remedy=finding.remedy,
            code=finding.code,
        )


@handles("pachybox.v1.API/SubscribeEvents")
def subscribe_events(box: Box, request: Any, call: Call) -> Iterator[Any]:
    after = getattr(request, "from") - 1 if getattr(request, "from") > 0 else 0
    kinds = tuple(request.kinds)
    first, newest = box.meta.first_event(), box.meta.last_event
    if after and not first - 1 <= after <= newest:
        # what came between is gone, or the numbers are those of another box
        after = first - 1 if after < first else newest
        reset = ours.Event(seq=after, time=m.timestamp(utc_now()), kind="reset")
        reset.data.update({"first": first, "newest": newest})
        yield reset
    while True:
        seen = box.meta.last_event
        page = box.meta.events(after)
        for event in page:
            after = event.seq
            if kinds and not event.kind.startswith(kinds):
                continue
            made = ours.Event(seq=event.seq, time=m.timestamp(event.time), kind=event.kind)
            made.data.update(event.data)
            yield made
        if page:
            continue
        if not request.follow:
            return
        yield None
        wait.pause(box.pfs, seen, call.cancel.is_set)


@handles("pachybox.v1.API/Fsck")
def fsck(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.fix and request.quick:
        raise InvalidArgument("a quick check mends nothing", "leave out fix, or quick")
    for line in box.fsck(fix=request.fix, quick=request.quick):
        yield ours.FsckResponse(level=line.level, thing=line.thing, detail=line.detail)


@handles("pfs_v2.API/Fsck")
def pachyderm_fsck(box: Box, request: Any, call: Call) -> Iterator[Any]:
    for line in box.fsck(fix=request.fix):
        text = f"{line.thing}: {line.detail}"
        if line.level == "error":
            yield pfs.FsckResponse(error=text)
        elif line.level == "fixed":
            yield pfs.FsckResponse(fix=text)


@handles("pachybox.v1.API/CollectGarbage")
def collect_garbage(box: Box, request: Any, call: Call) -> Any:
    done = box.collect_garbage()
    return ours.CollectGarbageResponse(
        scanned=done.scanned,
        freed_bytes=done.freed_bytes,
        packs_removed=done.packs_removed,
        objects_removed=done.objects_removed,
    )


@handles("pachybox.v1.API/Scrub")
def scrub(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.now:
        told = 0.0
        for now in box.scrub.now():
            if call.cancel.is_set():
                return
            if time.monotonic() - told > _SCRUB_TOLD_S:
                yield _scrubbed(box, now)
                told = time.monotonic()
    now, known = box.scrub.state()
    made = _scrubbed(box, now)
    for one in known:
        made.damage.add(**asdict(one.damage), files=one.files)
    yield made


def _scrubbed(box: Box, now: Pass) -> Any:
    _, known = box.scrub.state()
    made = ours.ScrubResponse(
        began=m.timestamp(datetime.fromtimestamp(now.began, UTC)),
        done_bytes=now.done,
        total_bytes=now.total,
        ended=now.ended,
        period_seconds=int(box.scrub.period_s),
        damaged=len(known),
    )
    if now.whole_at:
        made.last_whole.CopyFrom(m.timestamp(datetime.fromtimestamp(now.whole_at, UTC)))
    return made
