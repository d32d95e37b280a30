"""One step of a source: its data and how far it has come, in one transaction."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from pachybox.errors import NotFound, NotReady, Refused
from pachybox.meta.tables import BRANCHES, INGESTS
from pachybox.meta.tx import Tx
from pachybox.model.ids import Branch, CommitId, Hash
from pachybox.model.ingest import DEAD_LETTERS, Ingest, IngestRecord
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.change import Change
from pachybox.pfs.filesets import find
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import AddTree, FileOp, PutTree, RemoveFile, Writer

MARKER = "marker"
"""The branch for what tells a spout of Pachyderm 1.x where to resume."""

_TRIES = 3  # guesses of the tree that is changed, before that is done in the writer


@dataclass(frozen=True, slots=True)
class Step:
    """What a source has brought.

    ``batch`` is the number after the record's. ``fileset`` has the files, which replace those of
    their names, or with ``append`` are added to them; before that ``deletes`` (exact paths) go.
    ``marker`` and ``dead`` are filesets for the branches of markers (replacing) and of dead
    letters (appended). An empty one of the three is none. ``offset`` is what the source will be
    told when it starts again. The rest is counted.
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


def advance(pfs: Pfs, step: Step) -> IngestRecord:
    """Make the step; the record that is then there, durable. One that was made already is
    not made again.

    Raises NotFound when the source is gone, Refused for a step of an older version of it or out
    of turn, NotReady while somebody keeps a commit of the branch open.
    """
    with ExitStack() as held, pfs.blobs.session() as session:
        writer = pfs.writer(session)
        ops = _ops(pfs, held, step)
        aside = [
            (branch, _tree(pfs, held, fileset))
            for branch, fileset in ((MARKER, step.marker), (DEAD_LETTERS, step.dead))
            if fileset
        ]
        guess: tuple[Hash, Hash] | None = None
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            found = _record(pfs.meta.get(INGESTS, step.ingest), step)
            if ops and found.batch < step.batch:
                base = pfs.base_root(found.to.repo, found.to.name)
                guess = (base, writer.apply(base, ops))
            outcome = pfs.meta.write(
                lambda tx, g=guess, last=last: _make(pfs, tx, writer, step, ops, aside, g, last)  # type: ignore[misc]
            )
            if outcome is not None:
                session.keep()
                return outcome
        raise AssertionError("the last attempt always writes")


def _tree(pfs: Pfs, held: ExitStack, fileset: str) -> Hash:
    return held.enter_context(pfs.reading(find(pfs.meta, fileset).root))


def _ops(pfs: Pfs, held: ExitStack, step: Step) -> list[FileOp]:
    ops: list[FileOp] = [RemoveFile(path, exact=True) for path in step.deletes]
    if step.fileset:
        root = _tree(pfs, held, step.fileset)
        if step.append:
            ops.append(AddTree(root))
        else:
            ops.append(PutTree(root, pfs.trees.entry(root).count))
    return ops


def _record(found: IngestRecord | None, step: Step) -> IngestRecord:
    if found is None:
        raise NotFound(f"ingest {step.ingest} not found", "list ingest shows what there is")
    if found.version != step.version:
        raise Refused(f"ingest {step.ingest} was updated", "the newer version goes on")
    if step.batch > found.batch + 1:
        raise Refused(
            f"ingest {step.ingest} has come to batch {found.batch}, not {step.batch - 1}",
            "begin again from its offset",
        )
    return found


def _make(
    pfs: Pfs,
    tx: Tx,
    writer: Writer,
    step: Step,
    ops: list[FileOp],
    aside: list[tuple[str, Hash]],
    guess: tuple[Hash, Hash] | None,
    last: bool,
) -> IngestRecord | None:
    """In the writer: the record as it is now; None when ``guess`` was wrong."""
    found = _record(tx.get(INGESTS, step.ingest), step)
    if step.batch <= found.batch:
        if step.batch == found.batch and step.offset != found.offset:
            # what a life that was killed had sent, made after the next was told where to begin
            raise Refused(
                f"ingest {step.ingest} has come to batch {found.batch} by another step",
                "begin again from its offset",
            )
        return found
    commit = found.last_commit
    if ops:
        made = pfs.within(tx, lambda ch: _write(pfs, ch, writer, found, step, ops, guess, last))
        if made is None:
            return None
        commit = made
    for name, root in aside:
        op: FileOp = AddTree(root) if name == DEAD_LETTERS else PutTree(root, 1)
        branch = Branch(found.to.repo, name)
        pfs.within(
            tx,
            lambda ch, b=branch, op=op: pfs.write_in(  # type: ignore[misc]
                ch, writer, b.repo, b.name, [op], step.description
            ),
        )
    record = replace(
        found,
        batch=step.batch,
        offset=step.offset,
        records=found.records + step.records,
        bytes=found.bytes + step.bytes,
        files=found.files + step.files,
        commits=found.commits + (1 if ops else 0),
        dead=found.dead + step.dead_letters,
        last_commit=commit,
        last_time=tx.now if ops else found.last_time,
    )
    tx.put(INGESTS, record)
    return record


def _write(
    pfs: Pfs,
    ch: Change,
    writer: Writer,
    record: IngestRecord,
    step: Step,
    ops: list[FileOp],
    guess: tuple[Hash, Hash] | None,
    last: bool,
) -> CommitId | None:
    to = record.to
    branch = ch.tx.get(BRANCHES, to)
    head = ch.head(branch) if branch is not None else None
    if head is not None and head.finished is None:
        raise NotReady(
            f"branch {to} has an open commit, {head.commit.id}", "finish it, and ingest goes on"
        )
    made = pfs.write_in(ch, writer, to.repo, to.name, ops, step.description, guess, last)
    return made.commit.id if isinstance(made, CommitRecord) else None
