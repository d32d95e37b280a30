"""Requests that may be part of a transaction, as functions over one Change.

Alone they are a change of their own. With a ``pach-transaction`` header they are checked
by a dry run behind all that was queued before, then queued; finishing the transaction
runs all of them as one change (reference §1.12).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from pachybox.api.definitions import transaction as tx_messages
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound
from pachybox.meta.tables import BRANCHES, COMMITS, TRANSACTIONS, TransactionRecord
from pachybox.meta.writer import Tx
from pachybox.model.ids import DEFAULT_PROJECT, CommitId, Job, Pipeline, new_commit_id
from pachybox.pfs import branches, commits, repos
from pachybox.pfs.change import Change
from pachybox.pps import jobs

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
    commits.finish_by_hand(ch, commit, description=description, error=request.error)


def squash_commit_set(ch: Change, request: Any) -> None:
    commit_id = request.commit_set.id
    found = ch.tx.select(COMMITS, "WHERE id = ? ORDER BY seq", (commit_id,))
    if not found:
        raise NotFound(
            f"no commits found for commitset {commit_id}", "list commit shows what there is"
        )
    commits.squash_commit(ch, found)


def create_branch(ch: Change, request: Any) -> None:
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


def delete_branch(ch: Change, request: Any) -> None:
    branches.delete_branch(ch, m.to_branch(request.branch), force=request.force)


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
    "create_branch": create_branch,
    "delete_branch": delete_branch,
    "stop_job": stop_job,
}
_SOLO = {"delete_repo", "squash_commit_set"}


def submit(box: Box, call: Call, name: str, request: Any) -> Any:
    """Run one batchable request now, or queue it in the call's transaction."""
    if not call.transaction:
        operation = OPERATIONS[name]
        return box.pfs.change(lambda ch: operation(ch, request), solo=name in _SOLO)
    wrapped = tx_messages.TransactionRequest(**{name: request})
    return _queue(box, call.transaction, [wrapped])[-1]


class _DryRun(Exception):
    def __init__(self, results: list[Any]) -> None:
        super().__init__("dry run")
        self.results = results


def _run_all(ch: Change, requests: Sequence[Any]) -> list[Any]:
    results = []
    for request in requests:
        name = request_kind(request)
        results.append(OPERATIONS[name](ch, getattr(request, name)))
    return results


def request_kind(request: Any) -> str:
    """Which request a TransactionRequest holds; InvalidArgument when it cannot be batched."""
    set_fields: list[str] = [f.name for f, _ in request.ListFields()]
    if len(set_fields) != 1 or set_fields[0] not in OPERATIONS:
        shown = set_fields[0] if set_fields else "nothing"
        raise InvalidArgument(
            f"{shown} cannot be part of a transaction",
            f"allowed: {', '.join(OPERATIONS)}",
        )
    return set_fields[0]


def _stored(box: Box, transaction_id: str) -> TransactionRecord:
    found = box.meta.get(TRANSACTIONS, transaction_id)
    if found is None:
        raise NotFound(
            f"transaction {transaction_id} not found", "list transaction shows what there is"
        )
    return found


def _requests(record: TransactionRecord) -> list[Any]:
    return [json_format.ParseDict(r, tx_messages.TransactionRequest()) for r in record.requests]


def _queue(box: Box, transaction_id: str, new: Sequence[Any]) -> list[Any]:
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
        kept = tuple(json_format.MessageToDict(r) for r in requests)

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
    _queue(box, transaction_id, requests)


def finish(box: Box, transaction_id: str) -> tuple[TransactionRecord, list[Any]]:
    """Run all that was queued as one change; the transaction is gone afterwards."""
    record = _stored(box, transaction_id)

    def run(ch: Change) -> list[Any]:
        results = _run_all(ch, _requests(record))
        ch.tx.remove(TRANSACTIONS, transaction_id)
        return results

    return record, box.pfs.change(run, solo=True, commit_id=CommitId(transaction_id))


def batch(box: Box, requests: Sequence[Any]) -> list[Any]:
    """Run requests at once as one change."""
    return box.pfs.change(lambda ch: _run_all(ch, requests), solo=True)


def drop(box: Box, transaction_id: str) -> None:
    """Forget a transaction and all it queued."""
    _stored(box, transaction_id)
    box.meta.write(lambda tx: tx.remove(TRANSACTIONS, transaction_id))


def stored(box: Box, transaction_id: str) -> tuple[TransactionRecord, list[Any]]:
    """A transaction and its requests."""
    record = _stored(box, transaction_id)
    return record, _requests(record)


def all_stored(box: Box) -> list[TransactionRecord]:
    """Every open transaction, oldest first."""
    return sorted(box.meta.all(TRANSACTIONS), key=lambda t: t.started)
