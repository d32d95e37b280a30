"""One step of a source: its data and how far it has come, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pachybox.errors import InvalidArgument, NotFound, NotReady, Refused
from pachybox.meta.tables import BRANCHES, COMMITS, FILESETS, INGESTS, PIPELINES
from pachybox.meta.tx import Tx
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Pipeline
from pachybox.model.ingest import DEAD_LETTERS, SPOUT_MARKER, Ingest, IngestKind, IngestRecord
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.change import Change, View
from pachybox.pfs.filesets import find
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import AddTree, FileOp, PutTree, RemoveFile, Writer
from pachybox.store.trees import EMPTY

_TRIES = 3  # guesses of the trees that are changed, before that is done in the writer
_LONGEST_OFFSET = 1 << 20  # bytes; it is in memory as long as the source exists
_MOST = 1 << 53  # of what a step counts; more is no count of anything
_MOST_EVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Step:
    """What a source has brought.

    ``batch`` is the number after the record's. ``fileset`` has the files, which replace those of
    their names, or with ``append`` are added to them; before that ``deletes`` (exact paths) go.
    ``marker`` and ``dead`` are filesets for the branches of markers (replacing) and of dead
    letters (appended). An empty one of the three is none; the step uses them up. ``offset`` (a JSON
    object) is what the source will be told when it starts again. ``made``: when the source was
    made, as ``made_at`` says it; "" is not looked at. The rest is counted.
    """

    ingest: Ingest
    version: int
    batch: int
    offset: str
    fileset: str = ""
    append: bool = False
    deletes: tuple[str, ...] = ()
    marker: str = ""
    dead: str = ""
    records: int = 0
    bytes: int = 0
    files: int = 0
    dead_letters: int = 0
    description: str = ""
    made: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a step does to one branch."""

    branch: Branch
    ops: Sequence[FileOp]


@dataclass(frozen=True, slots=True)
class _Guess:
    """A branch's tree as it was outside of the writer, and what a part makes of it."""

    base: Hash
    root: Hash


def advance(pfs: Pfs, step: Step) -> tuple[IngestRecord, bool]:
    """Make the step. The record that is then there, durable, and whether this call has made it:
    one that was made already is not made again.

    Raises NotFound when the source, its repo or a fileset is gone, Refused for a step of an older
    version of the source or out of turn, NotReady while somebody keeps a commit of the branch
    open, InvalidArgument for a file where a directory is. Then nothing was done.
    """
    _check(step)
    found = _record(pfs.meta, step)
    if step.batch <= found.batch:
        return found, False
    with ExitStack() as held, pfs.blobs.session() as session:
        parts = _parts(pfs, held, found.to, step)
        writer = pfs.writer(session)
        guesses: list[_Guess | None] = [None] * len(parts)
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            guesses = [
                _guess(pfs.meta, writer, part, before)
                for part, before in zip(parts, guesses, strict=True)
            ]
            outcome = pfs.meta.write(
                lambda tx, g=tuple(guesses), last=last: _make(
                    pfs, tx, writer, step, parts, g, last
                ),  # type: ignore[misc]
                quick=True,
            )
            if outcome is not None:
                session.keep()
                return outcome
        raise AssertionError("the last attempt always writes")


def spout_record(view: View, ingest: Ingest) -> IngestRecord | None:
    """The record of a spout as it is now: version and branch are the pipeline's. One that has
    brought nothing yet has none in the table. None when there is no such spout."""
    pipeline = view.get(PIPELINES, Pipeline(ingest.project, ingest.name))
    if pipeline is None or pipeline.spec.get("spout") is None:
        return None
    to = Branch(pipeline.pipeline.repo, pipeline.spec["output_branch"])
    found = view.get(INGESTS, ingest)
    if found is not None and found.kind is IngestKind.SPOUT:
        return replace(found, version=pipeline.version, to=to, created=pipeline.created)
    made = pipeline.created
    return IngestRecord(ingest, IngestKind.SPOUT, {}, to, pipeline.version, made, made)


def made_at(created: datetime) -> str:
    """What tells a source from another one that has its name, and its version, later."""
    return created.astimezone(UTC).isoformat()


def _check(step: Step) -> None:
    if step.batch < 1:
        raise InvalidArgument(f"batch {step.batch} is none", "the first is 1")
    for name in ("records", "bytes", "files", "dead_letters"):
        if not 0 <= getattr(step, name) <= _MOST:
            raise InvalidArgument(f"{name} is {getattr(step, name)}", "give what was counted")
    if len(step.offset) > _LONGEST_OFFSET:
        raise InvalidArgument(
            f"the offset has {len(step.offset)} characters",
            f"at most {_LONGEST_OFFSET}; keep the rest in the source's own directory",
        )
    try:
        offset = json.loads(step.offset)
    except (ValueError, RecursionError):
        offset = None
    if not isinstance(offset, dict):
        raise InvalidArgument("the offset is no JSON object", 'give one, like {"line": 7}')


def _record(view: View, step: Step) -> IngestRecord:
    """The record that the step goes on from, or that has it already."""
    found = view.get(INGESTS, step.ingest)
    if found is None or found.kind is IngestKind.SPOUT:
        found = spout_record(view, step.ingest)
    if found is None:
        raise NotFound(f"ingest {step.ingest} not found", "list ingest shows what there is")
    if found.kind is IngestKind.CRON:
        raise Refused(f"ingest {step.ingest} is a cron", "its ticks are made by the box")
    if step.made and step.made != made_at(found.created):
        raise Refused(
            f"ingest {step.ingest} was made anew {made_at(found.created)}, this is of the old one",
            "the new one goes on",
        )
    if found.version != step.version:
        raise Refused(
            f"ingest {step.ingest} has version {found.version}, not {step.version}",
            "the newer one goes on",
        )
    if step.batch > found.batch + 1:
        raise Refused(
            f"ingest {step.ingest} has come to batch {found.batch}, not {step.batch - 1}",
            "begin again from its offset",
        )
    if step.batch < found.batch or (step.batch == found.batch and step.offset != found.offset):
        # what a life that was killed had sent, made after the next was told where to begin: what
        # this one brings is something else, and is not there
        raise Refused(
            f"ingest {step.ingest} has come to batch {found.batch} by another step",
            "begin again from its offset",
        )
    return found


def _parts(pfs: Pfs, held: ExitStack, to: Branch, step: Step) -> list[_Part]:
    """What is to be done to the branch of the source, if anything, and then to those aside."""

    def tree(fileset: str) -> Hash:
        return held.enter_context(pfs.reading(find(pfs.meta, fileset).root))

    def put(root: Hash) -> FileOp:
        return PutTree(root, pfs.trees.entry(root).count)

    ops: list[FileOp] = [RemoveFile(path, exact=True) for path in step.deletes]
    if step.fileset:
        root = tree(step.fileset)
        ops.append(AddTree(root) if step.append else put(root))
    parts = [_Part(to, ops)] if ops else []
    if step.marker:
        parts.append(_Part(Branch(to.repo, SPOUT_MARKER), [put(tree(step.marker))]))
    if step.dead:
        parts.append(_Part(Branch(to.repo, DEAD_LETTERS), [AddTree(tree(step.dead))]))
    return parts


def _base(view: View, branch: Branch) -> Hash:
    """The tree of a branch's head. Raises NotReady for one that is open."""
    record = view.get(BRANCHES, branch)
    if record is None or record.head is None:
        return EMPTY
    head = view.get(COMMITS, Commit(branch.repo, record.head))
    assert head is not None  # a branch names only what there is
    if head.finished is None:
        raise NotReady(
            f"branch {branch} has an open commit, {head.commit.id}",
            f"finish it, and ingest goes on: finish commit {head.commit}",
        )
    return head.root


def _guess(view: View, writer: Writer, part: _Part, before: _Guess | None) -> _Guess:
    base = _base(view, part.branch)
    if before is not None and before.base == base:
        return before
    return _Guess(base, writer.apply(base, part.ops))


def _make(
    pfs: Pfs,
    tx: Tx,
    writer: Writer,
    step: Step,
    parts: Sequence[_Part],
    guesses: Sequence[_Guess | None],
    last: bool,
) -> tuple[IngestRecord, bool] | None:
    """In the writer: the record as it is now; None, with nothing done, when a guess was wrong."""
    found = _record(tx, step)
    if step.batch <= found.batch:
        return found, False
    wrong = [g.base != _base(tx, p.branch) for p, g in zip(parts, guesses, strict=True) if g]
    if any(wrong) and not last:
        return None
    commits = [
        pfs.within(tx, lambda ch, p=part, g=guess: _write(pfs, ch, writer, step, p, g))  # type: ignore[misc]
        for part, guess in zip(parts, guesses, strict=True)
    ]
    main = commits[0] if parts and parts[0].branch == found.to else None
    record = replace(
        found,
        batch=step.batch,
        offset=step.offset,
        records=min(found.records + step.records, _MOST_EVER),
        bytes=min(found.bytes + step.bytes, _MOST_EVER),
        files=min(found.files + step.files, _MOST_EVER),
        commits=found.commits + (1 if main else 0),
        dead=min(found.dead + step.dead_letters, _MOST_EVER),
        last_commit=main or found.last_commit,
        last_time=tx.now if main else found.last_time,
    )
    tx.put(INGESTS, record)
    for used in filter(None, (step.fileset, step.marker, step.dead)):
        tx.remove(FILESETS, used)  # many a second come, each would stay for ten minutes
    _tell(tx, step, main)
    return record, True


def _write(
    pfs: Pfs, ch: Change, writer: Writer, step: Step, part: _Part, guess: _Guess | None
) -> CommitId | None:
    """The commit of one part; None when there is nothing to take files away from."""
    branch = part.branch
    if ch.tx.get(BRANCHES, branch) is None and all(isinstance(o, RemoveFile) for o in part.ops):
        ch.repo(branch.repo)
        return None
    made = pfs.write_in(
        ch,
        writer,
        branch.repo,
        branch.name,
        part.ops,
        step.description,
        (guess.base, guess.root) if guess else None,
    )
    assert isinstance(made, CommitRecord)
    return made.commit.id


def _tell(tx: Tx, step: Step, commit: CommitId | None) -> None:
    tx.event(
        "ingest.advanced",
        project=step.ingest.project,
        ingest=step.ingest.name,
        batch=step.batch,
        commit=commit or "",
        records=step.records,
        files=step.files,
        bytes=step.bytes,
        dead_letters=step.dead_letters,
    )
