"""Requests that may be part of a transaction, as functions over one Change.

Alone they are a change of their own. With a ``pach-transaction`` header they are checked
by a dry run behind all that was queued before, then queued; finishing the transaction
runs all of them as one change (reference §1.12).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from pachybox.api.definitions import box as ours
from pachybox.api.definitions import pfs
from pachybox.api.definitions import pps as pps_messages
from pachybox.api.definitions import transaction as tx_messages
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Unimplemented
from pachybox.meta.tables import BRANCHES, COMMITS, TRANSACTIONS, TransactionRecord
from pachybox.meta.tx import Tx
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    Commit,
    CommitId,
    Job,
    Pipeline,
    new_commit_id,
)
from pachybox.model.pfs import CommitRecord
from pachybox.pfs import branches, commits, repos
from pachybox.pfs.change import Change, View
from pachybox.pps import defaults, jobs
from pachybox.pps.making import Made, make, no_dry_run
from pachybox.pps.spec import Spec, from_message_dict, no_defaults
from pachybox.pps.spec import load as load_specs

Operation = Callable[[Change, Any], Any]


def create_repo(ch: Change, request: Any) -> None:
    repos.create_repo(ch, m.to_repo(request.repo), request.description, update=request.update)


def delete_repo(ch: Change, request: Any) -> bool:
    return repos.delete_repo(ch, m.to_repo(request.repo), force=request.force)


def start_commit(ch: Change, request: Any) -> Any:
    branch = m.to_branch(request.branch)
    parent = None
    if request.parent.id or request.parent.branch.name:
        parent = commits.resolve(
            ch.tx, branch.repo, request.parent.id or request.parent.branch.name
        ).commit.id
    made = commits.start_commit(ch, branch, parent, request.description)
    return m.commit(made.commit, branch.name)


def finish_commit(ch: Change, request: Any) -> None:
    repo, ref = m.to_ref(request.commit)
    commit = commits.resolve(ch.tx, repo, ref)
    description = request.description or None
    finish = commits.finish_commit if request.force else commits.finish_by_hand
    finish(ch, commit, description=description, error=request.error)


def squash_commit_set(ch: Change, request: Any) -> None:
    commit_id = request.commit_set.id
    found = ch.tx.select(COMMITS, "WHERE id = ? ORDER BY seq", (commit_id,))
    if not found:
        raise NotFound(
            f"no commits found for commitset {commit_id}", "list commit shows what there is"
        )
    commits.squash_commit(ch, found)


def create_branch(ch: Change, request: Any) -> None:
    if any(one.propagation_spec.never for one in request.branch_propagation_specs):
        raise Unimplemented(
            "a branch that does not follow its provenance is not built",
            "leave branch_propagation_specs out",
        )
    branch = m.to_branch(request.branch)
    head: CommitId | None = None
    for named in (request.head.repo, request.head.branch.repo):
        if named.name and m.to_repo(named) != branch.repo:
            raise InvalidArgument(
                f"branch {branch} and its head must belong to the same repo, not to "
                f"{m.to_repo(named)}",
                f"name a branch or commit of {branch.repo}",
            )
    if request.head.id or request.head.branch.name:
        head = commits.resolve(
            ch.tx, branch.repo, request.head.id or request.head.branch.name
        ).commit.id
    else:
        old = ch.tx.get(BRANCHES, branch)
        head = old.head if old is not None else None
    provenance = tuple(m.to_branch(b) for b in request.provenance)
    branches.create_branch(ch, branch, head, provenance, m.to_trigger(request.trigger))


def create_branch_with_head(ch: Change, request: Any) -> None:
    """As Pachyderm 2.x does: neither it nor what it follows is without a head."""
    create_branch(ch, request)
    commits.give_heads(ch, [m.to_branch(request.branch)])


def delete_branch(ch: Change, request: Any) -> None:
    branches.delete_branch(ch, m.to_branch(request.branch), force=request.force)


def drop_commit_set(ch: Change, request: Any) -> None:
    commit_id = request.commit_set.id
    found = ch.tx.select(
        COMMITS, "WHERE id = ? ORDER BY seq", (commit_id,), also=lambda c: c.commit.id == commit_id
    )
    if not found:
        raise NotFound(
            f"no commits found for commitset {commit_id}", "list commit shows what there is"
        )
    commits.drop_commit(ch, found)


def squash_commit(ch: Change, request: Any) -> None:
    commits.squash_commit(ch, _with_downstream(ch, request))


def drop_commit(ch: Change, request: Any) -> None:
    commits.drop_commit(ch, _with_downstream(ch, request))


def delete_commit(ch: Change, request: Any) -> list[Commit]:
    return commits.delete_commit(ch, commits.resolve(ch.tx, *m.parse_commit(request.commit)))


def _with_downstream(ch: Change, request: Any) -> list[CommitRecord]:
    target = commits.resolve(ch.tx, *m.to_ref(request.commit))
    return [target, *(commits.downstream_of(ch.tx, target) if request.recursive else [])]


def create_pipeline_v2(ch: Change, request: Any) -> Made:
    """As Pachyderm 2.x does: no branch it reads is without a head."""
    return create_pipeline(ch, request, heads=True)


def create_pipeline(ch: Change, request: Any, *, heads: bool = False) -> Made:
    spec, message = _spec(ch.tx, request), request.create_pipeline_request
    if request.user_json:
        spec = replace(spec, user_text=request.user_json)
    return make(ch, replace(spec, heads=heads), update=message.update, reprocess=message.reprocess)


def _spec(view: View, request: Any) -> Spec:
    """The spec of a CreatePipelineTransaction: as it was checked, as it was written, or the
    fields of the message."""
    message = request.create_pipeline_request
    set_ = no_defaults if request.effective_json else defaults.of(view)
    text, where = request.effective_json or request.user_json, {"runner": "", "image_pin": ""}
    if f'"{_PLACED}"' in request.effective_json:
        text, where = _where(request.effective_json)
    if not text:
        return from_message_dict(m.as_dict(message), set_)
    project = message.pipeline.project.name or DEFAULT_PROJECT
    specs = load_specs(text, "the request", default_project=project, defaults=set_)
    if len(specs) != 1:
        raise InvalidArgument(f"the request holds {len(specs)} specs", "send one at a time")
    return replace(specs[0], runner=where["runner"], image_pin=where["image_pin"])


_PLACED = "pachyboxPlaced"
"""Beside the fields of a spec that is kept until its transaction ends: where it is to run."""


def _placed(spec: Spec) -> str:
    where = {"runner": spec.runner, "image_pin": spec.image_pin}
    return json.dumps({**spec.canonical, _PLACED: where})


def _where(effective: str) -> tuple[str, dict[str, str]]:
    """An effective spec that was kept, and where it is to run."""
    values = json.loads(effective)
    where = values.pop(_PLACED, {})
    return json.dumps(values), where


def stop_job(ch: Change, request: Any) -> None:
    p = request.job.pipeline
    pipeline = Pipeline(p.project.name or DEFAULT_PROJECT, p.name)
    jobs.stop(ch, Job(pipeline, CommitId(request.job.id)), request.reason)


OPERATIONS: dict[str, Operation] = {
    "create_repo": create_repo,
    "delete_repo": delete_repo,
    "start_commit": start_commit,
    "finish_commit": finish_commit,
    "squash_commit_set": squash_commit_set,
    "create_branch": create_branch_with_head,
    "delete_branch": delete_branch,
    "stop_job": stop_job,
    "create_pipeline_v2": create_pipeline_v2,
    # not among Pachyderm's; its API shows the first two as theirs, the rest without content
    "create_bare_branch": create_branch,
    "create_pipeline": create_pipeline,
    "squash_commit": squash_commit,
    "drop_commit": drop_commit,
    "drop_commit_set": drop_commit_set,
    "delete_commit": delete_commit,
}
_SOLO = frozenset(
    {
        *("delete_repo", "squash_commit_set", "create_pipeline_v2", "create_pipeline"),
        *("squash_commit", "drop_commit", "drop_commit_set", "delete_commit"),
    }
)
_OURS = {
    "create_bare_branch": pfs.CreateBranchRequest,
    "create_pipeline": pps_messages.CreatePipelineTransaction,
    "squash_commit": pfs.SquashCommitRequest,
    "drop_commit": pfs.DropCommitRequest,
    "drop_commit_set": pfs.DropCommitSetRequest,
    "delete_commit": ours.DeleteCommitRequest,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a transaction: which operation, and its message."""

    kind: str
    message: Any

    @classmethod
    def of(cls, wrapped: Any) -> Request:
        """From a TransactionRequest. InvalidArgument when it cannot be batched."""
        kind = request_kind(wrapped)
        return cls(kind, getattr(wrapped, kind))

    @classmethod
    def stored(cls, record: dict[str, Any]) -> Request:
        """From the form in which it was kept."""
        for kind, message in _OURS.items():
            if (found := record.get(_camel(kind))) is not None:
                return cls(kind, json_format.ParseDict(found, message()))
        return cls.of(json_format.ParseDict(record, tx_messages.TransactionRequest()))

    def kept(self) -> dict[str, Any]:
        """The form in which it is kept: JSON of a TransactionRequest, or like it."""
        return {_camel(self.kind): m.as_dict(self.message)}

    def shown(self) -> Any:
        """As a TransactionRequest, empty when that has no field for it."""
        alike = {"create_bare_branch": "create_branch", "create_pipeline": "create_pipeline_v2"}
        if self.kind in alike:
            return tx_messages.TransactionRequest(**{alike[self.kind]: self.message})
        if self.kind in _OURS:
            return tx_messages.TransactionRequest()
        return tx_messages.TransactionRequest(**{self.kind: self.message})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def submit(box: Box, call: Call, name: str, request: Any) -> Any:
    """Run one batchable request now, or queue it in the call's transaction."""
    if not call.transaction:
        operation = OPERATIONS[name]
        return box.pfs.change(lambda ch: operation(ch, request), solo=name in _SOLO)
    return _queue(box, call.transaction, [Request(name, request)])[-1]


def submit_pipelines(
    box: Box, call: Call, specs: Sequence[Spec], *, update: bool, reprocess: bool
) -> list[Made]:
    """Queue pipelines, checked already, in the call's transaction."""
    new = []
    for spec in specs:
        message = pps_messages.CreatePipelineRequest(
            update=update or spec.update, reprocess=reprocess or spec.reprocess
        )
        message.pipeline.name = spec.pipeline.name
        message.pipeline.project.name = spec.pipeline.project
        wrapped = pps_messages.CreatePipelineTransaction(
            create_pipeline_request=message,
            user_json=spec.user_text,
            effective_json=_placed(spec),
        )
        new.append(Request("create_pipeline_v2" if spec.heads else "create_pipeline", wrapped))
    return _queue(box, call.transaction, new)[-len(new) :]


class _DryRun(Exception):
    def __init__(self, results: list[Any]) -> None:
        super().__init__("dry run")
        self.results = results


def _run_all(ch: Change, requests: Sequence[Request]) -> list[Any]:
    return [OPERATIONS[request.kind](ch, request.message) for request in requests]


def request_kind(request: Any) -> str:
    """Which request a TransactionRequest holds; InvalidArgument when it cannot be batched."""
    set_fields: list[str] = [f.name for f, _ in request.ListFields()]
    if len(set_fields) != 1 or set_fields[0] not in OPERATIONS:
        shown = set_fields[0] if set_fields else "nothing"
        raise InvalidArgument(
            f"{shown} cannot be part of a transaction",
            f"allowed: {', '.join(sorted(OPERATIONS.keys() - _OURS.keys()))}",
        )
    return set_fields[0]


def _stored(box: Box, transaction_id: str) -> TransactionRecord:
    found = box.meta.get(TRANSACTIONS, transaction_id)
    if found is None:
        raise NotFound(
            f"transaction {transaction_id} not found", "list transaction shows what there is"
        )
    return found


def _requests(record: TransactionRecord) -> list[Request]:
    return [Request.stored(r) for r in record.requests]


def _checked(box: Box, wrapped: Sequence[Any]) -> list[Request]:
    """The requests of a client that made them itself."""
    found = [Request.of(one) for one in wrapped]
    for one in found:
        if one.kind in ("create_pipeline_v2", "create_pipeline"):
            spec = _spec(box.meta, one.message)
            no_dry_run(spec)
            one.message.user_json = spec.user_text
            one.message.effective_json = _placed(box.pps.placement.place(spec))
    return found


def _queue(box: Box, transaction_id: str, new: Sequence[Request]) -> list[Any]:
    """Check the requests behind those queued already, then keep them; returns the results
    they would have."""
    record = _stored(box, transaction_id)
    requests = [*_requests(record), *new]

    def dry(ch: Change) -> None:
        results = _run_all(ch, requests)
        ch.settle(branches.fire_triggers)
        raise _DryRun(results)

    try:
        box.pfs.change(dry, solo=True, commit_id=CommitId(transaction_id))
    except _DryRun as done:
        kept = tuple(r.kept() for r in requests)

        def keep(tx: Tx) -> None:
            current = tx.get(TRANSACTIONS, transaction_id)
            if current is None or current.requests != record.requests:
                raise InvalidArgument(
                    f"transaction {transaction_id} was changed by someone else", "try again"
                )
            tx.put(TRANSACTIONS, TransactionRecord(record.id, record.started, kept))

        box.meta.write(keep)
        return done.results
    raise AssertionError("a dry run always raises")


def start(box: Box) -> TransactionRecord:
    """Begin a transaction; its id will be that of every commit it makes."""
    record = TransactionRecord(new_commit_id(), datetime.now(UTC), ())
    box.meta.write(lambda tx: tx.put(TRANSACTIONS, record))
    return record


def add(box: Box, transaction_id: str, requests: Sequence[Any]) -> None:
    """Queue several requests at once."""
    _queue(box, transaction_id, _checked(box, requests))


def finish(box: Box, transaction_id: str) -> tuple[TransactionRecord, list[Any], list[Any]]:
    """Run all that was queued as one change; the transaction is gone afterwards. Returns it,
    its requests as TransactionRequests, and what they gave."""
    record, shown = stored(box, transaction_id)

    def run(ch: Change) -> list[Any]:
        results = _run_all(ch, _requests(record))
        ch.tx.remove(TRANSACTIONS, transaction_id)
        return results

    return record, shown, box.pfs.change(run, solo=True, commit_id=CommitId(transaction_id))


def batch(box: Box, requests: Sequence[Any]) -> list[Any]:
    """Run requests at once as one change."""
    checked = _checked(box, requests)
    return box.pfs.change(lambda ch: _run_all(ch, checked), solo=True)


def drop(box: Box, transaction_id: str) -> None:
    """Forget a transaction and all it queued."""
    _stored(box, transaction_id)
    box.meta.write(lambda tx: tx.remove(TRANSACTIONS, transaction_id))


def stored(box: Box, transaction_id: str) -> tuple[TransactionRecord, list[Any]]:
    """A transaction and its requests, as TransactionRequests."""
    record = _stored(box, transaction_id)
    return record, [r.shown() for r in _requests(record)]


def all_stored(box: Box) -> list[TransactionRecord]:
    """Every open transaction, oldest first."""
    return sorted(box.meta.all(TRANSACTIONS), key=lambda t: t.started)
